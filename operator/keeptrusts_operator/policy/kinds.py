"""The policy kinds of the Keeptrusts gateway: their fields, their actions, and which of them can block.

The vendor names 39 kinds and documents 31. A kind marked `complete` has all its fields documented, so that a
contradiction is an error; the others have gaps, so that it is an error in strict mode only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keeptrusts_operator.policy.fields import (
    ANY,
    BOOLEAN,
    COUNT,
    FRACTION,
    INTEGER,
    MAPPING,
    NUMBER,
    POSITIVE,
    REGEXES,
    STRING,
    STRINGS,
    Field,
    integer,
    list_of,
    mapping,
    one_of,
)
from keeptrusts_operator.policy.kinds_nested import (
    AGENT_FIREWALL,
    CITATION_VERIFIER,
    FLAGGED_REVIEW,
    PROMPT_INJECTION,
    QUALITY_SCORER,
    RBAC,
    RESPONSE_REWRITER,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A field that holds what happens on a match; `default` is None where the vendor states none."""

    path: tuple[str, ...]
    default: str | None


@dataclass(frozen=True, slots=True)
class Kind:
    fields: Mapping[str, Field] = field(default_factory=dict)
    complete: bool = False
    decisions: tuple[Decision, ...] = ()
    """Where the kind is told what to do. None of them says block: the kind does not block."""
    never_blocks: bool = False


def can_block(kind: str, settings: object) -> bool:
    """Whether a kind with these settings can refuse a request or answer. In doubt, and for unknown kinds, yes."""
    known = KINDS.get(kind)
    if known is None:
        return True
    if known.never_blocks:
        return False
    return not known.decisions or any(action_of(settings, decision) in (None, "block") for decision in known.decisions)


def action_of(settings: object, decision: Decision) -> object:
    """What these settings say is done; None where neither they nor the vendor do."""
    value = settings
    for key in decision.path:
        value = value.get(key) if isinstance(value, dict) else None
    return decision.default if value is None else value


def _action_field(default: str | None) -> tuple[Decision, ...]:
    return (Decision(("action",), default),)


_DISTANCE = integer(0, 8)
_BLOCK_ONLY = one_of("block")
_REDACT_OR_BLOCK = one_of("redact", "block")
_BLOCK_OR_ESCALATE = one_of("block", "escalate")
_UNKNOWN = Kind()

KINDS: Mapping[str, Kind] = {
    "prompt-injection": Kind(PROMPT_INJECTION, decisions=(Decision(("response", "action"), "block"),)),
    "pii-detector": Kind(
        {
            "action": _REDACT_OR_BLOCK,
            "healthcare_mode": BOOLEAN,
            "pci_mode": BOOLEAN,
            "detect_patterns": REGEXES,
            "redaction": mapping(
                {
                    "marker_format": STRING,
                    "include_metadata": BOOLEAN,
                    "preserve_length": BOOLEAN,
                    "custom_markers": MAPPING,
                },
                complete=True,
            ),
        },
        complete=True,
        decisions=_action_field("redact"),
    ),
    "hipaa-phi-detector": Kind(
        {"mode": one_of("hipaa_18"), "action": _REDACT_OR_BLOCK, "safe_harbor_method": BOOLEAN},
        decisions=_action_field(None),
    ),
    "agent-firewall": Kind(AGENT_FIREWALL),
    "rbac": Kind(RBAC),
    "dlp-filter": Kind(
        {
            "detect_patterns": REGEXES,
            "blocked_terms": STRINGS,
            "action": _REDACT_OR_BLOCK,
            "fuzzy_matching": BOOLEAN,
            "max_distance": _DISTANCE,
            "sensitivity_level": one_of("standard", "high", "restricted"),
        },
        complete=True,
        decisions=_action_field("redact"),
    ),
    "safety-filter": Kind(
        {
            "mode": one_of("critical_infrastructure", "automotive", "education", "law_enforcement"),
            "block_if": STRINGS,
            "action": _BLOCK_OR_ESCALATE,
            "fuzzy_matching": BOOLEAN,
            "max_distance": COUNT,
            "max_age": COUNT,
        },
        decisions=_action_field("block"),
    ),
    "language-validator": Kind(
        {
            "allowed_languages": STRINGS,
            "denied_languages": STRINGS,
            "min_confidence": FRACTION,
            "action": STRING,
            "apply_to": one_of("input", "output", "both"),
        },
        complete=True,
        decisions=_action_field("block"),
    ),
    "bot-detector": Kind(
        {
            "fingerprint_fields": STRINGS,
            "profile_window_seconds": POSITIVE,
            "similarity_threshold": NUMBER,
            "max_requests_per_window": INTEGER,
            "action": one_of("warn", "block"),
        },
        complete=True,
        decisions=_action_field("warn"),
    ),
    "external-moderation": Kind(
        {
            "provider": one_of(
                "webhook",
                "openai-moderation",
                "azure-content-safety",
                "bedrock-apply-guardrail",
                "embedding-endpoint",
                "presidio",
                "guardrails-ai",
                "dynamo-ai",
                "lakera",
            ),
            "secret_key_ref": ANY,  # a plain string here, an object elsewhere: see secrets.py
            "endpoint": STRING,
            "categories": STRINGS,
            "threshold": FRACTION,
        }
    ),
    "embedding-detector": _UNKNOWN,
    "content-extractor": _UNKNOWN,
    "document-analyzer": Kind(
        {
            "enabled": BOOLEAN,
            "sanitize_code": BOOLEAN,
            "max_document_bytes": COUNT,
            "allowed_mime_types": STRINGS,
        },
        complete=True,
    ),
    "data-routing-policy": Kind(
        {
            "require_zero_data_retention": BOOLEAN,
            "require_no_training": BOOLEAN,
            "max_retention_days": COUNT,
            "on_no_compliant_provider": one_of("block", "warn"),
            "log_provider_selection": BOOLEAN,
        },
        decisions=(Decision(("on_no_compliant_provider",), "block"),),
    ),
    "audit-logger": Kind(
        {
            "immutable": BOOLEAN,
            "retention_days": integer(1, 36500),
            "hipaa_audit_controls": BOOLEAN,
            "log_all_access": BOOLEAN,
        },
        complete=True,
        never_blocks=True,
    ),
    "cjis-mode": _UNKNOWN,
    "student-privacy": Kind(
        {"action": _REDACT_OR_BLOCK, "age_gate": BOOLEAN}, complete=True, decisions=_action_field("redact")
    ),
    "case-privacy": _UNKNOWN,
    "itar-ear-filter": Kind(
        {"blocked_terms": STRINGS, "action": _BLOCK_ONLY, "fuzzy_matching": BOOLEAN, "max_distance": COUNT}
    ),
    "entity-list-filter": Kind(
        {"blocked_entities": STRINGS, "action": _BLOCK_ONLY, "fuzzy_matching": BOOLEAN, "max_distance": _DISTANCE},
        complete=True,
    ),
    "dual-use-filter": Kind(
        {
            "blocked_terms": STRINGS,
            "action": one_of("block", "redact"),
            "fuzzy_matching": BOOLEAN,
            "max_distance": _DISTANCE,
        },
        complete=True,
        decisions=_action_field("block"),
    ),
    "quality-scorer": Kind(QUALITY_SCORER, decisions=(Decision(("failure_action", "action"), "block"),)),
    "human-oversight": Kind(
        {
            "require_human_for": STRINGS,
            "action": one_of("escalate", "block"),
            "confidence_threshold": FRACTION,
            "default_assignee": STRING,
            "timeout_seconds": COUNT,
        },
        complete=True,
        decisions=_action_field("escalate"),
    ),
    "citation-verifier": Kind(
        CITATION_VERIFIER,
        decisions=(
            Decision(("output_action", "unverified_action"), None),
            Decision(("output_action", "hallucination_action"), None),
        ),
    ),
    "response-rewriter": Kind(RESPONSE_REWRITER, never_blocks=True),
    "flagged-review": Kind(FLAGGED_REVIEW),
    "bias-monitor": Kind(
        {"protected_characteristics": STRINGS, "threshold": FRACTION, "action": _BLOCK_OR_ESCALATE},
        complete=True,
        decisions=_action_field(None),
    ),
    "gdpr-compliance": Kind(
        {
            "consent_required": BOOLEAN,
            "consent_header": STRING,
            "consent_verification_endpoint": STRING,
            "erasure_webhook": STRING,
            "data_categories": STRINGS,
            "retention_days": COUNT,
        },
        complete=True,
    ),
    "eu-ai-act": Kind({"risk_class": STRING, "articles": list_of(INTEGER)}),
    "financial-compliance": _UNKNOWN,
    "healthcare-compliance": Kind({"blocked_patterns": STRINGS, "required_disclaimers": STRINGS, "fda_class": ANY}),
}

ENDPOINT_PROVIDERS = ("webhook", "embedding-endpoint", "presidio", "guardrails-ai", "dynamo-ai")
"""Providers of external-moderation that are reached at an `endpoint` of the user's."""
