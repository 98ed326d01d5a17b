#!/usr/bin/env bash
# Grows twenty family trees of small language models, crawls each with `retort run`, and counts how
# often `retort detect` finds what is true: see crates/retort/tests/detect/truth.rs.
# Takes about ten minutes on two processors, and at most an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v timeout >/dev/null || { echo "error: timeout is missing: apt-get install coreutils" >&2; exit 1; }
cargo test --workspace --locked --test detect --no-run
LINEAGE_TREES=20 timeout 3600 cargo test --workspace --locked --test detect -- --nocapture relatives_are_found
