"""The circuit breaker on a real cluster: 100 requests a second, 2 % of which every policy blocks; a policy that is too
broad blocks 45 %. A third of the connections goes to the candidate.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from typing import Any

import pytest

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.core import breaker_words
from keeptrusts_operator.core.breaker import Settings, Slice, Verdict, Watch
from tests.e2e.clients import lost, summary, traffic
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Say
from tests.e2e.leader import Operator, signalled
from tests.e2e.objects import Obj, document, gateway, policy
from tests.traffic.generator import BROAD_TERM

pytestmark = pytest.mark.cluster

NEAR = 0.43  # of the prompts are blocked by a policy that is too broad, beside the 2 % that all block
HISTORY = 5.0  # seconds of traffic before a change


def judged(cluster: Cluster, **breaker: Any) -> str:
    """A gateway that serves its first revision, whose changes are judged; gives that revision."""
    cluster.apply(policy(), gateway(circuitBreaker=breaker))
    first = cluster.stable()
    address = (cluster.get("service", "gw")["spec"]["clusterIP"], 41002)
    cluster.wait(lambda: answers(address), "the node has heard of the Service")
    return first


def answers(address: tuple[str, int]) -> bool:
    """Whether a connection can be made."""
    with contextlib.suppress(OSError), socket.create_connection(address, 1):
        return True
    return False


def change(cluster: Cluster, description: str = "", *, broad: bool = False) -> None:
    """Another policy, which is too broad or good."""
    terms = {"term": BROAD_TERM} if broad else {}
    cluster.apply(policy(document("2.0.0", description=description, **terms)))


def assert_same_but_for_rounding(replay: str, said: str) -> None:
    """Evidence is kept to four digits of its logarithm, and said to the last whole number."""
    number = re.compile(r"[0-9][0-9,.]*")
    assert number.sub("#", replay) == number.sub("#", said)
    replayed_numbers, numbers = (
        [float(n.strip(",.").replace(",", "")) for n in number.findall(t)] for t in (replay, said)
    )
    assert replayed_numbers == pytest.approx(numbers, rel=0.001, abs=0.11)


def replayed(evidence: Obj) -> Watch:
    """The watch that the slices of an incident lead to, from the checkpoint before them."""
    settings = Settings.of(CircuitBreaker(), 0.0, 0.0, float(evidence.get("noise", 0.0)))
    watch = breaker_words.from_dict(evidence["before"], settings)
    for numbers in evidence["slices"]:
        watch = watch.step(Slice(*numbers))
    return watch


def test_a_policy_that_is_too_broad_is_rolled_back_with_its_evidence(cluster: Cluster, say: Say) -> None:
    first = judged(cluster)
    with traffic(cluster, NEAR) as clients:
        time.sleep(HISTORY)
        change(cluster, broad=True)
        status = cluster.wait_phase("RolledBack")
        bad = status["desiredRevision"]
        cluster.wait(lambda: not cluster.pods(bad), "its pods go")
        time.sleep(1)
        assert cluster.selector() == first
        assert cluster.status()["phase"] == "RolledBack"
    rollback = status["rollback"]
    assert rollback["reason"] == "BlockRate"
    assert rollback["message"].startswith("canary blocked ")
    assert "detected" in rollback["message"]
    quarantined = status["quarantined"][-1]
    assert (quarantined["revision"], quarantined["reason"]) == (bad, "BlockRate")
    assert quarantined["policyHash"]
    tripped = cluster.condition("BreakerTripped")
    assert (tripped["status"], tripped["reason"], tripped["message"]) == ("True", "BlockRate", rollback["message"])
    events = [e["note"] for e in cluster.items("events.events.k8s.io") if e["reason"] == "RolledBack"]
    assert events == [f"Rolled back {bad}: {rollback['message']}; {first} serves."]
    (incident,) = cluster.items("gwi")
    assert incident["status"]["type"] == "Trip"
    assert incident["status"]["revision"] == bad
    evidence = incident["status"]["evidence"]
    watch = replayed(evidence)
    assert watch.verdict() is Verdict.TRIP
    assert_same_but_for_rounding(breaker_words.sentence(breaker_words.figures(watch)), rollback["message"])
    assert not lost(clients.answers)
    mine = [a for a in clients.answers if a.revision == bad]
    say(f"\n{rollback['message']}; {len(mine)} answers in all; {summary(clients.answers)}")


def test_a_good_policy_becomes_clear_and_is_promoted(cluster: Cluster, say: Say) -> None:
    first = judged(cluster)
    with traffic(cluster, NEAR) as clients:
        time.sleep(HISTORY)
        change(cluster)
        candidate = cluster.wait_phase("Canary")["candidateRevision"]
        cluster.wait(lambda: cluster.status()["phase"] != "Canary", "the canary passes", 180)
        served = sum(a.revision == candidate for a in list(clients.answers))
        said = cluster.wait_phase("Soaking")["breaker"]
        assert cluster.stable(120) == candidate != first
    assert served > 120, "minDuration, 2 s, is over after 70: it waits until it is sure"
    assert said["state"] in ("Clear", "Undecided"), "the soak begins its own judgement"
    assert cluster.condition("BreakerTripped")["status"] == "False"
    assert not cluster.items("gwi")
    assert not lost(clients.answers)
    say(f"\nclear after {served} answers; {said['message']}; {summary(clients.answers)}")


@pytest.mark.parametrize("fault", ["gone", "503", "nan", "html"])
def test_without_readable_metrics_nothing_goes_on_and_nothing_goes_back(cluster: Cluster, fault: str) -> None:
    judged(cluster)
    with traffic(cluster, NEAR) as clients:
        time.sleep(HISTORY)
        change(cluster, f"mode=metrics-{fault}:15s")
        cluster.wait_phase("Canary")
        cluster.wait(lambda: cluster.condition("Scrapeable").get("status") == "False", "it is told within seconds", 8)
        assert "1 of 3" not in cluster.condition("Scrapeable")["message"]
        began = time.monotonic()
        while time.monotonic() - began < 8:
            status = cluster.status()
            assert status["phase"] == "Canary", "minDuration, 2 s, is long over"
            assert status.get("breaker", {}).get("state", "Undecided") == "Undecided"
            time.sleep(0.5)
        assert cluster.selector() == "live"
        cluster.wait(lambda: cluster.condition("Scrapeable").get("status") == "True", "its counters are read again", 25)
        candidate = cluster.status()["desiredRevision"]
        assert cluster.stable(150) == candidate
    assert not lost(clients.answers)


@pytest.mark.parametrize("mode", ["Hold", "Notify"])
def test_other_modes_say_so_and_leave_the_candidate_where_it_is(cluster: Cluster, mode: str) -> None:
    first = judged(cluster, mode=mode)
    with traffic(cluster, NEAR) as clients:
        time.sleep(HISTORY)
        change(cluster, broad=True)
        cluster.wait(lambda: cluster.status().get("breaker", {}).get("state") == "Trip", "a trip is told")
        bad = cluster.status()["desiredRevision"]
        if mode == "Hold":
            status = cluster.wait_phase("Held")
            time.sleep(5)
            assert cluster.status()["phase"] == "Held"
            assert status["rollout"]["held"]["reason"] == "BlockRate"
            assert "canary blocked " in status["message"]
            assert cluster.selector() == "live"
            assert cluster.pods(bad)
            assert cluster.status()["activeRevision"] == first
        else:
            assert cluster.stable() == bad
        tripped = cluster.condition("BreakerTripped")
    notes = [e["note"] for e in cluster.items("events.events.k8s.io") if e["reason"] == "BlockRate"]
    assert any("canary blocked " in n for n in notes)
    assert mode == "Hold" or not [n for n in notes if "held" in n], "nobody holds it"
    assert mode == "Notify" or tripped["status"] == "True"
    assert not cluster.items("gwi")
    assert not lost(clients.answers)


@pytest.mark.alone
@pytest.mark.parametrize("after", [0.5, 1.0, 2.0])
def test_the_leader_is_killed_while_it_judges(cluster: Cluster, operator: Operator, say: Say, after: float) -> None:
    first = judged(cluster)
    with traffic(cluster, NEAR) as clients:
        time.sleep(HISTORY)
        leader = operator.leader()
        change(cluster, broad=True)
        cluster.wait_phase("Canary")
        time.sleep(after)
        phase = cluster.status()["phase"]
        signalled(leader, signal.SIGKILL)
        killed = time.monotonic()
        status = cluster.wait_phase("RolledBack", 60)
        took = time.monotonic() - killed
        bad = status["desiredRevision"]
        cluster.wait(lambda: not cluster.pods(bad), "its pods go")
    assert status["rollback"]["reason"] == "BlockRate"
    assert cluster.selector() == first
    assert status["quarantined"][-1]["policyHash"]
    (incident,) = cluster.items("gwi")
    assert incident["status"]["evidence"]["canary"]["blocked"] >= 3
    assert not lost(clients.answers)
    say(
        f"\nkilled {after} s into Canary ({phase}), rolled back {took:.1f} s after that: {status['rollback']['message']}"
    )
