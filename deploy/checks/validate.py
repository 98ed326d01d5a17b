"""Validates built manifests strictly: Kubernetes' own kinds with kubernetes-validate, where a warning
counts as an error, and custom resources against their definitions, where unknown fields are errors.

Usage: validate.py FOLDER-OF-DEFINITIONS FOLDER-OF-MANIFESTS VERSION...
"""

import copy
import pathlib
import sys
import warnings

import jsonschema
import kubernetes_validate
import yaml


def closed(schema):
    """Returns the schema with every object closed that names its fields, as a cluster prunes the rest."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(inner) for key, inner in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-embedded-resource")
    if isinstance(schema.get("properties"), dict) and not is_open:
        schema.setdefault("additionalProperties", False)
    return schema


def definitions(folder):
    """Returns a validator for each (apiVersion, kind)."""
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.yaml")):
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
            schema["properties"].update(apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"})
            key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
            found[key] = jsonschema.Draft7Validator(closed(schema))
    return found


def main():
    custom = definitions(sys.argv[1])
    folder, versions = pathlib.Path(sys.argv[2]), sys.argv[3:]
    errors = []
    for path in sorted(folder.glob("*.yaml")):
        own = theirs = 0
        for resource in yaml.safe_load_all(path.read_text()):
            name = f"{path.stem}: {resource['kind']} {resource['metadata']['name']}"
            validator = custom.get((resource["apiVersion"], resource["kind"]))
            if validator:
                theirs += 1
                for error in validator.iter_errors(resource):
                    errors.append(f"{name}: {error.json_path}: {error.message}")
                continue
            own += 1
            for version in versions:
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always")
                    try:
                        kubernetes_validate.validate(resource, version, strict=True)
                    except Exception as error:  # its kinds of errors differ by what is wrong
                        errors.append(f"{name}: {version}: {getattr(error, 'message', error)}")
                errors.extend(f"{name}: {version}: {warning.message}" for warning in warned)
        print(f"{path.stem}: {own} resources valid for Kubernetes {' and '.join(versions)}, {theirs} custom ones")
        if own == 0:
            errors.append(f"{path.stem}: nothing to validate")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    sys.exit(bool(errors))


main()
