"""The judge, fed look by look: which answer comes first, what outlives a process, and what never becomes a verdict."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker, Tolerance
from keeptrusts_operator.core.judgement import Judgement, Verdict, from_status, to_status
from keeptrusts_operator.gateways import judging, trial
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.judging import Case, Count, Judge

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
A, B = "aaaaaaaaaa", "bbbbbbbbbb"
CASE = Case("r1", A, B, "Canary/0/running", 0.2, CircuitBreaker(), counted_late=False)
SOAK = replace(CASE, stage=trial.OF_ALL, share=1.0)

Pods = Mapping[str, tuple[str, float, float]]  # pod → revision, requests per second, part of them blocked
BOTH: Pods = {"a1": (A, 40.0, 0.02), "b1": (B, 20.0, 0.02)}
BAD: Pods = {"a1": (A, 40.0, 0.02), "b1": (B, 20.0, 0.45)}
STABLE: Pods = {"a1": (A, 60.0, 0.02)}
OPENED: Pods = {"a1": (A, 60.0, 0.2), "b1": (B, 60.0, 0.0)}


class Bench:
    """A judge and its time; blocks come evenly, so that nothing here depends on luck."""

    def __init__(self, at: float = 1000.0) -> None:
        self.judge, self.at = Judge(), at
        self._owed: dict[tuple[str, str], float] = {}

    def aim(self, case: Case | None, active: str = A) -> None:
        self.judge.aim(active, case, self.at)

    def look(self, seconds: float, pods: Pods) -> None:
        """A look after so many seconds; a pod that is not in it gave no page."""
        self.at += seconds
        counts = [
            Count(uid, revision, self._counted(uid, rate * seconds, part))
            for uid, (revision, rate, part) in pods.items()
        ]
        self.judge.feed(counts, self.at)

    def _counted(self, uid: str, requests: float, part: float) -> Increment:
        whole = {"requests": requests, "blocked": requests * part}
        out = {}
        for what, more in whole.items():
            owed = self._owed.get((uid, what), 0.0) + more
            out[what], self._owed[(uid, what)] = float(int(owed)), owed - int(owed)
        return Increment(requests=max(out.values()), blocked=out["blocked"])

    def go(self, seconds: float, pods: Pods, every: float = 0.5, until: Callable[[], bool] = lambda: False) -> float:
        """Look again and again; seconds that passed."""
        begun = self.at
        while self.at < begun + seconds and not until():
            self.look(every, pods)
        return self.at - begun

    @property
    def said(self) -> Judgement:
        judged = self.judge.judgement(NOW + timedelta(seconds=self.at), self.at)
        assert judged is not None
        return judged

    @property
    def word(self) -> tuple[Verdict, str] | None:
        return self.judge.word

    def heir(self, case: Case, at: float = 7.0) -> Bench:
        """Another process, whose clock is another one, with what this one's status holds."""
        status = json.loads(json.dumps(to_status(self.said)))
        bench = Bench(at)
        bench.aim(replace(case, kept=from_status(status)))
        return bench


def judged(case: Case = CASE, warm: float = 300.0) -> Bench:
    """After five minutes of the active revision alone."""
    bench = Bench()
    bench.aim(None)
    bench.go(warm, STABLE, every=5.0)
    bench.aim(case)
    return bench


# --- which answer comes first


def test_a_bad_candidate_is_tripped_in_seconds_and_a_good_one_cleared() -> None:
    bad, good = judged(), judged()
    assert bad.go(60, BAD, until=lambda: bad.word == (Verdict.TRIP, "BlockRate")) < 10
    good.go(60, BOTH)
    assert good.word == (Verdict.CLEAR, "BlockRate")
    assert (round(good.said.canary.requests), good.said.canary.blocked) == (1200, 24)


def test_a_trip_comes_before_a_hold_and_both_before_a_candidate_that_lets_pass() -> None:
    bench = judged()
    seen = list[Any]()
    for _ in range(240):
        bench.look(0.5, {"a1": (A, 40.0, 0.02), "b1": (B, 20.0, 0.12)})
        seen.append(bench.word)
    first = [seen.index((verdict, "BlockRate")) for verdict in (Verdict.UNDECIDED, Verdict.HOLD, Verdict.TRIP)]
    assert first == sorted(first)
    assert set(seen[first[2] :]) == {(Verdict.TRIP, "BlockRate")}
    opened = judged()
    opened.go(60, OPENED)
    assert opened.word == (Verdict.HOLD, "BlockRateFell")
    assert "lets pass" in opened.said.message


def test_without_data_nothing_is_said_however_long_it_lasts() -> None:
    for pods in ({}, STABLE, {"b1": (B, 20.0, 0.45)}, {"a1": (A, 0.0, 0.0), "b1": (B, 0.0, 0.0)}):
        bench = judged()
        bench.go(600, pods)
        assert bench.word == (Verdict.UNDECIDED, "BlockRate"), pods


def test_a_clear_candidate_that_can_no_longer_be_read_is_undecided_till_it_can() -> None:
    bench = judged()
    bench.go(60, BOTH)
    bench.go(trial.UNREAD_SECONDS - 1, STABLE)
    assert bench.word == (Verdict.CLEAR, "BlockRate")
    bench.go(3, STABLE)
    assert bench.word == (Verdict.UNDECIDED, "BlockRate")
    bench.go(1, BOTH)
    assert bench.word == (Verdict.CLEAR, "BlockRate")


# --- few clients


def test_blocks_of_one_pod_alone_are_held_when_another_one_would_have_shown_some() -> None:
    one = {"a1": (A, 40.0, 0.02), "b1": (B, 10.0, 0.8), "b2": (B, 10.0, 0.0)}
    bench = judged()
    bench.go(30, one)
    assert bench.word == (Verdict.HOLD, "FewClients")
    assert "one pod" in bench.said.message
    both = {"a1": (A, 40.0, 0.02), "b1": (B, 10.0, 0.8), "b2": (B, 10.0, 0.5)}
    bench.go(30, both)
    assert bench.word == (Verdict.TRIP, "BlockRate")


def test_a_pod_without_requests_is_no_witness() -> None:
    bench = judged()
    bench.go(30, {"a1": (A, 40.0, 0.02), "b1": (B, 20.0, 0.6), "b2": (B, 0.05, 0.0)})
    assert bench.word == (Verdict.TRIP, "BlockRate")


def test_a_new_leader_holds_as_well_what_was_held_for_few_clients() -> None:
    one = {"a1": (A, 40.0, 0.02), "b1": (B, 10.0, 0.8), "b2": (B, 10.0, 0.0)}
    bench = judged()
    bench.go(30, one)
    heir = bench.heir(CASE)
    assert heir.word == (Verdict.HOLD, "FewClients")
    heir.go(30, one)
    assert heir.word == (Verdict.HOLD, "FewClients")


# --- all traffic


def soaking(pods: Pods = BOTH) -> Bench:
    bench = judged()
    bench.go(60, pods)
    bench.aim(SOAK)
    return bench


def test_with_all_traffic_it_is_judged_against_the_hour_before() -> None:
    bench = soaking()
    assert bench.word == (Verdict.UNDECIDED, "BlockRate")
    bench.go(60, {"b1": (B, 60.0, 0.02)})
    assert bench.word == (Verdict.CLEAR, "BlockRate")
    assert bench.go(60, {"b1": (B, 60.0, 0.45)}, until=lambda: bench.word == (Verdict.TRIP, "BlockRate")) < 10
    assert "by the hour before" in bench.said.message


def test_a_rise_long_after_the_change_is_not_blamed_on_it() -> None:
    bench = soaking()
    bench.go(trial.ATTRIBUTION_SECONDS + 60, {"b1": (B, 60.0, 0.02)}, every=2.0)
    bench.go(60, {"b1": (B, 60.0, 0.45)}, every=2.0)
    assert bench.word == (Verdict.HOLD, "LateRise")
    assert "not blamed" in bench.said.message


def test_in_the_soak_nothing_is_said_for_a_candidate_that_cannot_be_read() -> None:
    bench = soaking()
    bench.look(1.0, {"b1": (B, 60.0, 0.02)})
    assert bench.word == (Verdict.CLEAR, "BlockRate")
    bench.go(trial.UNREAD_SECONDS + 2, {}, every=1.0)
    assert bench.word == (Verdict.UNDECIDED, "BlockRate")


def test_a_new_leader_goes_on_in_the_soak_and_clears_nothing_it_has_not_read() -> None:
    bench = soaking()
    bench.go(100, {"b1": (B, 60.0, 0.02)}, every=2.0)
    bench.go(4, {"b1": (B, 60.0, 0.12)}, every=2.0)
    heir = bench.heir(SOAK)
    assert heir.word == (Verdict.UNDECIDED, "BlockRate")
    assert heir.said.evidence == pytest.approx(bench.said.evidence, rel=0.05)
    assert heir.said.limit == pytest.approx(bench.said.limit)
    assert heir.said.canary.requests == bench.said.canary.requests
    heir.go(10, {"b1": (B, 60.0, 0.02)})
    assert heir.word == (Verdict.CLEAR, "BlockRate")


def test_evidence_against_another_limit_is_none_in_the_soak_either() -> None:
    bench = soaking()
    bench.go(1, {"b1": (B, 60.0, 0.3)})
    assert 3 < bench.said.evidence < 1000
    wider = replace(SOAK, given=CircuitBreaker(tolerance=Tolerance(3.0, 0.4)))
    assert bench.heir(wider).said.evidence == pytest.approx(1.0)


# --- exposure


def test_a_change_of_stage_clears_anew_and_keeps_everything_else() -> None:
    bench = judged()
    bench.go(60, BOTH)
    before = bench.said
    bench.aim(replace(CASE, stage="Canary/1/coming", share=0.5))
    after = bench.said
    assert (before.verdict, after.verdict) == (Verdict.CLEAR, Verdict.UNDECIDED)
    assert (after.canary, after.evidence, after.limit) == (before.canary, before.evidence, before.limit)
    bench.go(60, BOTH)
    assert bench.word == (Verdict.CLEAR, "BlockRate")


def late(at: float, seconds: float) -> Pods:
    """A healthy candidate, 2 % in both arms, whose allowed answers are counted after 30 s, since `at`."""
    allowed = 0.0 if seconds < 30 else 1.0
    return {"a1": (A, 40.0, 0.02), "b1": (B, 20.0 * max(allowed, 0.02), 1.0 if not allowed else 0.02)}


@pytest.mark.parametrize("counted_late", [True, False])
def test_blocks_that_are_counted_before_their_allows_trip_nothing(counted_late: bool) -> None:
    """After a change of exposure a young arm shows its blocks first. `False` is what it would be without the care."""
    bench = judged(replace(CASE, share=1 / 3, counted_late=counted_late))
    begun = bench.at
    while bench.at < begun + 60 and bench.word != (Verdict.TRIP, "BlockRate"):
        bench.look(0.5, late(begun, bench.at - begun))
    assert (bench.word == (Verdict.TRIP, "BlockRate")) is not counted_late


def test_the_same_holds_for_all_traffic_at_once_and_for_a_new_leader() -> None:
    given = replace(CASE, share=1 / 3, counted_late=True)
    for inherited in (False, True):
        bench = judged(given)
        bench.look(0.5, BOTH)
        soak = replace(given, stage=trial.OF_ALL, share=1.0)
        bench.aim(soak)
        if inherited:
            bench = bench.heir(soak)
            bench.look(0.5, {})
        bench.go(25, {"b1": (B, 60.0 * 0.02, 1.0)})
        assert bench.word is not None
        assert bench.word[0] is not Verdict.TRIP, inherited


def test_a_new_leader_in_mid_canary_knows_the_rate_from_the_one_before_it() -> None:
    given = replace(CASE, share=1 / 3, counted_late=True)
    bench = judged(given)
    bench.look(0.5, late(0, 0))
    heir = bench.heir(given)
    heir.go(25, late(0, 0))
    assert heir.word is not None
    assert heir.word[0] is not Verdict.TRIP


def test_what_an_idle_look_counted_is_not_taken_for_a_rate_of_one_second() -> None:
    """Seed 10101: a new leader's first page of growth covered 30 s; taken for one second of it, the candidate was thought
    to have had 15 times the requests, for as long as the step lasted."""
    bench = Bench()
    bench.aim(None)
    bench.look(0.0, {})
    bench.look(30.0, STABLE)
    bench.aim(replace(CASE, share=1 / 3, counted_late=True))
    assert bench.go(60, BAD, until=lambda: bench.word == (Verdict.TRIP, "BlockRate")) < 15


def test_without_a_histogram_blocks_are_waited_for_no_longer_than_any_answer_takes() -> None:
    """Traffic that has fallen to a tenth of what it was before the change does not hide a bad candidate for good."""
    bench = judged(replace(CASE, share=1 / 3, counted_late=True))
    bad = {"a1": (A, 1.0, 0.02), "b1": (B, 0.5, 0.45)}
    bench.go(1000, bad, until=lambda: bench.word == (Verdict.TRIP, "BlockRate"))
    assert bench.word == (Verdict.TRIP, "BlockRate")


# --- the next process


def test_a_checkpoint_loses_nothing_and_the_next_process_goes_on() -> None:
    bench = judged()
    bench.go(2, BAD)
    heir = bench.heir(CASE)
    assert bench.said.evidence > 10
    assert heir.said.evidence == pytest.approx(bench.said.evidence, rel=0.02)
    assert (heir.said.canary, heir.said.stable) == (bench.said.canary, bench.said.stable)
    rest = heir.go(60, BAD, until=lambda: heir.word == (Verdict.TRIP, "BlockRate"))
    assert rest <= bench.go(60, BAD, until=lambda: bench.word == (Verdict.TRIP, "BlockRate")) + 1.0


def test_noise_between_pods_is_kept_to_the_digit_that_evidence_rests_on() -> None:
    """The limit of the next process must be the same, or its evidence would be thrown away."""
    rng = random.Random(1)
    for _ in range(20):
        bench = Bench()
        bench.aim(None)
        bench.go(300, {f"a{n}": (A, 20.0, rng.uniform(0.0, 0.2)) for n in range(4)}, every=5.0)
        bench.aim(CASE)
        bench.go(10, {"a1": (A, 40.0, 0.1), "b1": (B, 20.0, 0.3)})
        assert bench.said.noise > 0.01
        heir = bench.heir(CASE)
        assert heir.said.noise == bench.said.noise
        assert heir.said.canary == bench.said.canary, "the evidence is still there"


def test_stable_pods_that_differ_by_any_measure_do_not_blind_the_judge() -> None:
    bench = Bench()
    bench.aim(None)
    bench.go(300, {"a1": (A, 60.0, 0.02), "a2": (A, 5.0, 1.0)}, every=5.0)
    bench.aim(CASE)
    assert bench.go(60, {**BAD, "b1": (B, 20.0, 0.6)}, until=lambda: bench.word == (Verdict.TRIP, "BlockRate")) < 60
    assert bench.said.noise == trial.MOST_NOISE


def test_a_trip_is_final_for_this_process_and_for_the_next_one() -> None:
    bench = judged()
    bench.go(60, BAD, until=lambda: bench.word == (Verdict.TRIP, "BlockRate"))
    numbers = replace(bench.said, sampled_at=None, checkpoint={})
    bench.go(300, BOTH)
    bench.aim(SOAK)
    bench.go(300, {"b1": (B, 60.0, 0.02)})
    assert replace(bench.said, sampled_at=None, checkpoint={}) == numbers
    heir = bench.heir(SOAK)
    heir.go(300, {"b1": (B, 60.0, 0.02)})
    assert heir.word == (Verdict.TRIP, "BlockRate")
    assert heir.said.message == numbers.message
    heir.aim(replace(CASE, rollout_id="r2"))
    assert heir.word == (Verdict.UNDECIDED, "BlockRate"), "another rollout is another question"


@pytest.mark.parametrize(
    "damage",
    [
        {},
        {"watch": 1, "alone": 2, "pods": 3, "declared": 4, "exposure": 5},
        {"pods": {"b1": "many"}, "exposure": {"rate": -1}},
    ],
)
def test_a_damaged_checkpoint_only_costs_evidence(damage: Mapping[str, Any]) -> None:
    bench = judged()
    bench.go(3, BAD)
    kept = replace(bench.said, checkpoint=damage, verdict=Verdict.UNDECIDED)
    heir = Bench(5.0)
    heir.aim(replace(CASE, kept=kept))
    assert heir.said.evidence == 1.0
    heir.aim(replace(SOAK, kept=kept))
    heir.go(60, {"b1": (B, 20.0, 0.45)})
    assert heir.word == (Verdict.TRIP, "BlockRate")


def test_a_soak_that_was_damaged_in_any_number_begins_again() -> None:
    bench = soaking()
    bench.go(10, {"b1": (B, 60.0, 0.02)})
    kept = bench.said
    for key, value in kept.checkpoint["alone"].items():
        for wrong in ("x", [], [float("nan")] * len(value), [-1e9] * len(value), None):
            damaged = {**kept.checkpoint, "alone": {**kept.checkpoint["alone"], key: wrong}}
            heir = Bench(5.0)
            heir.aim(replace(SOAK, kept=replace(kept, checkpoint=damaged)))
            heir.go(3, {"b1": (B, 60.0, 0.02)})
            assert heir.word == (Verdict.CLEAR, "BlockRate"), (key, wrong)


# --- what is judged by


def test_a_policy_that_cannot_be_read_declares_what_it_declared() -> None:
    declared, unread = replace(CASE, increase=0.5, decrease=0.1), replace(CASE, increase=None, decrease=None)
    bench = judged(declared)
    bench.go(30, BAD)
    limit = bench.said.limit
    assert limit is not None
    assert limit > 0.5
    bench.aim(unread)
    bench.go(30, BAD)
    assert bench.word is not None
    assert bench.word[0] is not Verdict.TRIP
    assert bench.said.canary.requests == pytest.approx(1200, abs=2), "the same trial"
    heir = bench.heir(unread)
    assert heir.said.limit == pytest.approx(bench.said.limit)
    assert Bench().judge.judgement(NOW, 0.0) is None


def test_another_tolerance_begins_anew_with_what_is_known_of_the_active_revision() -> None:
    bench = judged()
    bench.go(3, BAD)
    wider = replace(CASE, given=CircuitBreaker(tolerance=Tolerance(1.5, 0.6)))
    bench.aim(wider)
    assert bench.said.evidence == 1.0
    assert bench.said.stable_rate == pytest.approx(0.02, abs=0.005)
    bench.go(60, BAD)
    assert bench.word is not None
    assert bench.word[0] is not Verdict.TRIP


def test_a_pause_in_which_there_is_nothing_to_judge_keeps_the_evidence() -> None:
    bench = judged()
    bench.go(2, BAD)
    before = bench.said.evidence
    bench.aim(None)
    bench.aim(CASE)
    assert bench.said.evidence == before > 10


def test_after_the_promotion_it_is_watched_for_a_while_and_then_forgotten() -> None:
    bench = soaking()
    bench.go(60, {"b1": (B, 60.0, 0.02)})
    bench.aim(None, active=B)
    bench.go(60, {"b1": (B, 60.0, 0.02)}, every=30.0)
    watched = bench.said.canary.requests
    bench.go(judging.WATCHED_AFTER, {"b1": (B, 60.0, 0.02)}, every=30.0)
    ended = bench.said.canary.requests
    assert ended > watched > 3600
    bench.go(600, {"b1": (B, 60.0, 0.02)}, every=30.0)
    assert bench.said.canary.requests == ended


def test_the_baseline_of_a_promoted_revision_is_its_own() -> None:
    bench = judged()
    bench.go(300, {"a1": (A, 40.0, 0.02), "b1": (B, 20.0, 0.04)})
    bench.look(0.5, {"a1": (A, 40.0, 0.02)})  # its pod is silent for once
    bench.aim(None, active=B)
    bench.look(30.0, {"b1": (B, 60.0, 0.04)})
    bench.aim(replace(CASE, rollout_id="r2", active=B, candidate="cccccccccc"), active=B)
    assert bench.said.stable_rate == pytest.approx(0.04, abs=0.005)


def test_a_lifetime_seeds_the_baseline_of_the_active_revision_only() -> None:
    bench = Bench()
    bench.aim(None)
    lifetimes = [Count("a1", A, None, Increment(100_000, 10_000)), Count("b1", B, None, Increment(100_000, 90_000))]
    bench.judge.feed(lifetimes, bench.at)
    bench.aim(CASE)
    assert bench.said.stable_rate == pytest.approx(0.1, abs=0.005)
    assert bench.said.canary.requests == 0
