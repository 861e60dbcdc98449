"""Reading an object of unknown shape field by field, collecting every problem instead of stopping at the first.

A bad value yields its default, so that parsing goes on to the next problem; `Problems.raise_if_any` decides at the end.
Absent and null are the same. Unknown fields are ignored: an older operator may meet a newer CRD.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from keeptrusts_operator.api.errors import InvalidSpec, SpecError
from keeptrusts_operator.api.formats import Text
from keeptrusts_operator.api.quantities import (
    IntOrPercent,
    format_percent,
    parse_decimal,
    parse_duration,
    parse_percent,
)

E = TypeVar("E", bound=StrEnum)
D = TypeVar("D")
T = TypeVar("T")

_MAX_COUNT = 1000


class Problems:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self._errors: list[SpecError] = []

    def add(self, path: str, message: str) -> None:
        self._errors.append(SpecError(path, message))

    def raise_if_any(self) -> None:
        if self._errors:
            raise InvalidSpec(tuple(self._errors))


@dataclass(frozen=True)
class Fields:
    """One object of the spec: typed access to its fields; every problem goes to `problems` with its path."""

    value: Mapping[str, Any]
    path: str
    problems: Problems

    @classmethod
    def of(cls, value: object, path: str, problems: Problems) -> "Fields":
        """A view of `value`, which may turn out not to be an object; None counts as an empty one."""
        if value is not None and not isinstance(value, Mapping):
            problems.add(path, f"must be an object, not {_kind(value)}")
            value = None
        return cls(value or {}, path, problems)

    def fail(self, message: str, *names: str) -> None:
        """Reports a problem of the field `names` below this object, or of the object itself."""
        self.problems.add(".".join((self.path, *names)), message)

    def has(self, name: str) -> bool:
        return self.value.get(name) is not None

    def child(self, name: str) -> "Fields":
        """The object under `name`, empty when it is absent."""
        return Fields.of(self.value.get(name), f"{self.path}.{name}", self.problems)

    def required_child(self, name: str, hint: str) -> "Fields":
        """An absent object is one problem: what would be required in it is not reported."""
        if not self.has(name):
            self.fail(f"is required: {hint}", name)
            return Fields({}, f"{self.path}.{name}", Problems())
        return self.child(name)

    def string(self, name: str, default: D, rule: Text) -> str | D:
        value = self.value.get(name)
        return default if value is None else self._text(value, f"{self.path}.{name}", rule, default)

    def required(self, name: str, rule: Text) -> str:
        if not self.has(name):
            self.fail(f"is required: {rule.expectation}", name)
        return self.string(name, "", rule)

    def choice(self, name: str, default: E) -> E:
        return self._choice(name, type(default), default)

    def required_choice(self, name: str, enum: type[E]) -> E:
        first = next(iter(enum))
        if not self.has(name):
            self.fail(f"is required: {_one_of(enum)}", name)
        return self._choice(name, enum, first)

    def boolean(self, name: str, default: bool) -> bool:
        value = self.value.get(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.fail(f"must be true or false, not {_kind(value)}", name)
        return default

    def integer(self, name: str, default: D, minimum: int, maximum: int) -> int | D:
        value = self.value.get(name)
        if value is None:
            return default
        if _is_int(value) and minimum <= value <= maximum:
            return int(value)
        self.fail(f"must be a whole number from {minimum} to {maximum}", name)
        return default

    def duration(self, name: str, default: D, positive: bool = True) -> timedelta | D:
        """`positive` refuses `0s`."""
        parsed = self._quantity(name, default, parse_duration)
        if positive and isinstance(parsed, timedelta) and not parsed:
            self.fail("must be longer than 0s", name)
            return default
        return parsed

    def percent(self, name: str, default: D, above: float | None = None, at_most: float = 1.0) -> float | D:
        """A fraction greater than `above` (None: 0 is allowed) and not more than `at_most`."""
        parsed = self._quantity(name, default, parse_percent)
        if not isinstance(parsed, float):
            return parsed
        if (above is not None and parsed <= above) or parsed > at_most:
            low = "from 0%" if above is None else f"above {format_percent(above)}"
            self.fail(f"must be {low} up to {format_percent(at_most)}", name)
            return default
        return parsed

    def decimal(self, name: str, default: float) -> float:
        return self._quantity(name, default, parse_decimal)

    def count_or_percent(self, name: str, default: IntOrPercent) -> IntOrPercent:
        value = self.value.get(name)
        if value is None:
            return default
        try:
            parsed = IntOrPercent.parse(int(value) if _is_int(value) else value)
        except ValueError as error:
            self.fail(str(error), name)
            return default
        if parsed.value > _MAX_COUNT:
            self.fail(f"must be at most {_MAX_COUNT}", name)
        return parsed

    def strings(
        self, name: str, default: tuple[str, ...], max_items: int, rule: Text, unique: bool = True
    ) -> tuple[str, ...]:
        items = self._items(name, max_items)
        if items is None:
            return default
        texts = tuple(self._text(item, f"{self.path}.{name}[{i}]", rule, "") for i, item in enumerate(items))
        if unique and len(set(texts)) < len(texts):
            self.fail("must not name anything twice", name)
        return texts

    def integers(
        self, name: str, default: tuple[int, ...], max_items: int, minimum: int, maximum: int
    ) -> tuple[int, ...]:
        """A set of whole numbers."""
        items = self._items(name, max_items)
        if items is None:
            return default
        for index, item in enumerate(items):
            if not _is_int(item) or not minimum <= item <= maximum:
                self.fail(f"must be a whole number from {minimum} to {maximum}", f"{name}[{index}]")
        numbers = tuple(int(item) for item in items if _is_int(item))
        if len(set(numbers)) < len(numbers):
            self.fail("must not name a number twice", name)
        return numbers

    def objects(self, name: str, max_items: int) -> tuple["Fields", ...] | None:
        """The objects of a list; None when the list is absent."""
        items = self._items(name, max_items)
        if items is None:
            return None
        return tuple(Fields.of(item, f"{self.path}.{name}[{i}]", self.problems) for i, item in enumerate(items))

    def string_map(self, name: str, max_items: int, rule: Text) -> Mapping[str, str]:
        entries = self.child(name).value
        if len(entries) > max_items:
            self.fail(f"must have at most {max_items} entries", name)
        return {str(key): self._text(value, f"{self.path}.{name}[{key}]", rule, "") for key, value in entries.items()}

    def raw(self, name: str, max_properties: int | None = None) -> Mapping[str, Any]:
        """The object under `name` as plain dicts and lists that share nothing with the input."""
        copied: dict[str, Any] = _plain(self.child(name).value)
        if max_properties is not None and len(copied) > max_properties:
            self.fail(f"must have at most {max_properties} keys", name)
        return copied

    def written(self, name: str) -> Mapping[str, Any]:
        """The object under `name` as written, but for keys that are null: to Kubernetes those are not there."""
        out: dict[str, Any] = _without_nulls(self.child(name).value)
        return out

    def _items(self, name: str, max_items: int) -> Sequence[Any] | None:
        value = self.value.get(name)
        if value is None:
            return None
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            self.fail(f"must be a list, not {_kind(value)}", name)
            return None
        if len(value) > max_items:
            self.fail(f"must have at most {max_items} items", name)
            return None
        return value

    def _text(self, value: object, path: str, rule: Text, default: D) -> str | D:
        if not isinstance(value, str):
            self.problems.add(path, f"must be a string, not {_kind(value)}")
            return default
        problem = rule.problem_of(value)
        if problem:
            self.problems.add(path, problem)
            return default
        return value

    def _choice(self, name: str, enum: type[E], default: E) -> E:
        value = self.value.get(name)
        if value is None:
            return default
        if isinstance(value, str) and value in {member.value for member in enum}:
            return enum(value)
        self.fail(f"must be {_one_of(enum)}", name)
        return default

    def _quantity(self, name: str, default: D, parse: Callable[[str], T]) -> T | D:
        value = self.value.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            self.fail(f"must be a quoted string, not {_kind(value)}", name)
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.fail(str(error), name)
            return default


def _is_int(value: Any) -> bool:
    # JSON knows one kind of number: 3.0 is an integer to the API server too.
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_without_nulls(item) for item in value]
    return value


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, int | float):
        return "a number"
    return "an object" if isinstance(value, Mapping) else "a list"


def _one_of(enum: type[E]) -> str:
    names = [member.value for member in enum]
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
