"""Tells how many checks of checkov passed, were skipped, and failed; fails with the last."""

import json
import sys

with open(sys.argv[1]) as file:
    reports = json.load(file)
for report in reports if isinstance(reports, list) else [reports]:
    counts = report["summary"]
    told = f"{counts['passed']} passed, {counts['skipped']} skipped with a reason, {counts['failed']} failed"
    print(f"checkov {report['check_type']}: {told}")
    for check in report["results"]["failed_checks"]:
        print(f"{check['check_id']}: {check['check_name']}: {check['resource']} in {check['file_path']}", file=sys.stderr)
    if counts["failed"] or counts["parsing_errors"] or not counts["passed"]:
        sys.exit("error: checkov found failures, or nothing to check")
