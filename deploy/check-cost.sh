#!/usr/bin/env bash
# What a request costs, in times of the CPU of a bare loop that asks the same server. Never in
# milliseconds: both sides run on this machine in turn, so that its speed and its load cancel out.
# The limits are the goals of docs/performance.md and 15 % more, for a busy machine. Some four minutes
# besides the build of the profile `cost`, which comes first.
set -euo pipefail
cd "$(dirname "$0")/.."

# Like release, but quicker to build; see the profile.
cargo build -p retort --profile cost --locked
retort="${CARGO_TARGET_DIR:-target}/cost/retort"

gate() { # at most so many times the bare loop; then what is asked for
  local most=$1
  shift
  echo "at most $most times: $*"
  "$retort" bench throughput --at-most "$most" "$@"
}

gate 2.53 --requests 10000 --turns 3
gate 3.45 --requests 10000 --turns 3 --exchanges
gate 4.03 --requests 8000 --turns 3 --tls --exchanges
gate 5.75 --requests 2000 --turns 1 --rate 150 --in-flight 100 --answer-bytes 1000 --logprobs 20
