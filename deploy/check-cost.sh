#!/usr/bin/env bash
# What a request costs, in times of the CPU of a bare loop that asks the same server. Never in
# milliseconds: both sides run on this machine in turn, so that its speed and its load cancel out.
# The limits are the figures of docs/performance.md and a quarter more, for a busy machine. By hand: it
# builds the profile `cost` first.
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

gate 3.5 --requests 10000 --turns 3
gate 4.3 --requests 10000 --turns 3 --exchanges
gate 4.6 --requests 8000 --turns 3 --tls --exchanges
gate 9.2 --requests 2000 --turns 1 --rate 150 --in-flight 100 --answer-bytes 1000 --logprobs 20
