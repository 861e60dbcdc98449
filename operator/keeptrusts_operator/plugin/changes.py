"""What differs between two revisions: their documents, and the pod templates they were rendered with. Pure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.port import Obj
from keeptrusts_operator.plugin.failure import Failure
from keeptrusts_operator.plugin.words import status_of

RENDERING_KEY = "deployment.json"  # as `render.children` writes it
PREVIOUS = "previous"
LOOKS_LIKE_A_REVISION = re.compile(r"[0-9a-f]{4,10}")


@dataclass(frozen=True)
class Revision:
    """What is kept of a revision: its document as text, its pod template as YAML without what names the revision."""

    name: str
    document: str
    template: str


def revisions(config_maps: Iterable[Obj]) -> dict[str, Revision]:
    """The revisions that ConfigMaps of the operator hold, by their names."""
    found = (_revision(c) for c in config_maps)
    return {r.name: r for r in found if r}


def named(word: str, gateway: Mapping[str, Any], known: Mapping[str, Revision]) -> Revision:
    """A revision by (the beginning of) its name, or as active, candidate, desired, previous. Raises Failure."""
    status = status_of(gateway)
    roles = {
        "active": status.get("activeRevision"),
        "candidate": status.get("candidateRevision"),
        "desired": status.get("desiredRevision"),
        PREVIOUS: previous(status, known),
    }
    wanted = str(roles.get(word) or "") if word in roles else word
    matching = [r for name, r in sorted(known.items()) if wanted and name.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    there = f"There are: {', '.join(sorted(known))}." if known else "It has none yet."
    if matching:
        raise Failure(f"{word} is the beginning of several revisions.", there)
    what = f"There is no {word} revision" if word in roles else f"Nothing is kept of a revision {word}"
    raise Failure(f"{what} of {gateway['metadata']['name']}.", there)


def pair(wanted: Sequence[str], gateway: Mapping[str, Any], known: Mapping[str, Revision]) -> tuple[str, str]:
    """Old and new: two that are named; the active revision and one that is named; else what serves and what comes, or
    what was there before and what serves."""
    if len(wanted) == 2:
        return wanted[0], wanted[1]
    if wanted and wanted[0] != "active":
        return "active", wanted[0]
    if wanted:
        return PREVIOUS, "active"
    status = status_of(gateway)
    active = status.get("activeRevision", "")
    for key in ("candidateRevision", "desiredRevision"):
        if status.get(key) and status[key] != active and status[key] in known:
            return "active", str(status[key])
    return PREVIOUS, "active"


def previous(status: Mapping[str, Any], known: Mapping[str, Revision]) -> str:
    """The newest revision of the history beside the active one that was promoted; empty when there is none."""
    for entry in reversed(status.get("history") or ()):
        name = str(entry.get("revision", ""))
        if name != status.get("activeRevision") and entry.get("outcome") == "Promoted" and name in known:
            return name
    return ""


def unified(old: Revision, new: Revision, what: str) -> list[str]:
    """Lines of a unified diff of the `document` or the `template`; empty when they are the same."""
    before, after = (getattr(r, what).splitlines() for r in (old, new))
    return list(difflib.unified_diff(before, after, f"{what} {old.name}", f"{what} {new.name}", lineterm=""))


def changes(old: str, new: str) -> list[dict[str, Any]]:
    """Each value that differs between two YAML texts, by its path; one that is not there is left out."""
    return list(_changes(yaml.safe_load(old), yaml.safe_load(new), ""))


def _changes(old: Any, new: Any, path: str) -> Iterable[dict[str, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}, key=str):
            where = f"{path}.{key}" if path else str(key)
            if key in old and key in new:
                yield from _changes(old[key], new[key], where)
            else:
                yield {"path": where, **({"before": old[key]} if key in old else {"after": new[key]})}
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changes(one, other, f"{path}[{index}]")
    elif old != new:
        yield {"path": path, "before": old, "after": new}


def _revision(config_map: Obj) -> Revision | None:
    name = (config_map["metadata"].get("labels") or {}).get(names.LABEL_REVISION)
    data: Mapping[str, str] = config_map.get("data") or {}
    documents = [text for key, text in sorted(data.items()) if key != RENDERING_KEY]
    if not name or not documents:
        return None
    try:
        rendered = json.loads(data.get(RENDERING_KEY, "{}"))
        template = rendered["spec"]["template"]
    except (ValueError, LookupError, TypeError):
        template = {}
    owner = (config_map["metadata"].get("labels") or {}).get(names.LABEL_DEPLOYMENT, "")
    return Revision(str(name), documents[0], _template_text(template, str(name), str(owner)))


def _template_text(template: Any, revision: str, owner: str) -> str:
    """As YAML, with the revision's own name left open: it differs in every revision and says nothing."""
    text = yaml.safe_dump(template, sort_keys=True, width=2**31 - 1) if template else ""
    text = text.replace(f"{owner}-{revision}", f"{owner}-REVISION")
    return text.replace(f"{names.LABEL_REVISION}: {revision}", f"{names.LABEL_REVISION}: REVISION").replace(
        f"{names.LABEL_REVISION}: '{revision}'", f"{names.LABEL_REVISION}: REVISION"
    )
