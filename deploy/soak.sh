#!/usr/bin/env bash
# Lives through what takes too long for every run of the tests, and prints what was seen as a table:
# an owner that stands still for a minute, a store that is away for minutes, a consumer timeout as the
# broker looks for it, a cluster of three RabbitMQ nodes whose leader dies and stands still, 3,000 requests
# with a fault every 15 s, and workers killed again and again. Each promise is asserted on the sealed
# snapshot and by the provider's own count: a row is printed only when it held.
#   deploy/soak.sh            all, two at a time; ends within 25 minutes, whatever happens
#   deploy/soak.sh kill_9     those whose names contain a text
# Needs what deploy/test.sh needs. It uses the loopback interface alone, starts brokers of its own on free
# ports, and stops them by their process ids.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || {
  echo "error: RabbitMQ is missing: apt-get install --no-install-recommends rabbitmq-server" >&2
  exit 1
}
RETORT_RABBITMQ=$(mktemp -d)
export RETORT_RABBITMQ
seen=$(mktemp)
cleanup() {
  bash deploy/rabbitmq.sh stop || true
  rm -rf "$RETORT_RABBITMQ" "$seen"
}
trap cleanup EXIT
bash deploy/rabbitmq.sh start
cargo test --workspace --locked --test soak --no-run
code=0
timeout --signal=INT 1500 cargo test --workspace --locked --test soak -- \
  --nocapture --test-threads="${SOAK_THREADS:-2}" "$@" | tee "$seen" || code=$?
echo
echo "| fault | what was seen |"
echo "|---|---|"
# The name of a test may stand before the row.
sed -n 's/^.*\(| [0-9][^|]* | .* |\)$/\1/p' "$seen" | sort -V
exit "$code"
