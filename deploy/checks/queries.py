"""Parses every PromQL query of the files that are named: alert rules, dashboards, manifests."""

import json
import re
import sys

import promql_parser
import yaml

# Grafana replaces these before a query is sent.
VARIABLES = {"$__rate_interval": "5m", "$domain": ".*"}


def queries(value):
    """Yields each text that stands under `expr`, or under `query` of a scaler's trigger."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and (key == "expr" or key == "query" and "serverAddress" in value):
                yield inner
            else:
                yield from queries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from queries(inner)


def documents(path):
    with open(path) as file:
        if path.endswith(".json"):
            return [json.load(file)]
        return list(yaml.safe_load_all(file))


count = 0
for path in sys.argv[1:]:
    for document in documents(path):
        for query in queries(document):
            for variable, value in VARIABLES.items():
                query = query.replace(variable, value)
            if re.search(r"\$[a-z_]", query):
                sys.exit(f"error: `{query}` of {path} holds an unknown variable")
            try:
                promql_parser.parse(query)
            except ValueError as error:
                sys.exit(f"error: `{query}` of {path}: {error}")
            count += 1
print(f"{count} queries can be parsed")
if not count:
    sys.exit("error: there are no queries")
