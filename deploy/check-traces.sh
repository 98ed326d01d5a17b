#!/usr/bin/env bash
# Traces over OTLP, which the image has and a plain build has not: the program with the feature `otlp`,
# against a collector on this machine. Only this program and what the feature brings is compiled anew;
# what a plain build made in the same folder stays.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo clippy --workspace --locked --features retort/otlp --bin retort --test traces -- -D warnings
cargo test --workspace --locked --features retort/otlp --test traces
