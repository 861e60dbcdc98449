"""Every rule for Keeptrusts documents, with its code and place."""

from __future__ import annotations

from typing import Any

import pytest

from keeptrusts_operator.policy import (
    CODES,
    DocumentShape,
    Pack,
    Severity,
    lint,
    parse_yaml,
)
from tests.unit.policy.documents import MINIMAL, REMOVE, changed

E, W = Severity.ERROR, Severity.WARNING
BASE = parse_yaml(MINIMAL)
TARGET = "providers/targets/0"


def found(document: object, *, strict: bool = False) -> set[tuple[Severity, str, str]]:
    result = lint(document, strict=strict, profile="Keeptrusts")
    return {(finding.severity, finding.code, finding.path) for finding in result.findings}


def with_kind(kind: str, settings: object) -> dict[str, Any]:
    chain = ["prompt-injection", kind, "audit-logger"]
    chain = list(dict.fromkeys(chain))
    return changed(BASE, ("policies/chain", chain), (f"policy/{kind}", settings), ("policy/pii-detector", REMOVE))


@pytest.mark.parametrize("strict", [True, False])
def test_the_minimal_document_has_no_findings(strict: bool) -> None:
    result = lint(BASE, strict=strict, profile="Keeptrusts")
    assert result.findings == ()
    assert result.ok
    assert result.shape is DocumentShape.STRICT
    assert result.pack == Pack("support-gateway", "1.0.0")
    assert result.chain == ("prompt-injection", "pii-detector", "audit-logger")
    assert result.env_names == {"OPENAI_API_KEY"}


@pytest.mark.parametrize(
    ("path", "value", "code", "where"),
    [
        # pack
        ("pack", REMOVE, "K203", "pack"),
        ("pack", "support", "K301", "pack"),
        ("pack/name", REMOVE, "K203", "pack.name"),
        ("pack/version", REMOVE, "K203", "pack.version"),
        ("pack/enabled", REMOVE, "K203", "pack.enabled"),
        ("pack/name", "", "K303", "pack.name"),
        ("pack/name", "x" * 201, "K303", "pack.name"),
        ("pack/name", 5, "K301", "pack.name"),
        ("pack/enabled", "yes", "K301", "pack.enabled"),
        ("pack/enabled", 1, "K301", "pack.enabled"),
        ("pack/version", "1.0", "K304", "pack.version"),
        ("pack/version", "v1.0.0", "K304", "pack.version"),
        ("pack/version", "01.0.0", "K304", "pack.version"),
        ("pack/version", 1.5, "K301", "pack.version"),
        ("pack/id", "", "K303", "pack.id"),
        ("pack/author", "x" * 201, "K303", "pack.author"),
        ("pack/description", "x" * 2001, "K303", "pack.description"),
        # shapes that gateways do not load
        ("policies", [], "K201", "policies"),
        ("policies", [{"name": "a", "type": "pii-detector", "action": "block"}], "K201", "policies"),
        ("policies", [{"name": "a", "action": "block", "rules": []}], "K201", "policies"),
        # chain
        ("policies", REMOVE, "K203", "policies"),
        ("policies", "all", "K301", "policies"),
        ("policies/chain", REMOVE, "K203", "policies.chain"),
        ("policies/chain", "audit-logger", "K301", "policies.chain"),
        ("policies/chain", [], "K204", "policies.chain"),
        ("policies/chain/1", 5, "K301", "policies.chain[1]"),
        ("policies/chain/1", {"name": "pii-detector"}, "K301", "policies.chain[1]"),
        ("policies/chain/1", "prompt-injection", "K205", "policies.chain[1]"),
        ("policy", REMOVE, "E003", "policies.chain[0]"),
        ("policy", ["audit-logger"], "K301", "policy"),
        ("policy/pii-detector", REMOVE, "E003", "policies.chain[1]"),
        ("policy/pii-detector", None, "K301", "policy.pii-detector"),
        ("policy/pii-detector", "redact", "K301", "policy.pii-detector"),
        # fields of fully known kinds
        ("policy/pii-detector/action", "remove", "K302", "policy.pii-detector.action"),
        ("policy/pii-detector/action", None, "K301", "policy.pii-detector.action"),
        ("policy/pii-detector/pci_mode", "true", "K301", "policy.pii-detector.pci_mode"),
        ("policy/pii-detector/detect_patterns", "abc", "K301", "policy.pii-detector.detect_patterns"),
        ("policy/pii-detector/detect_patterns", [1], "K301", "policy.pii-detector.detect_patterns[0]"),
        (
            "policy/pii-detector/redaction",
            {"preserve_length": 1},
            "K301",
            "policy.pii-detector.redaction.preserve_length",
        ),
        ("policy/audit-logger/retention_days", 0, "K303", "policy.audit-logger.retention_days"),
        ("policy/audit-logger/retention_days", 36501, "K303", "policy.audit-logger.retention_days"),
        ("policy/audit-logger/retention_days", "365", "K301", "policy.audit-logger.retention_days"),
        ("policy/audit-logger/retention_days", True, "K301", "policy.audit-logger.retention_days"),
        ("policy/audit-logger/retention_days", 1.5, "K301", "policy.audit-logger.retention_days"),
        # providers and secrets
        ("providers", [], "K301", "providers"),
        ("providers/targets", {}, "K301", "providers.targets"),
        ("providers/targets/0", "openai", "K301", "providers.targets[0]"),
        ("providers/targets", [{"id": "a"}, {"id": "a"}], "K205", "providers.targets[1].id"),
        (f"{TARGET}/api_key", "sk-secret", "K401", "providers.targets[0].api_key"),
        (f"{TARGET}/secret_key_ref", "sk-secret", "K402", "providers.targets[0].secret_key_ref"),
        (f"{TARGET}/secret_key_ref", "OPENAI_API_KEY", "K402", "providers.targets[0].secret_key_ref"),
        (f"{TARGET}/secret_key_ref", None, "K402", "providers.targets[0].secret_key_ref"),
        (f"{TARGET}/secret_key_ref", {}, "K402", "providers.targets[0].secret_key_ref"),
        (f"{TARGET}/secret_key_ref", {"env": "A", "store": "b"}, "K402", "providers.targets[0].secret_key_ref"),
        (f"{TARGET}/secret_key_ref", {"name": "a"}, "K402", "providers.targets[0].secret_key_ref"),
        (f"{TARGET}/secret_key_ref", {"env": "sk-secret"}, "K402", "providers.targets[0].secret_key_ref.env"),
        (f"{TARGET}/secret_key_ref", {"env": 5}, "K402", "providers.targets[0].secret_key_ref.env"),
        (f"{TARGET}/secret_key_ref", {"store": "a/b"}, "K402", "providers.targets[0].secret_key_ref.store"),
        (f"{TARGET}/secret_key_ref", {"store": "schlüssel"}, "K402", "providers.targets[0].secret_key_ref.store"),
        (f"{TARGET}/escalation_routing", {}, "K403", "providers.targets[0].escalation_routing"),
        (
            f"{TARGET}/escalation_routing",
            {"team_id": "a", "user_id": "b"},
            "K403",
            "providers.targets[0].escalation_routing",
        ),
        (f"{TARGET}/escalation_routing", "team", "K403", "providers.targets[0].escalation_routing"),
    ],
)
def test_errors(path: str, value: object, code: str, where: str) -> None:
    document = changed(BASE, (path, value))
    assert (E, code, where) in found(document)
    assert (E, code, where) in found(document, strict=True)
    assert not lint(document, strict=False, profile="Keeptrusts").ok


@pytest.mark.parametrize(
    ("document", "code", "where"),
    [
        (changed(BASE, ("polices", {})), "E002", "polices"),
        (changed(BASE, ("policies/chains", [])), "E002", "policies.chains"),
        (with_kind("ai-firewall", {}), "E001", "policies.chain[1]"),
        (changed(BASE, ("policy/ai-firewall", {})), "E001", "policy.ai-firewall"),
        (changed(BASE, ("policy/pii-detector/acton", "block")), "E002", "policy.pii-detector.acton"),
        (
            changed(BASE, ("policy/pii-detector/redaction", {"marker": "x"})),
            "E002",
            "policy.pii-detector.redaction.marker",
        ),
        # documented fields where the documentation has gaps
        (changed(BASE, ("policy/prompt-injection/detection", "high")), "K301", "policy.prompt-injection.detection"),
        (with_kind("safety-filter", {"mode": "banking"}), "K302", "policy.safety-filter.mode"),
        (with_kind("itar-ear-filter", {"action": "redact"}), "K302", "policy.itar-ear-filter.action"),
        (with_kind("hipaa-phi-detector", {"mode": "hipaa_16"}), "K302", "policy.hipaa-phi-detector.mode"),
        (
            with_kind("external-moderation", {"threshold": 2, "endpoint": "x"}),
            "K303",
            "policy.external-moderation.threshold",
        ),
        (with_kind("external-moderation", {}), "K203", "policy.external-moderation.endpoint"),
        (with_kind("quality-scorer", {"assertions": [{}]}), "K203", "policy.quality-scorer.assertions[0].type"),
        (
            with_kind("agent-firewall", {"allowed_tools": [], "rate_limits": {"default": 5}}),
            "K305",
            "policy.agent-firewall",
        ),
        (changed(BASE, (f"{TARGET}/model", 5)), "K301", "providers.targets[0].model"),
        (changed(BASE, (f"{TARGET}/data_collection", "no")), "K302", "providers.targets[0].data_collection"),
        (changed(BASE, ("global_rate_limit", {"max_requests": 5})), "K203", "global_rate_limit.window_seconds"),
        (changed(BASE, ("loads", {"backend": "disk"})), "K302", "loads.backend"),
        (changed(BASE, ("testing", {"suites": [{"name": "a"}]})), "K203", "testing.suites[0].cases"),
    ],
)
def test_errors_in_strict_mode_only(document: dict[str, Any], code: str, where: str) -> None:
    assert (W, code, where) in found(document)
    assert lint(document, strict=False, profile="Keeptrusts").ok
    assert (E, code, where) in found(document, strict=True)


@pytest.mark.parametrize(
    ("document", "code", "where"),
    [
        (changed(BASE, ("policy/dlp-filter", {})), "K501", "policy.dlp-filter"),
        (changed(BASE, ("policies/chain", ["prompt-injection"])), "K502", "policies.chain"),
        (
            changed(BASE, ("policies/chain", ["prompt-injection", "audit-logger", "pii-detector"])),
            "K503",
            "policies.chain[1]",
        ),
        (
            changed(BASE, ("policies/chain", ["pii-detector", "prompt-injection", "audit-logger"])),
            "K504",
            "policies.chain[1]",
        ),
        (changed(BASE, ("policy/prompt-injection/threshold", 0.8)), "K505", "policy.prompt-injection.threshold"),
        (changed(BASE, ("policy/prompt-injection/action", "block")), "K505", "policy.prompt-injection.action"),
        (changed(BASE, ("policies/chain", ["pii-detector", "audit-logger"])), "K506", "policies.chain"),
        (changed(BASE, ("policy/prompt-injection/response", {"action": "log"})), "K506", "policies.chain"),
        (changed(BASE, ("providers", REMOVE)), "K507", "providers.targets"),
        (changed(BASE, ("providers/targets", [])), "K507", "providers.targets"),
        (changed(BASE, ("pack/enabled", False)), "K508", "pack.enabled"),
        (
            changed(BASE, ("policy/pii-detector/detect_patterns", ["("])),
            "K510",
            "policy.pii-detector.detect_patterns[0]",
        ),
        (
            changed(BASE, ("policy/pii-detector/detect_patterns", ["a(?=b)"])),
            "K510",
            "policy.pii-detector.detect_patterns[0]",
        ),
        (
            changed(BASE, ("policy/prompt-injection/detection", {"attack_patterns": ["[z-a]"]})),
            "K510",
            "policy.prompt-injection.detection.attack_patterns[0]",
        ),
        (changed(BASE, ("pack/version", "1.2.0-rc.1")), "K511", "pack.version"),
    ],
)
def test_warnings_in_both_modes(document: dict[str, Any], code: str, where: str) -> None:
    assert (W, code, where) in found(document)
    assert (W, code, where) in found(document, strict=True)
    assert lint(document, strict=True, profile="Keeptrusts").ok


def test_all_findings_are_collected() -> None:
    document = changed(
        BASE,
        ("pack/version", "1"),
        ("policies/chain/1", "pii-detektor"),
        ("policy/audit-logger/retention_days", 0),
        (f"{TARGET}/api_key", "sk"),
    )
    assert {code for _, code, _ in found(document)} == {"K304", "E001", "E003", "K501", "K303", "K401"}


@pytest.mark.parametrize(
    ("document", "suggestion"),
    [
        (with_kind("pii-detektor", {}), 'Did you mean "pii-detector"?'),
        (changed(BASE, ("policy/pii-detector/healthcareMode", True)), 'Did you mean "healthcare_mode"?'),
        (changed(BASE, ("provider", {})), 'Did you mean "providers"?'),
        (changed(BASE, ("policy/pii-detector/action", "Redact")), 'Did you mean "redact"?'),
        (changed(BASE, ("policy/pii-detector/detect_patterns", "abc")), '`detect_patterns: ["abc"]`'),
        (changed(BASE, ("pack/version", "v2.1")), "such as 2.1.0"),
        (
            {"version": "1", "policies": [{"name": "a", "type": "pii-detector", "action": "block", "config": {}}]},
            "`policies: {chain: [pii-detector]}` and `policy: {pii-detector: {action: block}}`",
        ),
        (
            {"policy": {"name": "a", "version": "1", "enabled": True}, "prompt-injection": {}},
            "`policies: {chain: [prompt-injection]}`",
        ),
    ],
)
def test_suggestions_say_what_to_write(document: dict[str, Any], suggestion: str) -> None:
    findings = lint(document, strict=True, profile="Keeptrusts").findings
    assert any(suggestion in finding.suggestion for finding in findings), findings


def test_secrets_are_not_repeated_in_messages() -> None:
    secret = "sk-very-secret"
    document = changed(
        BASE,
        (f"{TARGET}/api_key", secret),
        (f"{TARGET}/secret_key_ref", {"env": secret}),
        ("providers/targets", [{"id": "b", "secret_key_ref": secret}]),
    )
    assert secret not in repr(lint(document, strict=True, profile="Keeptrusts"))


def test_single_policy_document() -> None:
    document = {"policy": {"name": "a", "version": "1.0.0", "enabled": True}, "agent-firewall": {}}
    assert found(document) == {(E, "K202", "policy")}
    assert lint(document, strict=False, profile="Keeptrusts").shape is None


def test_environment_variables_from_everywhere() -> None:
    document = with_kind("external-moderation", {"provider": "lakera", "secret_key_ref": "LAKERA_KEY"})
    document = changed(document, ("providers/targets", [{"id": "a", "secret_key_ref": {"store": "prod.key"}}]))
    document = changed(document, ("policy/flagged-review", {"provider": {"secret_key_ref": {"env": "JUDGE_KEY"}}}))
    result = lint(document, strict=True, profile="Keeptrusts")
    assert result.env_names == {"LAKERA_KEY", "JUDGE_KEY"}
    assert result.ok


def test_custom_profile_accepts_any_mapping() -> None:
    result = lint({"model_list": [{"secret_key_ref": {"env": "A"}, "api_key": "x"}]}, strict=True, profile="Custom")
    assert result.ok
    assert result.findings == ()
    assert result.env_names == {"A"}
    assert not lint(["a"], strict=False, profile="Custom").ok


def test_codes_are_documented() -> None:
    assert all(description and not description.endswith(".") for description in CODES.values())
