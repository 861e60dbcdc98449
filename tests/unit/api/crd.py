"""The CRDs as tests read them: nodes of a spec's schema, and the part of a schema that jsonschema can check."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).parents[3] / "crds"
Step = str | int
"""A field's name, or a place in a list."""


@dataclass(frozen=True)
class Node:
    """One field of a spec. Lists of objects are entered by their first item."""

    path: tuple[Step, ...]
    schema: dict[str, Any]

    @property
    def id(self) -> str:
        return render(self.path)

    @property
    def is_leaf(self) -> bool:
        return "properties" not in self.schema and "properties" not in self.schema.get("items", {})


def render(path: tuple[Step, ...]) -> str:
    """As the parser writes it: `spec.rollout.steps[0].weight`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]


def load(plural: str) -> dict[str, Any]:
    crd: dict[str, Any] = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    return crd


def version(plural: str) -> dict[str, Any]:
    (only,) = load(plural)["spec"]["versions"]
    assert isinstance(only, dict)
    return only


def schema(plural: str) -> dict[str, Any]:
    root: dict[str, Any] = version(plural)["schema"]["openAPIV3Schema"]
    return root


def spec_nodes(plural: str) -> list[Node]:
    """Every field of the spec, but not the spec itself."""
    return list(_walk(("spec",), schema(plural)["properties"]["spec"]))[1:]


def all_schemas(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in a schema, with a readable place."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from all_schemas(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from all_schemas(node[key], f"{path}[]")


def plain(node: dict[str, Any]) -> dict[str, Any]:
    """The schema without what only an API server understands; sets become unique lists."""
    stripped = copy.deepcopy(node)
    for _, part in all_schemas(stripped):
        if part.get("x-kubernetes-list-type") == "set":
            part["uniqueItems"] = True
        if part.get("x-kubernetes-int-or-string"):
            # As the API server does: minimum and maximum for the number, pattern and maxLength for the string.
            part["type"] = ["integer", "string"]
        for key in [key for key in part if key.startswith("x-kubernetes-")]:
            del part[key]
    return stripped


def _walk(path: tuple[Step, ...], node: dict[str, Any]) -> Iterator[Node]:
    yield Node(path, node)
    for name, child in node.get("properties", {}).items():
        yield from _walk((*path, name), child)
    for name, child in node.get("items", {}).get("properties", {}).items():
        yield from _walk((*path, 0, name), child)


def get(obj: Any, path: tuple[Step, ...]) -> Any:
    for step in path:
        obj = obj[step]
    return obj


def with_value(obj: dict[str, Any], path: tuple[Step, ...], value: Any) -> dict[str, Any]:
    """A copy of `obj` with another value at `path`; objects on the way are made."""
    changed = copy.deepcopy(obj)
    at: Any = changed
    for step in path[:-1]:
        at = at.setdefault(step, {}) if isinstance(step, str) else at[step]
    at[path[-1]] = value
    return changed


def without(obj: dict[str, Any], *paths: tuple[Step, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(obj)
    for path in paths:
        get(changed, path[:-1]).pop(path[-1], None)
    return changed
