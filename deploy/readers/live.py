"""Reads the live segments of a running campaign with DuckDB until its snapshot is there."""
import glob
import sys
import time

import duckdb

data = sys.argv[1]
segments = f"{data}/campaigns/*/segments/**/*.responses.parquet"
sealed = f"{data}/campaigns/*/snapshots/*/MANIFEST.json"
until, live = time.time() + 120, set()
while time.time() < until and not glob.glob(sealed):
    if glob.glob(segments, recursive=True):
        live.add(duckdb.sql(f"select count(*) from '{segments}'").fetchall()[0][0])
    time.sleep(0.2)
live.discard(0)
assert len(live) > 1, f"live segments did not grow while the crawl ran: {live}"
print(f"DuckDB: {min(live)} to {max(live)} rows of live segments read while the crawl ran")
