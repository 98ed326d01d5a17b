"""What both trials share: a served fleet, and a table of what passed."""

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile

PROMPT = "Tell me about rivers."
SYSTEM = "Answer like a pirate."
# At temperature 0 the fleet answers the same through every protocol.
COLD = 0


@contextlib.contextmanager
def served(retort, fleet):
    """Serves a fleet and yields the URL it listens at."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "fleet.json")
        path.write_text(json.dumps(fleet))
        process = subprocess.Popen(
            [retort, "sim", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            line = process.stdout.readline()
            assert line.startswith("serving on "), line
            yield line.removeprefix("serving on ").strip()
        finally:
            process.terminate()
            process.wait(timeout=20)


class Table:
    """Collects what was tried."""

    def __init__(self):
        self.rows = []

    def attempt(self, who, what, action):
        try:
            detail, passed = action(), True
        except Exception as error:  # Whatever a vendor's code raises is the result.
            detail, passed = f"{type(error).__name__}: {error}", False
        self.rows.append((who, what, passed, " ".join(str(detail).split())))
        return passed

    def finish(self):
        """Prints the table and returns the exit code."""
        for who, what, passed, detail in self.rows:
            print(f"{'ok  ' if passed else 'FAIL'}  {who:<22} {what:<24} {detail[:150]}")
        failures = sum(not passed for _, _, passed, _ in self.rows)
        print(f"{len(self.rows) - failures} of {len(self.rows)} passed")
        sys.stdout.flush()
        return 1 if failures or not self.rows else 0


def same(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"
    return found


def raises(kind, action, check=lambda error: None):
    """Runs something that must fail in a vendor's own typed way."""
    try:
        result = action()
    except kind as error:
        told = check(error)
        return f"{type(error).__name__}{'' if told is None else f' ({told})'}"
    raise AssertionError(f"no {kind.__name__} but {result!r}")
