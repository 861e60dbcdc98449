"""What a policy document enforces: which kinds are there, and what each of them does on a match.

Compared are kinds and their actions. Thresholds, patterns and lists of words are not: whether a change of them makes a
policy weaker cannot be told without traffic. Pure; a document that cannot be read for its kinds is None, never empty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

from keeptrusts_operator.policy.actions_shape import rules_of
from keeptrusts_operator.policy.ferro_plugins import enabled_plugins
from keeptrusts_operator.policy.ferro_settings import PLUGINS, acts
from keeptrusts_operator.policy.ferro_values import word
from keeptrusts_operator.policy.finding import Findings
from keeptrusts_operator.policy.kinds import KINDS, action_of
from keeptrusts_operator.policy.result import DocumentShape, Profile
from keeptrusts_operator.policy.shapes import detect_shape

Enforced: TypeAlias = Mapping[str, Mapping[str, str]]
"""By kind, in the document's order: what it does, by where the document says so. Nothing: it has no choice of actions.
An action that is written nowhere, and whose default the vendor does not state, is empty."""

STRENGTH: Mapping[str, int] = {
    "block": 4,
    "escalate": 3,
    "redact": 2,
    "retry": 2,
    "fallback": 2,
    "flag": 1,
    "warn": 1,
    "log": 1,
    "allow": 0,
}
STRONGEST, WATCHES = max(STRENGTH.values()), 1  # what only watches stops nothing


def enforced(document: object, profile: Profile | str) -> Enforced | None:
    """What gateways of a profile enforce with this document; None: that cannot be told from it."""
    if not isinstance(document, Mapping):
        return None
    match Profile(profile):
        case Profile.FERRO:
            return _of_plugins(document) if "targets" in document or "plugins" in document else None
        case Profile.KEEPTRUSTS:
            return _of_keeptrusts(document)
        case Profile.CUSTOM:
            return None


def dropped(now: Enforced, required: Collection[str]) -> dict[str, str]:
    """The required kinds that are not enforced, each with why."""
    found = {}
    for kind in required:
        if kind not in now:
            found[kind] = "is not enforced"
        elif now[kind] and all(STRENGTH.get(action, STRONGEST) <= WATCHES for action in now[kind].values()):
            where, action = next(iter(now[kind].items()))
            found[kind] = f"would only {action} ({where})"
    return found


def reduced(before: Enforced, now: Enforced) -> tuple[str, ...]:
    """What is enforced less than before, in words; nothing when all of it is as strong."""
    return tuple(words for kind in before for words in _less(kind, before[kind], now.get(kind)))


def _less(kind: str, before: Mapping[str, str], now: Mapping[str, str] | None) -> Iterable[str]:
    if now is None:
        yield f"{kind} is gone"
        return
    for where, action in before.items():
        if _is_weaker(action, now.get(where, "")):
            yield f"{kind}: {where} was {action}, is {now.get(where) or 'not set'}"


def _is_weaker(before: str, now: str) -> bool:
    """A word that nobody knows may mean anything: strong where it was, weak where it is."""
    return before not in ("", now) and STRENGTH.get(now, 0) < STRENGTH.get(before, STRONGEST)


def _of_keeptrusts(document: Mapping[str, Any]) -> Enforced | None:
    pack = document.get("pack")
    if isinstance(pack, Mapping) and pack.get("enabled") is False:
        return {}  # the master switch
    match detect_shape(document, Findings(strict=False)):
        case DocumentShape.STRICT:
            return _of_chain(document)
        case DocumentShape.ACTIONS:
            return _of_rules(document)
        case None:
            return None


def _of_chain(document: Mapping[str, Any]) -> Enforced | None:
    policies, blocks = document.get("policies"), document.get("policy", {})
    chain = policies.get("chain") if isinstance(policies, Mapping) else None
    if not isinstance(chain, list) or not isinstance(blocks, Mapping):
        return None
    found: dict[str, dict[str, str]] = {}
    for kind in (k for k in chain if isinstance(k, str)):
        settings, known = blocks.get(kind), KINDS.get(kind)
        if isinstance(settings, Mapping) and settings.get("enabled") is False:
            continue
        decisions = known.decisions if known else ()
        found[kind] = {".".join(d.path): _text(action_of(settings, d)) for d in decisions}
        if not decisions and isinstance(settings, Mapping) and "action" in settings:
            found[kind] = {"action": _text(settings["action"])}
    return found


def _of_rules(document: Mapping[str, Any]) -> Enforced:
    """Of several rules of one type on the same side the strongest counts."""
    found: dict[str, dict[str, str]] = {}
    for kind, side, action in rules_of(document):
        _add(found, kind, side, _text(action))
    return found


def _of_plugins(document: Mapping[str, Any]) -> Enforced:
    """Of all that one plugin does at a stage the strongest counts."""
    found: dict[str, dict[str, str]] = {}
    for entry, _ in enabled_plugins(document):
        name, stage = word(entry.get("name")), word(entry.get("stage"))
        known = PLUGINS.get(name)
        if known is None or known.type != "guardrail":
            found.setdefault(name, {})
            continue
        for action in acts(entry):
            _add(found, name, stage, action)
    return found


def _add(found: dict[str, dict[str, str]], kind: str, where: str, action: str) -> None:
    sides = found.setdefault(kind, {})
    if where not in sides or _is_weaker(action, sides[where]):
        sides[where] = action


def _text(action: object) -> str:
    return action.strip().lower() if isinstance(action, str) else ""
