"""What is wrong with a policy document, said to the person who wrote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

WHOLE_DOCUMENT = "(document)"
"""The path of a finding that is about the document and not about one value in it."""

CODES: dict[str, str] = {
    # The three codes of the vendor's own linter.
    "E001": "unknown policy kind",
    "E002": "unknown key",
    "E003": "chain entry without a policy.<kind> block",
    # The text cannot be read as one document.
    "K101": "not valid YAML",
    "K102": "more than one YAML document",
    "K103": "the document is not a mapping",
    "K104": "duplicate key",
    "K105": "a key that is not a string",
    "K106": "larger than a ConfigMap can hold",
    "K107": "nested too deep, or too many values after expanding aliases",
    "K108": "a value that JSON cannot carry (NaN, infinity, invalid Unicode, huge integer)",
    "K109": "a YAML feature that gateways do not share (tags, merge keys, unknown aliases)",
    # The shape of the document.
    "K201": "legacy document shape",
    "K202": "single-policy document",
    "K203": "required field missing",
    "K204": "empty where at least one entry is needed",
    "K205": "listed more than once",
    # Values.
    "K301": "wrong type",
    "K302": "not one of the allowed values",
    "K303": "out of range or wrong length",
    "K304": "wrong format",
    "K305": "fields that cannot be combined",
    # Secrets and providers.
    "K401": "literal secret",
    "K402": "malformed secret_key_ref",
    "K403": "malformed escalation_routing",
    # Advice: legal, but probably not what was meant.
    "K501": "policy.<kind> block that no chain entry uses",
    "K502": "no audit-logger in the chain",
    "K503": "audit-logger is not last",
    "K504": "prompt-injection is not first",
    "K505": "field of older templates",
    "K506": "nothing in the document can block a request",
    "K507": "no provider targets",
    "K508": "pack is switched off",
    "K509": "same version, other content",
    "K510": "regular expression that could not be verified",
    "K511": "version suffix the gateway may not understand",
    # The Ferro gateway.
    "K601": "unknown plugin",
    "K602": "plugin at a stage where it enforces nothing",
    "K603": "plugin entries that contradict each other",
    "K604": "unknown provider",
    "K605": "reference to a target that is not declared",
    "K606": "setting that can never take effect",
    # The list itself.
    "K901": "further findings left out",
}
"""Every code and what it stands for. Codes are stable: people put them into alerts and searches."""


class Severity(StrEnum):
    """An `Error` keeps a document from being rolled out; a `Warning` is shown and nothing more."""

    ERROR = "Error"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to change: where, what is wrong, and what to write instead."""

    severity: Severity
    code: str
    path: str
    message: str
    suggestion: str


class DocumentError(ValueError):
    """A text or value that is no policy document at all; `finding` says why."""

    def __init__(self, code: str, path: str, message: str, suggestion: str) -> None:
        super().__init__(message)
        self.finding = Finding(Severity.ERROR, code, path or WHOLE_DOCUMENT, message, suggestion)


class Findings:
    """Collects findings. Bounded per severity, so that a hostile document cannot fill a status."""

    MAX_PER_SEVERITY = 200

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self._kept: dict[Severity, list[Finding]] = {severity: [] for severity in Severity}
        self._dropped = 0

    def error(self, code: str, path: str, message: str, suggestion: str) -> None:
        self.add(Severity.ERROR, code, path, message, suggestion)

    def warning(self, code: str, path: str, message: str, suggestion: str) -> None:
        self.add(Severity.WARNING, code, path, message, suggestion)

    def unknown(self, code: str, path: str, message: str, suggestion: str) -> None:
        """Something the published documentation does not name: an error in strict mode only."""
        self.add(self.if_strict, code, path, message, suggestion)

    @property
    def if_strict(self) -> Severity:
        return Severity.ERROR if self.strict else Severity.WARNING

    def add(self, severity: Severity, code: str, path: str, message: str, suggestion: str) -> None:
        kept = self._kept[severity]
        if len(kept) < self.MAX_PER_SEVERITY:
            kept.append(Finding(severity, code, path or WHOLE_DOCUMENT, message, suggestion))
        else:
            self._dropped += 1

    @property
    def crowded(self) -> bool:
        """True when a costly suggestion is no longer worth computing: nobody would see it."""
        return any(len(kept) >= self.MAX_PER_SEVERITY for kept in self._kept.values())

    def result(self) -> tuple[Finding, ...]:
        """Errors first, then by place, so that the order does not depend on the order of keys."""
        found = [
            finding
            for severity in Severity
            for finding in sorted(set(self._kept[severity]), key=lambda f: (_natural(f.path), f.code, f.message))
        ]
        if self._dropped:
            message = f"{self._dropped} further findings are not listed."
            suggestion = "Correct the findings above first; the others are shown then."
            found.append(Finding(Severity.WARNING, "K901", WHOLE_DOCUMENT, message, suggestion))
        return tuple(found)


def did_you_mean(word: str, known: Iterable[str], findings: Findings) -> str:
    """The known word closest to `word`, or an empty string."""
    if len(word) > 64 or findings.crowded:
        return ""
    # Compared in lower case with one separator, so that `blockedWords` and `Blocked_Words` find `blocked_words`.
    plain = {_plain(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else ""


def join(path: str, key: str | int) -> str:
    """The path of an entry: `policy.pii-detector`, `policies.chain[2]`, `policy["a.b"]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", key):
        return f"{path}[{show(key)}]"
    return f"{path}.{key}" if path else key


def show(value: object) -> str:
    """A value as it may stand in a message: short, on one line, never a whole sub-document."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shortened = value if len(value) <= 60 else value[:57] + "..."
        return '"' + "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shortened) + '"'
    if isinstance(value, int):
        return str(value) if abs(value) < 2**64 else "a very large number"
    if isinstance(value, float):
        return repr(value)
    return type_name(value)


def type_name(value: object) -> str:
    """The type of a value in words of YAML."""
    if value is None:
        return "nothing (null)"
    names: Sequence[tuple[type, str]] = (
        (bool, "a boolean"),
        (str, "a string"),
        (int, "a number"),
        (float, "a number"),
        (list, "a list"),
        (dict, "a mapping"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "a value of an unknown type")


def listing(words: Iterable[str]) -> str:
    """`a, b or c`."""
    items = list(words)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}" if items else "nothing"


def _plain(word: str) -> str:
    return re.sub(r"[\s_.-]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", word)).lower()


def _natural(path: str) -> tuple[tuple[int, str], ...]:
    """Sorts `chain[10]` after `chain[9]`."""
    return tuple((int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part) for part in _PARTS.split(path))


_PARTS = re.compile(r"(\d+)", re.ASCII)
