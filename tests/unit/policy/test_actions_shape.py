"""Rules for documents whose policies are lists of rules with an action each."""

from __future__ import annotations

import pytest

from keeptrusts_operator.policy import DocumentShape, Severity, lint, parse_yaml
from tests.unit.policy.documents import ACTIONS, REMOVE, changed

E, W = Severity.ERROR, Severity.WARNING
BASE = parse_yaml(ACTIONS)


def found(document: object) -> set[tuple[Severity, str, str]]:
    result = lint(document, strict=True, profile="Keeptrusts")
    return {(finding.severity, finding.code, finding.path) for finding in result.findings}


def test_actions_shape() -> None:
    result = lint(BASE, strict=True, profile="Keeptrusts")
    assert result.findings == ()
    assert result.shape is DocumentShape.ACTIONS
    assert result.chain == ("prompt-injection", "pii-detector", "dlp-filter")
    assert result.pack is None
    assert result.env_names == {"GATEWAY_KEY"}


@pytest.mark.parametrize(
    ("path", "value", "severity", "code", "where"),
    [
        ("policies/1/name", "inbound", E, "K205", "policies[1].name"),
        ("policies/1/name", REMOVE, E, "K203", "policies[1].name"),
        ("policies/1", "x", E, "K301", "policies[1]"),
        ("policies/1/output", REMOVE, E, "K203", "policies[1].input"),
        ("policies/1/output", "block", E, "K301", "policies[1].output"),
        ("policies/1/output/0", "block", E, "K301", "policies[1].output[0]"),
        ("policies/1/output/0/type", REMOVE, E, "K203", "policies[1].output[0].type"),
        ("policies/1/output/0/type", 5, E, "K301", "policies[1].output[0].type"),
        ("policies/1/output/0/action", "stop", E, "K302", "policies[1].output[0].action"),
        ("policies/1/output/0/action", REMOVE, E, "K203", "policies[1].output[0].action"),
        ("policies/1/output/0/type", "dlp-filte", W, "E001", "policies[1].output[0].type"),
        ("policies/0/input/0/action", "flag", W, "K506", "policies"),
        ("surprise", 1, E, "E002", "surprise"),
        ("gateway/secret_key_ref", "x", E, "K402", "gateway.secret_key_ref"),
    ],
)
def test_rules_of_the_actions_shape(path: str, value: object, severity: Severity, code: str, where: str) -> None:
    assert (severity, code, where) in found(changed(BASE, (path, value)))
