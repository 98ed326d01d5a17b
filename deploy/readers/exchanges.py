"""Reads every exchange file of a campaign with warcio, and finds every exchange that rows name."""
import glob
import hashlib
import os
import sys

import pyarrow.dataset
from warcio.archiveiterator import ArchiveIterator

campaign, snapshot = sys.argv[1:]
paths = sorted(glob.glob(f"{campaign}/exchanges/**/*.warc.gz", recursive=True))
records = 0
for path in paths:
    with open(path, "rb") as stream:
        iterator = ArchiveIterator(stream, check_digests="raise")
        for record in iterator:
            record.content_stream().read()
            records += 1
columns = ["exchange_file", "exchange_offset", "exchange_length", "exchange_sha256"]
rows = pyarrow.dataset.dataset(f"{snapshot}/attempts").to_table(columns=columns).to_pylist()
named = [row for row in rows if row["exchange_file"] is not None]
for row in named:
    with open(os.path.join(campaign, row["exchange_file"]), "rb") as stream:
        stream.seek(row["exchange_offset"])
        stored = stream.read(row["exchange_length"])
    assert hashlib.sha256(stored).hexdigest() == row["exchange_sha256"], row
assert bool(named) == bool(paths), f"{len(named)} rows name exchanges, {len(paths)} files hold some"
print(f"warcio: {records} records in {len(paths)} exchange files; {len(named)} rows name one")
