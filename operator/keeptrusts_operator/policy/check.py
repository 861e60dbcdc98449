"""Checks values against tables of fields. Knows nothing of any gateway."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping

from keeptrusts_operator.policy.fields import Field
from keeptrusts_operator.policy.finding import Findings, Severity, did_you_mean, join, listing, show, type_name


def is_integer(value: object) -> bool:
    """True for 3 and for 3.0, which are the same content; a boolean is no number."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TYPES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "Any": (lambda _: True, "anything"),
    "Boolean": (lambda value: isinstance(value, bool), "a boolean, true or false"),
    "String": (lambda value: isinstance(value, str), "a string"),
    "Scalar": (lambda value: isinstance(value, str | bool | int | float), "a string"),
    "Integer": (is_integer, "a whole number"),
    "Number": (is_number, "a number"),
    "List": (lambda value: isinstance(value, list), "a list"),
    "Mapping": (lambda value: isinstance(value, dict), "a mapping"),
}


class Checker:
    """Checks values of one document.

    `severity` is what a value that contradicts the table gets: the documentation of some sections is known to be
    incomplete or contradictory, and what is merely unknown must not be rejected.
    """

    MAX_REGEXES = 1000

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self._regexes = 0

    def value(self, value: object, field: Field, path: str, severity: Severity) -> None:
        """Check one value and everything below it."""
        accepts, expected = TYPES[field.type]
        if not accepts(value):
            message = f"{path} must be {expected}, but it is {_describe(value)}."
            self.findings.add(severity, "K301", path, message, _type_hint(value, field, path))
        elif isinstance(value, str):
            self._string(value, field, path, severity)
        elif isinstance(value, list):
            if field.items is not None:
                for index, item in enumerate(value):
                    self.value(item, field.items, join(path, index), severity)
        elif isinstance(value, dict):
            self._mapping(value, field, path, severity)
        elif is_number(value):
            self._range(value, field, path, severity)

    def fields(
        self, block: Mapping[str, object], fields: Mapping[str, Field], path: str, severity: Severity, *, complete: bool
    ) -> None:
        """Check the entries of a mapping; keys that `fields` does not name are flagged if `complete`."""
        for key, value in block.items():
            if key in fields:
                self.value(value, fields[key], join(path, key), severity)
            elif complete:
                self.unknown_key(key, fields, path)
        for key, field in fields.items():
            if field.required and key not in block:
                self.missing(key, path, f"Add `{key}:` with {TYPES[field.type][1]}.", severity)

    def unknown_key(self, key: str, known: Mapping[str, object], path: str, *, code: str = "E002") -> None:
        near = did_you_mean(key, known, self.findings)
        where = f"in {path}" if path else "at the top level"
        names = f"Known keys are {listing(sorted(known))}." if known else f"No keys are known {where}."
        suggestion = f"Did you mean {show(near)}?" if near else f"Remove it. {names}"
        message = f"The key {show(key)} {where} is unknown; the gateway may refuse or ignore it."
        self.findings.unknown(code, join(path, key), message, suggestion)

    def missing(self, key: str, path: str, suggestion: str, severity: Severity = Severity.ERROR) -> None:
        where = f" in {path}" if path else " at the top level"
        self.findings.add(severity, "K203", join(path, key), f"The required field {key} is missing{where}.", suggestion)

    def _mapping(self, value: Mapping[str, object], field: Field, path: str, severity: Severity) -> None:
        if field.fields is not None:
            self.fields(value, field.fields, path, severity, complete=field.complete)
        if field.values is not None:
            for key, item in value.items():
                self.value(item, field.values, join(path, key), severity)

    def _string(self, value: str, field: Field, path: str, severity: Severity) -> None:
        if field.allowed and value not in field.allowed:
            near = did_you_mean(value, field.allowed, self.findings)
            hint = f"Did you mean {show(near)}?" if near else f"Write one of: {', '.join(field.allowed)}."
            message = f"{path} is {show(value)}, but only {listing(field.allowed)} is allowed."
            self.findings.add(severity, "K302", path, message, hint)
        if field.non_empty and not value.strip():
            self.findings.add(severity, "K303", path, f"{path} is empty.", "Write a text of at least one character.")
        if field.max_length is not None and len(value) > field.max_length:
            message = f"{path} has {len(value)} characters; at most {field.max_length} are allowed."
            self.findings.add(severity, "K303", path, message, f"Shorten it to {field.max_length} characters.")
        if field.regex:
            self.regex(value, path)

    def _range(self, value: object, field: Field, path: str, severity: Severity) -> None:
        if not isinstance(value, int | float):
            return
        low, high = field.minimum, field.maximum
        if (low is None or value >= low) and (high is None or value <= high):
            return
        limits = _limits(low, high)
        message = f"{path} is {show(value)}, but it must be {limits}."
        self.findings.add(severity, "K303", path, message, f"Write a number that is {limits}.")

    def regex(self, pattern: str, path: str) -> None:
        """Compile a pattern. Python's syntax is not the gateway's, so a refusal here is a warning."""
        self._regexes += 1
        if self._regexes > self.MAX_REGEXES:
            return
        problem = regex_problem(pattern)
        if problem is not None:
            message = f"The regular expression {show(pattern)} in {path} may not work: {problem}."
            hint = "Check it against the syntax of the gateway, and add a behaviour test that it must match."
            self.findings.warning("K510", path, message, hint)


def regex_problem(pattern: str) -> str | None:
    """Why a gateway may refuse a pattern: gateways use engines without backtracking (Rust regex, Go RE2)."""
    if len(pattern) > 10_000:
        return "it is too long to be checked"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except re.error as error:
        return f"Python's parser refuses it ({error})"
    except (RecursionError, OverflowError, ValueError):
        return "it is too complex to be checked"
    if _BACKTRACKING.search(re.sub(r"\\\\", "", pattern)):
        return "look-around and back-references are not supported by engines without backtracking"
    return None


_BACKTRACKING = re.compile(r"(?<!\\)\((?:\?=|\?!|\?<=|\?<!|\?>|\?P=|\?\()|\\[1-9]")


def _describe(value: object) -> str:
    return f"{type_name(value)}, {show(value)}" if isinstance(value, str | int | float) else type_name(value)


def _type_hint(value: object, field: Field, path: str) -> str:
    key = path.rpartition(".")[2]
    if field.type == "List" and isinstance(value, str):
        return f"Write it as a list with one entry: `{key}: [{show(value)}]`."
    if field.type == "String" and isinstance(value, bool | int | float):
        return f"Put the value in quotes: `{key}: {show(show(value))}`."
    if field.type in ("Integer", "Number", "Boolean") and isinstance(value, str):
        return f"Write {TYPES[field.type][1]}, without quotes."
    if value is None:
        return f"Remove the key or give it {TYPES[field.type][1]}."
    return f"Write {TYPES[field.type][1]}."


def _limits(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low:g}"
    if low is None:
        return f"at most {high:g}"
    return f"from {low:g} to {high:g}"
