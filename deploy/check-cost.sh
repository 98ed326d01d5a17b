#!/usr/bin/env bash
# What a request costs, in times of the CPU of a bare loop that asks the same server. Never in
# milliseconds: both sides run on this machine in turn, so that its speed and its load cancel out.
#
# Gated are the ratios of docs/performance.md, each at its goal and 15 % more, for a busy machine: without
# raw exchanges (2.2), with them (3), over TLS (3.5), with log probabilities (5). Not gated: milliseconds,
# the rate, memory, 50 requests a second and 10,000 in flight, which depend on the machine.
#
# Some four minutes besides the build of the profile `cost`, which takes more than 11 minutes of CPU from
# nothing.
#
#   bash deploy/check-cost.sh [BINARY]     BINARY: one that is there already, in the place of that build
set -euo pipefail
[ $# = 0 ] || set -- "$(realpath "$1")"
cd "$(dirname "$0")/.."

retort="${1:-}"
if [ -z "$retort" ]; then
  # Like release, but quicker to build; see the profile.
  cargo build -p retort --profile cost --locked
  retort="${CARGO_TARGET_DIR:-target}/cost/retort"
fi

missed=0
gate() { # at most so many times the bare loop; then what is asked for
  local most=$1
  shift
  echo "at most $most times: $*"
  "$retort" bench throughput --at-most "$most" "$@" || missed=$((missed + 1))
}

gate 2.53 --requests 10000 --turns 3
gate 3.45 --requests 10000 --turns 3 --exchanges
gate 4.03 --requests 8000 --turns 3 --tls --exchanges
gate 5.75 --requests 2000 --turns 3 --rate 150 --in-flight 100 --answer-bytes 1000 --logprobs 20
if [ "$missed" -gt 0 ]; then
  echo "$missed of 4 ratios are above their limits" >&2
  exit 1
fi
