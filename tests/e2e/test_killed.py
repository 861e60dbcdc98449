"""The operator dies, at any moment, under traffic: no request is lost, and every change ends as if nothing had been.

40 clients send 100 requests a second through the Service, half of them on connections of their own that stay, half on a
new connection for each request. The stand-in answers by itself and goes on answering while it calls itself unhealthy:
200, or 409 for the prompts that are for blocking. So every other end of a request counts as lost, and none is the
gateway's fault: no answer (after one retry of a connection that ended before the first byte, as HTTP clients do), 5xx,
anything else. Not one is tolerated.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

import pytest

from keeptrusts_operator.api import names
from tests.e2e.clients import lost, summary, traffic
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Say
from tests.e2e.leader import Operator, signalled
from tests.e2e.objects import Obj, document, policy

pytestmark = [pytest.mark.cluster, pytest.mark.alone]
Serving = tuple[Cluster, str]

SEED = os.environ.get("KEEPTRUSTS_SEED", "20")
KILLS = 10
GOOD, BAD = ("Promoted", ""), ("RolledBack", "mode=unhealthy-after:2s")


def seen(cluster: Cluster) -> Obj:
    """Everything that must be the same after every change, with versions in place of revisions."""
    found: dict[str, list[Obj]] = {}
    for item in cluster.items("gwd,service,deployments,pods,gwi"):
        found.setdefault(item["kind"], []).append(item)
    status = found["GatewayDeployment"][0].get("status", {})
    version = {h["revision"]: h["pack"]["version"] for h in status.get("history", ())}

    def of(revision: str) -> str:
        return str(version.get(revision, revision))

    def label(obj: Obj) -> str:
        return of(obj["metadata"]["labels"][names.LABEL_REVISION])

    (service,) = found["Service"]
    pods = [label(p) for p in found.get("Pod", ())]
    return {
        "phase": status.get("phase"),
        "active": of(status.get("activeRevision", "")),
        "last good": of(status.get("lastGoodRevision", "")),
        "wanted": of(status.get("desiredRevision", "")),
        "rollout": status.get("rollout"),
        "service": {k: of(v) for k, v in service["spec"]["selector"].items() if k != names.LABEL_DEPLOYMENT},
        "replicas": {label(d): d["spec"]["replicas"] for d in found["Deployment"] if d["spec"]["replicas"]},
        "pods": {v: pods.count(v) for v in pods},
        "ready": status.get("readyReplicas"),
        "history": [(of(h["revision"]), h["outcome"]) for h in status.get("history", ())],
        "quarantined": [(of(q["revision"]), q["outcome"]) for q in status.get("quarantined", ())],
        "incidents": sorted(of(i.get("status", {}).get("revision", "")) for i in found.get("GatewayIncident", ())),
    }


def wanted(versions: list[str], outcome: str) -> Obj:
    """What `seen` must give when the first version served and all that followed had the same outcome."""
    good = outcome == "Promoted"
    active = versions[-1] if good else versions[0]
    bad = [] if good else versions[1:]
    return {
        "phase": "Stable" if good else "RolledBack",
        "active": active,
        "last good": active,
        "wanted": versions[-1],
        "rollout": None,
        "service": {names.LABEL_REVISION: active},
        "replicas": {active: 2},
        "pods": {active: 2},
        "ready": 2,
        "history": [(versions[0], "Promoted"), *((v, outcome) for v in versions[1:])],
        "quarantined": [(v, outcome) for v in bad],
        "incidents": sorted(bad),
    }


def ended(cluster: Cluster, end: Obj) -> None:
    """Wait for the end of a change."""
    with contextlib.suppress(AssertionError):
        cluster.wait(lambda: seen(cluster) == end, "the end of the change", 60)
    assert seen(cluster) == end


@pytest.mark.parametrize(("outcome", "description"), [GOOD, BAD], ids=["promotion", "rollback"])
def test_killed_at_ten_random_moments(
    serving: Serving, operator: Operator, say: Say, outcome: str, description: str
) -> None:
    """One kill in each of ten changes in a row: one in each tenth of the time that a change takes without any."""
    cluster, _ = serving
    dice = random.Random(f"{SEED} {outcome}")
    versions = ["1.0.0"]
    say(f"\n{outcome}, seed {SEED}")
    with traffic(cluster) as clients:

        def change(kill_after: float | None) -> float:
            """Seconds from the change to its end."""
            versions.append(f"2.{len(versions)}.0")
            leader, began, first = operator.leader(), time.monotonic(), len(clients.answers)
            cluster.apply(policy(document(versions[-1], description=description)))
            phase = ""
            if kill_after is not None:
                time.sleep(max(0.0, began + kill_after - time.monotonic()))
                signalled(leader, signal.SIGKILL)
                phase = f"killed after {kill_after:.1f} s in {cluster.status()['phase']}, "
            ended(cluster, wanted(versions, outcome))
            took = time.monotonic() - began
            say(f"{versions[-1]}: {phase}ended after {took:.1f} s; {summary(clients.answers[first:])}")
            return took

        span = change(None)
        for number in dice.sample(range(KILLS), KILLS):
            change(span * (number + dice.random()) / KILLS)
            operator.cluster.wait(lambda: [restarts(p) for p in operator.ready().values()] == [1], "its restart")
            operator.renew()
        time.sleep(2)
        ended(cluster, wanted(versions, outcome))
    say(summary(clients.answers))
    assert not lost(clients.answers)


def restarts(pod: Obj) -> int:
    return sum(c["restartCount"] for c in pod["status"]["containerStatuses"])


@pytest.mark.parametrize(("outcome", "description"), [GOOD, BAD], ids=["promotion", "rollback"])
def test_the_leader_dies_in_mid_canary_and_another_replica_takes_over(
    serving: Serving, two: Operator, say: Say, outcome: str, description: str
) -> None:
    cluster, _ = serving
    with traffic(cluster) as clients:
        time.sleep(1)
        cluster.apply(policy(document("2.0.0", description=description)))
        cluster.wait_phase("Canary")
        dead, died = two.leader(), time.monotonic()
        name = dead["metadata"]["name"]
        signalled(dead, signal.SIGSTOP)  # dead from now on, but not restarted before its pod is removed
        two.cluster.kubectl("delete", "pod", name, "--grace-period=0", "--force")
        signalled(dead, signal.SIGKILL)
        assert cluster.status()["phase"] == "Canary"
        two.cluster.wait(lambda: two.holder() not in (name, ""), "another replica takes over", 40)
        took_over = time.monotonic() - died
        ended(cluster, wanted(["1.0.0", "2.0.0"], outcome))
        took = time.monotonic() - died
    say(f"\n{outcome}: taken over after {took_over:.1f} s, ended after {took:.1f} s; {summary(clients.answers)}")
    assert not lost(clients.answers)
