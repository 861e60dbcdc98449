"""Tests before traffic, proven content, drains, budgets, restarts, adoption and evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeptrusts_operator.api.circuit_breaker import BreakerMode, CircuitBreaker
from keeptrusts_operator.api.names import ADOPTED_REVISION
from keeptrusts_operator.api.policy import BehaviourTest, Expectation, Message
from keeptrusts_operator.core.actions import EnsureBudget, LabelPods, RemoveBudget, ReplacePod
from keeptrusts_operator.core.judgement import Verdict
from keeptrusts_operator.core.machine import decide
from keeptrusts_operator.core.state import Outcome, Stage
from keeptrusts_operator.core.world import (
    LIVE,
    AdoptedPod,
    Budget,
    Content,
    TestReport,
    TestResult,
    TestVerdict,
    Unreadable,
    only,
)
from tests.unit.core.build import A, B, C, Cluster, content, judged, revision, seconds

TEST = BehaviourTest("plain", (Message("user", "hello"),), Expectation.ALLOW)


def with_test(name: str) -> Content:
    return replace(content(name), tests=(TEST,))


def in_testing() -> Cluster:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.desired = with_test(B)
    cluster.run()
    assert cluster.state.rollout
    assert cluster.state.rollout.stage is Stage.TESTING
    return cluster


def report(cluster: Cluster, verdict: TestVerdict) -> None:
    assert cluster.state.rollout
    cluster.tests = TestReport(cluster.state.rollout.id, (TestResult("plain", verdict, "expected Allow, was blocked"),))


def test_nothing_is_exposed_before_its_tests_have_passed() -> None:
    cluster = in_testing()
    cluster.pass_time(3600)
    assert cluster.service.exposure == only(A)
    report(cluster, TestVerdict.PASSED)
    cluster.run()
    assert cluster.service.exposure == LIVE


def test_a_failed_test_quarantines_the_policy_not_the_pods() -> None:
    cluster = in_testing()
    report(cluster, TestVerdict.FAILED)
    cluster.run()
    assert cluster.state.history[-1].outcome is Outcome.REJECTED
    assert cluster.service.exposure == only(A)
    cluster.desired = replace(with_test(C), policy_hash=f"policy-{B}")  # another template, the same policy
    cluster.pass_time(60)
    assert cluster.state.rollout is None
    cluster.desired = replace(with_test(B), policy_hash="tests-corrected")
    cluster.run()
    assert cluster.state.rollout is not None, "the same revision, with other tests"


def test_unknown_is_no_verdict_and_is_told_when_it_lasts() -> None:
    cluster = in_testing()
    report(cluster, TestVerdict.UNKNOWN)
    cluster.pass_time(3600)
    decision = cluster.step()
    assert cluster.state.rollout is not None
    assert decision.hold is not None
    assert decision.hold.reason == "TestsInconclusive"
    report(cluster, TestVerdict.PASSED)
    cluster.run()
    assert cluster.service.exposure == LIVE


def test_results_of_another_rollout_say_nothing() -> None:
    cluster = in_testing()
    cluster.tests = TestReport("another", (TestResult("plain", TestVerdict.PASSED),))
    cluster.pass_time(60)
    assert cluster.service.exposure == only(A)


def test_tests_that_cannot_be_read_have_not_passed() -> None:
    cluster = in_testing()
    report(cluster, TestVerdict.PASSED)
    cluster.desired = Unreadable("PolicyUnreadable", "no answer")
    cluster.pass_time(60)
    assert cluster.service.exposure == only(A)


def test_a_first_revision_is_tested_as_well() -> None:
    cluster = Cluster(with_test(A))
    cluster.run()
    assert not cluster.state.active
    report(cluster, TestVerdict.PASSED)
    cluster.run()
    assert cluster.state.active == A


def test_content_that_finished_its_soak_skips_the_steps() -> None:
    cluster = Cluster(content(A))
    for name in (A, B, C):
        cluster.stable_on(name)
    cluster.desired = content(B)
    cluster.run()
    assert cluster.exposures == [only(B)]
    assert cluster.state.rollout is not None
    assert cluster.state.rollout.stage is Stage.SOAKING


def test_a_first_revision_is_not_proven() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.stable_on(B)
    cluster.desired = content(A)
    cluster.run()
    assert cluster.exposures == [LIVE]


def test_the_soak_begins_when_the_old_revision_is_drained() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.drains = False
    cluster.desired = content(B)
    cluster.pass_time(50)
    assert cluster.state.rollout is not None
    assert cluster.state.rollout.stage is Stage.SOAKING
    soaking_since = cluster.state.rollout.stage_started_at
    cluster.pass_time(35)
    assert cluster.state.rollout is not None
    assert cluster.state.rollout.drained_at is None
    cluster.pass_time(60)
    assert cluster.state.rollout is not None
    drained_at = cluster.state.rollout.drained_at
    assert drained_at is not None
    assert drained_at >= soaking_since + seconds(60), "not before its pods were replaced"
    assert all(p.created_at > soaking_since for p in cluster.revisions[A].pods)
    assert len(cluster.revisions[A].pods) == 4, "still warm"
    cluster.pass_time(61)
    assert cluster.state.active == B


def test_a_budget_for_each_revision_with_more_than_one_pod() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    assert cluster.revisions[A].budget is Budget.IN_SHAPE
    cluster.desired = content(B)
    cluster.run()
    assert len(cluster.revisions[B].pods) == 1
    assert cluster.revisions[B].budget is Budget.ABSENT, "it would block every drain"
    cluster.stable_on(B)
    assert cluster.revisions[A].budget is Budget.ABSENT


def test_a_foreign_budget_takes_the_place_of_ours() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    decision = decide(replace(cluster.world(), foreign_budget="theirs"), cluster.state)
    assert RemoveBudget(A) in decision.actions
    assert EnsureBudget(A) not in decision.actions


def test_a_gateway_that_runs_already_counts_as_active() -> None:
    cluster = Cluster(content(A))
    cluster.spec = replace(cluster.spec, adopt_from="legacy")
    decision = cluster.step()
    assert decision.hold is not None
    assert decision.hold.reason == "AdoptionPending"
    world = replace(cluster.world(), adopted=(AdoptedPod("legacy-1", False, False),))
    assert LabelPods(("legacy-1",), live=True) in decide(world, cluster.state).actions
    old = revision(ADOPTED_REVISION, pods=4, workload=None, config_map=False, restorable=False)
    cluster.revisions[ADOPTED_REVISION] = old
    cluster.run()
    assert cluster.state.active == ADOPTED_REVISION
    assert cluster.exposures[:2] == [only(ADOPTED_REVISION), LIVE], "compared with it in a canary"
    cluster.pass_time(600)
    assert cluster.state.active == A
    assert cluster.revisions[ADOPTED_REVISION] == old, "never scaled, never deleted"
    world = replace(cluster.world(), adopted=(AdoptedPod("legacy-1", True, True),))
    assert LabelPods(("legacy-1",), live=False) in decide(world, cluster.state).actions


def test_adopted_pods_whose_clients_stay_are_replaced_one_at_a_time() -> None:
    cluster = Cluster(content(A))
    cluster.spec, cluster.drains = replace(cluster.spec, adopt_from="legacy"), False
    old = revision(ADOPTED_REVISION, pods=4, workload=None, config_map=False, restorable=False)
    cluster.revisions[ADOPTED_REVISION] = old
    cluster.pass_time(50)
    assert cluster.state.rollout is not None
    assert cluster.state.rollout.stage is Stage.SOAKING
    cluster.now += seconds(60)

    def replaced(**changes: Any) -> bool:
        pods = (*old.pods[:3], replace(old.pods[3], **changes))
        cluster.revisions[ADOPTED_REVISION] = replace(old, pods=pods)
        return any(isinstance(a, ReplacePod) for a in decide(cluster.world(), cluster.state).actions)

    assert replaced()
    assert not replaced(ready=False), "the one before is not back"
    assert not replaced(terminating=True), "nor is it listed yet"
    assert replaced(ready=False, evicted=True), "it never comes back"


def test_evidence_of_a_rollback_follows_what_is_seen() -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.desired = content(B)
    cluster.run()
    decision = decide(judged(cluster, Verdict.TRIP), cluster.state)
    assert not any(type(a).__name__ == "RecordIncident" for a in decision.actions), "nothing delays the flip"
    cluster.sicken(B, ready=False, created_at=cluster.now - seconds(100))
    cluster.now += seconds(1)
    cluster.run()
    assert [i.phase for i in cluster.incidents][-1] == "Mitigated"
    trip = cluster.incidents[-1]
    assert (trip.type, trip.revision) == ("Trip", B)
    assert cluster.state.rollback is not None
    assert cluster.state.rollback.effective_at is not None
    cluster.judgement, cluster.spec = None, replace(cluster.spec, circuit_breaker=CircuitBreaker(mode=BreakerMode.OFF))
    cluster.stable_on(C)
    assert cluster.incidents[-1].phase == "Resolved"


@pytest.mark.parametrize(("lasts", "incidents"), [(29, []), (31, ["Open", "Resolved"])])
def test_an_outage_is_an_incident_after_half_a_minute(lasts: int, incidents: list[str]) -> None:
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.sicken(A, ready=False)
    cluster.pass_time(lasts)
    cluster.sicken(A, ready=True)
    cluster.run()
    assert [i.phase for i in cluster.incidents] == incidents
    assert cluster.state.outage is None


def test_a_promotion_seals_the_rollout_before_the_old_pods_go() -> None:
    """A rollback that another process issued before, and that comes late, must not reach pods that are gone."""
    cluster = Cluster(content(A))
    cluster.stable_on(A)
    cluster.desired = content(B)
    cluster.pass_time(35)
    assert cluster.state.rollout is not None
    rollout = cluster.state.rollout.id
    cluster.pass_time(200)
    assert cluster.state.active == B
    assert cluster.service.rollout_id == f"{rollout}-promoted"
    assert cluster.service.exposure == only(B)
