#!/usr/bin/env bash
# Crawls the example campaign and reads its live segments and its snapshot with DuckDB.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo "error: python3 is missing: apt-get install python3 python3-venv" >&2; exit 1; }

target="${CARGO_TARGET_DIR:-target}"
venv="$target/venv-duckdb"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import duckdb' 2>/dev/null ||
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check duckdb

cargo build --workspace --locked
work=$(mktemp -d)
crawl=
cleanup() { [ -z "$crawl" ] || kill "$crawl" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT

RETORT_STATE_DIR="$work/state" "$target/debug/retort" run docs/examples/first/campaign.yaml \
  --sim docs/examples/first/fleet.yaml --store "$work/data" --set writer.flush_every=1s >"$work/out" 2>"$work/err" &
crawl=$!
"$venv/bin/python" - "$work/data" <<'PY'
import duckdb, glob, sys, time
data = sys.argv[1]
segments = f"{data}/campaigns/*/segments/**/*.responses.parquet"
sealed = f"{data}/campaigns/*/snapshots/*/responses/**/*.parquet"
until, live = time.time() + 120, set()
while time.time() < until and not glob.glob(sealed, recursive=True):
    if glob.glob(segments, recursive=True):
        live.add(duckdb.sql(f"select count(*) from '{segments}'").fetchall()[0][0])
    time.sleep(0.2)
live.discard(0)
assert len(live) > 1, f"live segments did not grow while the crawl ran: {live}"
print(f"live segments: {min(live)} to {max(live)} rows read while the crawl ran")
PY
wait "$crawl"; crawl=
line=$(grep -o 'duckdb -c ".*"' "$work/out")
query=${line#duckdb -c \"}; query=${query%\"}
"$venv/bin/python" - "$query" <<'PY'
import duckdb, sys
print(duckdb.sql(sys.argv[1]))
PY
