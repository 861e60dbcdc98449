"""The CRDs by themselves: what an API server asks of them, and what people read."""

import pytest

from keeptrusts_operator.api import names
from tests.unit.api import crd

PLURALS = [kind.plural for kind in names.KINDS]


@pytest.mark.parametrize("kind", names.KINDS, ids=lambda kind: kind.kind)
def test_names(kind: names.Kind) -> None:
    document = crd.load(kind.plural)
    assert document["metadata"]["name"] == f"{kind.plural}.{names.GROUP}"
    assert document["spec"]["group"] == names.GROUP
    assert document["spec"]["scope"] == "Namespaced"
    assert document["spec"]["names"] == {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
        "shortNames": [kind.short],
        "categories": [names.CATEGORY],
    }
    version = crd.version(kind.plural)
    assert version["name"] == names.VERSION
    assert version["subresources"]["status"] == {}


@pytest.mark.parametrize("plural", PLURALS)
def test_every_field_is_described(plural: str) -> None:
    for path, part in crd.all_schemas(crd.schema(plural)):
        if path and not path.endswith("[]") and path != ".metadata":
            assert part.get("description", "").endswith("."), path


@pytest.mark.parametrize("plural", PLURALS)
def test_everything_is_bounded(plural: str) -> None:
    for path, part in crd.all_schemas(crd.schema(plural)):
        kind = part.get("type")
        if path in (".apiVersion", ".kind", ".metadata"):
            continue
        if kind == "string" or part.get("x-kubernetes-int-or-string"):
            assert {"enum", "maxLength", "format"} & set(part), path
        elif kind == "integer":
            assert "minimum" in part, path
        elif kind == "array":
            assert {"maxItems", "x-kubernetes-list-type"} <= set(part), path
        elif "additionalProperties" in part:
            assert "maxProperties" in part, path
        elif kind == "object":
            open_ended = part.get("x-kubernetes-preserve-unknown-fields")
            assert "properties" in part or (open_ended and "maxProperties" in part), path


@pytest.mark.parametrize("plural", PLURALS)
def test_rules_say_what_to_write(plural: str) -> None:
    for path, part in crd.all_schemas(crd.schema(plural)):
        for rule in part.get("x-kubernetes-validations", []):
            assert rule["message"].strip() == rule["message"], path
            assert "\n" not in rule["message"], path
            assert len(rule["message"]) <= 2048, path


def test_only_replicas_has_a_default_and_the_status_of_what_nobody_has_seen() -> None:
    defaults = [path for plural in PLURALS for path, part in crd.all_schemas(crd.schema(plural)) if "default" in part]
    assert sorted(defaults) == [".spec.replicas", ".status", ".status"]


def test_columns_of_a_gateway_deployment() -> None:
    columns = [
        column["name"]
        for column in crd.version("gatewaydeployments")["additionalPrinterColumns"]
        if not column.get("priority")
    ]
    story = "AVAILABLE PHASE ACTIVE CANDIDATE SHARE BLOCKED LIMIT BYPASS READY AGE"
    assert columns == story.split()


def test_columns_read_fields_that_exist() -> None:
    for plural in PLURALS:
        known = {path for path, _ in crd.all_schemas(crd.schema(plural))}
        for column in crd.version(plural)["additionalPrinterColumns"]:
            path = column["jsonPath"].split("[?")[0]
            assert path in known or path.startswith(".metadata."), column


def test_scale() -> None:
    assert crd.version("gatewaydeployments")["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
