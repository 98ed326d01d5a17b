#!/usr/bin/env bash
# A private RabbitMQ for tests, beside whatever else runs on this machine: own node name, own ports on
# the loopback interface, own data. RETORT_RABBITMQ names the folder that holds all of it.
#   deploy/rabbitmq.sh start         starts it, or starts it again; returns when it serves
#   deploy/rabbitmq.sh join FOLDER   starts it as one more node of the cluster of the instance in FOLDER
#   deploy/rabbitmq.sh url           prints its URL, without a virtual host
#   deploy/rabbitmq.sh ctl ARGS…     rabbitmqctl
#   deploy/rabbitmq.sh kill          ends it as a crash does (kill -9); data stay
#   deploy/rabbitmq.sh freeze, thaw  lets it stand still, and go on
#   deploy/rabbitmq.sh stop          ends it, by its process id
# Ports and data survive kill and stop; whoever made the folder removes it.
set -euo pipefail
: "${RETORT_RABBITMQ:?set it to the folder of the instance}"
folder=$RETORT_RABBITMQ
bin=/usr/lib/rabbitmq/bin
if ! [ -x "$bin/rabbitmq-server" ]; then
  echo "error: RabbitMQ is missing: apt-get install --no-install-recommends rabbitmq-server" >&2
  exit 1
fi

free_port() { # Below the range that systems give to clients.
  local port
  for _ in $(seq 200); do
    port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  echo "error: no free port was found" >&2
  return 1
}

create() { # folder of the instance to join, if any
  mkdir -p "$folder/home" "$folder/data" "$folder/log"
  cat >"$folder/ports.new" <<ENV
port=$(free_port)
epmd=$(if [ -n "${1:-}" ]; then sed -n 's/^epmd=//p' "$1/ports"; else free_port; fi)
dist=$(free_port)
peer=${1:-}
ENV
  # Nodes of a cluster share names and a secret.
  if [ -n "${1:-}" ]; then cp -p "$1/home/.erlang.cookie" "$folder/home/"; fi
  printf 'log.console = false\nlog.file.level = warning\nvm_memory_high_watermark.absolute = 1GB\ndisk_free_limit.absolute = 50MB\n' >"$folder/rabbitmq.conf"
  echo '[].' >"$folder/enabled_plugins"
  : >"$folder/none"
  mv "$folder/ports.new" "$folder/ports"
}

[ -f "$folder/ports" ] || { [ "${1:-}" = start ] && create; } || { [ "${1:-}" = join ] && create "$2"; } ||
  { echo "error: $folder holds no instance: start it first" >&2; exit 1; }
peer=
# shellcheck source=/dev/null
. "$folder/ports"
export HOME="$folder/home"
export ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$epmd"
export RABBITMQ_NODENAME="retort-$port@localhost"
export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$port" RABBITMQ_DIST_PORT="$dist"
export RABBITMQ_MNESIA_BASE="$folder/data" RABBITMQ_LOG_BASE="$folder/log"
export RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$folder/enabled_plugins"
export RABBITMQ_CONF_ENV_FILE="$folder/none" RABBITMQ_PID_FILE="$folder/pid"
# No spinning while there is nothing to do: the cores are few.
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
export RABBITMQ_CTL_ERL_ARGS="+S 1:1 +sbwt none"

alive() { [ -f "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
serves() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
gone() { # pid file
  for _ in $(seq 600); do
    alive "$1" || { rm -f "$1"; return; }
    sleep 0.1
  done
  echo "error: process $(cat "$1") does not end" >&2
  return 1
}

start() {
  if [ -z "$peer" ] && ! alive "$folder/epmd.pid"; then
    epmd -address 127.0.0.1 -port "$epmd" </dev/null >"$folder/log/epmd" 2>&1 &
    echo $! >"$folder/epmd.pid"
  fi
  if ! alive "$folder/pid"; then
    rm -f "$folder/pid"
    # A session of its own, so that an interrupted test does not end it half way.
    setsid "$bin/rabbitmq-server" </dev/null >"$folder/log/start" 2>&1 &
  fi
  # A crashed node replays its logs first; on a busy machine that takes a while.
  for _ in $(seq 1200); do
    serves && alive "$folder/pid" && return
    sleep 0.1
  done
  echo "error: RabbitMQ does not start; it wrote:" >&2
  tail -n 20 "$folder"/log/* >&2
  return 1
}

ctl() { "$bin/rabbitmqctl" -q "$@"; }

join() {
  start
  ctl stop_app
  ctl reset
  ctl join_cluster "retort-$(sed -n 's/^port=//p' "$peer/ports")@localhost"
  ctl start_app
}

case "${1:-}" in
  start) start ;;
  join) join ;;
  url) echo "amqp://guest:guest@127.0.0.1:$port" ;;
  ctl)
    shift
    ctl "$@"
    ;;
  kill)
    alive "$folder/pid" && kill -9 "$(cat "$folder/pid")"
    gone "$folder/pid"
    ;;
  freeze) kill -STOP "$(cat "$folder/pid")" ;;
  thaw) kill -CONT "$(cat "$folder/pid")" ;;
  stop)
    for pid in "$folder/pid" "$folder/epmd.pid"; do
      alive "$pid" && kill -TERM "$(cat "$pid")"
      gone "$pid"
    done
    ;;
  *)
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
