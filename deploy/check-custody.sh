#!/usr/bin/env bash
# Seals and signs the example campaign and checks it with public tools alone: sha256sum, minisign, warcio.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v minisign >/dev/null || { echo "error: minisign is missing: apt-get install minisign" >&2; exit 1; }
command -v python3 >/dev/null || { echo "error: python3 is missing: apt-get install python3 python3-venv" >&2; exit 1; }

target="${CARGO_TARGET_DIR:-target}"
venv="$target/venv-warcio"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import warcio' 2>/dev/null ||
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check warcio

cargo build --workspace --locked
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
retort="$target/debug/retort"
export RETORT_STATE_DIR="$work/state" RETORT_STORE="$work/data"

"$retort" keys generate "$work/lab.key" >"$work/keys"
"$retort" run docs/examples/first/campaign.yaml --sim docs/examples/first/fleet.yaml --sign "$work/lab.key" \
  >"$work/out" 2>"$work/err" || [ $? -eq 3 ] || { cat "$work/err" >&2; exit 1; }
snapshot=$(dirname "$(find "$work/data/campaigns" -name MANIFEST.json)")
(cd "$snapshot" && sha256sum --check --strict --quiet SHA256SUMS)
minisign -Vqm "$snapshot/MANIFEST.json" -p "$work/lab.pub"
"$venv/bin/python" - "$work/data" <<'PY'
import glob, sys
from warcio.archiveiterator import ArchiveIterator
count = 0
for path in glob.glob(f"{sys.argv[1]}/campaigns/*/exchanges/**/*.warc.gz", recursive=True):
    with open(path, "rb") as file:
        for record in ArchiveIterator(file, check_digests="raise"):
            record.content_stream().read()
            count += 1
assert count > 0, "there are no exchanges"
print(f"warcio: {count} records read, every digest right")
PY
"$retort" dataset verify "$snapshot" --key "$work/lab.pub"
echo "public tools agree"
