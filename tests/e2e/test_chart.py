"""The operator as the Helm chart installs it: its Deployment, its rights, its upgrade and its end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster.world import World
from tests.e2e import chart, clients, name_server
from tests.e2e.chart import CHART, NAME, NAMESPACE, RELEASE, Release
from tests.e2e.cluster import Cluster
from tests.e2e.objects import document, gateway, policy
from tests.e2e.test_life import ask
from tests.tools.needed import tool

SLOW = {"steps": [{"weight": "33%", "minDuration": "600s"}], "soak": {"duration": "2s"}, "drainSeconds": 1}
COMBINATIONS = {
    "default": (),
    "namespaced": (
        "watch.namespaces={HERE}",
        "rbac.secrets[0].namespace=HERE",
        "rbac.secrets[0].names={token}",
        "replicas=1",
    ),
    "graphs-and-open-gateways": (
        "monitoring.dashboards.enabled=true,monitoring.dashboards.namespace=HERE",
        "gateways.networkPolicy.namespaces={HERE}",
        "gateways.networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b",
    ),
    "dressed": (
        "fullnameOverride=other,commonLabels.team=platform,podLabels.a=b,podAnnotations.c=d",
        "image.pullSecrets[0].name=x,image.digest=sha256:" + "0" * 64,
        "extraEnv[0].name=A,extraEnv[0].value=B,extraArgs={--allow-host=control.example.com}",
        "priorityClassName=system-cluster-critical,nodeSelector.a=b,tolerations[0].operator=Exists",
        "serviceAccount.annotations.e=f,networkPolicy.dnsPorts={5353},admission.stamps=Off,crds.keep=false",
    ),
}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """The chart instead of the operator that other tests use. Each test says which version it wants."""
    if not os.environ.get("KEEPTRUSTS_WORLD"):
        pytest.skip("the operator is replaced only in our own world")
    release = chart.begin(tool("helm3"), tmp_path_factory.mktemp("helm"))
    try:
        yield release
    finally:
        chart.end(release)


@pytest.mark.apiserver
@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_the_server_takes_what_helm_renders(cluster: Cluster, helm: str, name: str) -> None:
    values = [flag.replace("HERE", cluster.namespace) for flag in COMBINATIONS[name]]
    flags = [part for value in values for part in ("--set", value)]
    command = [tool(helm), "template", RELEASE, str(CHART), "--namespace", cluster.namespace, *flags]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    wanted = [o for o in yaml.safe_load_all(rendered) if o]
    flags = ["--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"]
    taken = cluster.kubectl("apply", *flags, "-f", "-", stdin=rendered)
    assert len(wanted) == len(taken.splitlines()) > 10


@pytest.mark.cluster
@pytest.mark.alone
def test_an_upgrade_in_mid_rollout_restarts_nothing_and_the_new_version_goes_on(
    cluster: Cluster, release: Release
) -> None:
    release.be_previous()
    cluster.apply(policy(), gateway(rollout=SLOW))
    first = cluster.stable()
    cluster.apply(policy(document("1.1.0", term="project falcon")))
    before = cluster.wait_phase("Canary")
    second, leader = before["candidateRevision"], release.leader()
    pods = running(cluster)
    assert len(pods) == 3
    period = "jsonpath={.items[*].spec.containers[0].readinessProbe.periodSeconds}"
    assert set(cluster.kubectl("get", "pods", "-o", period).split()) == {"3"}, "the previous version renders otherwise"
    release.be_current()
    seen = f'keeptrusts_operator_gateway_ready_pods{{name="gw",namespace="{cluster.namespace}"}}'
    cluster.wait(lambda: release.leader() != leader and seen in release.metrics(), "the new leader looks at it")
    time.sleep(2)  # for what it might do
    assert running(cluster) == pods, "nothing restarted"
    assert cluster.status()["phase"] == "Canary"
    assert cluster.status()["rollout"]["startedAt"] == before["rollout"]["startedAt"], "it did not begin again"
    cluster.apply(gateway())  # the step is over by now
    assert cluster.stable() == second
    assert [(h["revision"], h["outcome"]) for h in cluster.status()["history"]] == [
        (first, "Promoted"),
        (second, "Promoted"),
    ]
    assert pods.keys() & running(cluster).keys(), "the candidate's first pod serves on"
    a_bad_change_is_taken_back(cluster, release)


def running(cluster: Cluster) -> dict[str, int]:
    """Restarts of each gateway pod that stays, by its UID."""
    pods = [p for p in cluster.items("pods") if "deletionTimestamp" not in p["metadata"]]
    return {p["metadata"]["uid"]: sum(c["restartCount"] for c in p["status"]["containerStatuses"]) for p in pods}


@pytest.mark.cluster
@pytest.mark.alone
def test_helm_test_says_who_leads(release: Release) -> None:
    release.be_current()
    folder = World(os.environ["KEEPTRUSTS_WORLD"]).folder
    service = f"{NAME}-metrics.{NAMESPACE}.svc"

    def addresses(name: str) -> list[str]:
        if name != service:
            return []
        slices = release.cluster.items("endpointslices", f"kubernetes.io/service-name={NAME}-metrics")
        return [a for s in slices for e in s["endpoints"] or () if e["conditions"]["ready"] for a in e["addresses"]]

    with name_server.serving(folder / "run" / "resolv.conf", addresses):
        assert "Phase:          Succeeded" in release.done("test", RELEASE, "--timeout=60s")


@pytest.mark.cluster
@pytest.mark.alone
def test_rights_in_one_namespace_suffice_for_a_rollout_and_a_rollback(cluster: Cluster, release: Release) -> None:
    release.be_current(f"watch.namespaces={{{cluster.namespace}}}")
    cluster.apply(policy(), gateway())
    first = cluster.stable()
    cluster.apply(policy(document("1.1.0", term="project falcon")))
    second = cluster.stable()
    assert cluster.selector() == second != first
    used_by = [{"name": "gw", "revision": second, "state": "Active"}]
    cluster.wait(lambda: cluster.get("gwp", "support")["status"]["usedBy"] == used_by, "the policy says who uses it")
    a_bad_change_is_taken_back(cluster, release)


def a_bad_change_is_taken_back(cluster: Cluster, release: Release) -> None:
    """With its incident, and by what the chart allows the operator: nothing was forbidden since its pods began."""
    serving = cluster.selector()
    cluster.apply(gateway(rollout=SLOW), policy(document("1.2.0", description="mode=unhealthy-after:1s")))

    def rolled_back() -> bool:
        assert ask(cluster) == 200
        return bool(cluster.status()["phase"] == "RolledBack")

    cluster.wait(rolled_back, "the rollback")
    assert cluster.selector() == cluster.status()["activeRevision"] == serving
    cluster.wait(lambda: cluster.items("gwi"), "the incident")
    assert "forbidden" not in release.logs().lower()


@pytest.mark.cluster
@pytest.mark.alone
def test_gateways_outlive_an_uninstall_and_can_be_deleted(cluster: Cluster, release: Release) -> None:
    release.be_current()
    cluster.apply(policy(), gateway(), gateway("other"))
    first = cluster.stable()
    pods = running(cluster)
    with clients.traffic(cluster) as traffic:
        release.uninstall()
    assert not clients.lost(traffic.answers), clients.summary(traffic.answers)
    assert not release.pods()
    assert ask(cluster) == 200
    assert running(cluster) == pods
    assert cluster.selector() == first
    cluster.kubectl("delete", "gwd", "gw", "--timeout=20s")
    label = "gateway.keeptrusts.com/deployment=gw"
    cluster.wait(lambda: not cluster.items("deployments,services,configmaps,pods", label), "its children are gone", 30)
    cluster.kubectl("delete", "namespace", cluster.namespace, "--timeout=60s")  # with `other` in it
    cluster.kubectl("create", "namespace", cluster.namespace)  # for the fixture to delete
