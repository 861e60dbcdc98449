"""Values that occur in several places of a Ferro document: words, durations, references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from keeptrusts_operator.policy.finding import Findings, did_you_mean, join, listing, show, type_name

_DURATION = re.compile(r"[-+]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+|[-+]?0", re.ASCII)


def word(value: object) -> str:
    """A scalar as the gateway reads it where it expects a string; anything else is reported elsewhere."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""


def mappings(document: Mapping[str, Any], key: str, findings: Findings) -> Iterator[tuple[dict[str, Any], str]]:
    """The entries of a top-level list with their paths; entries that are no mapping are reported."""
    entries = document.get(key)
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        path = join(key, index)
        if isinstance(entry, dict):
            yield entry, path
        elif entry is not None:
            message = f"{path} must be a mapping, but it is {type_name(entry)}."
            findings.error("K301", path, message, "Write a mapping that begins with `name:`.")


def check_duration(value: object, path: str, findings: Findings, *, empty_allowed: bool = True) -> None:
    """A positive duration as Go writes it."""
    text = word(value)
    if value is None or (empty_allowed and value == ""):
        return
    if not _DURATION.fullmatch(text):
        message = f"{path} is {show(text)}, which is not a duration."
        findings.error("K304", path, message, "Write a number with a unit, such as 8s or 1h30m.")
    elif text.startswith("-") or not re.search("[1-9]", text):
        message = f"{path} is {show(text)}, but it must be longer than zero."
        findings.error("K303", path, message, "Write a positive duration, such as 8s.")


def check_choice(value: object, path: str, allowed: tuple[str, ...], findings: Findings, *, fold: bool = False) -> None:
    """One of a closed set; empty means the default. `fold` ignores case and outer spaces."""
    text = word(value).strip().lower() if fold else word(value)
    if text in ("", *allowed) or "${" in text:
        return
    near = did_you_mean(text, allowed, findings)
    hint = f"Did you mean {show(near)}?" if near else f"Write one of: {', '.join(allowed)}."
    message = f"{path} is {show(value)}, but only {listing(allowed)} is allowed."
    findings.error("K302", path, message, hint)


def check_reference(key: str, path: str, targets: Iterable[str], findings: Findings) -> None:
    """The virtual_key of a declared target."""
    declared = list(targets)
    if key in declared:
        return
    message = f"{path} is {show(key)}, but no target has this virtual_key."
    hint = f"Name a declared target: {', '.join(declared[:20])}." if declared else "Declare the target in `targets:`."
    findings.error("K605", path, message, hint)
