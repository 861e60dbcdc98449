"""Documents with `policies: [{name, input: [{type, action}], output: [...]}]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keeptrusts_operator.policy.check import Checker
from keeptrusts_operator.policy.fields import Field, one_of, required, text
from keeptrusts_operator.policy.finding import Findings, Severity, did_you_mean, join, show, type_name
from keeptrusts_operator.policy.kinds import KINDS
from keeptrusts_operator.policy.strict_shape import check_sections

_RULE: Mapping[str, Field] = {
    "type": required(text(non_empty=True)),
    "action": required(one_of("block", "flag", "redact", "escalate")),
}
_ENTRY: Mapping[str, Field] = {"name": required(text(non_empty=True))}


def check_actions(document: Mapping[str, object], checker: Checker) -> tuple[str, ...]:
    """Check every entry and rule; the rule types in the order of their first use."""
    check_sections(document, checker)
    policies = document.get("policies")
    names: dict[str, str] = {}
    types: dict[str, None] = {}
    for index, entry in enumerate(policies if isinstance(policies, list) else ()):
        path = join("policies", index)
        if not isinstance(entry, dict):
            message = f"{path} must be a mapping, but it is {type_name(entry)}."
            checker.findings.error("K301", path, message, "Write `{name: ..., input: [{type: ..., action: block}]}`.")
            continue
        checker.fields(entry, _ENTRY, path, Severity.ERROR, complete=False)
        _check_name(entry.get("name"), path, names, checker.findings)
        if "input" not in entry and "output" not in entry:
            checker.missing("input", path, "Add `input:` or `output:` with a list of `{type, action}` rules.")
        for side in ("input", "output"):
            if side in entry:
                types.update(dict.fromkeys(_check_rules(entry[side], join(path, side), checker)))
    return tuple(types)


def blocking_types(document: Mapping[str, object]) -> tuple[str, ...]:
    """The types of the rules whose action is block, each once."""
    return tuple(dict.fromkeys(kind for kind, _, action in rules_of(document) if action == "block"))


def _check_name(name: object, path: str, names: dict[str, str], findings: Findings) -> None:
    if not isinstance(name, str):
        return
    if name in names:
        message = f"The policy name {show(name)} is used twice; {names[name]} has it already."
        findings.error("K205", join(path, "name"), message, "Give each policy a name of its own.")
    names.setdefault(name, path)


def _check_rules(rules: object, path: str, checker: Checker) -> Iterator[str]:
    if not isinstance(rules, list):
        message = f"{path} must be a list of rules, but it is {type_name(rules)}."
        checker.findings.error("K301", path, message, "Write `[{type: pii-detector, action: redact}]`.")
        return
    for index, rule in enumerate(rules):
        where = join(path, index)
        if not isinstance(rule, dict):
            message = f"{where} must be a mapping, but it is {type_name(rule)}."
            checker.findings.error("K301", where, message, "Write `{type: pii-detector, action: redact}`.")
            continue
        checker.fields(rule, _RULE, where, Severity.ERROR, complete=False)
        kind = rule.get("type")
        if isinstance(kind, str) and kind.strip():
            yield kind
            if kind not in KINDS:
                _unknown_type(kind, join(where, "type"), checker.findings)


def _unknown_type(kind: str, path: str, findings: Findings) -> None:
    """A warning even in strict mode: the vendor publishes no list of the types of this shape."""
    near = did_you_mean(kind, KINDS, findings)
    hint = (
        f"Did you mean {show(near)}?" if near else "Check the name, and add a behaviour test that the rule must match."
    )
    findings.warning("E001", path, f"{show(kind)} is not a policy kind that the vendor documents.", hint)


def rules_of(document: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
    """Type, side (input or output) and action of every rule."""
    policies = document.get("policies")
    for entry in policies if isinstance(policies, list) else ():
        for side in ("input", "output"):
            rules = entry.get(side) if isinstance(entry, dict) else None
            for rule in rules if isinstance(rules, list) else ():
                if isinstance(rule, dict) and isinstance(rule.get("type"), str):
                    yield rule["type"], side, rule.get("action")
