"""Reads the live segments of a running campaign with DuckDB until its snapshot is there."""
import glob
import sys
import time

import duckdb

data = sys.argv[1]
segments = f"{data}/campaigns/*/segments/**/*.responses.parquet"
sealed = f"{data}/campaigns/*/snapshots/*/MANIFEST.json"
until, live, replaced = time.time() + 120, set(), 0


def rows():
    """Rows of the live segments; a segment that compaction replaced after it was listed takes another look."""
    global replaced
    for _ in range(10):
        try:
            return duckdb.sql(f"select count(*) from '{segments}'").fetchall()[0][0]
        except duckdb.IOException as error:
            if "No such file" not in str(error):
                raise
            replaced += 1
    raise AssertionError("segments were gone ten times in a row before they could be read")


while time.time() < until and not glob.glob(sealed):
    if glob.glob(segments, recursive=True):
        live.add(rows())
    time.sleep(0.2)
live.discard(0)
assert len(live) > 1, f"live segments did not grow while the crawl ran: {live}"
print(f"DuckDB: {min(live)} to {max(live)} rows of live segments read while the crawl ran, {replaced} looks repeated")
