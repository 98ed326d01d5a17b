#!/usr/bin/env bash
# What a fleet carries on this machine: ten million planned samples, 200 rate-limit domains at rest with
# 20 workers, samples a second through broker, worker and store, and two workers beside one. Prints each
# figure beside its goal; exits 1 when one is missed. By hand: it builds for release and takes some
# seven minutes then. Needs Debian's rabbitmq-server; everything it starts ends with it.
#   deploy/check-fleet-scale.sh [ten-million] [rest] [throughput] [two]      all of them unless some are named
#   BINARY=target/cost/retort deploy/check-fleet-scale.sh                    a binary that is there already
#   PERF=1 deploy/check-fleet-scale.sh throughput                            also where the CPU goes (Debian's linux-perf)
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in cargo curl awk python3 getconf; do
  command -v "$tool" >/dev/null || { echo "error: $tool is missing" >&2; exit 1; }
done
parts=${*:-ten-million rest throughput two}

if [ -n "${BINARY:-}" ]; then
  retort=$(realpath "$BINARY")
else
  cargo build --release --locked -p retort --bin retort
  retort=$(realpath "${CARGO_TARGET_DIR:-target}/release/retort")
fi
repository=$PWD
work=$(mktemp -d)
export RETORT_RABBITMQ="$work/rabbitmq" RETORT_STATE_DIR="$work/state"
pids=()
finish_all() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  pids=()
}
cleanup() {
  local code=$?
  [ "$code" = 0 ] || tail -n 5 "$work"/*/*.log >&2 2>/dev/null || true
  finish_all
  bash "$repository/deploy/rabbitmq.sh" stop 2>/dev/null || true
  rm -rf "$work"
  exit "$code"
}
trap cleanup EXIT
missed=0
hertz=$(getconf CLK_TCK)

now() { date +%s.%N; }
calc() { awk "BEGIN { printf \"$1\", $2 }"; }
ctl() { bash "$repository/deploy/rabbitmq.sh" ctl "$@"; }
load() { cut -d' ' -f1-3 /proc/loadavg; }
gate() { # what, figure, unit, at-most or at-least, goal
  local verdict=ok
  if ! awk -v a="$2" -v b="$5" -v how="$4" 'BEGIN { exit !(how == "at-most" ? a <= b : a >= b) }'; then
    verdict=MISSED
    missed=1
  fi
  printf '  %-58s %10s %-4s goal %s %s: %s\n' "$1" "$2" "$3" "$4" "$5" "$verdict"
}
tell() { printf '  %-58s %10s %s\n' "$1" "$2" "${3:-}"; }
until_true() { # seconds, what, command…
  local tries=$(($1 * 10)) what=$2
  shift 2
  for _ in $(seq "$tries"); do
    if "$@"; then return; fi
    sleep 0.1
  done
  echo "error: waited too long for $what" >&2
  exit 1
}
ticks() { # pid: CPU used so far
  awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"
}
percent() { # ticks before, ticks after, seconds: of one core
  calc %.2f "($2 - $1) * 100 / $hertz / $3"
}
peak_mb() { awk '/VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$1/status"; }
broker_pid() { cat "$RETORT_RABBITMQ/pid"; }
port_of() { sed -n 's|^health and metrics at http://127.0.0.1:||p' "$1"; }
metric() { # port, name: the sum over its labels
  curl -fsS "http://127.0.0.1:$1/metrics" | awk -v name="$2" '
    index($1, name "{") == 1 || $1 == name { sum += $NF } END { printf "%.0f", sum }'
}
requests() { # what the simulated providers counted together
  curl -fsS "$sim/stats" | python3 -c '
import json, sys
print(sum(provider["requests"] for provider in json.load(sys.stdin)["providers"].values()))'
}
asked_more_than() { [ "$(requests)" -gt "$1" ]; }
ready() { grep -qs 'is ready' "$1"; }

stage() { # name, providers, settings of each, limits of each account: a folder, a virtual host, providers
  local name=$1 providers=$2 settings=$3 limits=$4
  folder="$work/$name"
  mkdir "$folder"
  ctl add_vhost "$name"
  ctl set_permissions -p "$name" guest '.*' '.*' '.*'
  RETORT_BROKER__URL="$(bash "$repository/deploy/rabbitmq.sh" url)/$name"
  export RETORT_BROKER__URL RETORT_STORE="$folder/store" RETORT_CATALOG="$folder/models.yaml"
  {
    echo "providers:"
    for i in $(seq "$providers"); do
      echo "  - { name: p$i, $settings, models: [{ name: m$i, words_min: 5, words_max: 20 }] }"
    done
  } >"$folder/fleet.yaml"
  "$retort" sim "$folder/fleet.yaml" >"$folder/sim.out" 2>"$folder/sim.log" &
  sim_pid=$!
  pids+=("$sim_pid")
  until_true 30 "the simulated models" grep -qs 'serving on' "$folder/sim.out"
  sim=$(sed -n 's/^serving on //p' "$folder/sim.out")
  catalog "$folder/models.yaml" "$limits" $(seq "$providers")
}
catalog() { # file, limits, numbers of providers…
  local file=$1 limits=$2
  shift 2
  {
    echo "providers:"
    for i in "$@"; do echo "  p$i: { wire: openai-chat, base_url: \"$sim/p/p$i/v1\" }"; done
    echo "accounts:"
    for i in "$@"; do echo "  p$i: { provider: p$i, limits: { $limits } }"; done
    echo "models:"
    for i in "$@"; do echo "  m$i: { account: p$i, model: m$i }"; done
  } >"$file"
}
campaign() { # id, prompts, samples, models…
  local id=$1 prompts=$2 samples=$3
  shift 3
  {
    printf 'id: %s\npurpose: a check of scale\nparams: { max_tokens: 16 }\nmodels: [%s]\n' "$id" "$(IFS=,; echo "$*")"
    printf 'suites:\n- samples: %s\n  inline:\n    name: numbers\n    prompts:\n' "$samples"
    for i in $(seq "$prompts"); do echo "    - \"Say something about number $i.\""; done
  } >"$folder/$id.yaml"
}
service() { # role, id, more…; leaves its process in $started
  local role=$1 id=$2
  shift 2
  (cd "$folder" && exec "$retort" "$role" --id "$id" --listen 127.0.0.1:0 "$@" 2>"$folder/$id.log") &
  started=$!
  pids+=("$started")
}
submit() { "$retort" submit "$folder/$1.yaml" "${@:2}" >/dev/null 2>>"$folder/submit.log"; }
to_first_request() { # campaign: seconds from its submission to the first request that a provider counts
  local before begun
  before=$(requests)
  begun=$(now)
  submit "$1" --no-wait
  python3 - "$sim/stats" "$before" "$begun" <<'PY'
import json, sys, time, urllib.request
url, before, begun = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
while time.time() - begun < 60:
    providers = json.load(urllib.request.urlopen(url))["providers"].values()
    if sum(provider["requests"] for provider in providers) > before:
        print(f"{time.time() - begun:.2f}")
        break
    time.sleep(0.01)
else:
    print(60)
PY
}
done_samples() { # campaign: samples with a row in the store and a receipt, and when that was told
  python3 -c '
import datetime, json, sys
status = json.load(open(sys.argv[1]))
told = datetime.datetime.fromisoformat(status["updated_at"].replace("Z", "+00:00"))
print(status["done"], told.timestamp())' "$RETORT_STORE/campaigns/$1/status.json" 2>/dev/null || echo "0 0"
}
is_sealed() { grep -q '"state": "sealed"' "$RETORT_STORE/campaigns/$1/status.json" 2>/dev/null; }
leave() { # what a part started
  finish_all
  ctl delete_vhost "$1"
  rm -rf "${work:?}/$1"
}

ten_million() {
  echo "== 10 million planned samples: 10 models, 1,000 prompts, 1,000 draws; load $(load)"
  stage big 10 "latency: { ms: 100 }" "requests_per_minute: 1200"
  service coordinator c1
  local coordinator=$started
  service worker w1
  until_true 60 "the services" sh -c "grep -q 'is ready' $folder/c1.log && grep -q 'is ready' $folder/w1.log"
  campaign small 2 2 m1
  campaign large 1000 1000 m1 m2 m3 m4 m5 m6 m7 m8 m9 m10
  gate "from submission to first request, 4 samples" "$(to_first_request small)" s at-most 2
  gate "from submission to first request, 10,000,000 samples" "$(to_first_request large)" s at-most 2
  sleep 20
  gate "coordinator, most memory it had" "$(peak_mb "$coordinator")" MB at-most 500
  local planned window held
  planned=$(metric "$(port_of "$folder/c1.log")" retort_campaign_samples_planned)
  gate "samples planned" "$planned" "" at-least 10000000
  # Two minutes of 20 requests a second in each of 10 domains, and what the rest of a window's turn adds.
  window=$(metric "$(port_of "$folder/c1.log")" retort_window_samples)
  held=$(ctl list_queues -p big messages --no-table-headers | awk '{ sum += $1 } END { print sum }')
  gate "messages in the broker, held by workers or not" "$held" "" at-most 26400
  tell "of these in windows by the coordinator's count" "$window"
  local begun
  begun=$(now)
  "$retort" status large >/dev/null
  gate "retort status of one campaign" "$(calc %.2f "$(now) - $begun")" s at-most 1
  begun=$(now)
  "$retort" status >/dev/null
  gate "retort status of all" "$(calc %.2f "$(now) - $begun")" s at-most 1
  tell "requests so far" "$(requests)" "at 200 a second"
  leave big
}

at_rest() { # what it is called; uses $coordinator and $workers
  local begun broker before=() after=() each most=0 sum
  broker=$(broker_pid)
  each=("$broker" "$coordinator" "${workers[@]}")
  echo "  - $1; load $(load)"
  begun=$(now)
  for pid in "${each[@]}"; do before+=("$(ticks "$pid")"); done
  sleep 30
  for pid in "${each[@]}"; do after+=("$(ticks "$pid")"); done
  local seconds
  seconds=$(calc %.3f "$(now) - $begun")
  gate "broker" "$(percent "${before[0]}" "${after[0]}" "$seconds")" % at-most 5
  gate "coordinator" "$(percent "${before[1]}" "${after[1]}" "$seconds")" % at-most 5
  sum=0
  for i in "${!each[@]}"; do
    if [ "$i" -lt 2 ]; then continue; fi
    local own=$((after[i] - before[i]))
    sum=$((sum + own))
    if [ "$own" -gt "$most" ]; then most=$own; fi
  done
  gate "the busiest of 20 workers" "$(percent 0 "$most" "$seconds")" % at-most 5
  gate "20 workers together" "$(percent 0 "$sum" "$seconds")" % at-most 5
}
all_sessions() { # log files: whether every worker has a session for every domain
  for log in "$@"; do
    if ! ready "$log" || [ "$(metric "$(port_of "$log")" retort_sessions_open)" != 200 ]; then return 1; fi
  done
}
rest() {
  echo "== 200 domains and 20 workers at rest; load $(load)"
  stage rest 200 "latency: { ms: 20 }" "requests_per_minute: 6000"
  local begun
  begun=$(now)
  service coordinator c1
  coordinator=$started
  workers=()
  for i in $(seq 20); do
    service worker "w$i"
    workers+=("$started")
  done
  until_true 180 "4,000 sessions" all_sessions "$folder"/w*.log
  tell "until each worker consumes each domain" "$(calc %.1f "$(now) - $begun")" s
  tell "a worker's memory" "$(peak_mb "${workers[0]}")" MB
  sleep 10
  at_rest "before any campaign"
  local models=()
  for i in $(seq 200); do models+=("m$i"); done
  campaign touch 2 1 "${models[@]}"
  submit touch --no-wait
  until_true 90 "the campaign" is_sealed touch
  # What was asked in the last minute is part of what an owner tells.
  sleep 65
  at_rest "with an owner for each domain"
  leave rest
}

throughput() {
  echo "== samples a second through broker, worker and store: one worker, a provider without latency; load $(load)"
  stage fast 1 "latency: { ms: 0 }" "concurrency: 256"
  service coordinator c1
  local coordinator=$started worker
  service worker w1
  worker=$started
  until_true 60 "the services" sh -c "grep -q 'is ready' $folder/c1.log && grep -q 'is ready' $folder/w1.log"
  campaign fast 1000 1000 m1
  submit fast --no-wait
  until_true 60 "the first rows" sh -c "[ \$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[\"done\"])' $RETORT_STORE/campaigns/fast/status.json 2>/dev/null || echo 0) -gt 10000 ]"
  local rates=()
  for turn in 1 2 3; do
    local first last names before=() after=()
    local each=("$worker" "$coordinator" "$(broker_pid)" "$sim_pid")
    names=(worker coordinator broker "simulated provider")
    read -r -a first <<<"$(done_samples fast)"
    for pid in "${each[@]}"; do before+=("$(ticks "$pid")"); done
    if [ -n "${PERF:-}" ] && [ "$turn" = 2 ]; then
      perf record -q -F 99 -g -o "$work/perf.data" -p "$(IFS=,; echo "${each[*]}")" -- sleep 25 2>&1 | tail -n 3 || true
    else
      sleep 25
    fi
    for pid in "${each[@]}"; do after+=("$(ticks "$pid")"); done
    read -r -a last <<<"$(done_samples fast)"
    local count seconds
    count=$((last[0] - first[0]))
    seconds=$(calc %.2f "${last[1]} - ${first[1]}")
    rates+=("$(calc %.0f "$count / $seconds")")
    tell "samples durable and told, a second, over $seconds s" "${rates[-1]}" "load $(load)"
    local total=0
    for i in "${!each[@]}"; do
      local own=$((after[i] - before[i]))
      total=$((total + own))
      tell "    CPU of the ${names[$i]}, of one core, and a sample" "$(percent 0 "$own" "$seconds")" "% $(calc %.3f "$own * 1000 / $hertz / ($count + 0.001)") ms"
    done
    tell "    all of them a sample" "$(calc %.3f "$total * 1000 / $hertz / ($count + 0.001)")" "ms: two cores carry $(calc %.0f "2 * $hertz * ($count + 0.001) / $total") a second"
  done
  gate "samples a second, median of the turns" "$(printf '%s\n' "${rates[@]}" | sort -n | sed -n 2p)" "" at-least 2000
  if [ -n "${PERF:-}" ]; then
    perf report -i "$work/perf.data" --no-children --sort comm,dso --stdio 2>/dev/null | grep -v '^#' | grep '%' | head -n 20 || true
    perf report -i "$work/perf.data" --no-children -g none --sort comm,symbol --stdio 2>/dev/null | grep -v '^#' | grep '%' | head -n 50 || true
  fi
  leave fast
}

two() {
  # Few requests and long ones, so that it is the workers that bound the rate and not the machine.
  echo "== two workers on separate domains, 800 ms, 40 at the same time in each; load $(load)"
  stage two 2 "latency: { ms: 800 }" "concurrency: 40"
  catalog "$folder/first.yaml" "concurrency: 40" 1
  catalog "$folder/second.yaml" "concurrency: 40" 2
  service coordinator c1
  service worker w1 --catalog "$folder/first.yaml"
  until_true 60 "the services" sh -c "grep -q 'is ready' $folder/c1.log && grep -q 'is ready' $folder/w1.log"
  local before begun one both
  campaign one 100 1000 m1
  submit one --no-wait
  until_true 30 "requests" asked_more_than 100
  before=$(requests) begun=$(now)
  sleep 20
  one=$(calc %.1f "($(requests) - $before) / ($(now) - $begun)")
  "$retort" cancel one >/dev/null
  until_true 60 "its end" is_sealed one
  service worker w2 --catalog "$folder/second.yaml"
  until_true 60 "the second worker" ready "$folder/w2.log"
  before=$(requests)
  campaign both 100 1000 m1 m2
  submit both --no-wait
  until_true 30 "requests" asked_more_than $((before + 200))
  before=$(requests) begun=$(now)
  sleep 20
  both=$(calc %.1f "($(requests) - $before) / ($(now) - $begun)")
  tell "requests a second, one worker" "$one" "of 50 possible"
  tell "two workers" "$both" "of 100 possible"
  gate "times one worker" "$(calc %.2f "$both / $one")" x at-least 1.8
  leave two
}

bash deploy/rabbitmq.sh start
for part in $parts; do
  case "$part" in
    ten-million) ten_million ;;
    rest) rest ;;
    throughput) throughput ;;
    two) two ;;
    *)
      echo "error: there is no part \`$part\`" >&2
      exit 2
      ;;
  esac
done
if [ "$missed" = 1 ]; then
  echo "error: a goal is missed" >&2
  exit 1
fi
echo "every goal is met"
