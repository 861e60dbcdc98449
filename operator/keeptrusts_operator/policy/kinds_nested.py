"""Field tables of the policy kinds whose settings nest several levels deep. See kinds.py."""

from __future__ import annotations

from collections.abc import Mapping

from keeptrusts_operator.policy.fields import (
    ANY,
    BOOLEAN,
    COUNT,
    FRACTION,
    LIST,
    MAPPING,
    NUMBER,
    REGEXES,
    STRING,
    STRINGS,
    Field,
    integer,
    list_of,
    map_of,
    mapping,
    number,
    one_of,
    required,
)

# The vendor's pages disagree on the nesting of the detection fields: both places are accepted.
_DETECTION: Mapping[str, Field] = {"embedding_threshold": FRACTION, "attack_patterns": REGEXES}

PROMPT_INJECTION: Mapping[str, Field] = {
    **_DETECTION,
    "detection": mapping(_DETECTION),
    "backend": STRING,
    "encoding": mapping({"decode_base64": BOOLEAN, "normalize_unicode": BOOLEAN, "detect_homoglyphs": BOOLEAN}),
    "boundaries": mapping({"enforce_delimiters": BOOLEAN, "reject_fake_boundaries": BOOLEAN}),
    "response": mapping({"action": one_of("block", "log", "escalate"), "message": STRING, "log_level": STRING}),
    "threshold": ANY,  # older templates only; see the advice on them
    "action": ANY,
}

AGENT_FIREWALL_SIMPLE: Mapping[str, Field] = {
    "allowed_tools": STRINGS,
    "blocked_tools": STRINGS,
    "max_actions_per_session": COUNT,
}
AGENT_FIREWALL_EXPANDED: Mapping[str, Field] = {
    "tools": mapping({"roles": map_of(mapping({"allowed": STRINGS, "denied": STRINGS}))}),
    "rate_limits": map_of(COUNT),
    "transaction_limits": mapping(
        {"max_single_transaction": NUMBER, "max_daily_total": NUMBER, "require_approval_above": NUMBER}
    ),
    "kill_switches": mapping(
        {
            "max_errors_before_halt": COUNT,
            "halt_on_pii_in_action": BOOLEAN,
            "halt_on_suspicious_pattern": BOOLEAN,
        }
    ),
    "monitoring": mapping(
        {
            "alert_on_denied_action": BOOLEAN,
            "alert_on_rate_limit": BOOLEAN,
            "alert_threshold_percent": integer(0, 100),
        }
    ),
}
AGENT_FIREWALL: Mapping[str, Field] = {**AGENT_FIREWALL_SIMPLE, **AGENT_FIREWALL_EXPANDED}

RBAC: Mapping[str, Field] = {
    "deny_if_missing": STRINGS,
    "require_auth": BOOLEAN,
    "roles": map_of(mapping({"allowed_tools": STRINGS, "denied_tools": STRINGS})),
    "data_access": map_of(mapping({"max_sensitivity": STRING})),
    "minimum_necessary": mapping({"enabled": BOOLEAN, "allowed_phi_roles": STRINGS}),
}

_ASSERTION = mapping(
    {
        "type": required(STRING),
        "name": STRING,
        "value": ANY,
        "threshold": NUMBER,
        "weight": number(0, 10),
        "enabled": BOOLEAN,
        "mode": one_of("enforce", "audit", "shadow"),
        "severity": one_of("critical", "warning", "info"),
        "negate": BOOLEAN,
        "case_sensitive": BOOLEAN,
        "provider": ANY,
        "pack": ANY,
        "config": ANY,
    }
)
QUALITY_SCORER: Mapping[str, Field] = {
    "industry": STRING,
    "min_output_chars": COUNT,
    "min_sentences": COUNT,
    "mock_scoring": ANY,
    "providers": LIST,
    "benchmarks": MAPPING,
    "assertions": list_of(_ASSERTION),
    "thresholds": mapping({"min_aggregate": NUMBER}),
    "weights": MAPPING,
    "pass_policy": mapping({"strategy": STRING, "threshold": NUMBER}),
    "failure_action": mapping({"action": one_of("block", "retry", "fallback", "escalate")}),
}

_CITATION_ACTION = one_of("flag", "block")
CITATION_VERIFIER: Mapping[str, Field] = {
    "require_sources": BOOLEAN,
    "require_source_match": BOOLEAN,
    "min_confidence": FRACTION,
    "min_groundedness": FRACTION,
    "external_resolver": MAPPING,
    "extract_patterns": STRINGS,
    "output_action": mapping({"unverified_action": _CITATION_ACTION, "hallucination_action": _CITATION_ACTION}),
    "response": mapping({"include_verification_report": BOOLEAN}),
}

RESPONSE_REWRITER: Mapping[str, Field] = {
    "preserve_structure": BOOLEAN,
    "rules": list_of(
        mapping(
            {
                "name": required(STRING),
                "pattern": STRING,
                "replacement": STRING,
                "position": one_of("replace", "prepend", "append"),
            }
        )
    ),
}

FLAGGED_REVIEW: Mapping[str, Field] = {
    "mode": one_of("judge", "review_and_return", "audit_only", "escalate"),
    "provider": mapping(
        {"name": STRING, "endpoint": STRING, "model": STRING, "secret_key_ref": ANY, "timeout_ms": COUNT}
    ),
    "recursion_depth_max": COUNT,
    "provider_isolation": ANY,
    "rationale_capture": ANY,
}
