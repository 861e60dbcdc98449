"""What the vendor documents for its kinds is accepted, and only some kinds can block."""

from __future__ import annotations

from typing import Any

import pytest

from keeptrusts_operator.policy import blocking_kinds, lint, parse_yaml
from keeptrusts_operator.policy.kinds import KINDS, can_block
from tests.unit.policy.documents import MINIMAL, changed

DOCUMENTED: dict[str, dict[str, Any]] = {
    "prompt-injection": {
        "detection": {"embedding_threshold": 0.8, "attack_patterns": ["ignore .* instructions"]},
        "embedding_threshold": 0.75,
        "attack_patterns": [],
        "backend": "local",
        "encoding": {"decode_base64": True, "normalize_unicode": True, "detect_homoglyphs": True},
        "boundaries": {"enforce_delimiters": True, "reject_fake_boundaries": True},
        "response": {"action": "block", "message": "no", "log_level": "warn"},
    },
    "pii-detector": {
        "action": "block",
        "healthcare_mode": False,
        "pci_mode": True,
        "detect_patterns": [r"\d{3}-\d{2}-\d{4}"],
        "redaction": {
            "marker_format": "label",
            "include_metadata": True,
            "preserve_length": False,
            "custom_markers": {"email": "[MAIL]"},
        },
    },
    "hipaa-phi-detector": {"mode": "hipaa_18", "action": "redact", "safe_harbor_method": True},
    "rbac": {
        "deny_if_missing": ["X-User-ID"],
        "require_auth": True,
        "roles": {"nurse": {"allowed_tools": ["a"], "denied_tools": []}},
        "data_access": {"nurse": {"max_sensitivity": "restricted"}},
        "minimum_necessary": {"enabled": True, "allowed_phi_roles": ["nurse"]},
    },
    "dlp-filter": {
        "detect_patterns": ["AKIA[0-9A-Z]{16}"],
        "blocked_terms": ["project phoenix"],
        "action": "block",
        "fuzzy_matching": True,
        "max_distance": 8,
        "sensitivity_level": "restricted",
    },
    "safety-filter": {
        "mode": "law_enforcement",
        "block_if": ["weapon"],
        "action": "escalate",
        "fuzzy_matching": False,
        "max_distance": 1,
        "max_age": 0,
    },
    "language-validator": {
        "allowed_languages": ["en"],
        "denied_languages": [],
        "min_confidence": 0.5,
        "action": "block",
        "apply_to": "both",
    },
    "bot-detector": {
        "fingerprint_fields": ["ip"],
        "profile_window_seconds": 60,
        "similarity_threshold": 0.9,
        "max_requests_per_window": 5,
        "action": "block",
    },
    "external-moderation": {
        "provider": "webhook",
        "secret_key_ref": "MODERATION_KEY",
        "endpoint": "https://moderation.example.com",
        "categories": ["hate"],
        "threshold": 0.5,
    },
    "document-analyzer": {
        "enabled": True,
        "sanitize_code": False,
        "max_document_bytes": 524288,
        "allowed_mime_types": ["application/pdf"],
    },
    "data-routing-policy": {
        "require_zero_data_retention": True,
        "require_no_training": True,
        "max_retention_days": 30,
        "on_no_compliant_provider": "warn",
        "log_provider_selection": True,
    },
    "audit-logger": {"immutable": True, "retention_days": 36500, "hipaa_audit_controls": True, "log_all_access": True},
    "student-privacy": {"action": "block", "age_gate": True},
    "itar-ear-filter": {"blocked_terms": ["x"], "action": "block", "fuzzy_matching": False, "max_distance": 1},
    "entity-list-filter": {"blocked_entities": ["x"], "action": "block", "fuzzy_matching": True, "max_distance": 0},
    "dual-use-filter": {"blocked_terms": ["x"], "action": "redact", "fuzzy_matching": True, "max_distance": 8},
    "quality-scorer": {
        "industry": "finance",
        "min_output_chars": 10,
        "min_sentences": 1,
        "mock_scoring": True,
        "providers": [],
        "benchmarks": {},
        "assertions": [
            {
                "type": "contains",
                "name": "a",
                "value": "b",
                "threshold": 0.5,
                "weight": 10,
                "enabled": True,
                "mode": "shadow",
                "severity": "info",
                "negate": False,
                "case_sensitive": True,
                "provider": "p",
                "pack": "q",
                "config": {},
            }
        ],
        "thresholds": {"min_aggregate": 0.7, "other": 1},
        "weights": {"a": 1},
        "pass_policy": {"strategy": "all", "threshold": 1},
        "failure_action": {"action": "retry"},
    },
    "human-oversight": {
        "require_human_for": ["refunds"],
        "action": "block",
        "confidence_threshold": 1,
        "default_assignee": "on-call",
        "timeout_seconds": 60,
    },
    "citation-verifier": {
        "require_sources": True,
        "require_source_match": False,
        "min_confidence": 0.8,
        "min_groundedness": 0,
        "external_resolver": {},
        "extract_patterns": [r"\[\d+\]"],
        "output_action": {"unverified_action": "flag", "hallucination_action": "block"},
        "response": {"include_verification_report": True},
    },
    "response-rewriter": {
        "preserve_structure": True,
        "rules": [{"name": "a", "pattern": "b", "replacement": "c", "position": "append"}],
    },
    "flagged-review": {
        "mode": "judge",
        "provider": {
            "name": "a",
            "endpoint": "b",
            "model": "c",
            "secret_key_ref": {"env": "JUDGE_KEY"},
            "timeout_ms": 100,
        },
        "recursion_depth_max": 1,
        "provider_isolation": True,
        "rationale_capture": True,
    },
    "bias-monitor": {"protected_characteristics": ["age"], "threshold": 0.85, "action": "escalate"},
    "gdpr-compliance": {
        "consent_required": True,
        "consent_header": "x-consent-token",
        "consent_verification_endpoint": "https://consent.example.com",
        "erasure_webhook": "https://erase.example.com",
        "data_categories": ["personal", "sensitive", "biometric"],
        "retention_days": 30,
    },
    "eu-ai-act": {"risk_class": "high", "articles": [9, 10], "more": 1},
    "healthcare-compliance": {"blocked_patterns": ["a"], "required_disclaimers": ["b"], "fda_class": "II"},
    "financial-compliance": {"anything": [1]},
    "embedding-detector": {"anything": {}},
    "content-extractor": {"anything": True},
    "cjis-mode": {"enabled": True},
    "case-privacy": {"x": None},
    "agent-firewall": {"allowed_tools": ["a"], "blocked_tools": ["b"], "max_actions_per_session": 5},
}

AGENT_FIREWALL_EXPANDED = {
    "tools": {"roles": {"clerk": {"allowed": ["a"], "denied": ["b"]}}},
    "rate_limits": {"default": 5, "payments": 1},
    "transaction_limits": {"max_single_transaction": 10.5, "max_daily_total": 100, "require_approval_above": 5},
    "kill_switches": {
        "max_errors_before_halt": 3,
        "halt_on_pii_in_action": True,
        "halt_on_suspicious_pattern": True,
    },
    "monitoring": {"alert_on_denied_action": True, "alert_on_rate_limit": True, "alert_threshold_percent": 80},
}


def document(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    chain = list(dict.fromkeys(["prompt-injection", kind, "audit-logger"]))
    policy = {"prompt-injection": {}, "audit-logger": {}, kind: settings}
    return changed(parse_yaml(MINIMAL), ("policies/chain", chain), ("policy", policy))


@pytest.mark.parametrize(
    ("kind", "settings"), [*DOCUMENTED.items(), ("agent-firewall", AGENT_FIREWALL_EXPANDED)], ids=lambda v: str(v)[:24]
)
def test_documented_settings_are_accepted_in_strict_mode(kind: str, settings: dict[str, Any]) -> None:
    assert lint(document(kind, settings), strict=True, profile="Keeptrusts").findings == ()


def test_the_examples_cover_the_tables() -> None:
    assert set(DOCUMENTED) == set(KINDS)
    assert len(KINDS) == 31
    for kind, known in KINDS.items():
        if known.complete:
            assert set(DOCUMENTED[kind]) == set(known.fields), kind


def test_fully_known_kinds() -> None:
    assert {kind for kind, known in KINDS.items() if known.complete} == {
        "pii-detector",
        "dlp-filter",
        "audit-logger",
        "document-analyzer",
        "student-privacy",
        "entity-list-filter",
        "dual-use-filter",
        "bias-monitor",
        "gdpr-compliance",
        "bot-detector",
        "language-validator",
        "human-oversight",
    }


@pytest.mark.parametrize(
    ("kind", "settings", "blocks"),
    [
        ("prompt-injection", {}, True),
        ("prompt-injection", {"response": {"action": "escalate"}}, False),
        ("pii-detector", {}, False),
        ("pii-detector", {"action": "block"}, True),
        ("hipaa-phi-detector", {}, True),
        ("bot-detector", {}, False),
        ("human-oversight", {}, False),
        ("audit-logger", {"action": "block"}, False),
        ("response-rewriter", {}, False),
        ("rbac", {}, True),
        ("citation-verifier", {"output_action": {"unverified_action": "flag", "hallucination_action": "flag"}}, False),
        ("citation-verifier", {"output_action": {"unverified_action": "flag"}}, True),
        ("something-new", None, True),
        ("pii-detector", None, False),
    ],
)
def test_what_can_block(kind: str, settings: object, blocks: bool) -> None:
    assert can_block(kind, settings) is blocks


def test_blocking_kinds_of_a_chain() -> None:
    minimal = parse_yaml(MINIMAL)
    assert blocking_kinds(minimal, tuple(minimal["policies"]["chain"])) == ("prompt-injection",)
