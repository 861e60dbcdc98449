"""Fields of Kubernetes' own objects, as the client's models have them: a misspelt one would be dropped in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kubernetes import client

SCALARS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "object": object,
    "datetime": str,
}


def model_of(obj: dict[str, Any]) -> str:
    """The model's name of an object, e.g. V1Deployment."""
    version = obj["apiVersion"].rpartition("/")[2]
    return f"{version[0].upper()}{version[1:]}{obj['kind']}"


def misfits(value: Any, model: str, path: str = "") -> Iterator[str]:
    """Where a value has fields that the model lacks, or values of another type."""
    if found := re.fullmatch(r"[Ll]ist\[(.*)\]", model):
        if not isinstance(value, list):
            yield f"{path}: not a list"
            return
        for index, item in enumerate(value):
            yield from misfits(item, found[1], f"{path}[{index}]")
    elif found := re.fullmatch(r"[Dd]ict[\[(]str, (.*)[\])]", model):
        if not isinstance(value, dict):
            yield f"{path}: not a mapping"
            return
        for key, item in value.items():
            yield from misfits(item, found[1], f"{path}.{key}")
    elif model in SCALARS:
        if not isinstance(value, SCALARS[model]) or (model == "int" and isinstance(value, bool)):
            yield f"{path}: {value!r} is not {model}"
    else:
        yield from _fields(value, getattr(client, model), path)


def _fields(value: Any, model: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: not a mapping"
        return
    types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    for key, item in value.items():
        if key not in types:
            yield f"{path}.{key}: {model.__name__} has no such field"
        elif item is not None:
            yield from misfits(item, types[key], f"{path}.{key}")
