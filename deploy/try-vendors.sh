#!/usr/bin/env bash
# By hand: the vendors' own SDKs and litellm's proxy against `retort sim`, and retort against litellm.
# Installs them into virtual environments of its own below target/. VENDORS_SKIP_LITELLM=1 leaves
# litellm out, which is by far the largest.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo "error: python3 is missing: apt-get install python3 python3-venv" >&2; exit 1; }

target="${CARGO_TARGET_DIR:-target}"
venv() { # NAME REQUIREMENT...
  local folder="$target/venv-$1"; shift
  [ -x "$folder/bin/python" ] || python3 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2
  echo "$folder"
}
sdks=$(venv vendors 'openai==2.54.*' 'anthropic==2.12.*' 'google-genai==3.4.*' 'cohere==7.3.*' \
  'boto3==1.44.*' 'ollama==0.6.*')
cargo build --workspace --locked
failed=0
"$sdks/bin/python" deploy/vendors/sdks.py "$target/debug/retort" || failed=1
if [ -z "${VENDORS_SKIP_LITELLM:-}" ]; then
  litellm=$(venv litellm 'litellm[proxy]==1.108.*')
  "$litellm/bin/python" deploy/vendors/through_litellm.py "$target/debug/retort" || failed=1
fi
exit "$failed"
