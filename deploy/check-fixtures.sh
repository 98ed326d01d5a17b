#!/usr/bin/env bash
# Checks against recorded traffic, recorded outputs and llama.cpp's own server.
# RETORT_FIXTURES names the folder that holds exchanges/, data/ and servers/.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${RETORT_FIXTURES:?set it to the folder that holds exchanges/, data/ and servers/}"
command -v curl >/dev/null || { echo "error: curl is missing: apt-get install curl" >&2; exit 1; }
command -v python3 >/dev/null || { echo "error: python3 is missing: apt-get install python3 python3-venv" >&2; exit 1; }

venv="${CARGO_TARGET_DIR:-target}/venv-servers"
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
fi
"$venv/bin/python" -c 'import xllamacpp, gguf, numpy' 2>/dev/null ||
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check xllamacpp gguf numpy
RETORT_SERVERS_PYTHON="$(cd "$venv/bin" && pwd)/python" \
  cargo test --workspace --locked --test fixtures -- --test-threads=1

# The error rates of the detectors on models of known lineage. The tests above built the program.
pairs=$(mktemp)
"${CARGO_TARGET_DIR:-target}/debug/retort" bench lineage --data "$RETORT_FIXTURES/data" --output "$pairs"
rm -f "$pairs"
