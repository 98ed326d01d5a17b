#!/usr/bin/env bash
# What a request costs, in times of the CPU of a bare loop that asks the same server. Never in
# milliseconds: both sides run on this machine in turn, so that its speed and its load cancel out.
# The margins above the goals of docs/performance.md are for a busy machine.
set -euo pipefail
cd "$(dirname "$0")/.."

# Like release, but quicker to build; see the profile.
cargo build -p retort --profile cost --locked
retort="${CARGO_TARGET_DIR:-target}/cost/retort"

gate() { # at most so many times the bare loop; then what is asked for
  local most=$1
  shift
  echo "at most $most times: $*"
  "$retort" bench throughput --turns 3 --requests 12000 --at-most "$most" "$@"
}

gate 2.6
gate 3.5 --exchanges
gate 4.2 --exchanges --tls
gate 6 --logprobs 20 --answer-bytes 1200
