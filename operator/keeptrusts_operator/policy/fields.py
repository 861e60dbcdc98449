"""A small vocabulary for tables of fields: what type, which values, which range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Field:
    """What a value may be. `type` is a word of `check.TYPES`; `Any` accepts everything."""

    type: str
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    non_empty: bool = False
    regex: bool = False
    required: bool = False
    items: Field | None = None
    """What each entry of a list is."""
    fields: Mapping[str, Field] | None = None
    """The named fields of a mapping."""
    values: Field | None = None
    """What each value of a mapping with free keys is."""
    complete: bool = False
    """Whether `fields` names every field there is; if not, other keys pass."""


def required(field: Field) -> Field:
    return replace(field, required=True)


def one_of(*allowed: str) -> Field:
    return Field("String", allowed=allowed)


def text(max_length: int | None = None, *, non_empty: bool = False) -> Field:
    return Field("String", max_length=max_length, non_empty=non_empty)


def integer(minimum: float | None = None, maximum: float | None = None) -> Field:
    return Field("Integer", minimum=minimum, maximum=maximum)


def number(minimum: float | None = None, maximum: float | None = None) -> Field:
    return Field("Number", minimum=minimum, maximum=maximum)


def list_of(items: Field) -> Field:
    return Field("List", items=items)


def mapping(fields: Mapping[str, Field] | None = None, *, complete: bool = False) -> Field:
    return Field("Mapping", fields=fields, complete=complete)


def map_of(values: Field) -> Field:
    return Field("Mapping", values=values)


ANY = Field("Any")
BOOLEAN = Field("Boolean")
STRING = Field("String")
INTEGER = integer()
COUNT = integer(0)
POSITIVE = integer(1)
NUMBER = number()
FRACTION = number(0, 1)
STRINGS = list_of(STRING)
REGEX = Field("String", regex=True)
REGEXES = list_of(REGEX)
MAPPING = mapping()
LIST = Field("List")
