"""What a control plane's decision events add to a trip: whether other clients are blocked too much as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.servers import CONTROL_PLANE, TOKEN_REF, readable_token, wish
from tests.e2e.clients import lost, traffic
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Say
from tests.e2e.objects import gateway, policy
from tests.e2e.test_breaker import HISTORY, NEAR, change

pytestmark = pytest.mark.cluster

Fault = Callable[[str], None]


@pytest.fixture
def fault() -> Iterator[Fault]:
    """What the control plane does to every call of its API; it is well again afterwards."""

    def happens(what: str) -> None:
        wish(f"{CONTROL_PLANE}/faults", fault=what)

    yield happens
    happens("")


def told_to_a_control_plane(cluster: Cluster, **breaker: str) -> str:
    """A gateway that posts its decisions there, and may be asked about; gives its first revision."""
    wanted = gateway(circuitBreaker=breaker, controlPlane={"url": CONTROL_PLANE, "tokenSecretRef": TOKEN_REF})
    container = wanted["spec"]["template"]["spec"]["containers"][0]
    container.setdefault("env", []).extend(
        [
            {"name": "KEEPTRUSTS_API_URL", "value": CONTROL_PLANE},
            {"name": "KEEPTRUSTS_API_TOKEN", "valueFrom": {"secretKeyRef": TOKEN_REF}},
        ]
    )
    cluster.apply(*readable_token(), policy(), wanted)
    return cluster.stable()


def held_for(cluster: Cluster) -> str:
    """Why the rollout is held; the breaker may first hold for what it is not yet sure of."""
    return str(cluster.status().get("rollout", {}).get("held", {}).get("reason", ""))


def test_a_trip_that_others_confirm_is_acted_on(cluster: Cluster, say: Say) -> None:
    first = told_to_a_control_plane(cluster, onUnverifiable="Hold")  # events may come late
    with traffic(cluster, NEAR) as clients:
        time.sleep(HISTORY)
        change(cluster, broad=True)
        said = cluster.wait_phase("RolledBack")["rollback"]["message"]
    assert "without the most blocked of " in said
    assert "the others were blocked " in said
    assert cluster.selector() == first
    assert not lost(clients.answers)
    say(f"\n{said}")


def test_one_loud_client_holds_the_rollout_and_takes_nothing_back(cluster: Cluster, say: Say) -> None:
    first = told_to_a_control_plane(cluster, onUnverifiable="Hold")  # events may come late
    with traffic(cluster, NEAR, loud=True) as clients:
        time.sleep(HISTORY)
        change(cluster, broad=True)
        cluster.wait(lambda: held_for(cluster) == "SingleClient", "it is held for one client")
        time.sleep(5)
        status = cluster.status()
    assert status["phase"] == "Held"
    assert held_for(cluster) == "SingleClient"
    assert "loud" not in status["message"], "a client is often a person"
    assert cluster.status()["activeRevision"] == first
    assert cluster.selector() == "live"
    assert not lost(clients.answers)
    say(f"\n{status['message']}")


@pytest.mark.parametrize(("what", "said"), [("hang", "not been read"), ("500", "HTTP 500"), ("html", "not JSON")])
def test_a_control_plane_that_is_sick_holds_nothing_up(
    cluster: Cluster, fault: Fault, say: Say, what: str, said: str
) -> None:
    first = told_to_a_control_plane(cluster)
    with traffic(cluster, NEAR) as clients:
        time.sleep(HISTORY)
        fault(what)
        time.sleep(6)  # what it said before is too old
        change(cluster, broad=True)
        rollback = cluster.wait_phase("RolledBack")["rollback"]
    assert said in rollback["message"].partition("decision events have ")[2]
    assert cluster.selector() == first
    assert not lost(clients.answers)
    say(f"\n{rollback['message']}")


def test_who_cannot_be_sure_may_choose_to_hold(cluster: Cluster, fault: Fault) -> None:
    told_to_a_control_plane(cluster, onUnverifiable="Hold")
    with traffic(cluster, NEAR):
        time.sleep(HISTORY)
        fault("500")
        time.sleep(6)
        change(cluster, broad=True)
        cluster.wait(lambda: held_for(cluster) == "Unverifiable", "it is held, since nobody can confirm it")
    assert cluster.selector() == "live"
