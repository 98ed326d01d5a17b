"""Tells how many checks of checkov passed, were skipped, and failed; fails with the last."""

import json
import sys

with open(sys.argv[1]) as file:
    reports = json.load(file)
for report in reports if isinstance(reports, list) else [reports]:
    counts = report["summary"]
    print(f"checkov {report['check_type']}: {counts['passed']} passed, {counts['skipped']} skipped with a reason, {counts['failed']} failed")
    if counts["failed"] or counts["parsing_errors"] or not counts["passed"]:
        sys.exit("error: checkov found failures, or nothing to check")
