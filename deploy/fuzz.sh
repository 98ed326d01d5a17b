#!/usr/bin/env bash
# Fuzzes every decoder, one at a time: deploy/fuzz.sh [seconds per target, 600 unless given] [target…]
# Needs cargo-fuzz (`cargo install cargo-fuzz`) and a C++ compiler; the stable toolchain will do.
set -euo pipefail
cd "$(dirname "$0")/../crates/retort-wire"
seconds="${1:-600}"
shift || true
cargo fuzz --version >/dev/null 2>&1 ||
  { echo "error: cargo-fuzz is missing: cargo install cargo-fuzz" >&2; exit 1; }
export RUSTC_BOOTSTRAP=1

if [ $# -gt 0 ]; then
  targets=("$@")
else
  mapfile -t targets < <(cargo fuzz list)
fi
# Memory is bounded, not only time: a decoder that held what it was told to would be stopped.
for target in "${targets[@]}"; do
  echo "== $target: $seconds s"
  mkdir -p "fuzz/corpus/$target"
  cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=1024 -timeout=10 -print_final_stats=1
done
echo "no findings in ${#targets[@]} targets"
