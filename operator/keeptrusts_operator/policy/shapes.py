"""Which of the document shapes in circulation this is. Two can run; the others are told what to become."""

from __future__ import annotations

from collections.abc import Mapping

from keeptrusts_operator.policy.finding import Findings, show
from keeptrusts_operator.policy.kinds import KINDS
from keeptrusts_operator.policy.result import DocumentShape

_STRICT_EQUIVALENT = (
    "`pack: {name, version, enabled}`, `policies: {chain: [<kind>, ...]}` and `policy: {<kind>: {...}}`"
)


def detect_shape(document: Mapping[str, object], findings: Findings) -> DocumentShape | None:
    """The shape, or None and an error for shapes that cannot be run."""
    policies = document.get("policies")
    if isinstance(policies, list):
        if any(isinstance(item, dict) and ("input" in item or "output" in item) for item in policies):
            return DocumentShape.ACTIONS
        _reject_legacy(policies, findings)
        return None
    policy = document.get("policy")
    if "pack" not in document and isinstance(policy, dict) and isinstance(policy.get("name"), str):
        _reject_single_policy(document, policy["name"], findings)
        return None
    return DocumentShape.STRICT


def _reject_legacy(policies: list[object], findings: Findings) -> None:
    message = "policies is a list: this is the shape of older tutorials, which gateways do not load."
    kinds = [item["type"] for item in policies if isinstance(item, dict) and item.get("type") in list(KINDS)]
    if kinds:
        first = next(item for item in policies if isinstance(item, dict) and item.get("type") == kinds[0])
        action = first.get("action")
        settings = f"{{action: {action}}}" if isinstance(action, str) and action.isidentifier() else "{}"
        chain = ", ".join(dict.fromkeys(kinds[:10]))
        example = f"`policies: {{chain: [{chain}]}}` and `policy: {{{kinds[0]}: {settings}}}`"
        hint = f"Name the kinds in policies.chain and move their settings to policy.<kind>: {example}. Add `pack:`."
    else:
        hint = f"Rewrite the document as {_STRICT_EQUIVALENT}; each list entry becomes one kind of the chain."
    findings.error("K201", "policies", message, hint)


def _reject_single_policy(document: Mapping[str, object], name: str, findings: Findings) -> None:
    message = f"This is a document of the single policy {show(name)}; a gateway needs a whole configuration."
    sections = [key for key in document if key in KINDS]
    if sections:
        blocks = ", ".join(f"{kind}: {{...}}" for kind in sections)
        chain = ", ".join(sections)
        hint = f"Write `pack:`, `policies: {{chain: [{chain}]}}`, and move the sections to `policy: {{{blocks}}}`."
    else:
        hint = f"Rewrite the document as {_STRICT_EQUIVALENT}."
    findings.error("K202", "policy", message, hint)
