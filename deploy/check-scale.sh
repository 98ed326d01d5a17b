#!/usr/bin/env bash
# A plan of a million samples, and the resume of a campaign with a million rows. By hand: it builds
# for release and asks a simulated model on this machine about a million times (some ten minutes).
#   deploy/check-scale.sh [rows before the kill, 1000000 unless given]
# Fails above 2 s to the first request of the plan, 10 s to that of the resume, or 300 MB at any time.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-1000000}
for tool in cargo curl awk grep; do
  command -v "$tool" >/dev/null || { echo "error: $tool is missing" >&2; exit 1; }
done

cargo build --workspace --release --locked
retort="$PWD/${CARGO_TARGET_DIR:-target}/release/retort"
work=$(mktemp -d)
pids=()
cleanup() { for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$work"; }
trap cleanup EXIT
cd "$work"
export RETORT_STATE_DIR="$work/state"

serve() { # latency in ms
  echo "{providers: [{name: p, latency: {ms: $1}, models: [{name: m, words_min: 5, words_max: 20}]}]}" >fleet.yaml
  "$retort" sim fleet.yaml >sim.out 2>sim.err &
  pids+=($!)
  until grep -q 'serving on' sim.out; do sleep 0.1; done
  address=$(sed -n 's/serving on //p' sim.out)
  cat >models.yaml <<YAML
providers: { p: { wire: openai-chat, base_url: "$address/p/p/v1" } }
accounts: { p: { provider: p, limits: { concurrency: 256 } } }
models: { m: { account: p, model: m } }
YAML
}
requests() { curl -s "$address/stats" | grep -oE '"requests": *[0-9]+' | head -n 1 | grep -oE '[0-9]+$' || true; }
now() { date +%s.%N; }
campaign() { # id, prompts, samples
  awk -v id="$1" -v n="$2" -v s="$3" 'BEGIN {
    printf "id: %s\npurpose: a check of scale\nmodels: [m]\nparams: {max_tokens: 16}\nsuites:\n- samples: %d\n  inline:\n    name: numbers\n    prompts:\n", id, s
    for (i = 0; i < n; i++) printf "    - \"Say something about number %d.\"\n", i }' >"$1.yaml"
}
until_asked() { # requests before; prints the seconds until another one arrives
  local begun=$1 before=$2
  while [ "$(requests)" -le "$before" ]; do sleep 0.02; done
  awk -v a="$begun" -v b="$(now)" 'BEGIN {printf "%.2f", b - a}'
}

missed=0
gate() { # what, figure, unit, at most, more…
  local verdict=ok
  if ! awk -v a="$2" -v b="$4" 'BEGIN { exit !(a <= b) }'; then verdict=MISSED missed=1; fi
  echo "$1 $2 $3${5:+ $5}, at most $4: $verdict"
}
peak() { awk '/VmHWM/ {printf "%.0f", $2 / 1024}' "/proc/$run/status"; }

echo "== a plan of a million samples"
serve 200
campaign million 1000 1000
begun=$(now)
"$retort" run million.yaml --catalog models.yaml --store data >run.out 2>run.err &
run=$!; pids+=($run)
gate "first request after" "$(until_asked "$begun" 0)" s 2
sleep 15
gate "peak memory" "$(peak)" MB 300 "after $(requests) requests"
kill -9 "$run" "${pids[0]}"; wait "$run" 2>/dev/null || true; pids=()

echo "== the resume of a campaign with $rows rows"
serve 0
campaign resumed 1000 $((rows / 1000 + 100))
"$retort" run resumed.yaml --catalog models.yaml --store data >run.out 2>run.err &
run=$!; pids+=($run)
begun=$(now)
while [ "$(requests)" -lt "$rows" ]; do sleep 1; done
awk -v a="$begun" -v b="$(now)" -v n="$rows" 'BEGIN {printf "%d requests in %.0f s\n", n, b - a}'
gate "peak memory" "$(peak)" MB 300
kill -9 "$run"; wait "$run" 2>/dev/null || true
sleep 2
before=$(requests)
begun=$(now)
"$retort" run resumed.yaml --catalog models.yaml --store data >run.out 2>run.err &
run=$!; pids+=($run)
gate "first request after" "$(until_asked "$begun" "$before")" s 10
sleep 5
gate "peak memory" "$(peak)" MB 300
if [ "$missed" = 1 ]; then echo "error: a goal is missed" >&2; exit 1; fi
echo "every goal is met"
