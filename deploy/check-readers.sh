#!/usr/bin/env bash
# Crawls the example campaign and reads its live segments and its snapshot with the tools that
# researchers use: DuckDB, Polars, pandas, pyarrow, Hugging Face datasets, mlcroissant and warcio.
# Checks hashes and signature with sha256sum and minisign alone. Runs every query of docs/dataset.md.
# Python packages go into environments of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v python3 >/dev/null || { echo "error: python3 is missing: apt-get install python3 python3-venv" >&2; exit 1; }
command -v sha256sum >/dev/null || { echo "error: sha256sum is missing: apt-get install coreutils" >&2; exit 1; }
command -v minisign >/dev/null || { echo "error: minisign is missing: apt-get install minisign" >&2; exit 1; }

target="${CARGO_TARGET_DIR:-target}"
mkdir -p "$target"
target=$(cd "$target" && pwd)

# Two environments: pip searches for long when mlcroissant is installed together with the others.
environment() { # name, module to try, packages
  local venv="$target/$1" wanted="${*:3}"
  if [ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    # shellcheck disable=SC2086 # a list of packages
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $wanted
    printf '%s' "$wanted" >"$venv/installed"
  fi
  "$venv/bin/python" -c "import $2" || { echo "error: $venv is broken: remove it" >&2; exit 1; }
}
environment venv-readers duckdb duckdb==2.0.0 polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1 datasets==5.2.0 warcio==1.8.1
environment venv-croissant mlcroissant mlcroissant==1.1.1 pyarrow==26.0.1
readers="$target/venv-readers/bin/python"
croissant="$target/venv-croissant/bin/python"

cargo build --workspace --locked
retort="$target/debug/retort"
work=$(mktemp -d)
crawl=
cleanup() { [ -z "$crawl" ] || kill "$crawl" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
export RETORT_STATE_DIR="$work/state" HF_HOME="$work/hf" HF_HUB_OFFLINE=1

# The example campaign, with log probabilities, so that every table has rows.
sed 's/^  max_tokens: .*/  max_tokens: 200\n  logprobs: 3/' docs/examples/first/campaign.yaml >"$work/campaign.yaml"
grep -q 'logprobs: 3' "$work/campaign.yaml"
"$retort" keys generate "$work/lab.key" >"$work/keys"
"$retort" run "$work/campaign.yaml" --sim docs/examples/first/fleet.yaml --store "$work/data" \
  --set writer.flush_every=1s --sign "$work/lab.key" >"$work/out" 2>"$work/err" &
crawl=$!
"$readers" deploy/readers/live.py "$work/data"
wait "$crawl" || { cat "$work/err" >&2; exit 1; }
crawl=
snapshot=$(echo "$work"/data/campaigns/first-light/snapshots/*)

(cd "$snapshot" && sha256sum --check --strict --quiet SHA256SUMS)
echo "sha256sum: every file is what SHA256SUMS says"
minisign -Vqm "$snapshot/MANIFEST.json" -p "$work/lab.pub"
echo "minisign: the manifest is signed with the key"
"$retort" dataset verify "$snapshot" --key "$work/lab.pub"
line=$(grep -o 'duckdb -c ".*"' "$work/out")
query=${line#duckdb -c \"}
"$readers" deploy/readers/tables.py "$snapshot" docs/dataset.md "${query%\"}"
"$croissant" deploy/readers/croissant.py "$snapshot"
"$readers" deploy/readers/exchanges.py "$work/data/campaigns/first-light" "$snapshot"

# A dataset without tokens and without a known time: readers must not trip over what is not there.
printf '{"model": "m", "prompt": "p", "response": "r"}\n' >"$work/replies.jsonl"
"$retort" dataset import "$work/replies.jsonl" --campaign imported --store "$work/data" >"$work/out"
imported=$(echo "$work"/data/campaigns/imported/snapshots/*)
"$readers" deploy/readers/tables.py "$imported"
"$croissant" deploy/readers/croissant.py "$imported"
