"""What an API server makes of custom resources by our CRDs. Rules between fields (CEL) are not evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema  # type: ignore[import-untyped]

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.port import Obj, Refused
from tests.sim.api import copied
from tests.unit.api import crd

KEPT = "x-kubernetes-preserve-unknown-fields"
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


class CustomResource:
    """One CRD; implements `tests.sim.api.Schema`."""

    def __init__(self, plural: str) -> None:
        self._root = crd.schema(plural)
        self._validator = VALIDATOR(self._root, format_checker=FORMATS)

    def pruned(self, obj: Obj) -> Obj:
        return {**_pruned(obj, self._root), "metadata": obj["metadata"]}

    def taken(self, obj: Obj) -> Obj:
        new = self.pruned(obj)
        _default(new, self._root)
        for error in self._validator.iter_errors(new):
            path = ".".join(map(str, error.absolute_path))
            raise Refused(f"{obj['kind']} {obj['metadata']['name']} is invalid: {path}: {error.message}", 422)
        return new

    def read(self, obj: Obj) -> Obj:
        new = copied(obj)
        _default(new, self._root)
        return new


@cache
def schemas() -> Mapping[str, CustomResource]:
    """Those of all our CRDs, by plural."""
    return {kind.plural: CustomResource(kind.plural) for kind in names.KINDS}


def _pruned(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_pruned(v, schema["items"]) for v in value] if "items" in schema else value
    if not isinstance(value, dict):
        return value
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    return {
        k: _pruned(v, known.get(k) or others or {KEPT: True})
        for k, v in value.items()
        if k in known or others or schema.get(KEPT)
    }


def _default(value: Any, schema: Mapping[str, Any]) -> None:
    """Add defaults, and take nulls for absent, in place."""
    if isinstance(value, list):
        for item in value:
            _default(item, schema.get("items", {}))
    if not isinstance(value, dict):
        return
    for key, inner in schema.get("properties", {}).items():
        if value.get(key) is None:
            value.pop(key, None)
            if "default" in inner:
                value[key] = copied(inner["default"])
        _default(value.get(key), inner)


def _unique(found: list[Any], what: str) -> Iterator[Any]:
    if any(one in found[:i] for i, one in enumerate(found)):
        yield jsonschema.ValidationError(f"Duplicate value of {what}")


def _list_type(_: Any, kind: str, value: Any, __: Any) -> Iterator[Any]:
    if kind == "set" and isinstance(value, list):
        yield from _unique(value, "a set")


def _map_keys(_: Any, keys: list[str], value: Any, __: Any) -> Iterator[Any]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        yield from _unique([[item.get(k) for k in keys] for item in value], ", ".join(keys))


def _int_or_string(_: Any, on: bool, value: Any, __: Any) -> Iterator[Any]:
    if on and (not isinstance(value, int | str) or isinstance(value, bool)):
        yield jsonschema.ValidationError("must be an integer or a string")


FORMATS = jsonschema.FormatChecker(formats=())
FORMATS.checks("date-time")(lambda value: not isinstance(value, str) or bool(TIME.fullmatch(value)))
VALIDATOR = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {
        "x-kubernetes-list-type": _list_type,
        "x-kubernetes-list-map-keys": _map_keys,
        "x-kubernetes-int-or-string": _int_or_string,
    },
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
