#!/usr/bin/env bash
# Crawls the example family tree, analyses it, and opens the report in Chromium: on a desktop and on
# a phone, light and dark, and printed. Nothing may be asked of the network.
# Pictures and the PDF go to the folder that is named, or to target/report-check.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo "error: python3 is missing: apt-get install python3" >&2; exit 1; }
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
  { echo "error: Chromium is missing: apt-get install chromium" >&2; exit 1; }

cargo build --workspace --locked
target="${CARGO_TARGET_DIR:-target}"
retort="$target/debug/retort"
out="${1:-$target/report-check}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RETORT_STATE_DIR="$work/state"

"$retort" run docs/examples/lineage/campaign.yaml --sim docs/examples/lineage/fleet.yaml --store "$work/data" \
  >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; exit 1; }
"$retort" detect known-truth --store "$work/data" --out "$work/evidence" >"$work/summary" 2>"$work/err" ||
  { cat "$work/err" >&2; exit 1; }
mkdir -p "$out"
cp "$work"/evidence/report.html "$out/"
python3 deploy/report/check.py "$chromium" "$out/report.html" "$out"
