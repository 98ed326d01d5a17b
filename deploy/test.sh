#!/usr/bin/env bash
# Builds everything and runs every test. Needs Rust, a C compiler and make; nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

need() {
  command -v "$1" >/dev/null 2>&1 || { echo "error: $1 is missing: $2" >&2; exit 1; }
}
need cargo "install Rust 1.95 or newer (rustup.rs)"
need cc "install a C compiler (Debian: apt-get install gcc)"
need make "install make (Debian: apt-get install make); the allocator is built with it"
need kill "install procps (Debian: apt-get install procps)"
need prlimit "install util-linux (Debian: apt-get install util-linux)"
need sha256sum "install coreutils (Debian: apt-get install coreutils)"

# One feature set for the whole workspace, built once.
cargo test --workspace --locked "$@"
