"""Documents with `pack`, `policies.chain` and `policy.<kind>`."""

from __future__ import annotations

from collections.abc import Mapping

from keeptrusts_operator.policy.check import Checker
from keeptrusts_operator.policy.finding import Findings, Severity, did_you_mean, join, show, type_name
from keeptrusts_operator.policy.kinds import ENDPOINT_PROVIDERS, KINDS
from keeptrusts_operator.policy.kinds_nested import AGENT_FIREWALL_EXPANDED, AGENT_FIREWALL_SIMPLE
from keeptrusts_operator.policy.sections import SECTIONS

TOP_LEVEL = ("pack", "policies", "policy", "providers", *SECTIONS)


def check_strict(document: Mapping[str, object], checker: Checker) -> tuple[str, ...]:
    """Check chain, blocks and optional sections; the chain as far as it can be read."""
    check_sections(document, checker)
    chain = _check_chain(document, checker)
    blocks = _blocks(document, checker.findings)
    if blocks is not None:
        _check_chain_has_blocks(chain, blocks, checker.findings)
        for kind, settings in blocks.items():
            _check_block(kind, settings, kind in chain, checker)
    return chain


def check_sections(document: Mapping[str, object], checker: Checker) -> None:
    """The optional sections; unknown keys at the top level."""
    for key, value in document.items():
        if key not in TOP_LEVEL:
            checker.unknown_key(key, dict.fromkeys(TOP_LEVEL), "")
        elif key in SECTIONS:
            checker.value(value, SECTIONS[key], key, checker.findings.if_strict)


def _check_chain(document: Mapping[str, object], checker: Checker) -> tuple[str, ...]:
    findings = checker.findings
    policies = document.get("policies")
    hint = "Write `policies: {chain: [prompt-injection, pii-detector, audit-logger]}`."
    if "policies" not in document:
        checker.missing("policies", "", hint)
        return ()
    if not isinstance(policies, dict):
        findings.error("K301", "policies", f"policies must be a mapping, but it is {type_name(policies)}.", hint)
        return ()
    for key in policies:
        if key != "chain":
            checker.unknown_key(key, {"chain": None}, "policies")
    if "chain" not in policies:
        checker.missing("chain", "policies", hint)
        return ()
    chain = policies["chain"]
    if not isinstance(chain, list):
        message = f"policies.chain must be a list, but it is {type_name(chain)}."
        findings.error("K301", "policies.chain", message, hint)
        return ()
    if not chain:
        message = "policies.chain is empty: the gateway would check nothing."
        findings.error("K204", "policies.chain", message, hint)
    return _check_chain_entries(chain, findings)


def _check_chain_entries(chain: list[object], findings: Findings) -> tuple[str, ...]:
    kinds: dict[str, int] = {}
    for index, kind in enumerate(chain):
        path = join("policies.chain", index)
        if not isinstance(kind, str):
            message = f"{path} must be the name of a policy kind, but it is {type_name(kind)}."
            findings.error("K301", path, message, "Write the name of the kind; its settings belong in policy.<kind>.")
        elif kind in kinds:
            message = f"The kind {show(kind)} is in the chain twice, at positions {kinds[kind]} and {index}."
            findings.error("K205", path, message, "Remove one of the two.")
        else:
            kinds[kind] = index
            if kind not in KINDS:
                _unknown_kind(kind, path, findings)
    return tuple(kinds)


def _unknown_kind(kind: str, path: str, findings: Findings) -> None:
    near = did_you_mean(kind, KINDS, findings)
    hint = f"Did you mean {show(near)}?" if near else f"Use a known kind: {', '.join(sorted(KINDS))}."
    message = f"{show(kind)} is not a policy kind that the vendor documents."
    findings.unknown("E001", path, message, hint)


def _blocks(document: Mapping[str, object], findings: Findings) -> Mapping[str, object] | None:
    """The `policy` section; empty if it is not there, None if it cannot be read."""
    blocks = document.get("policy", {})
    if isinstance(blocks, dict):
        return blocks
    message = f"policy must be a mapping from kinds to settings, but it is {type_name(blocks)}."
    findings.error("K301", "policy", message, "Write `policy: {audit-logger: {}}`, with one key for each kind.")
    return None


def _check_chain_has_blocks(chain: tuple[str, ...], blocks: Mapping[str, object], findings: Findings) -> None:
    spare = [kind for kind in blocks if kind not in chain]
    for index, kind in enumerate(chain):
        if kind not in blocks:
            near = did_you_mean(kind, spare, findings)
            message = f"The chain names {show(kind)}, but there is no block {join('policy', kind)}."
            hint = f"Add `{kind}: {{}}` under `policy:`, or remove the kind from the chain."
            hint = f"Did you mean {show(near)}, which has a block? {hint}" if near else hint
            findings.error("E003", join("policies.chain", index), message, hint)


def _check_block(kind: str, settings: object, in_chain: bool, checker: Checker) -> None:
    findings, path = checker.findings, join("policy", kind)
    if not in_chain:
        message = f"The block {path} has no effect: policies.chain does not name {show(kind)}."
        findings.warning("K501", path, message, f"Add {show(kind)} to policies.chain or remove the block.")
    if not isinstance(settings, dict):
        message = f"{path} must be a mapping, but it is {type_name(settings)}."
        findings.error("K301", path, message, f"Write `{kind}: {{}}` for a kind without settings.")
        return
    known = KINDS.get(kind)
    if known is None:
        if not in_chain:  # for a kind in the chain, its entry there was reported
            _unknown_kind(kind, path, findings)
        return
    severity = Severity.ERROR if known.complete else findings.if_strict
    checker.fields(settings, known.fields, path, severity, complete=known.complete)
    _SPECIAL.get(kind, _nothing_special)(settings, path, findings)


def _nothing_special(_settings: Mapping[str, object], _path: str, _findings: Findings) -> None:
    pass


def _check_prompt_injection(settings: Mapping[str, object], path: str, findings: Findings) -> None:
    replacements = {"threshold": "detection.embedding_threshold", "action": "response.action"}
    for key, replacement in replacements.items():
        if key in settings:
            message = f"{join(path, key)} is a field of older templates; current gateways may refuse it."
            findings.warning("K505", join(path, key), message, f"Move the value to {path}.{replacement}.")


def _check_agent_firewall(settings: Mapping[str, object], path: str, findings: Findings) -> None:
    simple = [key for key in AGENT_FIREWALL_SIMPLE if key in settings]
    expanded = [key for key in AGENT_FIREWALL_EXPANDED if key in settings]
    if simple and expanded:
        message = f"{path} mixes the simple form ({', '.join(simple)}) with the expanded one ({', '.join(expanded)})."
        hint = f"Keep either {', '.join(AGENT_FIREWALL_SIMPLE)} or {', '.join(AGENT_FIREWALL_EXPANDED)}."
        findings.add(findings.if_strict, "K305", path, message, hint)


def _check_external_moderation(settings: Mapping[str, object], path: str, findings: Findings) -> None:
    provider = settings.get("provider", "webhook")
    if provider in ENDPOINT_PROVIDERS and "endpoint" not in settings:
        message = f"{path} uses the provider {show(provider)}, which needs an endpoint."
        hint = f"Add `endpoint: https://moderation.example.com` to {path}."
        findings.add(findings.if_strict, "K203", join(path, "endpoint"), message, hint)


_SPECIAL = {
    "prompt-injection": _check_prompt_injection,
    "agent-firewall": _check_agent_firewall,
    "external-moderation": _check_external_moderation,
}
