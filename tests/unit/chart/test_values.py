"""Values: each is described, has a schema, and nothing else is taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.unit.chart.render import CHART, Helm

VALUES = (CHART / "values.yaml").read_text()
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
FREE = {"global", "affinity"}  # of a parent chart; Kubernetes' own, and long


def values(node: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every value that the schema names."""
    for key, value in (SCHEMA if node is None else node)["properties"].items():
        yield from values(value, (*path, key)) if "properties" in value else [(*path, key)]


def test_values_and_schema_name_the_same() -> None:
    given = yaml.safe_load(VALUES)
    named = [path for path in values() if path != ("global",)]
    for path in named:
        at = given
        for key in path:
            assert key in at, f"values.yaml lacks {'.'.join(path)}"
            at = at[key]

    def leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if path in named or not isinstance(node, dict) or not node:
            yield path
            return
        for key, value in node.items():
            yield from leaves(value, (*path, key))

    assert sorted(leaves(given, ())) == sorted(named)


def test_schema_takes_no_unknown_key_anywhere() -> None:
    def walk(node: Any, path: str) -> Iterator[str]:
        if isinstance(node, dict):
            if "properties" in node and node.get("additionalProperties") is not False:
                yield path
            for key, value in node.items():
                yield from walk(value, f"{path}/{key}")

    assert not list(walk({**SCHEMA, "definitions": SCHEMA["definitions"]}, ""))


def test_every_value_has_a_comment() -> None:
    lines, missing = VALUES.splitlines(), []
    for path in values():
        key, depth = path[-1], len(path) - 1
        at = [i for i, line in enumerate(lines) if line.startswith(f"{'  ' * depth}{key}:")]
        described = [i for i in at if lines[i - 1].lstrip().startswith("#")]
        if at != described and path[0] not in FREE:
            missing.append(".".join(path))
    assert not missing


@pytest.mark.parametrize(
    "wrong",
    [
        "nope=1",
        "watch.nope=1",
        "monitoring.rules.nope=true",
        "replicas=-1",
        "replicas=two",
        "logLevel=loud",
        "image.digest=sha256:abc",
        "image.pullPolicy=Sometimes",
        "watch.namespaces={Not_A_Name}",
        "watch.namespaces=platform",
        "rbac.secrets[0].names={a}",
        "monitoring.rules.runbookBaseUrl=https://example.com",
        "monitoring.interval=soon",
        "networkPolicy.apiServerPorts={}",
        "networkPolicy.metricsFrom[0].anyone=true",
        "resources.limit.memory=1Gi",
    ],
)
def test_wrong_values_are_refused(helm: Helm, wrong: str) -> None:
    assert "values don't meet the specifications of the schema" in helm.refusal(wrong)


def test_right_values_are_taken(helm: Helm) -> None:
    assert not helm.refusal(
        "global.anything=1", "image.digest=sha256:" + "0" * 64, "resources.limits.memory=1Gi", "logLevel=debug"
    )
