"""YAML 1.2 core schema, read from PyYAML's events.

From events and not through PyYAML's constructor: that one speaks YAML 1.1 (`no` is false, `1:30` is ninety), keeps the
last of two equal keys, and expands aliases without a bound. Nothing here recurses on the input.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from keeptrusts_operator.policy.finding import DocumentError, join, show

MAX_BYTES = 1024 * 1024
"""What a ConfigMap can hold."""
MAX_NODES = 100_000
MAX_DEPTH = 64

_Mark: TypeAlias = Any  # PyYAML has two unrelated classes of this name, one for each parser
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAG = "tag:yaml.org,2002:str"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)


def read_yaml(text: str) -> Any:
    """The value of the only document in `text`. Raises `DocumentError`."""
    check_size(text)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "it cannot be parsed"
        raise _error("K101", "", mark, f"the text is not valid YAML: {problem}.", _SYNTAX_HINT) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        message = f"Line {line}, column {column}: the text is not valid YAML: {error.reason}."
        raise DocumentError("K101", "", message, "Remove the character.") from error
    return builder.root


def check_size(text: str) -> None:
    """Raises `DocumentError` for a text that does not fit into a ConfigMap."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        message = "The text holds half of a surrogate pair, which is not valid Unicode."
        raise DocumentError("K108", "", message, "Save the file as UTF-8.") from error
    if size > MAX_BYTES:
        message = f"The document has {size} bytes; a ConfigMap holds at most {MAX_BYTES}."
        raise DocumentError("K106", "", message, "Shorten word lists and remove comments.")


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been read yet."""

    value: dict[str, Any] | list[Any]
    path: str
    anchor: str | None
    nodes_before: int
    height: int = 1
    key: str | None = None
    lines: dict[str, int] = field(default_factory=dict)

    def child_path(self) -> str:
        if isinstance(self.value, list):
            return join(self.path, len(self.value))
        return self.path if self.key is None else join(self.path, self.key)

    def expects_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A finished value that aliases may refer to, with what a copy of it costs."""

    value: Any
    nodes: int
    height: int


class _Builder:
    """Puts the events of one document together, within the bounds."""

    def __init__(self) -> None:
        self.root: Any = None
        self.documents = 0
        self.nodes = 0
        self.stack: list[_Open] = []
        self.anchors: dict[str, _Anchored] = {}

    def feed(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                hint = "Keep one document and remove the `---` line."
                raise _error("K102", "", event.start_mark, "a second YAML document begins here.", hint)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = self.stack.pop()
            self._raise_parent(closed.height)
            self._remember(closed.anchor, _Anchored(closed.value, self.nodes - closed.nodes_before, closed.height))
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)

    def _path(self) -> str:
        return self.stack[-1].child_path() if self.stack else ""

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        path, mark = self._path(), event.start_mark
        if self.stack and self.stack[-1].expects_key():
            raise _error("K105", path, mark, "a list or mapping is used as a key.", "Use a string as the key.")
        if not event.implicit or event.tag is not None:
            raise _error("K109", path, mark, f"the tag {show(event.tag)} is not supported.", "Remove the tag.")
        if len(self.stack) >= MAX_DEPTH:
            raise _error("K107", path, mark, f"the document nests deeper than {MAX_DEPTH} levels.", "Flatten it.")
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        before = self.nodes
        self._attach(value, 1, mark)
        self.stack.append(_Open(value, path, event.anchor, before))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        path, mark = self._path(), event.start_mark
        plain = event.implicit[0] and event.tag is None
        if event.tag not in (None, "!", _STRING_TAG):
            raise _error("K109", path, mark, f"the tag {show(event.tag)} is not supported.", "Remove the tag.")
        value = _resolve(event.value, path, mark) if plain else event.value
        if self.stack and self.stack[-1].expects_key():
            self._set_key(value, event, plain)
        else:
            self._attach(value, 1, mark)
        self._remember(event.anchor, _Anchored(value, 1, 0))

    def _set_key(self, key: object, event: yaml.ScalarEvent, plain: bool) -> None:
        mapping = self.stack[-1]
        mark: _Mark = event.start_mark
        if not isinstance(key, str):
            message = f"the key {show(event.value)} is not a string."
            raise _error("K105", mapping.path, mark, message, f'Put the key in quotes: "{event.value[:60]}".')
        if plain and key == "<<":
            message = "the merge key << is not part of YAML 1.2; gateways read it in different ways."
            raise _error("K109", mapping.path, mark, message, "Write the merged keys out.")
        if key in mapping.lines:
            message = f"the key {show(key)} appears twice in one mapping; it is already on line {mapping.lines[key]}."
            raise _error("K104", join(mapping.path, key), mark, message, "Remove or rename one of the two.")
        mapping.lines[key] = mark.line + 1
        mapping.key = key

    def _alias(self, event: yaml.AliasEvent) -> None:
        path, mark = self._path(), event.start_mark
        if self.stack and self.stack[-1].expects_key():
            raise _error("K105", path, mark, "an alias is used as a key.", "Write the key itself.")
        if event.anchor not in self.anchors:
            message = f"the alias *{event.anchor} names no anchor that ends before it."
            raise _error("K109", path, mark, message, "Write the value itself instead of the alias.")
        anchored = self.anchors[event.anchor]
        if len(self.stack) + anchored.height > MAX_DEPTH:
            raise _error("K107", path, mark, f"the document nests deeper than {MAX_DEPTH} levels.", "Flatten it.")
        self._count(anchored.nodes, path, mark)  # before the copy: this is what stops an expansion bomb
        self._attach(copy.deepcopy(anchored.value), 0, mark)
        self._raise_parent(anchored.height)

    def _attach(self, value: Any, nodes: int, mark: _Mark) -> None:
        self._count(nodes, self._path(), mark)
        if not self.stack:
            self.root = value
            return
        parent = self.stack[-1]
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is not None:
            parent.value[parent.key] = value
            parent.key = None

    def _count(self, nodes: int, path: str, mark: _Mark) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            message = f"the document has more than {MAX_NODES} values once its aliases are expanded."
            raise _error("K107", path, mark, message, "Shorten the lists or use fewer aliases.")

    def _raise_parent(self, height: int) -> None:
        if self.stack:
            self.stack[-1].height = max(self.stack[-1].height, height + 1)

    def _remember(self, anchor: str | None, anchored: _Anchored) -> None:
        if anchor is not None:
            self.anchors[anchor] = anchored


def _resolve(text: str, path: str, mark: _Mark) -> str | int | float | bool | None:
    """A plain scalar by the YAML 1.2 core schema."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        number = int(text, 0 if text[:2] in ("0o", "0x") else 10) if len(text) < 100 else 2**64
        if -(2**63) <= number < 2**64:
            return number
        raise _error("K108", path, mark, "the number needs more than 64 bits.", "Put the number in quotes.")
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        raise _error("K108", path, mark, f"{text[:60]} is not a finite number.", "Write a finite number.")
    return text


_SYNTAX_HINT = "Check indentation, quotes and brackets on this line and the one before it."


def _error(code: str, path: str, mark: _Mark | None, message: str, suggestion: str) -> DocumentError:
    where = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    sentence = message if where else message[0].upper() + message[1:]
    return DocumentError(code, path, where + sentence, suggestion)
