"""A version stands for one content."""

from __future__ import annotations

from keeptrusts_operator.policy import Severity, parse_yaml, same_version_other_content
from tests.unit.policy.documents import MINIMAL, changed

BASE = parse_yaml(MINIMAL)


def test_same_version_other_content() -> None:
    edited = changed(BASE, ("policy/pii-detector/action", "block"))
    finding = same_version_other_content(BASE, edited)
    assert finding is not None
    assert (finding.severity, finding.code, finding.path) == (Severity.WARNING, "K509", "pack.version")
    assert "1.0.1" in finding.suggestion
    assert same_version_other_content(BASE, changed(edited, ("pack/version", "1.0.1"))) is None
    assert same_version_other_content(BASE, changed(BASE, ("policy/audit-logger/retention_days", 365.0))) is None
    assert same_version_other_content({}, edited) is None
    assert same_version_other_content(None, None) is None
