"""What the docs show can be applied: every object of ours in docs/ is legal, and one of each kind shows every field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from keeptrusts_operator.api import names
from keeptrusts_operator.api.deployment import parse_deployment
from keeptrusts_operator.api.policy import parse_policy
from keeptrusts_operator.policy import Profile, Severity, lint
from tests.unit.api import crd

DOCS = crd.CRDS.parent / "docs"
KINDS = {kind.kind: kind for kind in names.KINDS}
PAGES = [crd.CRDS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]
FERRO = ("strategy", "targets")  # top-level keys of its documents
DEFAULT = re.compile(r"Default (?:\(Keeptrusts )?`([^`]*)`")


def _objects() -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects of ours in files, and in the yaml blocks of pages; with where they are."""
    for path in sorted(DOCS.rglob("*.yaml")):
        if "resource_customizations" not in path.parts:  # states to be told from each other, not to be applied
            yield from ((str(path.relative_to(DOCS)), obj) for obj in _of_ours(path.read_text()))
    for page in PAGES:
        for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
            yield from ((f"{page.name}, block {number}", obj) for obj in _of_ours(block))


def _of_ours(text: str) -> Iterator[dict[str, Any]]:
    for obj in yaml.safe_load_all(text):
        if isinstance(obj, dict) and obj.get("apiVersion") == names.API_VERSION:
            yield obj


OBJECTS = list(_objects())


@pytest.mark.parametrize("obj", [obj for _, obj in OBJECTS], ids=[where for where, _ in OBJECTS])
def test_an_object_that_is_shown_is_legal(obj: dict[str, Any]) -> None:
    plural = KINDS[obj["kind"]].plural
    schema = crd.plain(crd.schema(plural))
    _closed(schema)
    jsonschema.Draft202012Validator(schema).validate(obj)
    if obj["kind"] == "GatewayDeployment":
        parse_deployment(obj)
    elif obj["kind"] == "GatewayPolicy":
        policy = parse_policy(obj)
        document = obj["spec"].get("config")
        profile = Profile.FERRO if document and any(key in document for key in FERRO) else Profile.KEEPTRUSTS
        if document:
            found = lint(document, strict=True, profile=profile).findings
            assert not [f for f in found if f.severity is Severity.ERROR]
        assert policy


@pytest.mark.parametrize("kind", names.KINDS, ids=lambda kind: kind.kind)
def test_the_example_shows_every_field(kind: names.Kind) -> None:
    text = (DOCS / "examples" / f"{kind.singular}.yaml").read_text()
    missing = [node.id for node in crd.spec_nodes(kind.plural) if not re.search(rf"\b{node.path[-1]}:", text)]
    assert not missing


@pytest.mark.parametrize("kind", names.KINDS, ids=lambda kind: kind.kind)
def test_the_example_shows_the_defaults(kind: names.Kind) -> None:
    obj = yaml.safe_load((DOCS / "examples" / f"{kind.singular}.yaml").read_text())
    for node in crd.spec_nodes(kind.plural):
        found = DEFAULT.search(node.schema.get("description", ""))
        shown = _shown(obj, node.path)
        if found and shown is not None and node.id != "spec.tests":
            assert shown == yaml.safe_load(found[1]), node.id


def _closed(schema: dict[str, Any]) -> None:
    """A name that the API does not have is an error, as with `kubectl apply`, but not in what is not its own."""
    for path, part in list(crd.all_schemas(schema)):
        if "properties" in part and path != ".metadata" and not path.startswith(".spec.template"):
            part["additionalProperties"] = False


def _shown(obj: Any, path: tuple[crd.Step, ...]) -> Any:
    try:
        return crd.get(obj, path)
    except (KeyError, IndexError):
        return None


def test_there_is_something_to_check() -> None:
    assert {obj["kind"] for _, obj in OBJECTS} == set(KINDS)
