"""Policy documents as text: reading YAML, hashing content, and rendering what a gateway mounts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import yaml

from keeptrusts_operator.policy.finding import DocumentError, join, type_name
from keeptrusts_operator.policy.yaml_reader import MAX_DEPTH, MAX_NODES, check_size, read_yaml

Document: TypeAlias = dict[str, Any]
"""A mapping with string keys, and below it only what JSON can carry."""

_TOP_LEVEL_ORDER = ("pack", "policies", "policy", "providers")
_NESTED_ORDER = ("id", "name", "type")

# Plain style only where every reader, YAML 1.1 or 1.2, sees a string: a letter first (numbers, dates and times begin
# with something else) and none of the words that one of them reads as a boolean, null or number.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*", re.ASCII)
_RESERVED = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"})
_BLOCK = re.compile(r"[^\s\x7f-\x9f\ud800-\udfff][^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]*\n")


def parse_yaml(text: str) -> Document:
    """Read one policy document: the YAML 1.2 core schema, strictly.

    `no` and `on` are strings, `010` is ten, dates stay strings; duplicate keys, merge keys and tags are errors.
    Raises `DocumentError`; its finding names line and column.
    """
    value = read_yaml(text)
    if not isinstance(value, dict):
        message = f"The document is {type_name(value)}, but a policy document is a mapping."
        raise DocumentError("K103", "", message, "Write keys at the top level, such as `pack:` and `policies:`.")
    return value


def canonical_json(value: object) -> str:
    """The one text of a content, for hashes: sorted keys, no white space, and `1` for both 1 and 1.0.

    Raises `DocumentError` for what JSON cannot carry.
    """
    canonical = normalise(value)
    return json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def dump_yaml(document: Mapping[str, Any]) -> str:
    """Render a document for the file that a gateway mounts. Same content, same bytes.

    Strings that any YAML 1.1 or 1.2 reader could take for something else are quoted.
    Raises `DocumentError` for what JSON cannot carry and for what a ConfigMap cannot hold.
    """
    node = _to_node(normalise(document), _TOP_LEVEL_ORDER)
    rendered: str = yaml.serialize(node, Dumper=yaml.SafeDumper, allow_unicode=True, width=2**31 - 1)
    check_size(rendered)
    return rendered


def normalise(value: object) -> Any:
    """A copy in which equal numbers are the same number. Raises `DocumentError` for what JSON cannot carry."""
    return _Normaliser().copy(value, "", 0)


class _Normaliser:
    """Bounds depth and size, so that everything after it may recurse."""

    def __init__(self) -> None:
        self.nodes = 0

    def copy(self, value: object, path: str, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            message = f"The document nests deeper than {MAX_DEPTH} levels or has more than {MAX_NODES} values."
            raise DocumentError("K107", "", message, "Split long lists or flatten the document.")
        if isinstance(value, Mapping):
            # In sorted order, so that the same content has the same first error however its keys are ordered.
            copied = {
                k: (self._key(k, path), self.copy(value[k], join(path, str(k)), depth + 1)) for k in _sorted(value)
            }
            return dict(copied[k] for k in value)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return [self.copy(item, join(path, i), depth + 1) for i, item in enumerate(value)]
        return _scalar(value, path)

    @staticmethod
    def _key(key: object, path: str) -> str:
        if not isinstance(key, str):
            raise DocumentError("K105", path, f"A key is {type_name(key)}, not a string.", "Put the key in quotes.")
        return _text(key, path)


def _sorted(keys: Iterable[object]) -> list[object]:
    return sorted(keys, key=lambda key: (type(key).__name__, str(key)))


def _scalar(value: object, path: str) -> str | int | float | bool | None:
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DocumentError(
                "K108", path, f"The number {value} cannot be carried by JSON.", "Write a finite number."
            )
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not (-(2**63) <= value < 2**64 or _is_float(value)):
            raise DocumentError("K108", path, "The number needs more than 64 bits.", "Put the number in quotes.")
        return value
    message = f"A value of type {type(value).__name__} cannot be part of a policy document."
    raise DocumentError("K108", path, message, "Use strings, numbers, booleans, lists and mappings.")


def _is_float(value: int) -> bool:
    try:
        return float(value) == value
    except OverflowError:
        return False


def _text(value: str, path: str) -> str:
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        message = "A string holds half of a surrogate pair, which is not valid Unicode."
        raise DocumentError("K108", path, message, "Remove the invalid character.")
    return value


def _to_node(value: Any, first: Sequence[str]) -> yaml.Node:
    if isinstance(value, dict):
        rank = {key: index for index, key in enumerate(first)}
        keys = sorted(value, key=lambda key: (rank.get(key, len(rank)), key))
        pairs = [(_string_node(key, is_key=True), _to_node(value[key], _NESTED_ORDER)) for key in keys]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=not pairs)
    if isinstance(value, list):
        items = [_to_node(item, _NESTED_ORDER) for item in value]
        return yaml.SequenceNode("tag:yaml.org,2002:seq", items, flow_style=not items)
    if isinstance(value, str):
        return _string_node(value)
    if value is None:
        return yaml.ScalarNode("tag:yaml.org,2002:null", "null")
    if isinstance(value, bool):
        return yaml.ScalarNode("tag:yaml.org,2002:bool", "true" if value else "false")
    return _number_node(value)


def _number_node(value: int | float) -> yaml.Node:
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return yaml.ScalarNode("tag:yaml.org,2002:int", str(value))
    text = repr(float(value))
    # A YAML 1.1 reader takes 1e-07 for a string: a float needs its point.
    return yaml.ScalarNode("tag:yaml.org,2002:float", text if "." in text else text.replace("e", ".0e"))


def _string_node(value: str, *, is_key: bool = False) -> yaml.Node:
    style = '"'
    if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        style = ""
    elif not is_key and value.count("\n") > 1 and all(map(_BLOCK.fullmatch, value.splitlines(keepends=True))):
        style = "|"
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style=style or None)
