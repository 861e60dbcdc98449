"""What the judge's word does to a rollout, by mode, and what of it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeptrusts_operator.api.circuit_breaker import BreakerMode, CircuitBreaker
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.rollout import OnInconclusive
from keeptrusts_operator.core.actions import Announce, CutPods, ShiftTraffic
from keeptrusts_operator.core.judgement import Counts, Judgement, Verdict
from keeptrusts_operator.core.machine import decide
from keeptrusts_operator.core.report import status_of
from keeptrusts_operator.core.state import Stage, from_status
from keeptrusts_operator.core.world import LIVE, Scrape, only
from tests.unit.core.build import A, B, Cluster, content, judged, seconds

SENTENCE = "canary blocked 14 of 32 (43.8 %)"


def exposed(**rollout: Any) -> Cluster:
    """B has its first traffic, and the breaker judges."""
    cluster = Cluster(content(A), **rollout)
    cluster.stable_on(A)
    cluster.desired = content(B)
    cluster.run()
    cluster.spec = replace(cluster.spec, circuit_breaker=CircuitBreaker())
    assert stage(cluster) is Stage.CANARY
    return cluster


def stage(cluster: Cluster) -> Stage | None:
    return cluster.state.rollout.stage if cluster.state.rollout else None


def say(cluster: Cluster, verdict: Verdict, **numbers: Any) -> None:
    """From now on the judge says this."""
    judged(cluster, verdict, message=SENTENCE, canary=Counts(32, 14), sampled_at=cluster.now, **numbers)


def kept(cluster: Cluster) -> Any:
    assert cluster.state.judged
    return cluster.state.judged.checkpoint


def test_a_trip_takes_traffic_back_in_one_pass_with_its_numbers() -> None:
    cluster = exposed()
    say(cluster, Verdict.TRIP)
    decision = cluster.step()
    assert decision.transition == "Tripped"
    shift = next(a for a in decision.actions if isinstance(a, ShiftTraffic))
    assert (shift.exposure, shift.tripped_revision, shift.lowering) == (only(A), B, True)
    assert SENTENCE in shift.reason
    assert [type(a) for a in decision.actions].index(ShiftTraffic) < [type(a) for a in decision.actions].index(CutPods)
    assert cluster.state.rollback
    assert cluster.state.rollback.message == SENTENCE
    cluster.run()
    incident = next(i for i in cluster.incidents if i.type == "Trip")
    assert incident.evidence["canary"] == {"requests": 32, "blocked": 14, "blockRate": "43.8%"}


def test_without_an_answer_nothing_goes_on_and_nothing_goes_back() -> None:
    cluster = exposed(step_deadline=seconds(100))
    cluster.pass_time(99)
    assert (stage(cluster), cluster.service.exposure) == (Stage.CANARY, LIVE)
    assert decide(cluster.world(), cluster.state).hold is None
    cluster.pass_time(2)
    hold = decide(cluster.world(), cluster.state).hold
    assert hold is not None
    assert hold.reason == "Inconclusive"
    assert "no request" in hold.message
    assert f"promote={B}#" in hold.message
    assert cluster.service.exposure == LIVE, "it stays where it is"
    cluster.pass_time(3600)
    assert stage(cluster) is Stage.CANARY


def test_counters_that_cannot_be_read_are_named() -> None:
    cluster = exposed(step_deadline=seconds(10))
    cluster.pass_time(20)
    world = replace(cluster.world(), scrape=Scrape(0, 4, "HTTP 403"))
    hold = decide(world, cluster.state).hold
    assert hold is not None
    assert "HTTP 403" in hold.message


@pytest.mark.parametrize(
    ("choice", "outcome"), [(OnInconclusive.PROMOTE, "Promoted"), (OnInconclusive.ROLL_BACK, "RolledBack")]
)
def test_what_is_done_without_an_answer_is_the_users_choice(choice: OnInconclusive, outcome: str) -> None:
    cluster = exposed(step_deadline=seconds(30), on_inconclusive=choice)
    cluster.pass_time(400)
    assert cluster.state.history[-1].outcome == outcome
    assert cluster.state.active == (B if outcome == "Promoted" else A)


def test_clear_passes_a_step_and_only_after_its_time() -> None:
    cluster = exposed()
    say(cluster, Verdict.CLEAR)
    cluster.pass_time(5)
    assert cluster.state.rollout
    assert cluster.state.rollout.step == 0
    cluster.pass_time(10)
    assert cluster.state.rollout.step == 1


@pytest.mark.parametrize("after", [Verdict.CLEAR, Verdict.TRIP])
def test_a_hold_keeps_measuring_and_ends_by_a_later_word(after: Verdict) -> None:
    cluster = exposed()
    say(cluster, Verdict.HOLD)
    cluster.pass_time(120)
    hold = decide(cluster.world(), cluster.state).hold
    assert hold is not None
    assert (hold.reason, hold.message) == ("BlockRate", SENTENCE)
    say(cluster, after)
    cluster.pass_time(200)
    assert cluster.state.active == (B if after is Verdict.CLEAR else A)


def test_a_trip_is_final_even_if_the_judge_forgets_it() -> None:
    cluster = exposed()
    cluster.sicken(A, ready=False, created_at=cluster.now)
    say(cluster, Verdict.TRIP)
    cluster.step()
    hold = decide(cluster.world(), cluster.state).hold
    assert hold is not None
    assert hold.reason == "NoActivePod", "45 % blocked is better than 100 % refused"
    cluster.state = from_status(status_of(cluster.world(), decide(cluster.world(), cluster.state), {}))
    say(cluster, Verdict.CLEAR)
    cluster.sicken(A, ready=True)
    assert cluster.step().transition == "Tripped"


@pytest.mark.parametrize(
    ("mode", "ends"), [(BreakerMode.HOLD, Stage.CANARY), (BreakerMode.NOTIFY, None), (BreakerMode.OFF, None)]
)
def test_the_mode_says_what_a_trip_may_do(mode: BreakerMode, ends: Stage | None) -> None:
    cluster = exposed()
    say(cluster, Verdict.TRIP)
    cluster.spec = replace(cluster.spec, circuit_breaker=CircuitBreaker(mode=mode))
    decision = cluster.step()
    assert any(isinstance(a, Announce) and SENTENCE in a.message for a in decision.actions)
    cluster.pass_time(500)
    assert stage(cluster) is ends
    assert cluster.state.active == (A if ends else B)


def test_a_promotion_by_hand_ends_an_inconclusive_step() -> None:
    cluster = exposed(step_deadline=seconds(10))
    cluster.pass_time(20)
    cluster.ask(Verb.PROMOTE, B)
    cluster.run()
    assert stage(cluster) is Stage.SOAKING


def test_the_words_of_another_rollout_are_not_about_this_one() -> None:
    cluster = exposed()
    cluster.judgement = Judgement("another", Verdict.TRIP)
    assert cluster.step().transition == ""
    assert cluster.state.judged is None


def test_what_is_kept_changes_with_the_verdict_else_now_and_then() -> None:
    cluster = exposed()
    begun, written = cluster.now, list[int]()
    for second in range(60):
        cluster.now = begun + seconds(second)
        judged(cluster, Verdict.UNDECIDED, canary=Counts(second, 0), sampled_at=cluster.now, checkpoint={"n": second})
        cluster.step()
        if not written or written[-1] != kept(cluster)["n"]:
            written.append(kept(cluster)["n"])
    assert written == [0, 12, 24, 36, 48]
    judged(cluster, Verdict.HOLD, canary=Counts(60, 0), sampled_at=cluster.now, checkpoint={"n": 60})
    cluster.step()
    assert kept(cluster)["n"] == 60
    status = status_of(cluster.world(), decide(cluster.world(), cluster.state), {})
    assert from_status(status).judged == cluster.state.judged


def test_without_a_request_nothing_is_written_however_long_it_lasts() -> None:
    cluster = exposed()
    say(cluster, Verdict.UNDECIDED)
    cluster.step()
    before = cluster.state.judged
    cluster.pass_time(600)
    say(cluster, Verdict.UNDECIDED)
    cluster.step()
    assert cluster.state.judged == before


def test_after_a_rollback_its_numbers_stay_without_the_checkpoint() -> None:
    cluster = exposed()
    say(cluster, Verdict.TRIP, checkpoint={"n": 1}, limit=0.05)
    cluster.run()
    cluster.judgement = None
    cluster.run()
    assert kept(cluster) == {}
    status = status_of(cluster.world(), decide(cluster.world(), cluster.state), {})
    tripped = next(c for c in status["conditions"] if c["type"] == "BreakerTripped")
    assert (tripped["status"], tripped["message"]) == ("True", SENTENCE)
    assert status["breaker"]["limit"] == "5%"
