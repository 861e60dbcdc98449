"""What is legal but probably not meant: order of the chain, nothing that blocks, no providers."""

from __future__ import annotations

from collections.abc import Mapping

from keeptrusts_operator.policy.finding import Findings, join
from keeptrusts_operator.policy.kinds import can_block


def advise_on_chain(document: Mapping[str, object], chain: tuple[str, ...], findings: Findings) -> None:
    """Warnings about a chain of the strict shape; nothing for a chain that could not be read."""
    if not chain:
        return
    if "audit-logger" not in chain:
        message = "The chain has no audit-logger: decisions of this gateway would leave no audit trail."
        findings.warning("K502", "policies.chain", message, "Add audit-logger as the last entry of policies.chain.")
    elif chain[-1] != "audit-logger":
        path = join("policies.chain", chain.index("audit-logger"))
        message = "audit-logger is not the last entry of the chain: it does not see what later entries decide."
        findings.warning("K503", path, message, "Move audit-logger to the end of policies.chain.")
    if "prompt-injection" in chain[1:]:
        path = join("policies.chain", chain.index("prompt-injection"))
        message = "prompt-injection is not the first entry of the chain: earlier entries work on hostile input."
        findings.warning("K504", path, message, "Move prompt-injection to the beginning of policies.chain.")
    if not blocking_kinds(document, chain):
        message = "No entry of the chain can block: with these settings every request passes."
        hint = "Set `action: block` for a kind that supports it, or add a kind that blocks, such as prompt-injection."
        findings.warning("K506", "policies.chain", message, hint)


def advise_on_providers(document: Mapping[str, object], findings: Findings) -> None:
    providers = document.get("providers")
    if providers is None or (isinstance(providers, dict) and providers.get("targets") in (None, [])):
        message = "The document names no provider target: the gateway has nowhere to send requests."
        findings.warning("K507", "providers.targets", message, "Add an entry to providers.targets.")


def blocking_kinds(document: Mapping[str, object], chain: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds of a chain that, with their settings, can refuse a request or an answer."""
    blocks = document.get("policy")
    settings = blocks if isinstance(blocks, dict) else {}
    return tuple(kind for kind in chain if can_block(kind, settings.get(kind)))
