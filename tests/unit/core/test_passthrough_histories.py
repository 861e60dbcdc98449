"""Any sequence of annotations, restarts, lost writes, clock steps and GitOps applies: traffic goes past the policies only
by an unexpired, authorised, attributed request, and each request has one passthrough at most."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.passthrough import Passthrough, TwoPerson
from keeptrusts_operator.core.grant_checks import Attribution
from keeptrusts_operator.core.grants import spent_of
from keeptrusts_operator.core.state import from_status, to_status
from keeptrusts_operator.core.world import Asked, Notes, Service, only
from tests.unit.core.build import A, Cluster, content, packed, seconds

P = only(packed(A).revision)
PEOPLE, MACHINE = ("ada", "bob", "eve"), "system:serviceaccount:argocd:controller"
REASON = "INC-4711 the filter blocks legitimate prompts"
LENGTHS = {"2m": 120.0, "10m": 600.0, "45m": 2700.0}


@dataclass
class Request:
    by: str
    length: float
    valid: bool
    second: bool = False  # a second person has approved it


@dataclass
class Gateway:
    """One object, its people, and what they may expect."""

    cluster: Cluster
    two: TwoPerson
    requests: dict[str, Request] = field(default_factory=dict)
    applied: list[tuple[Asked, Notes]] = field(default_factory=list)
    granted: dict[str, datetime] = field(default_factory=dict)
    flips: Counter[str] = field(default_factory=Counter)

    def ask(self, value: str, by: str, reason: str) -> None:
        number = f"id-{len(self.requests)}"
        valid = value in LENGTHS and by in PEOPLE and len(reason) >= 15
        valid = valid and self.cluster.attribution is not Attribution.NONE
        self.requests[number] = Request(by, LENGTHS.get(value, 0.0), valid)
        asked, notes = Asked(f"{value}#{number}", number, by), Notes(reason)
        self.applied.append((asked, notes))
        self._apply(asked, notes)

    def again(self, index: int, stamped: bool) -> None:
        """GitOps applies an old request: as it was, or as the API server stamps it for the tool."""
        if not self.applied:
            return
        asked, notes = self.applied[index % len(self.applied)]
        if stamped:
            number = f"id-{len(self.requests)}"
            self.requests[number] = Request(MACHINE, 0.0, False)
            asked = replace(asked, id=number, by=MACHINE)
        self._apply(asked, notes)

    def approve(self, by: str, right: bool) -> None:
        grant = self.cluster.state.passthrough
        number = grant.request_id if grant and right else "id-999"
        request = self.requests.get(number)
        if request and by in PEOPLE and by != request.by:
            request.second = True
        fresh = f"{number}#{by}{self.cluster.now.timestamp()}"
        self.cluster.requests[Verb.APPROVE_PASSTHROUGH] = Asked(fresh, "approval", by)

    def _apply(self, asked: Asked, notes: Notes) -> None:
        self.cluster.requests[Verb.EMERGENCY_PASSTHROUGH], self.cluster.notes = asked, notes

    def look(self, *, lost: bool = False) -> None:
        """One pass; `lost`: it is killed before it writes status. Every look is that of a new process."""
        before, exposed = self.cluster.state, self.cluster.service.exposure
        told = [i.passthrough for i in self.cluster.incidents if i.passthrough]
        newest = {t["requestId"]: t for t in told}
        self.cluster.spent = spent_of(newest.values())
        self.cluster.step()
        self.cluster.state = before if lost else from_status(to_status(self.cluster.state))
        self._check(exposed)

    def _check(self, before: Any) -> None:
        cluster, grant = self.cluster, self.cluster.state.passthrough
        if grant and grant.granted_at:
            request = self.requests[grant.request_id]
            assert request.valid, "granted"
            assert grant.requested_by == request.by
            assert not grant.approved_by or request.second
            assert self.granted.setdefault(grant.request_id, grant.granted_at) == grant.granted_at, "granted again"
            alone = request.length if self.two is TwoPerson.OFF else min(request.length, 900.0)
            assert grant.expires_at
            longest = request.length if grant.approved_by else alone
            assert grant.expires_at <= grant.granted_at + seconds(longest)
        assert isinstance(cluster.service, Service)
        if cluster.service.exposure == P and before != P:
            assert grant, "nobody was granted anything"
            assert grant.granted_at
            assert grant.authorises(cluster.now)
            self.flips[grant.request_id] += 1
            assert self.flips[grant.request_id] == 1, "a second passthrough from one request"

    def rest(self) -> None:
        """Passes until nothing is to be done: then all traffic is where it may be."""
        for _ in range(12):
            self.look()
        grant = self.cluster.state.passthrough
        assert self.cluster.service.exposure != P or (grant and grant.authorises(self.cluster.now))


WHO = st.sampled_from([*PEOPLE, "ada", "ada", MACHINE, ""])
STEPS = st.one_of(
    st.tuples(
        st.just("ask"),
        st.sampled_from([*LENGTHS, *LENGTHS, "off", "9h", "x"]),
        WHO,
        st.sampled_from([REASON] * 4 + ["x"]),
    ),
    st.tuples(st.just("approve"), WHO, st.sampled_from([True, True, False])),
    st.tuples(st.just("strip"), st.sampled_from([Verb.EMERGENCY_PASSTHROUGH, Verb.APPROVE_PASSTHROUGH])),
    st.tuples(st.just("again"), st.integers(0, 20), st.booleans()),
    st.tuples(st.just("look"), st.booleans()),
    st.tuples(st.just("look"), st.just(False)),
    st.tuples(st.just("time"), st.sampled_from([1.0, 29.0, 61.0, 500.0, 901.0, 1900.0])),
    st.tuples(st.just("clock"), st.sampled_from([-3600.0, 3600.0, -59.0, 86400.0])),
    st.tuples(st.just("incidents"), st.booleans()),
    st.tuples(st.just("pods"), st.booleans()),
)


def play(gateway: Gateway, step: tuple[Any, ...]) -> None:
    cluster = gateway.cluster
    match step:
        case ("ask", value, by, reason):
            gateway.ask(value, by, reason)
        case ("approve", by, right):
            gateway.approve(by, right)
        case ("strip", verb):
            cluster.requests.pop(verb, None)
        case ("again", index, stamped):
            gateway.again(index, stamped)
        case ("look", lost):
            gateway.look(lost=lost)
        case ("time" | "clock", number):  # a step of the clock is one while nobody looks: a restart
            cluster.now += seconds(number)
        case ("incidents", readable):
            cluster.spent_unknown = not readable
        case ("pods", ready):
            cluster.auto_ready = ready


def gateway_with(two: TwoPerson, attribution: Attribution = Attribution.STAMPED) -> Gateway:
    cluster = Cluster(content(A), replicas=2)
    cluster.stable_on(A)
    cluster.spec = replace(cluster.spec, passthrough=Passthrough(two_person=two))
    cluster.attribution = attribution
    return Gateway(cluster, two)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(TwoPerson),
    st.sampled_from([Attribution.STAMPED, Attribution.STAMPED, Attribution.CHECKED, Attribution.NONE]),
    st.lists(STEPS, min_size=10, max_size=50),
)
def test_nothing_but_a_valid_request_lets_traffic_pass(
    two: TwoPerson, attribution: Attribution, steps: list[tuple[Any, ...]]
) -> None:
    gateway = gateway_with(two, attribution)
    for step in steps:
        play(gateway, step)
    gateway.cluster.auto_ready = True
    for name, revision in gateway.cluster.revisions.items():
        gateway.cluster.sicken(name, ready=True)
        assert revision.name == name
    gateway.rest()
    gateway.cluster.now += seconds(10_000.0)
    gateway.rest()
    assert gateway.cluster.service.exposure != P, "whatever happened, it has an end"


def test_the_histories_come_to_passthroughs() -> None:
    """The property above would hold of an operator that refuses everything."""
    gateway = gateway_with(TwoPerson.AFTERWARDS)
    steps: list[tuple[Any, ...]] = [("ask", "45m", "ada", REASON), *[("look", False)] * 6]
    for step in [
        *steps,
        ("strip", Verb.EMERGENCY_PASSTHROUGH),
        ("approve", "bob", True),
        ("look", False),
        ("time", 1900.0),
    ]:
        play(gateway, step)
    gateway.rest()
    assert gateway.cluster.service.exposure == P
    play(gateway, ("time", 901.0))
    gateway.rest()
    play(gateway, ("again", 0, False))
    gateway.rest()
    assert gateway.cluster.service.exposure == only(A)
    assert gateway.flips == {"id-0": 1}
