"""The life of a change, seen with kubectl."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

import pytest
import yaml

from tests.e2e.cluster import Cluster
from tests.e2e.objects import config_map, document, gateway, policy

pytestmark = pytest.mark.cluster
Serving = tuple[Cluster, str]


def ask(cluster: Cluster) -> int:
    """HTTP status of one harmless chat request through the Service."""
    address = cluster.get("service", "gw")["spec"]["clusterIP"]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
    request = urllib.request.Request(f"http://{address}:41002/v1/chat/completions", body, {"connection": "close"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_good_change_is_exposed_step_by_step_and_promoted(serving: Serving) -> None:
    cluster, first = serving
    cluster.apply(policy(document("1.1.0", term="project falcon")))
    cluster.wait_phase("Canary")
    assert cluster.selector() == "live"
    assert cluster.status()["rollout"]["step"]["realWeight"] == "33.3%"
    cluster.wait_phase("Soaking")
    assert cluster.selector() == cluster.status()["candidateRevision"]
    assert len(cluster.pods(first)) == 2
    second = cluster.stable()
    assert second != first
    assert cluster.selector() == second
    cluster.wait(lambda: not cluster.pods(first), "the old pods go")
    assert [h["outcome"] for h in cluster.status()["history"]] == ["Promoted", "Promoted"]
    assert ask(cluster) == 200
    used = [{"name": "gw", "revision": second, "state": "Active"}]
    cluster.wait(lambda: cluster.get("gwp", "support")["status"]["usedBy"] == used, "the policy says where it is used")


def test_a_refused_document_changes_nothing_that_serves(serving: Serving) -> None:
    cluster, first = serving
    bad = document("1.2.0")
    bad["policy"]["dlp-filter"]["action"] = "blok"
    cluster.apply(policy(bad))
    cluster.wait_phase("Rejected")
    accepted = cluster.condition("Accepted")
    assert accepted["status"] == "False"
    assert "policy.dlp-filter.action" in accepted["message"]
    assert 'Did you mean "block"' in accepted["message"]
    assert cluster.condition("Available")["status"] == "True"
    cluster.wait(lambda: cluster.condition("Accepted", "gwp", "support")["status"] == "False", "the policy says so too")
    assert cluster.get("gwp", "support")["status"]["findings"][0]["path"] == "policy.dlp-filter.action"
    assert cluster.selector() == first


def test_a_crashing_candidate_never_gets_traffic(serving: Serving) -> None:
    cluster, first = serving
    cluster.apply(policy(document("1.3.0", description="mode=crash")))
    status = cluster.wait_phase("Rejected", 60)
    assert status["quarantined"][-1]["outcome"] == "Rejected"
    assert "policy engine panicked" in status["message"]
    assert cluster.selector() == first
    cluster.wait(lambda: not cluster.pods(status["desiredRevision"]), "its pods go")
    assert cluster.condition("Stalled")["status"] == "True"


def test_an_unhealthy_candidate_is_rolled_back_and_stays_away(serving: Serving) -> None:
    cluster, first = serving
    patient = {"steps": [{"weight": "33%", "minDuration": "60s"}], "soak": {"duration": "2s"}, "drainSeconds": 1}
    cluster.apply(gateway(rollout=patient), policy(document("1.4.0", description="mode=unhealthy-after:1s")))
    cluster.wait_phase("Canary")

    def rolled_back() -> bool:
        assert ask(cluster) == 200
        return bool(cluster.status()["phase"] == "RolledBack")

    cluster.wait(rolled_back, "the rollback")
    status = cluster.status()
    assert cluster.selector() == first
    assert status["rollback"]["reason"] in ("GatewayUnhealthy", "ReadinessLost")
    assert status["rollback"]["issuedAt"] >= status["rollback"]["detectedAt"]
    notes = cluster.get("service", "gw")["metadata"]["annotations"]
    assert notes["gateway.keeptrusts.com/tripped-revision"] == status["desiredRevision"]
    cluster.wait(lambda: not cluster.pods(status["desiredRevision"]), "its pods go")
    time.sleep(3)
    assert cluster.status()["phase"] == "RolledBack"
    assert "RolledBack" in cluster.kubectl("get", "events")


def test_a_newer_spec_supersedes_a_canary(serving: Serving) -> None:
    cluster, first = serving
    cluster.apply(policy(document("1.5.0")))
    cluster.wait_phase("Canary")
    old = cluster.status()["candidateRevision"]
    cluster.apply(policy(document("1.6.0")))
    newest = cluster.stable()
    assert newest not in (first, old)
    assert [h["outcome"] for h in cluster.status()["history"]] == ["Promoted", "Superseded", "Promoted"]


def test_pause_holds_and_resumes(serving: Serving) -> None:
    cluster, first = serving
    cluster.apply(policy(document("1.7.0")))
    cluster.wait_phase("Canary")
    cluster.kubectl("patch", "gwd", "gw", "--type=merge", "-p", '{"spec":{"rollout":{"paused":true}}}')
    cluster.wait_phase("Held")
    assert cluster.status()["rollout"]["held"]["reason"] == "Paused"
    time.sleep(3)
    assert cluster.selector() == "live"
    cluster.kubectl("patch", "gwd", "gw", "--type=merge", "-p", '{"spec":{"rollout":{"paused":false}}}')
    assert cluster.stable() != first


def test_replicas_restart_nothing(serving: Serving) -> None:
    cluster, first = serving
    before = {p["metadata"]["uid"] for p in cluster.pods(first)}
    cluster.kubectl("scale", "gwd/gw", "--replicas=3")
    cluster.wait(lambda: cluster.status().get("readyReplicas") == 3, "three ready pods")
    assert cluster.stable() == first
    assert before < {p["metadata"]["uid"] for p in cluster.pods(first)}


def test_moving_a_document_into_a_config_map_changes_nothing_and_its_edit_does(serving: Serving) -> None:
    cluster, first = serving
    source = {"configMapKeyRef": {"name": "source"}}
    cluster.apply(config_map("# a comment\n" + yaml.safe_dump(document())))
    cluster.kubectl(
        "patch", "gwp", "support", "--type=merge", "-p", json.dumps({"spec": {"config": None, "configFrom": source}})
    )
    time.sleep(2)
    assert cluster.stable() == first
    cluster.apply(config_map(yaml.safe_dump(document("2.0.0"))))
    cluster.wait(lambda: cluster.status().get("desiredRevision") != first, "the edit is noticed", 25)
    assert cluster.stable() != first


def test_the_operator_dies_in_mid_canary(serving: Serving) -> None:
    cluster, _ = serving
    cluster.apply(policy(document("1.8.0")))
    cluster.wait_phase("Canary")
    candidate = cluster.status()["candidateRevision"]
    cluster.kubectl("-n", "keeptrusts-system", "delete", "pod", "--all", "--grace-period=0", "--force")
    assert cluster.wait(lambda: cluster.status().get("activeRevision") == candidate, "the rollout ends", 90)
    assert cluster.selector() == candidate


def test_deletion_takes_the_children_with_it(serving: Serving) -> None:
    cluster, _ = serving
    cluster.kubectl("delete", "gwd", "gw", "--timeout=20s")
    kinds = "deployments,services,configmaps,pods"
    label = "gateway.keeptrusts.com/deployment=gw"
    cluster.wait(lambda: not cluster.items(kinds, label), "children are gone", 30)


def test_one_that_is_created_again_at_once_begins_with_pods_of_its_own(serving: Serving) -> None:
    cluster, first = serving
    before = {p["metadata"]["uid"] for p in cluster.pods(first)}
    cluster.kubectl("replace", "--force", "--grace-period=0", "-f", "-", stdin=json.dumps(gateway()))
    assert cluster.stable(60) == first
    after = {p["metadata"]["uid"] for p in cluster.pods(first)}
    assert len(after) == 2
    assert not after & before
    assert cluster.condition("Ready")["status"] == "True"
    assert ask(cluster) == 200
    time.sleep(3)
    assert {p["metadata"]["uid"] for p in cluster.pods(first)} == after, "and they stay"


def test_orphaned_gateways_go_on(serving: Serving) -> None:
    cluster, first = serving
    cluster.kubectl("delete", "gwd", "gw", "--cascade=orphan", "--timeout=20s")
    time.sleep(3)
    assert len(cluster.pods(first)) == 2
    assert ask(cluster) == 200
