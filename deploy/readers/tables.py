"""Reads every table of a snapshot with every reader and compares what they see.

Arguments: the snapshot, then optionally the reference page, whose queries are run, and a query of
the program's own output.
"""
import json
import os
import re
import sys

import datasets
import duckdb
import pandas
import polars
import pyarrow.dataset

TABLES = ["responses", "tokens", "attempts", "prompts", "models"]
snapshot = os.path.abspath(sys.argv[1])
page = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
own_query = sys.argv[3] if len(sys.argv) > 3 else None
os.chdir(snapshot)
datasets.disable_progress_bars()

files = json.load(open("MANIFEST.json"))["files"]
rows = {t: sum(f.get("rows", 0) for f in files if f["path"].startswith(t + "/")) for t in TABLES}
full = [table for table in TABLES if rows[table] > 0]

configs = datasets.get_dataset_config_names(".")
assert configs == full, f"the card names {configs}, but {full} have rows"
assert datasets.get_dataset_default_config_name(".") == "responses"
for table in full:
    seen = {}
    glob = f"{table}/**/*.parquet"
    seen["DuckDB"] = duckdb.sql(f"select count(*) from '{glob}'").fetchall()[0][0]
    seen["Polars"] = polars.scan_parquet(glob).collect().height
    frame = pandas.read_parquet(table)
    seen["pandas"] = len(frame)
    arrow = pyarrow.dataset.dataset(table, partitioning="hive").to_table()
    seen["pyarrow"] = arrow.num_rows
    hub = datasets.load_dataset(snapshot, table, split="train")
    seen["Hugging Face datasets"] = len(hub)
    assert set(seen.values()) == {rows[table]}, f"{table} has {rows[table]} rows, but {seen}"
    # No reader takes a partition for a column of the file, or loses one.
    columns = [name for name in arrow.column_names if name != "model_slug"]
    assert hub.column_names == columns, f"{table}: {hub.column_names} is not {columns}"
    if table == "responses":
        texts = {
            "pandas": dict(zip(frame.sample_id, frame.response_text)),
            "Hugging Face datasets": dict(zip(hub["sample_id"], hub["response_text"])),
            "Polars": dict(polars.scan_parquet(glob).select("sample_id", "response_text").collect().iter_rows()),
            "DuckDB": dict(duckdb.sql(f"select sample_id, response_text from '{glob}'").fetchall()),
        }
        known = dict(zip(arrow["sample_id"].to_pylist(), arrow["response_text"].to_pylist()))
        for reader, told in texts.items():
            told = {key: None if pandas.isna(text) else text for key, text in told.items()}
            assert told == known, f"{reader} reads other texts than pyarrow"
print(", ".join(seen), "agree:", ", ".join(f"{rows[table]} {table}" for table in full))

if own_query:
    print(f"the query that `retort run` prints: {len(duckdb.sql(own_query).fetchall())} rows")
if page:
    blocks = re.findall(r"```(sql|python)\n(.*?)```", open(page).read(), re.DOTALL)
    assert len(blocks) > 8, f"{page} has {len(blocks)} queries"
    for language, text in blocks:
        if language == "sql":
            found = len(duckdb.sql(text).fetchall())
        else:
            *statements, expression = text.strip().split("; ")
            names = {}
            exec("; ".join(statements), names)
            result = eval(expression, names)
            found = result.num_rows if hasattr(result, "num_rows") else len(result)
        assert found > 0, f"this query finds nothing: {text}"
    print(f"all {len(blocks)} queries of {os.path.basename(page)} run and find rows")
