"""The operator dies, at any moment, under traffic: no request is lost, and every change ends as if nothing had been.

40 clients send 100 requests a second through the Service, half of them on connections of their own that stay, half on a
new connection for each request. The stand-in answers by itself and goes on answering while it calls itself unhealthy:
200, or 409 for the prompts that are for blocking. So every other end of a request counts as lost, and none is the
gateway's fault: no answer (after one retry of a connection that ended before the first byte, as HTTP clients do), 5xx,
anything else. Not one is tolerated.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keeptrusts_operator.api import names
from tests.e2e.conftest import Cluster
from tests.e2e.objects import Obj, document, policy
from tests.traffic.answers import Answer
from tests.traffic.generator import Load, Traffic

pytestmark = pytest.mark.cluster
Serving = tuple[Cluster, str]
Say = Callable[[str], None]

SEED = os.environ.get("KEEPTRUSTS_SEED", "20")
KILLS = 10
RATE = 100.0
DECIDED = (200, 409)  # what the stand-in answers
GOOD, BAD = ("Promoted", ""), ("RolledBack", "mode=unhealthy-after:2s")


class Operator:
    """The operator's pods, and their processes as the world's pid namespace shows them."""

    def __init__(self) -> None:
        self.cluster = Cluster("keeptrusts-system")

    def holder(self) -> str:
        """Who holds the Lease: the name of a pod."""
        return str(self.cluster.get("lease", "keeptrusts-operator").get("spec", {}).get("holderIdentity", ""))

    def ready(self) -> dict[str, Obj]:
        """Pods that are ready and stay, by name."""
        pods = [p for p in self.cluster.items("pods") if "deletionTimestamp" not in p["metadata"]]
        return {p["metadata"]["name"]: p for p in pods if _is_ready(p)}

    def leader(self) -> Obj:
        """The pod that leads; empty while there is none that is ready."""
        return self.ready().get(self.holder(), {})

    def settle(self, replicas: int, without: frozenset[str] = frozenset()) -> None:
        """Wait until so many pods are ready, and one of them leads; none of them is one of `without`."""

        def settled() -> bool:
            ready = self.ready()
            return len(ready) == replicas and self.holder() in ready and not without & set(ready)

        self.cluster.wait(settled, f"{replicas} operators, one of which leads", 60)

    def scale(self, replicas: int) -> None:
        self.cluster.kubectl("scale", "deployment/keeptrusts-operator", f"--replicas={replicas}")
        self.settle(replicas)

    def renew(self) -> None:
        """Another pod, by a clean end of this one. The kubelet restarts a container at once only the first time, then
        after 10 s, 20 s and so on up to 5 min: in a new pod the next kill is a first one again. The clean end gives the
        Lease up; a pod with another name would have to wait 15 s for that of a pod that was removed by force."""
        old = frozenset(self.ready())
        self.cluster.kubectl("delete", "pods", "--all", "--wait=false")
        self.settle(1, without=old)


def _is_ready(pod: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def signalled(pod: Obj, number: signal.Signals) -> None:
    """Send a signal to the operator's process in a pod."""
    found = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _runs_operator(p, pod)]
    assert found, f"no operator runs in {pod['metadata']['name']}"
    for pid in found:
        os.kill(pid, number)


def _runs_operator(process: Path, pod: Obj) -> bool:
    with contextlib.suppress(OSError):
        ours = pod["metadata"]["uid"] in (process / "cgroup").read_text()
        return ours and b"keeptrusts_operator" in (process / "cmdline").read_bytes()
    return False


@pytest.fixture
def operator() -> Iterator[Operator]:
    """The operator, whose next kill is the first one of its container; left with a fresh one."""
    if not os.environ.get("KEEPTRUSTS_WORLD"):
        pytest.skip("the operator's processes are only at hand in our own world")
    operator = Operator()
    operator.renew()
    yield operator
    operator.renew()


@pytest.fixture
def two(operator: Operator) -> Iterator[Operator]:
    """A leader and a standby."""
    try:
        operator.scale(2)
        yield operator
    finally:
        operator.scale(1)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print at once, whether the test passes or not."""

    def out(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    return out


@contextlib.contextmanager
def traffic(cluster: Cluster) -> Iterator[Traffic]:
    """Clients that ask through the Service, in a thread of their own."""
    address = cluster.get("service", "gw")["spec"]["clusterIP"]
    clients = Traffic(Load(address, 41002, rate=RATE, pooled_share=0.5))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    loop.call_soon_threadsafe(clients.start)
    try:
        yield clients
    finally:
        asyncio.run_coroutine_threadsafe(clients.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def lost(answers: list[Answer]) -> list[Answer]:
    return [a for a in answers if a.status not in DECIDED]


def summary(answers: list[Answer]) -> str:
    """In numbers; requests that were sent once more because their connection had ended are not lost."""
    new = sum(a.retried for a in answers if a.client >= 20)
    kept = sum(a.retried for a in answers if a.client < 20)
    slowest = max(a.done - a.sent for a in answers)
    return (
        f"{len(answers)} requests, {len(lost(answers))} lost; sent again: {kept} on kept, {new} on new connections; "
        f"slowest {slowest:.2f} s"
    )


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
