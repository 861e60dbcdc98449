"""Bad input: a condition with a sentence and the next step, while what serves goes on serving."""

from __future__ import annotations

import json

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.objects import config_map, document, gateway, policy

pytestmark = pytest.mark.cluster
Serving = tuple[Cluster, str]


def still_serves(cluster: Cluster, revision: str) -> None:
    assert cluster.selector() == revision
    assert cluster.condition("Available")["status"] == "True"
    assert len(cluster.pods(revision)) == 2


def accepted(cluster: Cluster, reason: str) -> str:
    """Wait for a reason of the condition Accepted; gives its message."""
    cluster.wait(lambda: cluster.condition("Accepted").get("reason") == reason, f"Accepted has reason {reason}")
    return str(cluster.condition("Accepted")["message"])


def test_a_config_map_that_is_missing_then_without_the_key_then_there(serving: Serving) -> None:
    cluster, first = serving
    source = {"configMapKeyRef": {"name": "source", "key": "wanted.yaml"}}
    cluster.kubectl(
        "patch", "gwp", "support", "--type=merge", "-p", json.dumps({"spec": {"config": None, "configFrom": source}})
    )
    assert "ConfigMap source of the policy does not exist; create it" in accepted(cluster, "SourceNotFound")
    assert cluster.condition("Accepted")["status"] == "Unknown"
    cluster.apply(config_map("x", key="other.yaml"))
    cluster.wait(
        lambda: "has no key wanted.yaml (it has: other.yaml)" in cluster.condition("Accepted")["message"],
        "the key is named",
        25,
    )
    still_serves(cluster, first)
    cluster.apply(config_map("pack: [", key="wanted.yaml"))
    assert "K101" in accepted(cluster, "PolicyInvalid")
    still_serves(cluster, first)


def test_a_pod_template_that_the_api_refuses(serving: Serving) -> None:
    cluster, first = serving
    broken = gateway()
    broken["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"memory": "lots"}}
    cluster.apply(broken)
    assert "the API server refuses the pod template" in accepted(cluster, "TemplateRefused")
    still_serves(cluster, first)
    cluster.apply(gateway())
    assert cluster.stable() == first


def test_a_policy_that_is_deleted_while_in_use(serving: Serving) -> None:
    cluster, first = serving
    cluster.kubectl("delete", "gwp", "support")
    assert "GatewayPolicy support does not exist; create it" in accepted(cluster, "PolicyNotFound")
    still_serves(cluster, first)
    cluster.apply(policy())
    assert cluster.stable() == first


def test_a_service_name_that_is_taken(cluster: Cluster) -> None:
    taken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gw"}, "spec": {"ports": [{"port": 80}]}}
    cluster.apply(taken, policy(), gateway())
    cluster.wait(lambda: cluster.condition("Stalled").get("reason") == "ServiceConflict", "the conflict is named")
    assert "spec.service.adopt" in cluster.condition("Stalled")["message"]
    assert cluster.get("service", "gw")["spec"]["ports"][0]["port"] == 80
    assert not cluster.items("deployments")
    cluster.kubectl("delete", "service", "gw")
    cluster.kubectl("annotate", "gwd", "gw", "look=again")
    assert cluster.selector() or cluster.stable()
    assert cluster.stable() == cluster.selector()


def test_a_hand_edited_deployment_is_put_back(serving: Serving) -> None:
    cluster, first = serving
    cluster.kubectl("set", "env", f"deployment/gw-{first}", "STANDIN_LATENCY=9s")

    def put_back() -> bool:
        template = cluster.get("deployment", f"gw-{first}")["spec"]["template"]
        return "STANDIN_LATENCY" not in json.dumps(template)

    cluster.wait(put_back, "the template is as it was")
    cluster.wait(lambda: len(cluster.pods(first)) == 2, "two pods")
    assert cluster.stable() == first


def test_a_restart_by_hand_is_no_drift(serving: Serving) -> None:
    cluster, first = serving
    before = {p["metadata"]["uid"] for p in cluster.pods(first)}
    cluster.kubectl("rollout", "restart", f"deployment/gw-{first}")
    cluster.kubectl("rollout", "status", f"deployment/gw-{first}", "--timeout=40s")
    cluster.wait(lambda: len(cluster.pods(first)) == 2, "two pods")
    assert not before & {p["metadata"]["uid"] for p in cluster.pods(first)}
    assert cluster.stable() == first


@pytest.mark.parametrize("kind", ["deployment", "configmap"])
def test_a_hand_deleted_child_comes_back(serving: Serving, kind: str) -> None:
    cluster, first = serving
    uid = cluster.get(kind, f"gw-{first}")["metadata"]["uid"]
    cluster.kubectl("delete", kind, f"gw-{first}", "--wait=true")
    cluster.wait(lambda: cluster.get(kind, f"gw-{first}").get("metadata", {}).get("uid", uid) != uid, f"a new {kind}")
    cluster.wait(lambda: cluster.status().get("readyReplicas") == 2, "two ready pods")
    assert cluster.stable() == first


def test_a_hand_edited_selector_is_put_back(serving: Serving) -> None:
    cluster, first = serving
    patch = {"spec": {"selector": {"app": "nothing"}}}
    cluster.kubectl("patch", "service", "gw", "--type=merge", "-p", json.dumps(patch))
    cluster.wait(
        lambda: cluster.get("service", "gw")["spec"]["selector"].get("app") is None, "the selector is put back"
    )
    assert cluster.selector() == first


def test_an_image_that_cannot_be_pulled_is_named_and_held(serving: Serving) -> None:
    cluster, first = serving
    broken = gateway()
    broken["spec"]["template"]["spec"]["containers"][0]["image"] = "localhost/no-such-image:1"
    broken["spec"]["rollout"]["progressDeadline"] = "5s"
    cluster.apply(broken)
    cluster.wait(lambda: cluster.condition("Stalled").get("reason") == "ProgressDeadlineExceeded", "it is held")
    assert "no-such-image" in cluster.condition("Stalled")["message"]
    still_serves(cluster, first)
    cluster.apply(gateway())
    assert cluster.stable() == first


def test_a_document_of_the_wrong_shape_names_the_right_one(cluster: Cluster) -> None:
    legacy = {"version": "1", "policies": [{"name": "a", "type": "pii", "action": "block"}]}
    cluster.apply(policy(legacy), gateway())
    assert "chain" in accepted(cluster, "PolicyInvalid")
    assert cluster.condition("Available")["status"] == "False"
    cluster.apply(policy(document()))
    assert cluster.stable()
