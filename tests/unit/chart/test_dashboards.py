"""Dashboards: every query parses and names only metrics that exist; the chart ships them as they are."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.unit.chart.metric_names import existing, named
from tests.unit.chart.render import CHART, NAME, Helm, find

FILES = sorted((CHART / "dashboards").glob("*.json"))
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h"}
SIGNALS = {"PodHealth", "BlockRate", "LatencyP99", "ProviderErrors", "EscalationBacklog", "IngestionLag"}


def dashboards() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in FILES:
        yield path.name, json.loads(path.read_text())


def expressions(node: Any) -> Iterator[str]:
    """Every PromQL expression, as Prometheus would get it."""
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            text = node["expr"]
            for variable, value in VARIABLES.items():
                text = text.replace(variable, value)
            yield re.sub(r"\$\w+", ".*", text)
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def test_every_query_parses(promtool: str, tmp_path: Path) -> None:
    for name, dashboard in dashboards():
        queries = list(expressions(dashboard))
        assert len(queries) > 20
        rules = [{"record": f"query:{i}", "expr": text} for i, text in enumerate(queries)]
        file = tmp_path / f"{name}.rules.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
        command = [promtool, "check", "rules", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_queries_name_only_metrics_that_exist() -> None:
    for _, dashboard in dashboards():
        variables = [v["definition"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
        sources = [*expressions(dashboard), *(re.sub(r"label_values\((.*), \w+\)", r"\1", v) for v in variables)]
        used = set().union(*(named(text) for text in sources))
        assert used <= existing()
        assert len(used) > 15


def test_it_shows_what_it_should() -> None:
    text = "\n".join(text for _, dashboard in dashboards() for text in expressions(dashboard))
    for metric in ("breaker_block_rate_ratio", "breaker_limit_ratio", "breaker_evidence_log10", "passthrough_active"):
        assert f"keeptrusts_operator_{metric}" in text
    assert set(re.findall(r'signal_value\{[^}]*signal="(\w+)"', text)) == SIGNALS


def test_panels_are_whole() -> None:
    for _, dashboard in dashboards():
        panels = dashboard["panels"]
        assert max(Counter(p["id"] for p in panels).values()) == 1
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not taken & cells, f"{panel['title']} lies over another panel"
            assert at["x"] + at["w"] <= 24
            taken |= cells
            if panel["type"] != "row":
                assert panel["description"]
                assert panel["datasource"]["uid"] == "${datasource}"


def test_config_map_has_them_as_they_are(helm: Helm) -> None:
    assert not [o for o in helm.template() if o["kind"] == "ConfigMap"]
    objects = helm.template("monitoring.dashboards.enabled=true,monitoring.dashboards.namespace=grafana")
    config_map = find(objects, "ConfigMap", f"{NAME}-dashboards")
    assert config_map["metadata"]["namespace"] == "grafana"
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {k: json.loads(v) for k, v in config_map["data"].items()} == dict(dashboards())
