"""The alerts: they parse, fire when they should and only then, name what exists, and have a runbook each."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.chart.metric_names import existing, named
from tests.unit.chart.render import CHART, NAME, ROOT, Helm, find

RULES_FILE = CHART / "rules" / "keeptrusts.rules.yaml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES_FILE.read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = sorted({rule["alert"] for rule in RULES if "alert" in rule})
CASES = {p.name: p for p in (ROOT / "tests" / "alerts").glob("*.yaml") if p.name != "vendor.rules.yaml"}
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["## What it means", "## Look", "## Do", "## When it is wrong"]

# A wrong rule for each idea that the tests of alerts must hold: what it is turned into, by the file whose tests see it.
MUTANTS = [
    (
        "block-rate.yaml",
        'sum by (namespace, name) (rate(keeptrusts_decisions_total{decision=~"(?i:block|blocked)"}[5m]))\n'
        "        / keeptrusts:decisions:rate5m",
        'max by (namespace, name) (rate(keeptrusts_decisions_total{decision="blocked"}[5m])\n'
        "        / rate(keeptrusts_decisions_total[5m]))",
    ),
    ("block-rate.yaml", "(?i:block|blocked)", "blocked"),
    ("block-rate.yaml", " * 300 >= 20", " * 300 >= 0"),
    ("block-rate.yaml", 'signal="BlockRate", state=~"Ok|Warning|Critical"', 'signal="BlockRate", state="Nothing"'),
    ("block-rate.yaml", "on (namespace, name, signal)", "on (namespace, signal)"),
    ("gateways.yaml", "for: 30s", "for: 0s"),
    ("gateways.yaml", "max by (namespace, name) (up{", "min by (namespace, name) (up{"),
    ("gateways.yaml", 'signal_state{state="Warning"}', 'signal_state{state=~"Warning|Critical"}'),
    (
        "changes.yaml",
        "rollbacks_total > 0 unless keeptrusts_operator_rollbacks_total offset 10m",
        "rollbacks_total > 1e9",
    ),
    ("changes.yaml", "rollbacks_total > 0 unless", "rollbacks_total unless"),
    ("changes.yaml", "sum by (namespace, name, instance) (keeptrusts_operator_rollbacks_total) * 0", "vector(0)"),
    ("changes.yaml", "[6h]", "[1m]"),
    ("changes.yaml", "\n            unless max by (namespace, name) (keeptrusts_operator_passthrough_active)", ""),
    ("changes.yaml", "Canary|Soaking|", ""),
    ("operator.yaml", "absent(keeptrusts_operator_leader == 1)", "absent(keeptrusts_operator_leader)"),
    ("operator.yaml", "absent(keeptrusts_operator_leader == 1)", "max(keeptrusts_operator_leader) == 0"),
]


def promtool_tests(promtool: str, *files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, "test", "rules", *map(str, files)], capture_output=True, text=True, check=False)


def test_rules_are_well_formed(promtool: str) -> None:
    command = [promtool, "check", "rules", "--lint-fatal", str(RULES_FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(CASES))
def test_alerts_fire_when_they_should(promtool: str, name: str) -> None:
    done = promtool_tests(promtool, CASES[name])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "right", "wrong"), MUTANTS, ids=lambda text: text.split("\n")[0][:40])
def test_wrong_rules_are_found(promtool: str, tmp_path: Path, name: str, right: str, wrong: str) -> None:
    rules = RULES_FILE.read_text()
    assert right in rules
    (tmp_path / "mutant.rules.yaml").write_text(rules.replace(right, wrong))
    cases = CASES[name].read_text()
    cases = cases.replace(f"../../{RULES_FILE.relative_to(ROOT)}", "mutant.rules.yaml")
    (tmp_path / name).write_text(cases.replace("- vendor.rules.yaml", f"- {CASES[name].parent}/vendor.rules.yaml"))
    done = promtool_tests(promtool, tmp_path / name)
    assert done.returncode != 0
    assert "FAILED" in done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_both_ways(alert: str) -> None:
    tests = [case for path in CASES.values() for case in yaml.safe_load(path.read_text())["tests"]]
    checks = [c for t in tests for c in t.get("alert_rule_test", []) if c["alertname"] == alert]
    severities = {e["exp_labels"]["severity"] for c in checks for e in c["exp_alerts"]}
    assert severities == {r["labels"]["severity"] for r in RULES if r.get("alert") == alert}
    assert any(not c["exp_alerts"] for c in checks), "nothing says when it is silent"


def test_vendors_rule_is_wrong_where_ours_is_right() -> None:
    first = yaml.safe_load(CASES["block-rate.yaml"].read_text())["tests"][0]
    values = {e["expr"]: e["exp_samples"][0]["value"] for e in first["promql_expr_test"]}
    assert sorted(values.values()) == [0.02, 1]
    assert {c["alertname"]: bool(c["exp_alerts"]) for c in first["alert_rule_test"]} == {
        "VendorHighBlockRate": True,
        "KeeptrustsHighBlockRate": False,
    }


def test_rules_name_only_metrics_that_exist() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    used = set().union(*(named(rule["expr"]) for rule in RULES))
    assert used <= existing() | recorded
    assert {"keeptrusts_decisions_total", "up", "keeptrusts_operator_leader"} <= used


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_runbook(alert: str) -> None:
    for rule in (r for r in RULES if r.get("alert") == alert):
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{alert}.md"
    lines = (RUNBOOKS / f"{alert}.md").read_text().splitlines()
    assert lines[0] == f"# {alert}"
    assert [line for line in lines if line.startswith("## ")] == SECTIONS


def test_each_runbook_has_an_alert() -> None:
    assert sorted(p.stem for p in RUNBOOKS.glob("*.md") if p.stem != "README") == ALERTS
    index = (RUNBOOKS / "README.md").read_text()
    assert not [alert for alert in ALERTS if f"({alert}.md)" not in index]


def test_prometheus_rule_is_the_bare_file(helm: Helm) -> None:
    objects = helm.template("monitoring.rules.enabled=true")
    assert find(objects, "PrometheusRule", NAME)["spec"] == {"groups": GROUPS}


def test_prometheus_rule_can_be_fitted(helm: Helm) -> None:
    objects = helm.template(
        "monitoring.rules.enabled=true,monitoring.rules.disabled={KeeptrustsIngestionLag}",
        "monitoring.rules.labels.team=ai,monitoring.rules.labels.severity=page",
        "monitoring.rules.runbookBaseUrl=https://runbooks.example/",
    )
    rules = [r for g in find(objects, "PrometheusRule")["spec"]["groups"] for r in g["rules"]]
    alerts = [r for r in rules if "alert" in r]
    assert {r["alert"] for r in alerts} == set(ALERTS) - {"KeeptrustsIngestionLag"}
    assert len(rules) - len(alerts) == len([r for r in RULES if "record" in r])
    for rule in alerts:
        assert rule["labels"]["team"] == "ai"
        assert rule["labels"]["severity"] in ("warning", "critical"), "an alert's own labels stand"
        assert rule["annotations"]["runbook_url"] == f"https://runbooks.example/{rule['alert']}.md"
