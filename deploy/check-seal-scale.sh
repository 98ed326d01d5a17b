#!/usr/bin/env bash
# Sealing at scale against plainly copying the same segments. By hand: it builds for release.
#   deploy/check-seal-scale.sh [responses, 1000000 unless given]
# Fails above 2 times the CPU of the copy or above 1 GiB resident.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-1000000}
for tool in cargo awk; do
  command -v "$tool" >/dev/null || { echo "error: $tool is missing" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo run --release --locked -p retort-dataset --example seal_scale -- "$rows" "$work/store" | tee "$work/out"
awk '
  $1 == "ratio" { ratio = $2 }
  $1 == "sealing" { peak = $6 }
  END {
    if (ratio == "" || peak == "") { print "error: the run printed no figures"; exit 1 }
    if (ratio > 2) { print "error: " ratio " times the CPU of the copy, more than 2"; exit 1 }
    if (peak > 1024) { print "error: " peak " MiB resident, more than 1024"; exit 1 }
    print "within 2 times the CPU of the copy and 1024 MiB"
  }' "$work/out"
