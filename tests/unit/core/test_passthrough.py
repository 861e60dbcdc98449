"""Emergency passthrough in the life of a GatewayDeployment, decided by the pure core in a world that follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.passthrough import Passthrough, TwoPerson
from keeptrusts_operator.api.quantities import IntOrPercent
from keeptrusts_operator.core.actions import Announce, CutPods, ShiftTraffic
from keeptrusts_operator.core.grant_checks import Attribution
from keeptrusts_operator.core.grants import Grant, GrantState
from keeptrusts_operator.core.judgement import Judgement, Verdict
from keeptrusts_operator.core.machine import decide
from keeptrusts_operator.core.report import status_of
from keeptrusts_operator.core.state import Answer, Outcome, Stage, State, from_status
from keeptrusts_operator.core.world import Unusable, only
from tests.unit.core.build import A, B, C, Cluster, content, packed, seconds

P = packed(A).revision
MINUTE = 60.0


def stable(**rules: object) -> Cluster:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.spec = replace(cluster.spec, passthrough=Passthrough(**rules))  # type: ignore[arg-type]
    cluster.requests.clear()
    return cluster


def bypassed(cluster: Cluster, value: str = "10m#1") -> Cluster:
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, value)
    cluster.run()
    assert cluster.service.exposure == only(P)
    return cluster


def grant(cluster: Cluster) -> Grant:
    assert cluster.state.passthrough is not None
    return cluster.state.passthrough


def stage(cluster: Cluster) -> Stage | None:
    return cluster.state.rollout.stage if cluster.state.rollout else None


def test_a_request_moves_all_traffic_and_lets_pooled_clients_go() -> None:
    cluster = stable()
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#1")
    decision = cluster.step()
    while not any(isinstance(a, ShiftTraffic) for a in decision.actions):
        assert cluster.service.exposure == only(A), "not before all of its pods are ready"
        decision = cluster.step()
    kinds = [type(a) for a in decision.actions]
    assert decision.transition == "PassthroughBegan"
    assert kinds.index(CutPods) == kinds.index(ShiftTraffic) + 1, "nothing comes between"
    cut = next(a for a in decision.actions if isinstance(a, CutPods))
    assert cut.revision == A
    assert not next(a for a in decision.actions if isinstance(a, ShiftTraffic)).lowering
    cluster.run()
    assert grant(cluster).state is GrantState.ACTIVE
    assert grant(cluster).effective_at is not None
    assert cluster.state.active == A
    assert cluster.revisions[A].ready == 4, "what was left comes back and stays warm"
    incident = next(i for i in cluster.incidents if i.type == "Passthrough")
    assert (incident.phase, incident.passthrough["requestedBy"]) == ("Open", "ada")


def test_it_ends_by_itself_and_protections_come_back() -> None:
    cluster = bypassed(stable())
    cluster.pass_time(9 * MINUTE)
    assert cluster.service.exposure == only(P)
    cluster.pass_time(MINUTE + 1)
    assert cluster.service.exposure == only(A)
    assert (grant(cluster).state, grant(cluster).end_reason) == (GrantState.REARMING, "Expired")
    assert not cluster.revisions[P].running, "nobody's pooled connection passes any more"
    cluster.pass_time(2 * MINUTE)
    assert grant(cluster).state is GrantState.ENDED
    assert not cluster.state.frozen
    assert [i.phase for i in cluster.incidents if i.type == "Passthrough"][-1] == "Resolved"
    assert P not in cluster.revisions or not cluster.revisions[P].running


@pytest.mark.parametrize("when", range(8))
def test_a_crash_between_any_two_writes_neither_prolongs_nor_repeats_it(when: int) -> None:
    cluster = stable()
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#1")
    begun = cluster.now
    for _ in range(when):
        cluster.step()
    before = cluster.state
    cluster.step()
    cluster.state = before  # status was not written
    cluster.pass_time(10 * MINUTE + 5)
    assert cluster.service.exposure == only(A)
    expires = grant(cluster).expires_at
    assert expires is not None
    assert expires <= begun + seconds(10 * MINUTE + 5)
    cluster.pass_time(60 * MINUTE)
    assert cluster.service.exposure == only(A)
    assert [e for e in cluster.exposures if e == only(P)] == [only(P)], "one flip"


def test_off_ends_it_at_once() -> None:
    cluster = bypassed(stable())
    cluster.pass_time(30)
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "off", by="bob")
    cluster.run()
    assert cluster.service.exposure == only(A)
    assert grant(cluster).end_reason == "Off"


def test_losing_the_annotation_changes_nothing_and_the_same_value_is_no_new_request() -> None:
    cluster = bypassed(stable())
    cluster.requests.clear()
    cluster.pass_time(5 * MINUTE)
    assert cluster.service.exposure == only(P)
    cluster.pass_time(20 * MINUTE)
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#1")
    cluster.pass_time(MINUTE)
    assert cluster.service.exposure == only(A)


def test_a_second_person_extends_it_to_what_was_asked() -> None:
    cluster = bypassed(stable(), "45m#1")
    assert grant(cluster).expires_at == grant(cluster).granted_at + seconds(15 * MINUTE)  # type: ignore[operator]
    cluster.ask(Verb.APPROVE_PASSTHROUGH, grant(cluster).request_id, by="ada")
    assert cluster.state.request(Verb.APPROVE_PASSTHROUGH).outcome is Answer.REFUSED  # type: ignore[union-attr]
    cluster.ask(Verb.APPROVE_PASSTHROUGH, f"{grant(cluster).request_id}#2", by="bob")
    cluster.pass_time(40 * MINUTE)
    assert cluster.service.exposure == only(P)
    cluster.pass_time(6 * MINUTE)
    assert cluster.service.exposure == only(A)


def test_before_means_before() -> None:
    cluster = stable(two_person=TwoPerson.BEFORE)
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "45m#1")
    cluster.pass_time(29 * MINUTE)
    assert cluster.service.exposure == only(A)
    assert grant(cluster).state is GrantState.PENDING
    cluster.pass_time(2 * MINUTE)
    assert grant(cluster).state is GrantState.EXPIRED
    assert not cluster.exposures


@pytest.mark.parametrize("lack", ["attribution", "spent", "person", "reason"])
def test_what_is_not_known_never_means_passthrough(lack: str) -> None:
    cluster = stable()
    if lack == "attribution":
        cluster.attribution = Attribution.NONE
    if lack == "spent":
        cluster.spent_unknown = True
    if lack == "reason":
        cluster.notes = replace(cluster.notes, reason="because")
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#1", by="system:serviceaccount:argocd:x" if lack == "person" else "ada")
    cluster.pass_time(30 * MINUTE)
    assert cluster.service.exposure == only(A)
    assert not cluster.exposures
    request = cluster.state.request(Verb.EMERGENCY_PASSTHROUGH)
    assert request is None if lack == "spent" else request is not None and request.outcome is Answer.REFUSED
    if lack == "spent":
        look_again = decide(cluster.world(), cluster.state).look_again
        assert look_again <= seconds(1), "somebody waits for an answer"


def test_a_parachute_that_cannot_be_packed_is_said_before_and_moves_nothing() -> None:
    cluster = stable()
    cluster.parachute = Unusable("PassthroughUnavailable", "profile Custom needs spec.passthrough.document")
    status = status_of(cluster.world(), decide(cluster.world(), cluster.state), {})
    condition = next(c for c in status["conditions"] if c["type"] == "PassthroughAvailable")
    assert (condition["status"], condition["reason"]) == ("False", "CannotDerive")
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#1")
    cluster.pass_time(MINUTE)
    assert not cluster.exposures
    assert (grant(cluster).state, grant(cluster).end_reason) == (GrantState.ENDED, "Unavailable")


def test_standby_replicas_keep_it_warm_and_the_flip_waits_for_nothing() -> None:
    cluster = stable(standby_replicas=IntOrPercent(100, is_percent=True))
    cluster.run()
    assert cluster.revisions[P].ready == 4
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#1")
    assert cluster.step().transition == "PassthroughBegan"
    assert cluster.service.exposure == only(P)
    cluster.pass_time(15 * MINUTE)
    assert cluster.service.exposure == only(A)
    assert cluster.revisions[P].ready == 4, "new pods, warm again"


def test_a_rollout_with_traffic_waits_and_begins_again() -> None:
    cluster = stable()
    cluster.desired = content(B)
    cluster.run()
    assert stage(cluster) is Stage.CANARY
    bypassed(cluster)
    cluster.pass_time(5 * MINUTE)
    assert cluster.service.exposure == only(P)
    assert stage(cluster) is Stage.TESTING, "prepared and tested meanwhile"
    hold = decide(cluster.world(), cluster.state).hold
    assert hold is not None
    assert hold.reason == "Passthrough"
    cluster.requests.clear()
    cluster.pass_time(20 * MINUTE)
    assert cluster.state.active == B


def test_a_rollback_meanwhile_names_what_comes_back() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.stable_on(B)
    cluster.requests.clear()
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#1")
    cluster.run()
    cluster.ask(Verb.ROLLBACK, f"{B}#1")
    cluster.run()
    assert cluster.service.exposure == only(packed(B).revision)
    assert grant(cluster).rearm_revision == A
    cluster.pass_time(12 * MINUTE)
    assert cluster.service.exposure == only(A)
    cluster.pass_time(10 * MINUTE)
    assert cluster.state.active == A, "what was left is not tried again by itself"


def test_protections_that_block_too_much_again_make_way_for_an_earlier_revision() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.stable_on(B)
    cluster.stable_on(C)
    cluster.requests.clear()
    cluster.spec = replace(cluster.spec, circuit_breaker=CircuitBreaker())
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#1")
    cluster.pass_time(10 * MINUTE + 1)
    assert cluster.service.exposure == only(C)
    cluster.judgement = Judgement(cluster.state.rearm_id, Verdict.TRIP, message="it blocked 40 of 80")
    decision = cluster.step()
    assert decision.transition == "RearmTripped"
    cluster.pass_time(30)
    assert cluster.service.exposure == only(B)
    assert packed(C).revision not in [e.revision for e in cluster.exposures[2:]]


def test_people_are_told_at_half_time_and_before_the_end() -> None:
    cluster = bypassed(stable(solo_duration=seconds(3600)), "1h#1")
    told = []
    for _ in range(61):
        cluster.now += seconds(MINUTE)
        for _ in range(5):
            decision = cluster.step()
            told += [a.reason for a in decision.actions if isinstance(a, Announce)]
    assert told.count("PassthroughEnding") == 2
    assert told.count("PassthroughRearmed") == 1


def test_everything_about_it_survives_a_restart() -> None:
    cluster = bypassed(stable(), "45m#1")
    status = status_of(cluster.world(), decide(cluster.world(), cluster.state), {})
    assert from_status(status) == cluster.state
    assert status["phase"] == "Passthrough"
    assert "off" in status["message"]
    assert "approve-passthrough" in status["message"]
    active = next(c for c in status["conditions"] if c["type"] == "PassthroughActive")
    assert active["status"] == "True"


def test_history_knows_nothing_of_passthrough_revisions() -> None:
    cluster = bypassed(stable())
    cluster.pass_time(20 * MINUTE)
    assert {e.revision for e in cluster.state.history} == {A}
    assert cluster.state.outcome_of(A) is Outcome.PROMOTED
    assert isinstance(cluster.state, State)


def test_traffic_goes_back_to_the_first_ready_pod_when_the_clock_has_gone_back() -> None:
    cluster = bypassed(stable())
    cluster.pass_time(MINUTE)
    first, *others = cluster.revisions[A].pods
    cluster.revisions[A] = replace(cluster.revisions[A], pods=(first, *(replace(p, ready=False) for p in others)))
    cluster.now -= seconds(60 * MINUTE)  # nobody knows when it ends
    cluster.run()
    assert cluster.service.exposure == only(A)
    assert grant(cluster).end_reason == "ClockWentBack"


def test_a_passthrough_that_is_over_gets_no_traffic_again() -> None:
    """As an old status tells of it, or after somebody has moved the Service by hand."""
    cluster = bypassed(stable())
    old = cluster.state
    cluster.pass_time(15 * MINUTE)
    assert cluster.service.exposure == only(A)
    cluster._scale(P, 4)
    cluster.exposures.clear()
    cluster.state = old
    cluster.run()
    assert only(P) not in cluster.exposures
    assert cluster.service.exposure == only(A)


def test_a_trip_that_the_service_remembers_comes_before_any_request() -> None:
    cluster = stable()
    cluster.desired = content(B)
    while stage(cluster) is not Stage.CANARY or cluster.service.exposure == only(A):
        cluster.step()
    assert cluster.state.rollout is not None
    cluster.service = replace(
        cluster.service,
        exposure=only(A),
        rollout_id=cluster.state.rollout.id,
        tripped_revision=B,
        exposure_reason="Bad: x",
    )
    decision = cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#1")
    assert decision.transition == "TripRecovered"
    assert cluster.service.exposure == only(A), "the candidate is not exposed again"
    cluster.run()
    assert cluster.service.exposure == only(P), "and then it is answered"


def test_a_grant_whose_incident_cannot_be_written_still_counts() -> None:
    cluster = bypassed(stable(max_duration=seconds(15 * MINUTE), budget_window=seconds(60 * MINUTE)))
    first = grant(cluster)
    over = replace(first, state=GrantState.ENDED, ended_at=first.expires_at, end_reason="Expired")
    cluster.state = replace(
        cluster.state, passthrough=None, passthrough_revision="", superseded=(over,), passthrough_incident=""
    )
    cluster.now += seconds(11 * MINUTE)
    cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#2")
    assert grant(cluster).expires_at == cluster.now + seconds(5 * MINUTE), "10 of 15 minutes are used"
