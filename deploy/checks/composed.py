"""Validates a compose file against the specification's schema, and that what its services name is there.

The schema is the one that the package docker-compose 1.29 carries; later versions only add to it.
"""

import importlib.resources
import json
import pathlib
import sys

import jsonschema
import yaml

path = pathlib.Path(sys.argv[1])
# Files that deploy/make-secrets.sh made, in place of those beside the compose file.
secrets = pathlib.Path(sys.argv[2])
whole = yaml.safe_load(path.read_text())
schema = json.loads(importlib.resources.files("compose").joinpath("config/compose_spec.json").read_text())
# Added since.
schema["properties"]["name"] = {"type": "string"}
errors = [f"{error.json_path}: {error.message}" for error in jsonschema.Draft7Validator(schema).iter_errors(whole)]


def need(is_there, what):
    if not is_there:
        errors.append(what)


def is_file(name):
    name = pathlib.Path(name)
    if name.parts and name.parts[0] == "secrets":
        return secrets.joinpath(*name.parts[1:]).exists()
    return (path.parent / name).exists()


services = whole["services"]
for name, service in services.items():
    for other in service.get("depends_on", {}):
        need(other in services, f"{name} depends on `{other}`, which is no service")
        condition = service["depends_on"][other]["condition"]
        is_checked = "healthcheck" in services.get(other, {})
        need(condition != "service_healthy" or is_checked, f"{name} waits for the health of `{other}`, which has no check")
    network = service.get("network_mode", "")
    if network.startswith("service:"):
        need(network.removeprefix("service:") in services, f"{name} is in the network of no service: {network}")
        need("ports" not in service, f"{name} has ports and the network of another service")
    for secret in service.get("secrets", []):
        need(secret in whole["secrets"], f"{name} uses the secret `{secret}`, which is not declared")
    for variables in service.get("env_file", []):
        need(is_file(variables), f"{name} reads `{variables}`, which is not made")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        known = is_file(source) if source.startswith(".") else source in whole["volumes"]
        need(known, f"{name} mounts `{source}`, which is not there")
    tag = service["image"].partition(":")[2]
    need(tag and tag != "latest", f"{name} has an image without a version")
    for port in service.get("ports", []):
        need(port.startswith("127.0.0.1:"), f"{name} is open beyond this machine: {port}")
for secret, source in whole["secrets"].items():
    need(is_file(source["file"]), f"the secret `{secret}` is not made")
for error in errors:
    print(f"error: {path}: {error}", file=sys.stderr)
print(f"compose: {len(services)} services, {len(errors)} errors")
sys.exit(bool(errors))
