#!/usr/bin/env bash
# A whole fleet on this machine, each part a process of its own: RabbitMQ, an S3 server, a coordinator,
# four workers and simulated providers of 12 models in 6 rate-limit domains. A campaign is submitted by
# pika, a plain AMQP client. At the end: the snapshot is verified, has a row for every planned sample,
# and its attempts are as many as the providers counted requests. Everything it starts ends with it.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo "error: python3 is missing: apt-get install python3 python3-venv" >&2; exit 1; }
command -v curl >/dev/null || { echo "error: curl is missing: apt-get install curl" >&2; exit 1; }
if ! [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
  echo "error: RabbitMQ is missing: apt-get install --no-install-recommends rabbitmq-server" >&2
  exit 1
fi

echo "building"
cargo build --locked --quiet -p retort --bin retort --example s3_server
target="${CARGO_TARGET_DIR:-target}"
target=$(cd "$target" && pwd)
retort="$target/debug/retort"
venv="$target/venv-pika"
if ! "$venv/bin/python" -c 'import pika' 2>/dev/null; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check pika==1.3.2
fi

begun=$(date +%s)
work=$(mktemp -d)
export RETORT_RABBITMQ="$work/rabbitmq" RETORT_STATE_DIR="$work/state"
pids=()
cleanup() {
  local code=$?
  [ "$code" = 0 ] || tail -n 15 "$work"/*.log >&2 || true
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  bash deploy/rabbitmq.sh stop 2>/dev/null || true
  rm -rf "$work"
  exit "$code"
}
trap cleanup EXIT

until_true() { # seconds, what, command…
  local tries=$(($1 * 5)) what=$2
  shift 2
  for _ in $(seq "$tries"); do
    if "$@"; then return; fi
    sleep 0.2
  done
  echo "error: waited too long for $what" >&2
  exit 1
}

echo "starting RabbitMQ, an S3 server and 12 simulated models at 6 providers"
bash deploy/rabbitmq.sh start
bash deploy/rabbitmq.sh ctl add_vhost demo
bash deploy/rabbitmq.sh ctl set_permissions -p demo guest '.*' '.*' '.*'
RETORT_BROKER__URL="$(bash deploy/rabbitmq.sh url)/demo"
export RETORT_BROKER__URL

"$target/debug/examples/s3_server" "$work/s3" >"$work/s3.env" 2>"$work/s3.log" &
pids+=($!)
until_true 30 "the S3 server" grep -q RETORT_STORE "$work/s3.env"
# shellcheck source=/dev/null
. "$work/s3.env"

{
  echo "providers:"
  for provider in 1 2 3 4 5 6; do
    echo "  - name: provider-$provider"
    echo "    latency: { ms: 80, jitter_ms: 60 }"
    echo "    limits: { requests_per_minute: $((600 + 300 * provider)), burst: 10, announce: openai }"
    if [ "$provider" = 3 ]; then echo "    faults: [{ kind: status, status: 500, every: 40 }]"; fi
    echo "    models: [{ name: model-$provider-a, words_max: 40 }, { name: model-$provider-b, words_max: 40 }]"
  done
} >"$work/fleet.yaml"
"$retort" sim "$work/fleet.yaml" --emit "$work" >"$work/sim.out" 2>"$work/sim.log" &
pids+=($!)
until_true 30 "the simulated models" grep -q 'serving on' "$work/sim.out"
sim=$(sed -n 's/^serving on //p' "$work/sim.out")

echo "starting a coordinator and four workers"
cd "$work"
"$retort" coordinator --id c1 --listen 127.0.0.1:0 2>"$work/c1.log" &
pids+=($!)
for worker in 1 2 3 4; do
  "$retort" worker --id "w$worker" --set writer.flush_every=1s 2>"$work/w$worker.log" &
  pids+=($!)
done
cd - >/dev/null
until_true 30 "the services" sh -c "grep -q ready $work/c1.log && [ \$(cat $work/w?.log | grep -c ready) = 4 ]"

echo "submitting by pika"
"$venv/bin/python" - <<'PY'
import json, os, pika
models = [f"model-{provider}-{kind}" for provider in range(1, 7) for kind in "ab"]
prompts = [f"Describe object number {number} in a few words." for number in range(20)]
campaign = {
    "id": "demo", "purpose": "show a fleet at work", "models": models,
    "params": {"max_tokens": 24},
    "suites": [{"inline": {"name": "objects", "prompts": prompts}, "samples": 5}],
}
connection = pika.BlockingConnection(pika.URLParameters(os.environ["RETORT_BROKER__URL"]))
channel = connection.channel()
channel.confirm_delivery()
news = channel.queue_declare("", exclusive=True).method.queue
channel.queue_bind(news, "events", "#")
channel.basic_publish(
    "submit", "submissions", json.dumps(campaign),
    pika.BasicProperties(type="retort.campaign.v1", message_id="demo-1", delivery_mode=2), mandatory=True)
for method, properties, body in channel.consume(news, auto_ack=True, inactivity_timeout=150):
    if method is None:
        raise SystemExit("error: the campaign was not sealed in time")
    told = json.loads(body)
    print(f"  {properties.type}: " + ", ".join(f"{key} {value}" for key, value in told.items()))
    if properties.type == "retort.rejected.v1":
        raise SystemExit("error: the campaign was refused")
    if properties.type == "retort.sealed.v1":
        break
connection.close()
PY

echo "checking"
"$retort" dataset verify demo
"$retort" dataset show demo
"$retort" dataset show demo --json >"$work/models.json"
curl -fsS "$sim/stats" >"$work/stats.json"
python3 - "$work/models.json" "$work/stats.json" <<'PY'
import json, sys
models, stats = (json.load(open(path)) for path in sys.argv[1:])
planned = 12 * 20 * 5
rows = sum(model["planned"] for model in models)
attempts = sum(model["attempts"] for model in models)
requests = sum(provider["requests"] for provider in stats["providers"].values())
refused = sum(provider["refused_429"] for provider in stats["providers"].values())
twice = sum(provider["paid_twice"] for provider in stats["providers"].values())
print(f"planned {planned}, final rows {rows}; requests counted by the providers {requests}, attempts in the snapshot {attempts}")
print(f"turned away by limits {refused}, paid twice {twice}")
assert rows == planned, "a sample has no final row"
assert attempts == requests, "requests and attempts differ"
assert refused == 0, "a provider was asked faster than it allows"
PY
echo "done after $(($(date +%s) - begun)) s"
