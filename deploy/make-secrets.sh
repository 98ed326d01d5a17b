#!/usr/bin/env bash
# Makes the secrets of compose and of k8s/overlays/dev: random passwords, the broker's definitions
# with users and rights of each role, and keys of the S3 server. What exists is kept.
#   deploy/make-secrets.sh [FOLDER]     default: deploy/secrets
set -euo pipefail
folder=${1:-"$(dirname "$0")/secrets"}
command -v python3 >/dev/null || { echo "error: python3 is missing" >&2; echo "hint: apt-get install python3" >&2; exit 1; }
mkdir -p "$folder"
# Containers read the files as users of their own; other users of this machine do not get to them.
chmod 700 "$folder"
python3 - "$folder" <<'PYTHON'
import base64, hashlib, json, pathlib, secrets, sys

folder = pathlib.Path(sys.argv[1])


def keep(name, make):
    path = folder / name
    if not path.exists():
        path.write_text(make())
        path.chmod(0o644)
    return path.read_text()


# No character that means something in a URL, a shell or a variable.
def password():
    return secrets.token_hex(24)


# Everything there is on the broker; see the exchanges and queues of docs/fleet.md.
ALL = r"^(probes|retry|receipts|submit|submissions|dead|control|events)(\..*)?$"
# What each role may configure, write and read. The production overlay gives the same rights.
RIGHTS = {
    "coordinator": (ALL, ALL, ALL),
    "worker": (
        r"^(probes(\..*)?|dead|control\..*)$",
        r"^(probes\..*|retry\..*|receipts|dead|control\..*)$",
        r"^(probes(\..*)?|dead|control(\..*)?)$",
    ),
    # Submits, and hears what became of it.
    "researcher": (r"^events\..*$", r"^(submit|events\..*)$", r"^events(\..*)?$"),
    # Looks at dead letters, requeues and drops them.
    "operator": (ALL, ALL, ALL),
    # The pages of the broker's management.
    "admin": (".*", ".*", ".*"),
}


def user(name):
    secret = keep(f"{name}-password", password)
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + secret.encode()).digest()
    return {
        "name": name,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "administrator" if name == "admin" else "",
    }


def definitions():
    rights = [
        {"user": name, "vhost": "retort", "configure": c, "write": w, "read": r}
        for name, (c, w, r) in RIGHTS.items()
    ]
    whole = {
        "users": [user(name) for name in RIGHTS],
        "vhosts": [{"name": "retort"}],
        "permissions": rights,
        "policies": [
            {
                "vhost": "retort",
                "name": "probes",
                "pattern": r"^probes\.",
                "apply-to": "queues",
                "priority": 0,
                # Work is held for minutes at most; brokers that count differently must not take it away.
                "definition": {"consumer-timeout": 14_400_000},
            }
        ],
    }
    return json.dumps(whole, indent=1) + "\n"


keep("definitions.json", definitions)
key, secret = "GK" + secrets.token_hex(12), secrets.token_hex(32)
keep("store.env", lambda: f"AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={secret}\n")
store = dict(line.split("=", 1) for line in (folder / "store.env").read_text().split())
garage = {
    "GARAGE_RPC_SECRET": secrets.token_hex(32),
    "GARAGE_DEFAULT_BUCKET": "retort",
    "GARAGE_DEFAULT_ACCESS_KEY": store["AWS_ACCESS_KEY_ID"],
    "GARAGE_DEFAULT_SECRET_KEY": store["AWS_SECRET_ACCESS_KEY"],
}
keep("garage.env", lambda: "".join(f"{name}={value}\n" for name, value in garage.items()))
keep("grafana-password", password)
PYTHON
echo "secrets are in $folder"
