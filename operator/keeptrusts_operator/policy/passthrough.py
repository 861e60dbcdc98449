"""The document that gateways run in an emergency passthrough, derived from the one that is active.

Everything that stands for a legal duty survives, so does everything that is no policy: providers, groups, limits.
Decisions go on being logged. Pure and deterministic: the same document and scope always give the same passthrough, and
the passthrough of a passthrough is itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from keeptrusts_operator.policy.actions_shape import blocking_types
from keeptrusts_operator.policy.document import Document, canonical_json, normalise
from keeptrusts_operator.policy.ferro import blocking_plugins
from keeptrusts_operator.policy.finding import DocumentError, Findings, Severity, show
from keeptrusts_operator.policy.lint import lint
from keeptrusts_operator.policy.result import DocumentShape, Profile
from keeptrusts_operator.policy.shapes import detect_shape

AUDIT = "audit-logger"
"""Never bypassed, and added where it is missing: what passes must leave a trace."""

_CORE_VERSION = re.compile(r"([0-9]+\.[0-9]+\.)[0-9]+(?:[-+].*)?", re.ASCII | re.DOTALL)
_PATCHES = 100_000_000  # patches of passthroughs: 900000000 to 999999999, which nobody counts up to


@dataclass(frozen=True, slots=True)
class Derived:
    """A passthrough document.

    `bypassed`: what it leaves out (strict shape, Ferro) or only flags (Actions shape), in the document's order; empty
    for profile Custom, and when the active document holds nothing that could be bypassed: then it changes nothing.
    """

    document: Document
    bypassed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CannotDerive:
    """There is no passthrough for this: why, and what a person can do about it. Both are sentences."""

    reason: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.reason} {self.next_step}"


def derive(
    document: object,
    profile: Profile | str,
    never_bypass: Collection[str],
    scope: Collection[str] = (),
    user_document: Mapping[str, Any] | None = None,
    *,
    strict: bool = False,
) -> Derived | CannotDerive:
    """The passthrough of the document that is active; never raises for a bad document.

    `scope` names what to bypass; empty: everything but `never_bypass`. `user_document` is the passthrough of profile
    Custom, for which nothing can be derived. `strict` is the policy's validation, by which the result is linted.
    """
    profile = Profile(profile)
    if profile is Profile.CUSTOM:
        return _written_by_user(user_document, scope, strict)
    try:
        content = normalise(document)
    except DocumentError as error:
        return _faulty(error.finding.message)
    if not isinstance(content, dict):
        return _faulty("It is not a mapping.")
    form = _form(content, profile)
    if form is None:
        return _linted(content, profile, strict, ())
    bypassable, rewrite = form
    candidates = tuple(name for name in bypassable(content) if name not in never_bypass and name != AUDIT)
    if problem := _problem_of_scope(scope, candidates, never_bypass):
        return problem
    bypassed = tuple(name for name in candidates if not scope or name in scope)
    return _linted(_marked(rewrite(content, frozenset(bypassed))), profile, strict, bypassed)


_Form = tuple[Callable[[Document], tuple[str, ...]], Callable[[Document, frozenset[str]], Document]]


def _form(content: Document, profile: Profile) -> _Form | None:
    """What a document can leave out, and how; None for shapes that no gateway runs."""
    if profile is Profile.FERRO:
        return _guardrails, _without_guardrails
    match detect_shape(content, Findings(strict=False)):
        case DocumentShape.STRICT:
            return _chain, _without_kinds
        case DocumentShape.ACTIONS:
            return blocking_types, _flagging
        case None:
            return None


def _problem_of_scope(
    scope: Collection[str], candidates: tuple[str, ...], never_bypass: Collection[str]
) -> CannotDerive | None:
    wrong = sorted(name for name in scope if name not in candidates)
    if not wrong:
        return None
    kept = [name for name in wrong if name in never_bypass or name == AUDIT]
    names = ", ".join(show(name) for name in kept or wrong)
    reason = f"The scope names {names}: {'never bypassed' if kept else 'nothing that the active policy enforces'}."
    if not candidates:
        return CannotDerive(reason, "The active policy holds nothing that can be bypassed.")
    return CannotDerive(reason, f"Valid names: {', '.join(candidates)}.")


# Strict shape: a kind is bypassed by leaving it out, since most of them cannot do anything but block.


def _chain(content: Document) -> tuple[str, ...]:
    policies = content.get("policies")
    chain = policies.get("chain") if isinstance(policies, dict) else None
    return tuple(kind for kind in chain if isinstance(kind, str)) if isinstance(chain, list) else ()


def _without_kinds(content: Document, bypassed: frozenset[str]) -> Document:
    policies, blocks = content.get("policies"), content.get("policy", {})
    if not isinstance(policies, dict) or not isinstance(policies.get("chain"), list) or not isinstance(blocks, dict):
        return content  # linting says what is wrong with it
    chain = [kind for kind in policies["chain"] if not isinstance(kind, str) or kind not in bypassed]
    kept = {kind: settings for kind, settings in blocks.items() if kind not in bypassed}
    if AUDIT not in chain:
        chain.append(AUDIT)
        kept.setdefault(AUDIT, {})
    if isinstance(kept.get(AUDIT), dict):
        kept[AUDIT] = {**kept[AUDIT], "log_all_access": True}
    return {**content, "policies": {**policies, "chain": chain}, "policy": kept}


# Actions shape: what was blocked is flagged.


def _flagging(content: Document, bypassed: frozenset[str]) -> Document:
    return {**content, "policies": [_flagging_entry(entry, bypassed) for entry in content["policies"]]}


def _flagging_entry(entry: Any, bypassed: frozenset[str]) -> Any:
    if not isinstance(entry, dict):
        return entry
    sides = {
        side: [_flagging_rule(rule, bypassed) for rule in entry[side]]
        for side in ("input", "output")
        if isinstance(entry.get(side), list)
    }
    return {**entry, **sides}


def _flagging_rule(rule: Any, bypassed: frozenset[str]) -> Any:
    # A type may be anything in a faulty document, also something that has no hash.
    blocks = isinstance(rule, dict) and rule.get("action") == "block" and isinstance(rule.get("type"), str)
    return {**rule, "action": "flag"} if blocks and rule["type"] in bypassed else rule


# Ferro: guardrails that block are left out; loggers, budgets, limits and what only redacts or warns stays.


def _guardrails(content: Document) -> tuple[str, ...]:
    plugins = content.get("plugins")
    names = [_blocking_guardrail(entry) for entry in plugins] if isinstance(plugins, list) else []
    return tuple(dict.fromkeys(name for name in names if name))


def _without_guardrails(content: Document, bypassed: frozenset[str]) -> Document:
    plugins = content.get("plugins")
    if not isinstance(plugins, list):
        return content
    return {**content, "plugins": [entry for entry in plugins if _blocking_guardrail(entry) not in bypassed]}


def _blocking_guardrail(entry: object) -> str:
    """The name of a plugin entry that can refuse a request or an answer; empty for all others."""
    alone = {"plugins": [entry]}
    found = (*blocking_plugins(alone, "before_request"), *blocking_plugins(alone, "after_request"))
    return found[0] if found else ""


def _written_by_user(
    document: Mapping[str, Any] | None, scope: Collection[str], strict: bool
) -> Derived | CannotDerive:
    if document is None:
        return CannotDerive(
            "Nothing can be derived from a document of profile Custom.",
            "Write the document that gateways are to run in a passthrough into spec.passthrough.document.",
        )
    if scope:
        return CannotDerive(
            "A scope cannot be applied to spec.passthrough.document, which is taken as it is.",
            "Ask again without the annotation gateway.keeptrusts.com/scope.",
        )
    return _linted(dict(document), Profile.CUSTOM, strict, ())


def _marked(content: Document) -> Document:
    """With a version of its own, which depends on everything else in the document: gateways and events tell documents
    apart by name and version only. Not a suffix: gateways are not known to read one."""
    pack = content.get("pack")
    version = pack.get("version") if isinstance(pack, dict) else None
    match = _CORE_VERSION.fullmatch(version) if isinstance(version, str) else None
    if not isinstance(pack, dict) or not match:
        return content  # the Actions shape needs no pack
    rest = {**content, "pack": {key: value for key, value in pack.items() if key != "version"}}
    number = int.from_bytes(hashlib.sha256(canonical_json(rest).encode()).digest(), "big")
    patch = 9 * _PATCHES + number % _PATCHES
    return {**content, "pack": {**pack, "version": f"{match[1]}{patch}"}}


def _linted(document: Document, profile: Profile, strict: bool, bypassed: tuple[str, ...]) -> Derived | CannotDerive:
    for finding in lint(document, strict=strict, profile=profile).findings:
        if finding.severity is Severity.ERROR:
            return CannotDerive(
                f"The passthrough document would be refused: {finding.message}",
                finding.suggestion or "Correct the policy first.",
            )
    return Derived(normalise(document), bypassed)


def _faulty(what: str) -> CannotDerive:
    return CannotDerive(f"The active document cannot be read. {what}", "Correct the policy first.")
