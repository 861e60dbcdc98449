"""The life of a change, decided by the pure core in a world that follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeptrusts_operator.core.actions import CutPods, ScaleRevision, ShiftTraffic
from keeptrusts_operator.core.judgement import Verdict
from keeptrusts_operator.core.machine import decide
from keeptrusts_operator.core.report import status_of
from keeptrusts_operator.core.state import Outcome, Stage, State, from_status
from keeptrusts_operator.core.world import (
    FOREIGN,
    LIVE,
    NOTHING,
    GatewayHealth,
    Service,
    ServiceConflict,
    Unreadable,
    Unusable,
    only,
)
from tests.unit.core.build import A, B, C, Cluster, content, crash, judged, pod, revision, seconds

GOOD = [
    *("RolloutStarted", "Prepared", "TestsPassed", "StepPassed", "StepReady", "StepPassed"),
    *("ScaledUp", "Drained", "Promoted"),
]


def in_canary() -> Cluster:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.desired = content(B)
    cluster.run()
    assert cluster.state.rollout is not None
    assert cluster.state.rollout.stage is Stage.CANARY
    return cluster


def test_first_revision_serves_when_all_replicas_are_ready() -> None:
    cluster = Cluster(content(A))
    cluster.auto_ready = False
    cluster.run()
    assert cluster.service.exposure == NOTHING
    cluster.sicken(A, ready=True)
    cluster.run()
    assert cluster.transitions == ["RolloutStarted", "Prepared", "FirstActivated"]
    assert cluster.service.exposure == only(A)
    assert cluster.state.history[-1].baseline == "Unproven"


def test_good_change_goes_step_by_step() -> None:
    cluster = in_canary()
    assert len(cluster.revisions[B].running) == 1
    cluster.pass_time(10)
    assert len(cluster.revisions[B].running) == 4
    cluster.pass_time(100)
    assert cluster.transitions == GOOD
    assert cluster.exposures == [LIVE, only(B)]
    assert cluster.state.active == B
    left = cluster.revisions[A].workload
    assert left is not None
    assert left.replicas == 0


def test_a_step_lasts_its_min_duration() -> None:
    cluster = in_canary()
    cluster.pass_time(9.9)
    assert "StepPassed" not in cluster.transitions
    cluster.pass_time(0.1)
    assert "StepPassed" in cluster.transitions


def test_previous_revision_stays_warm_during_the_soak() -> None:
    cluster = in_canary()
    cluster.pass_time(40)
    assert cluster.service.exposure == only(B)
    assert cluster.revisions[A].ready == 4
    assert cluster.state.active == A


@pytest.mark.parametrize(
    ("sickness", "reason"),
    [
        ({"health": GatewayHealth.UNHEALTHY}, "GatewayUnhealthy"),
        ({"ready": False}, "ReadinessLost"),
        ({"crash": "now"}, "GatewayCrashed"),
    ],
)
@pytest.mark.parametrize("after", [0, 30, 50])
def test_sick_candidate_is_rolled_back_in_one_pass(sickness: dict[str, object], reason: str, after: int) -> None:
    cluster = in_canary()
    cluster.pass_time(after)
    cluster.now += seconds(1)
    if sickness.get("crash"):
        sickness = {"crash": crash(cluster.now)}
    cluster.sicken(B, **sickness)
    decision = cluster.step()
    assert decision.transition == "Unhealthy"
    kinds = [type(a) for a in decision.actions if type(a) in (ShiftTraffic, CutPods, ScaleRevision)]
    assert kinds[:3] == [ShiftTraffic, CutPods, ScaleRevision]
    shift = next(a for a in decision.actions if isinstance(a, ShiftTraffic))
    assert (shift.exposure, shift.lowering, shift.tripped_revision) == (only(A), True, B)
    assert cluster.state.quarantined[-1].reason == reason
    cluster.pass_time(600)
    assert cluster.service.exposure == only(A)
    assert cluster.state.rollout is None
    assert cluster.transitions[-1] == "Unhealthy"


def test_both_revisions_sick_holds() -> None:
    cluster = in_canary()
    cluster.sicken(B, health=GatewayHealth.UNHEALTHY)
    cluster.sicken(A, health=GatewayHealth.UNHEALTHY)
    decision = cluster.step()
    assert decision.hold is not None
    assert decision.hold.reason == "BothRevisionsUnhealthy"
    assert cluster.service.exposure == LIVE


def test_one_sick_active_pod_does_not_save_a_sick_candidate() -> None:
    cluster = in_canary()
    cluster.sicken(B, health=GatewayHealth.UNHEALTHY)
    pods = cluster.revisions[A].pods
    cluster.revisions[A] = replace(cluster.revisions[A], pods=(replace(pods[0], ready=False), *pods[1:]))
    assert cluster.step().transition == "Unhealthy"


def test_no_way_back_without_a_ready_active_pod() -> None:
    cluster = in_canary()
    cluster.sicken(B, health=GatewayHealth.UNHEALTHY)
    cluster.sicken(A, ready=False, created_at=cluster.now)
    decision = cluster.step()
    assert decision.hold is not None
    assert decision.hold.reason == "NoActivePod"


def test_lost_pods_that_are_nobodys_content_are_tried_again() -> None:
    cluster = in_canary()
    cluster.pass_time(50)
    assert cluster.service.exposure == only(B)
    cluster.now += seconds(1)
    cluster.sicken(B, ready=False, created_at=cluster.now)  # evicted and replaced, not ready yet
    assert cluster.step().transition == "Unhealthy"
    assert not cluster.state.quarantined
    assert cluster.service.exposure == only(A)
    cluster.run()
    assert cluster.state.rollout is None
    cluster.pass_time(200)
    assert cluster.state.active == B


def test_candidate_that_ends_again_and_again_never_gets_traffic() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.desired, cluster.auto_ready = content(B), False
    cluster.run()
    cluster.sicken(B, crash=crash(cluster.now))
    cluster.run()
    assert cluster.transitions == ["RolloutStarted"]
    cluster.sicken(B, crash=crash(cluster.now, count=2))
    cluster.pass_time(600)
    assert cluster.transitions == ["RolloutStarted", "Rejected"]
    assert cluster.exposures == []
    assert cluster.state.history[-1].outcome is Outcome.REJECTED
    assert not cluster.revisions[B].running


def test_candidate_that_never_gets_ready_is_held_and_goes_on_when_it_does() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.desired, cluster.auto_ready = content(B), False
    cluster.pass_time(301)
    decision = cluster.step()
    assert decision.hold is not None
    assert decision.hold.reason == "ProgressDeadlineExceeded"
    cluster.auto_ready = True
    cluster.sicken(B, ready=True)
    cluster.pass_time(200)
    assert cluster.state.active == B


def test_newer_spec_takes_the_old_candidate_back_first() -> None:
    cluster = in_canary()
    cluster.desired = content(C)
    cluster.step()
    assert cluster.transitions[-1] == "Superseded"
    assert cluster.service.exposure == only(A)
    assert not cluster.revisions[B].running
    cluster.pass_time(200)
    assert cluster.state.active == C
    assert cluster.exposures == [LIVE, only(A), LIVE, only(C)]


def test_going_back_to_the_active_content_ends_the_rollout() -> None:
    cluster = in_canary()
    cluster.desired = content(A)
    cluster.pass_time(100)
    assert cluster.transitions[-1] == "Superseded"
    assert cluster.service.exposure == only(A)
    assert cluster.state.rollout is None


def test_unusable_spec_changes_nothing_that_serves() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.desired = Unusable("PolicyInvalid", "E001 …")
    cluster.pass_time(100)
    assert cluster.transitions == []
    assert cluster.service.exposure == only(A)
    assert cluster.revisions[A].ready == 4


@pytest.mark.parametrize("after", [0, 15, 40, 60])
def test_unreadable_reference_is_never_a_change(after: int) -> None:
    cluster = in_canary()
    cluster.pass_time(after)
    stage = cluster.state.rollout
    cluster.desired = Unreadable("SourceNotFound", "gone")
    cluster.step()
    assert cluster.state.rollout == stage
    cluster.pass_time(200)
    assert cluster.state.active == B


def test_pause_is_a_level_that_still_lets_a_rollback_through() -> None:
    cluster = in_canary()
    cluster.spec = replace(cluster.spec, rollout=replace(cluster.spec.rollout, paused=True))
    cluster.pass_time(500)
    assert cluster.state.rollout is not None
    assert cluster.state.rollout.held_reason == "Paused"
    assert cluster.state.rollout.step == 0
    cluster.sicken(B, health=GatewayHealth.UNHEALTHY)
    cluster.step()
    assert cluster.service.exposure == only(A)


def test_crash_between_the_flip_and_status_is_not_repaired_into_the_bad_revision() -> None:
    cluster = in_canary()
    before = cluster.state
    cluster.sicken(B, health=GatewayHealth.UNHEALTHY)
    cluster.step()
    cluster.state = before  # status was never written
    cluster.revisions[B] = revision(B, pods=1)  # and the pods look well again
    cluster.step()
    assert cluster.transitions[-1] == "TripRecovered"
    assert cluster.service.exposure == only(A)
    assert cluster.state.quarantined[-1].reason == "GatewayUnhealthy"
    assert LIVE not in cluster.exposures[-1:]


def test_status_that_was_lost_is_recovered_from_the_service() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.state = State()
    cluster.pass_time(10)
    assert cluster.transitions == ["ActiveRecovered"]
    assert cluster.exposures == []
    assert cluster.state.active == A


def test_hand_edited_selector_is_put_back() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.service = replace(cluster.service, exposure=FOREIGN)
    cluster.run()
    assert cluster.service.exposure == only(A)


def test_foreign_service_stops_everything_but_what_serves() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.service = ServiceConflict("not ours")
    cluster.desired = content(B)
    cluster.pass_time(60)
    assert cluster.transitions == []
    assert B not in cluster.revisions


def test_live_exposure_waits_for_the_pods_of_a_third_revision() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.revisions[C] = replace(revision(C), pods=(pod("c-0"),))
    cluster.desired = content(B)
    cluster.run()
    assert cluster.service.exposure == only(A)
    cluster.revisions[C] = revision(C)
    cluster.run()
    assert cluster.service.exposure == LIVE


def test_too_coarse_a_share_is_refused_before_it_happens() -> None:
    cluster = Cluster(content(A), replicas=1, max_share=0.3)
    cluster.stable_on(A)
    cluster.desired = content(B)
    cluster.pass_time(100)
    decision = cluster.step()
    assert decision.hold is not None
    assert decision.hold.reason == "ShareTooLarge"
    assert cluster.service.exposure == only(A)


def test_trip_quarantines_the_policy() -> None:
    cluster = in_canary()
    decision = decide(judged(cluster, Verdict.TRIP), cluster.state)
    assert decision.transition == "Tripped"
    assert decision.state.quarantined[-1].policy_hash == f"policy-{B}"


def test_scale_down_waits_for_the_end_of_the_rollout() -> None:
    cluster = in_canary()
    cluster.spec = replace(cluster.spec, replicas=2)
    cluster.run()
    assert cluster.revisions[A].ready == 4
    cluster.pass_time(200)
    assert cluster.state.active == B
    assert len(cluster.revisions[B].running) == 2


def test_old_revisions_are_forgotten_beyond_the_limit() -> None:
    cluster = Cluster(content(A))
    cluster.spec = replace(cluster.spec, revision_history_limit=2)
    for name in (A, B, C, "dddddddddd", "eeeeeeeeee"):
        cluster.desired = content(name)
        cluster.pass_time(300)
    assert cluster.state.active == "eeeeeeeeee"
    assert len(cluster.revisions) == 3


def test_deciding_again_on_an_unchanged_world_does_nothing() -> None:
    for after in (0, 15, 40, 300):
        cluster = in_canary()
        cluster.pass_time(after)
        decision = decide(cluster.world(), cluster.state)
        assert decision.actions == ()
        assert decision.state == cluster.state


def test_state_survives_status() -> None:
    cluster = in_canary()
    for wait in (0, 5, 10, 30, 60):
        cluster.pass_time(wait)
        decision = decide(cluster.world(), cluster.state)
        status = status_of(cluster.world(), decision, {})
        assert from_status(status) == decision.state
        assert status_of(cluster.world(), decision, status) == status


def test_adopted_service_keeps_its_selector_until_the_first_revision_is_ready() -> None:
    cluster = Cluster(content(A))
    cluster.service = Service("1", FOREIGN, in_shape=False)
    cluster.auto_ready = False
    cluster.run()
    assert cluster.service.exposure == FOREIGN
    cluster.sicken(A, ready=True)
    cluster.run()
    assert cluster.service.exposure == only(A)


def test_pods_that_come_up_for_the_next_step_have_not_lost_readiness() -> None:
    cluster = in_canary()
    cluster.now += seconds(10)
    cluster.auto_ready = False
    cluster.step()
    for later in (0, 0.3, 1.7):
        cluster.now += seconds(later)
        cluster.revisions[B] = replace(
            cluster.revisions[B],
            pods=tuple(
                p if p.ready else replace(p, created_at=cluster.now.replace(microsecond=0))
                for p in cluster.revisions[B].pods
            ),
        )
        cluster.step()
    assert "Unhealthy" not in cluster.transitions
