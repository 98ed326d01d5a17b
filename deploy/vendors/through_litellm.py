"""litellm's proxy in front of `retort sim`, and `retort check` and `retort run` in front of litellm.

litellm asks the fleet in every protocol that it knows; retort asks litellm in those of WIRES.
"""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from common import Table, same, served

# The protocols in which retort asks litellm, all below its /v1.
WIRES = ["openai-chat", "openai-responses", "anthropic-messages"]

# Streams that litellm 1.108 cannot read from anyone: it takes Cohere's `event:` lines, which the
# service sends and Cohere's own SDK reads, for JSON.
UNREAD_STREAMS = {"by-cohere"}

KEY = "sk-litellm-local"
# How long litellm may take to come up: it imports hundreds of modules.
PATIENCE_SECONDS = 180
PROMPTS = ["Describe a morning in the city.", "What is a good name for a cat?", "Tell me about rivers."]
FLEET = {
    "seed": 5,
    "providers": [
        {
            "name": "alpha",
            "api_keys": ["sk-right"],
            "signing_keys": {"AKIDEXAMPLE": "wJalrXUtnFEMI-example"},
            "limits": {"requests_per_minute": 60000, "announce": "openai"},
            "faults": [{"kind": "status", "status": 429, "retry_after_seconds": 1, "models": ["busy"]}],
            "models": [{"name": "plain"}, {"name": "busy"}],
        }
    ],
}


def upstreams(root):
    """How litellm reaches the fleet, per protocol."""
    key = {"api_key": "sk-right"}
    signed = {
        "aws_bedrock_runtime_endpoint": root,
        "aws_access_key_id": "AKIDEXAMPLE",
        "aws_secret_access_key": "wJalrXUtnFEMI-example",
        "aws_region_name": "us-east-1",
    }
    return {
        "by-openai-chat": {"model": "openai/plain", "api_base": f"{root}/v1", **key},
        "by-openai-responses": {"model": "openai/responses/plain", "api_base": f"{root}/v1", **key},
        "by-anthropic": {"model": "anthropic/plain", "api_base": root, **key},
        "by-gemini": {"model": "gemini/plain", "api_base": f"{root}/v1beta", **key},
        "by-bedrock": {"model": "bedrock/converse/plain", **signed},
        "by-cohere": {"model": "cohere_chat/plain", "api_base": f"{root}/v2/chat", **key},
        "by-ollama": {"model": "ollama_chat/plain", "api_base": root, **key},
        "limited": {"model": "openai/busy", "api_base": f"{root}/v1", **key},
    }


@contextlib.contextmanager
def proxy(root, folder):
    """Runs litellm in front of the fleet and yields its URL."""
    models = [{"model_name": n, "litellm_params": p} for n, p in upstreams(root).items()]
    config = {
        "model_list": models,
        "litellm_settings": {"telemetry": False, "num_retries": 0, "drop_params": True},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "general_settings": {"master_key": KEY},
    }
    path = pathlib.Path(folder, "litellm.json")
    path.write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = pathlib.Path(sys.executable).with_name("litellm")
    arguments = [program, "--config", path, "--host", "127.0.0.1", "--port", str(port)]
    log = open(pathlib.Path(folder, "litellm.log"), "w")
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "127.0.0.1"}
    process = subprocess.Popen(arguments, stdout=log, stderr=log, env=os.environ | quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{url}/health/liveliness", process, log.name)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for(url, process, log):
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.5)
    raise SystemExit(f"litellm did not come up:\n{pathlib.Path(log).read_text()[-3000:]}")


class Retort:
    """The binary in a folder of its own."""

    def __init__(self, binary, folder, url):
        self.binary, self.folder = pathlib.Path(binary).resolve(), pathlib.Path(folder)
        self.url = url

    def write(self, wire, models, stream):
        provider = {"wire": wire, "base_url": f"{self.url}/v1", "auth": {"env": "LITELLM_KEY"}}
        if wire == "anthropic-messages":
            provider["auth"]["header"] = "x-api-key"
        account = {"provider": "litellm", "limits": {"concurrency": 4}}
        catalog = {
            "providers": {"litellm": provider},
            "accounts": {"litellm": account},
            "models": {name: {"account": "litellm", "model": name} for name in models},
        }
        params = {"max_tokens": 400, "temperature": 0} | ({"stream": True} if stream else {})
        campaign = {
            "id": f"through-{wire}-{'stream' if stream else 'plain'}-{len(models)}",
            "purpose": "litellm between retort and its simulated fleet",
            "models": models,
            "params": params,
            "suites": [{"inline": {"name": "prompts", "prompts": PROMPTS}}],
        }
        (self.folder / "models.yaml").write_text(json.dumps(catalog))
        (self.folder / "campaign.yaml").write_text(json.dumps(campaign))

    def run(self, *arguments):
        places = {"RETORT_STATE_DIR": str(self.folder / "state"), "RETORT_STORE": str(self.folder / "data")}
        environment = os.environ | places | {"LITELLM_KEY": KEY}
        command = [self.binary, *arguments, "--catalog", "models.yaml"]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )
        return done


def checked(retort):
    """Returns the outcome of one cheap request per model."""
    done = retort.run("check", "campaign.yaml", "--json")
    assert done.stdout, done.stderr[-600:]
    return {row["model"]: row["outcome"] for row in json.loads(done.stdout)}


def crawled(retort, models):
    done = retort.run("run", "campaign.yaml", "--json")
    assert done.returncode == 0, done.stdout[-600:] + done.stderr[-600:]
    result = json.loads(done.stdout)
    same((result["planned"], result["missing"]), (len(PROMPTS) * len(models), 0))
    return f"{result['planned']} samples"


def limited(retort):
    return same(checked(retort)["limited"], "rate_limited")


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    print(f"litellm {importlib.metadata.version('litellm')} between retort and retort sim")
    table = Table()
    with tempfile.TemporaryDirectory() as folder, served(binary, FLEET) as fleet:
        root = f"{fleet}/p/alpha"
        names = [name for name in upstreams(root) if name.startswith("by-")]
        with proxy(root, folder) as url:
            retort = Retort(binary, folder, url)
            for wire in WIRES:
                for stream in (False, True):
                    kind = f"{wire} {'stream' if stream else 'plain'}"
                    models = [name for name in names if not (stream and name in UNREAD_STREAMS)]
                    retort.write(wire, models, stream)
                    if not stream:
                        outcomes = checked(retort)
                        for name in models:
                            table.attempt(kind, f"check {name}", lambda: same(outcomes.get(name), "answered"))
                    table.attempt(kind, "run", lambda: crawled(retort, models))
                retort.write(wire, ["limited"], False)
                table.attempt(wire, "429", lambda: limited(retort))
    return table.finish()


if __name__ == "__main__":
    sys.exit(main())
