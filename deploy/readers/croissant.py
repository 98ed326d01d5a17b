"""Checks a snapshot's Croissant description: no issue, right hashes, and records of every table."""
import hashlib
import itertools
import json
import os
import sys
from importlib.metadata import version

import mlcroissant

os.chdir(sys.argv[1])
files = json.load(open("MANIFEST.json"))["files"]
description = json.load(open("croissant.json"))
dataset = mlcroissant.Dataset("croissant.json")
issues = dataset.metadata.ctx.issues
assert not issues.errors, issues.report()
# Nobody knows when imported rows were made, unless their files say so.
allowed = [] if "datePublished" in description else ["https://schema.org/datePublished"]
unexpected = [w for w in issues.warnings if not any(word in str(w) for word in allowed)]
assert not unexpected, issues.report()

listed = {f["contentUrl"]: f["sha256"] for f in description["distribution"] if "sha256" in f}
tables = {f["path"]: f["sha256"] for f in files if f["path"].endswith(".parquet")}
assert tables.items() <= listed.items(), "a table's file is not described, or with another hash"
for path, digest in listed.items():
    assert hashlib.sha256(open(path, "rb").read()).hexdigest() == digest, path

told = []
for record_set in description["recordSet"]:
    name = record_set["name"]
    rows = sum(f["rows"] for f in files if f["path"].startswith(name + "/"))
    records = list(itertools.islice(dataset.records(name), 50))
    assert len(records) == min(rows, 50), f"{name}: {len(records)} records of {rows}"
    told.append(f"{len(record_set['field'])} fields of {name}")
print(f"mlcroissant {version('mlcroissant')}: {len(issues.errors)} errors, {len(issues.warnings)} warnings;", ", ".join(told))
