#!/usr/bin/env bash
# Builds everything and runs every test. Needs Rust, a C compiler and Debian's rabbitmq-server; nothing
# else. It starts a private RabbitMQ on free ports of the loopback interface and stops it at the end:
# tests kill it, starve it and delete its data.
#   AMQP_URL=amqp://user:password@host/vhost deploy/test.sh
# uses that broker, if it answers, for the tests that need nothing but AMQP. They purge its queues: give
# them a virtual host of their own.
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
  command -v "$1" >/dev/null 2>&1 || { echo "error: $1 is missing: $2" >&2; exit 1; }
}
need cargo "install Rust 1.95 or newer (rustup.rs)"
need cc "install a C compiler (Debian: apt-get install gcc)"
need kill "install procps (Debian: apt-get install procps)"
need python3 "install python3 (Debian: apt-get install python3)"
need prlimit "install util-linux (Debian: apt-get install util-linux)"
need nproc "install coreutils (Debian: apt-get install coreutils)"
need sha256sum "install coreutils (Debian: apt-get install coreutils)"
if ! [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing rabbitmq-server"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends rabbitmq-server >/dev/null
fi
need /usr/lib/rabbitmq/bin/rabbitmq-server "install it (Debian: apt-get install rabbitmq-server)"

answers() { # URL
  local place=${1##*://} host port
  place=${place##*@}
  place=${place%%/*}
  host=${place%%:*} port=${place##*:}
  case "$1:$port" in
    amqps:*:"$host") port=5671 ;;
    *:"$host") port=5672 ;;
  esac
  (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null
}

if [ -n "${AMQP_URL:-}" ] && ! answers "$AMQP_URL"; then
  echo "AMQP_URL names a broker that does not answer: the private one is used"
  AMQP_URL=
fi
RETORT_RABBITMQ=$(mktemp -d)
export RETORT_RABBITMQ
# It starts while everything is built.
bash deploy/rabbitmq.sh start &
starting=$!
cleanup() {
  wait "$starting" || true
  bash deploy/rabbitmq.sh stop || true
  rm -rf "$RETORT_RABBITMQ"
}
trap cleanup EXIT

# One feature set for the whole workspace, built once.
cargo test --workspace --locked --no-run "$@"
wait "$starting"
if [ -z "${AMQP_URL:-}" ]; then
  bash deploy/rabbitmq.sh ctl add_vhost plain
  bash deploy/rabbitmq.sh ctl set_permissions -p plain guest '.*' '.*' '.*'
  AMQP_URL="$(bash deploy/rabbitmq.sh url)/plain"
fi
export AMQP_URL
# Tests of pace and of lost connections wait more than they compute.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(nproc) + 1))}"
cargo test --workspace --locked "$@"
