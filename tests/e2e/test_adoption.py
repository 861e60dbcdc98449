"""A gateway that runs is adopted under traffic: nothing restarts, its next policy is a canary beside it, no request is lost."""

from __future__ import annotations

import copy
import time

import pytest
import yaml

from keeptrusts_operator.api import names
from keeptrusts_operator.api.profiles import KEEPTRUSTS
from tests.e2e.clients import lost, traffic
from tests.e2e.cluster import Cluster
from tests.e2e.objects import Obj, config_map, document, gateway, policy

pytestmark = pytest.mark.cluster

OLD = "old-gateway"
LABELS = {"app": OLD}
FILE = "policy-config.yaml"


def old_gateway() -> tuple[Obj, ...]:
    """As somebody had it before: a ConfigMap, a Deployment of two pods, and the Service that clients call."""
    container = copy.deepcopy(gateway()["spec"]["template"]["spec"]["containers"][0])
    path, port = KEEPTRUSTS.config_file, KEEPTRUSTS.port
    container |= {
        "args": [a.replace("$(CONFIG_FILE)", path).replace("$(PORT)", str(port)) for a in KEEPTRUSTS.args],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"httpGet": {"path": KEEPTRUSTS.health.readiness, "port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": path, "subPath": FILE}],
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
    }
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": "old-config"}}]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": OLD},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "gw"},
        "spec": {"selector": LABELS, "ports": [{"name": "http", "port": port, "targetPort": port}]},
    }
    return config_map(yaml.safe_dump(document()), "old-config", FILE), deployment, service


def adopting(*, paused: bool) -> Obj:
    out = gateway(service={"adopt": True}, adoptFrom={"deploymentRef": {"name": OLD}})
    out["spec"]["rollout"]["paused"] = paused
    return out


def pods(cluster: Cluster) -> dict[str, Obj]:
    """Those of the old Deployment, by UID."""
    found = cluster.items("pods", f"app={OLD}")
    return {p["metadata"]["uid"]: p for p in found if "deletionTimestamp" not in p["metadata"]}


def exposures(cluster: Cluster) -> set[str]:
    return {p["metadata"]["labels"].get(names.LABEL_EXPOSURE, "") for p in pods(cluster).values()}


def test_a_gateway_that_runs_is_adopted_and_followed(cluster: Cluster) -> None:
    cluster.apply(*old_gateway())
    cluster.kubectl("rollout", "status", f"deployment/{OLD}", "--timeout=60s")
    before = set(pods(cluster))
    with traffic(cluster) as clients:
        cluster.apply(policy(document("1.1.0")), adopting(paused=True))
        cluster.wait(lambda: cluster.status().get("activeRevision") == names.ADOPTED_REVISION, "it is adopted")
        cluster.wait(
            lambda: cluster.selector() in ("live", names.ADOPTED_REVISION), "the Service selects it by our labels"
        )
        cluster.wait(lambda: cluster.condition("Scrapeable").get("status") == "True", "its counters are read")
        assert cluster.condition("Available")["status"] == "True"
        assert cluster.condition("PassthroughAvailable")["status"] == "False"
        assert exposures(cluster) == {names.EXPOSURE_LIVE}
        cluster.kubectl("scale", "deployment", OLD, "--replicas=3")  # its owner goes on owning it
        cluster.wait(
            lambda: len(pods(cluster)) == 3 and exposures(cluster) == {names.EXPOSURE_LIVE}, "a new pod serves, too"
        )
        assert before < set(pods(cluster)), "nothing restarts"

        cluster.apply(adopting(paused=False))
        cluster.wait_phase("Canary")
        first = cluster.stable()
        assert first != names.ADOPTED_REVISION
        assert cluster.selector() == first
        cluster.wait(lambda: exposures(cluster) == {names.EXPOSURE_STANDBY}, "the old ones get no traffic")
        assert cluster.get("deployment", OLD)["spec"]["replicas"] == 3, "it is never scaled"
        time.sleep(3)  # clients that keep connections have moved
        cluster.kubectl("delete", "deployment", OLD)
        cluster.wait(lambda: not pods(cluster), "the old pods go")
        time.sleep(2)
    assert cluster.stable() == first
    answers = clients.answers
    assert len(answers) > 1000
    assert not lost(answers)
    assert {a.revision for a in answers[-50:]} == {first}


def test_a_first_revision_that_is_bad_goes_back_to_what_was_adopted(cluster: Cluster) -> None:
    cluster.apply(*old_gateway())
    cluster.kubectl("rollout", "status", f"deployment/{OLD}", "--timeout=60s")
    with traffic(cluster) as clients:
        cluster.apply(policy(document("1.1.0", description="mode=unhealthy-after:2s")), adopting(paused=False))
        cluster.wait(
            lambda: [h["outcome"] for h in cluster.status().get("history", [])] == ["RolledBack"], "it is taken back"
        )
        cluster.wait(lambda: cluster.status()["phase"] != "RollingBack", "nothing is left to do")
    assert cluster.status()["activeRevision"] == names.ADOPTED_REVISION
    assert cluster.selector() == names.ADOPTED_REVISION
    assert exposures(cluster) == {names.EXPOSURE_LIVE}
    assert not lost(clients.answers)
