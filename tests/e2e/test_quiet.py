"""What the operator writes: counted on the API server."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.objects import document, policy

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

OPERATOR = "system:serviceaccount:keeptrusts-system:keeptrusts-operator"
IDLE_SECONDS = 60


def writes_since(start: float) -> list[dict[str, Any]]:
    """The operator's writes in the API server's audit log; other tests' objects are gone by then or idle too."""
    world = os.environ.get("KEEPTRUSTS_WORLD")
    if not world:
        pytest.skip("the audit log is only at hand in our own world")
    log = Path(__file__).parents[2] / "build" / "cluster" / world / "log" / "audit.log"
    out = []
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        if entry["user"]["username"] == OPERATOR and _seconds(entry["requestReceivedTimestamp"]) >= start:
            out.append(entry)
    return out


def signal(cluster: Cluster, name: str) -> str:
    """The state of one health signal."""
    signals = cluster.status().get("health", {}).get("signals", [])
    return next((str(s["state"]) for s in signals if s["name"] == name), "")


def _seconds(stamp: str) -> float:
    from keeptrusts_operator.api.quantities import parse_time  # noqa: PLC0415

    return parse_time(stamp).timestamp()


def test_an_idle_gateway_causes_no_write_but_the_leases(serving: tuple[Cluster, str]) -> None:
    cluster, _ = serving
    cluster.wait(lambda: signal(cluster, "PodHealth") == "Ok", "it was bad while pods came up", 90)
    time.sleep(2)
    start = time.time()
    time.sleep(IDLE_SECONDS)
    writes = writes_since(start)
    assert [e for e in writes if e["objectRef"]["resource"] == "leases"], "the audit log tells nothing"
    mine = [e for e in writes if e["objectRef"].get("namespace") == cluster.namespace]
    assert json.dumps([(e["objectRef"]["resource"], e.get("requestObject")) for e in mine]) == "[]"


def test_a_whole_rollout_writes_nothing_of_the_users(serving: tuple[Cluster, str]) -> None:
    cluster, first = serving
    before = cluster.get("gwd", "gw")
    cluster.apply(policy(document("1.1.0")))
    cluster.wait_phase("Canary")
    assert cluster.stable() != first
    after = cluster.get("gwd", "gw")
    assert after["spec"] == before["spec"]
    assert after["metadata"].get("annotations") == before["metadata"].get("annotations")
    assert after["metadata"].get("labels") == before["metadata"].get("labels")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_probes_and_metrics() -> None:
    cluster = Cluster("keeptrusts-system")

    def ready() -> list[str]:
        pods = [p for p in cluster.items("pods") if "deletionTimestamp" not in p["metadata"]]
        return [p["status"]["podIP"] for p in pods if any(c["ready"] for c in p["status"].get("containerStatuses", []))]

    address = cluster.wait(ready, "the operator is ready")[0]

    def read(path: str) -> str:
        with urllib.request.urlopen(f"http://{address}:8080{path}", timeout=5) as answer:
            return str(answer.read().decode())

    assert read("/healthz") == read("/readyz") == "ok\n"
    assert "keeptrusts_operator_leader 1.0" in read("/metrics")
