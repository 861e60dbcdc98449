"""The breaker: that its bets are fair, what it refuses to conclude, its checkpoint and its words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.api.circuit_breaker import Tolerance as ApiTolerance
from keeptrusts_operator.core.breaker import (
    BETS,
    HOLD,
    START,
    TRIP,
    Alone,
    Baseline,
    Settings,
    Tolerance,
    Verdict,
    Watch,
    alarm,
    all_clear,
)
from keeptrusts_operator.core.breaker_words import figures, from_dict, sentence, to_dict
from keeptrusts_operator.core.dispersion import Slice, few_clients, spread, with_arrivals
from tests.breaker.streams import Load, Stream, jump, retries, steady

BAD = Slice(5, 3, 45, 1, 0.5)
GOOD = Slice(10, 0, 90, 2, 0.5)


def judged(stream: Stream) -> Iterator[Watch]:
    baseline = Baseline()
    for seen in stream.before:
        baseline = baseline.feed(seen)
    watch = Watch.begin(stream.settings, baseline)
    for seen in stream.judged:
        watch = watch.step(seen)
        yield watch


def known(requests: float = 2000, rate: float = 0.02) -> Baseline:
    return Baseline().seed(requests, requests * rate)


def begun(settings: Settings | None = None, rate: float = 0.02) -> Watch:
    return Watch.begin(settings or Settings(), known(rate=rate))


def run(watch: Watch, *slices: Slice) -> Watch:
    for seen in slices:
        watch = watch.step(seen)
    return watch


# --- the bets ---------------------------------------------------------------------------------------------------------


def binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


TOLERANCES = [TRIP, HOLD, Tolerance(1.0, 0.0), Tolerance(1.0, 0.02, 0.1), Tolerance(3.0, 0.001), Tolerance(1.5, 0.3)]


@pytest.mark.parametrize("tolerance", TOLERANCES, ids=str)
@pytest.mark.parametrize(("n_c", "n_s"), [(1, 1), (1, 9), (5, 3), (4, 12)])
@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_no_bet_gains_on_average_while_the_canary_is_tolerated(
    tolerance: Tolerance, n_c: int, n_s: int, burst: float
) -> None:
    """Exact, over all outcomes, for true rates that the estimates need not have guessed; without the cap too."""
    uncapped = replace(tolerance, alpha=1e-300)
    for rate, width in product((0.001, 0.02, 0.3, 0.8), (0.02, 0.15)):
        ceiling = rate + width
        gains = {
            (b_c, b_s): alarm(Slice(n_c, b_c, n_s, b_s), uncapped, rate, ceiling, burst)
            for b_c, b_s in product(range(n_c + 1), range(n_s + 1))
        }
        for stable in (0.0, rate / 2, rate, min(1.0, ceiling)):
            for canary in {min(1.0, uncapped.limit(stable)), min(1.0, uncapped.limit(stable)) / 2}:
                of_canary, of_stable = binomial(n_c, canary), binomial(n_s, stable)
                for k in range(len(BETS)):
                    mean = sum(of_canary[c] * of_stable[s] * math.exp(g[k]) for (c, s), g in gains.items())
                    assert mean <= 1.0 + 1e-9, (rate, ceiling, stable, canary, k)


@pytest.mark.parametrize("tolerance", TOLERANCES, ids=str)
@pytest.mark.parametrize(("n_c", "n_s"), [(1, 1), (1, 9), (5, 3), (4, 12)])
def test_all_clear_does_not_gain_while_the_canary_is_at_the_limit_or_above(
    tolerance: Tolerance, n_c: int, n_s: int
) -> None:
    uncapped = replace(tolerance, alpha=1e-300)
    for rate, stable in product((0.001, 0.02, 0.3, 0.8), (0.0, 0.01, 0.1, 0.6)):
        limit = uncapped.limit(stable)
        for canary in (limit, (1.0 + limit) / 2) if limit <= 1.0 else ():
            of_canary, of_stable = binomial(n_c, canary), binomial(n_s, stable)
            mean = sum(
                of_canary[b_c] * of_stable[b_s] * math.exp(all_clear(Slice(n_c, b_c, n_s, b_s), uncapped, rate, 1.0)[0])
                for b_c, b_s in product(range(n_c + 1), range(n_s + 1))
            )
            assert mean <= 1.0 + 1e-9, (rate, stable, canary)


def test_extreme_counts_and_tolerances_never_break_the_arithmetic() -> None:
    for n_c, n_s in product((1e-9, 1.0, 1e15), repeat=2):
        for ratio, points, rate in product((1.0, 1.5, 100.0), (0.0, 0.02, 1.0), (0.0, 0.02, 1.0)):
            tolerance, base = Tolerance(ratio, points), known(rate=rate)
            for part in (0.0, 0.5, 1.0):
                seen = Slice(n_c, n_c * part, n_s, n_s * rate)
                gains = alarm(seen, tolerance, base.rate, base.ceiling(25.0), 25.0)
                gains += all_clear(seen, tolerance, base.rate, 1.0)
                gains += alarm(Slice(n_c, n_c * part), tolerance, base.rate, base.rate, 1.0)
                assert all(math.isfinite(g) for g in gains)
                assert math.isfinite(START.bet(gains[: len(BETS)]).log)


@pytest.mark.parametrize(("n_c", "n_s"), [(1, 1), (9, 1), (5, 3), (4, 12)])
def test_no_bet_gains_on_average_by_what_befalls_both_arms_alike(n_c: int, n_s: int) -> None:
    """Stable may be anywhere above its ceiling."""
    for tolerance, rate, stable in product(TOLERANCES, (0.001, 0.02, 0.3), (0.05, 0.3, 0.5, 0.9, 0.99, 1.0)):
        uncapped, ceiling = replace(tolerance, alpha=1e-300), rate + 0.02
        if stable <= ceiling:
            continue
        gains = {
            (b_c, b_s): alarm(Slice(n_c, b_c, n_s, b_s), uncapped, rate, ceiling, 1.0)
            for b_c, b_s in product(range(n_c + 1), range(n_s + 1))
        }
        top = uncapped.limit(ceiling)
        for canary in {stable, 0.9 * stable, max(stable, 1.0 - (1.0 - top) * (1.0 - stable) / (1.0 - ceiling))}:
            of_canary, of_stable = binomial(n_c, canary), binomial(n_s, stable)
            for k in range(len(BETS)):
                mean = sum(of_canary[c] * of_stable[s] * math.exp(g[k]) for (c, s), g in gains.items())
                assert mean <= 1.0 + 1e-9, (tolerance, rate, stable, canary, k)


@pytest.mark.parametrize("high", [0.45, 0.9, 1.0])
@pytest.mark.parametrize("load", [Load(100.0, 0.5, 90.0), Load(10.0, 0.5, 90.0), Load(100.0, 0.1, 90.0)], ids=str)
def test_a_service_that_is_down_for_both_arms_is_no_fault_of_the_candidate(load: Load, high: float) -> None:
    for seed in range(5):
        stream = jump(np.random.default_rng(seed), load, 0.02, high, 30, 30)
        for watch in judged(stream):
            assert watch.verdict() not in (Verdict.TRIP, Verdict.HOLD)
            assert not watch.failed_open()


def test_counts_beyond_all_measure_are_no_error() -> None:
    for huge in (Slice(1e15, 0, 1e15, 1e15, 0.5), Slice(1e15, 1e15, 1e15, 0, 1e15), Slice(1, 1, 1e15, 1e15)):
        watch = run(begun(), *[huge, GOOD] * 50, Slice(1e15, 1e15, 0, 0), Slice(1e15, 1e15, 0, 0))
        assert watch.total.canary_requests <= 1e15
        assert all(math.isfinite(e.log) for e in (watch.trip, watch.hold, watch.clear, watch.opened))
        assert len(json.dumps(to_dict(watch), allow_nan=False)) < 1000
        assert from_dict(through_json(watch), watch.settings).trip.log == pytest.approx(watch.trip.log, rel=0.001)
        sentence(figures(watch))


def test_stakes_stay_a_whole_and_never_run_out() -> None:
    watch = run(begun(), *[GOOD] * 500)
    for evidence in (watch.trip, watch.hold, watch.clear, watch.opened):
        assert math.fsum(evidence.stakes) == pytest.approx(1.0)
        assert min(evidence.stakes) > 1e-5


def test_a_slice_is_judged_by_what_was_known_before_it() -> None:
    before = run(begun(), *[GOOD] * 20)
    base = before.baseline
    after = before.step(BAD)
    burst = base.burstiness(None)
    assert after.trip == before.trip.bet(alarm(BAD, TRIP, base.rate, base.ceiling(burst), burst))
    assert after.hold == before.hold.bet(alarm(BAD, HOLD, base.rate, base.ceiling(burst), burst))
    assert after.baseline == base.feed(BAD)


def test_one_slice_alone_never_trips_nor_two() -> None:
    fatal = Slice(1e6, 1e6, 1e6, 0, 0.5)
    watch = begun()
    for slices in (1, 2):
        watch = watch.step(fatal)
        assert watch.trip.log <= slices * TRIP.needed / 3
        assert watch.verdict() is not Verdict.TRIP
    assert run(watch, *[fatal] * 5).verdict() is Verdict.TRIP


# --- what is no evidence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, -1e-9, 1e300])
@pytest.mark.parametrize("name", vars(Slice()))
def test_what_is_no_count_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        replace(GOOD, **{name: value})


@pytest.mark.parametrize(
    "unfinished",
    [Slice(0, 0, 900, 20, 5), Slice(5, 5, 0, 0, 5), Slice(0, 7, 45, 1, 5), Slice(5, 0, 0, 3, 5), Slice()],
    ids=["no canary", "no stable", "blocks wait for requests", "and stable's", "nothing"],
)
def test_a_slice_without_requests_stays_open_and_grows(unfinished: Slice) -> None:
    watch = begun()
    waiting = run(watch, unfinished, unfinished)
    assert waiting.open == unfinished + unfinished
    assert (waiting.trip, waiting.hold, waiting.clear, waiting.baseline) == (
        watch.trip,
        watch.hold,
        watch.clear,
        watch.baseline,
    )
    rest = Slice(20, 1, 90, 2, 0.5)
    closed, at_once = waiting.step(rest), watch.step(unfinished + unfinished + rest)
    assert replace(closed, seconds=0) == replace(at_once, seconds=0)
    assert closed.open == Slice()


def test_blocks_without_any_requests_are_a_wrong_profile_and_no_fault() -> None:
    watch = run(begun(), *[Slice(0, 5, 45, 1, 0.5)] * 500)
    assert (watch.verdict(), watch.trip.log) == (Verdict.UNDECIDED, 0.0)


def test_fewer_blocked_than_wanted_never_trip() -> None:
    strict = Settings(trip=Tolerance(min_blocked=30), hold=Tolerance(1.25, 0.01, 0, 0.01, 30))
    watch = run(begun(strict), *[Slice(2, 2, 45, 1, 0.5)] * 14)
    assert watch.trip.log > TRIP.needed
    assert watch.verdict() is Verdict.UNDECIDED
    assert watch.step(Slice(2, 2, 45, 1, 0.5)).verdict() is Verdict.TRIP


def test_nothing_exceeds_a_limit_of_everything() -> None:
    watch = run(begun(rate=0.8), *[Slice(5, 5, 45, 36, 0.5)] * 200)
    assert watch.verdict() is not Verdict.TRIP
    assert watch.trip.log == pytest.approx(0.0)


def test_evidence_does_not_hang_on_how_time_is_cut() -> None:
    stream = steady(np.random.default_rng(1), Load(100.0, 0.1, 20.0), 0.02, 0.3)
    pairs = [a + b for a, b in zip(stream.judged[::2], stream.judged[1::2], strict=True)]
    *_, fine = judged(stream)
    *_, coarse = judged(replace(stream, judged=pairs))
    assert (fine.verdict(), coarse.verdict()) == (Verdict.TRIP, Verdict.TRIP)
    assert fine.total == coarse.total


def test_between_the_limits_the_candidate_is_held_and_not_tripped() -> None:
    *_, watch = judged(steady(np.random.default_rng(2), Load(100.0, 0.2, 600.0), 0.02, 0.045))
    assert watch.verdict() is Verdict.HOLD
    assert figures(watch).needed == pytest.approx(100)


def test_clear_is_for_one_step_and_the_evidence_for_all() -> None:
    watch = run(begun(), *[GOOD] * 200)
    assert watch.verdict() is Verdict.CLEAR
    after = watch.next_step()
    assert after.verdict() is Verdict.UNDECIDED
    assert (after.trip, after.hold, after.total) == (watch.trip, watch.hold, watch.total)


def test_the_api_s_settings_are_the_breaker_s() -> None:
    assert Settings.of(CircuitBreaker(), 0.0, 0.0) == Settings()
    spec = CircuitBreaker(
        false_rollback_probability=0.01, tolerance=ApiTolerance(1.1, 0.005), min_blocked=10, burst=4.0
    )
    given = Settings.of(spec, increase=0.05, decrease=0.1, noise=0.02)
    assert given.trip == Tolerance(1.1, 0.045, 0.05, 0.01, 10)
    assert given.hold == Tolerance(1.1, 0.045, 0.05, 0.01, 10), "not more patient than a trip"
    assert given.opened == Tolerance(1.1, 0.045, 0.1, 0.01, 10)
    assert (given.burst, given.clear.alpha, given.clear.added) == (4.0, 0.05, given.trip.added)


def test_expected_increase_is_tolerated() -> None:
    bad = [Slice(10, 3, 90, 2, 0.5)] * 60
    assert run(begun(), *bad).verdict() is Verdict.TRIP
    assert run(begun(Settings(trip=replace(TRIP, expected_increase=0.3))), *bad).trip.log < 0


# --- the stable arm ---------------------------------------------------------------------------------------------------


def test_lifetime_counters_weigh_at_most_2000_requests() -> None:
    base = Baseline().seed(1e6, 1e5)
    assert base.requests == 2000
    assert base.blocked == pytest.approx(200)
    assert Baseline().seed(100, 10).requests == 100
    assert Baseline().seed(0, 0) == Baseline()
    assert Baseline().seed(10, 30).rate < 1


def test_the_baseline_forgets_half_in_208_seconds() -> None:
    base = Baseline().seed(2000, 400).feed(Slice(seconds=208))
    assert (base.requests, base.blocked) == (1000, 200)
    assert Baseline().rate == pytest.approx(0.02)
    assert known(rate=0.1).limit(TRIP) == pytest.approx(0.17, abs=0.002)


def test_bursts_are_measured_on_the_stable_arm_only() -> None:
    *_, bursty = judged(retries(np.random.default_rng(3), Load(100.0, 0.1, 60.0), 0.02, 0.02, 19))
    assert 8 < bursty.baseline.burstiness(None) <= 25
    calm = begun()
    shaken = run(calm, *[Slice(40, 40 * (i % 10 == 0), 40, 1, 0.5) for i in range(200)])
    assert shaken.baseline.burstiness(None) < 1.5


@pytest.mark.parametrize(("setting", "burst"), [(4.0, 4.0), (0.5, 1.0), (99.0, 25.0), (None, 1.0)])
def test_a_number_for_the_bursts_is_believed_from_1_to_25(setting: float | None, burst: float) -> None:
    assert known().burstiness(setting) == burst


def test_a_bursty_arm_is_convicted_later() -> None:
    bad = [BAD] * 8
    assert run(begun(), *bad).trip.log > run(begun(Settings(burst=8)), *bad).trip.log > 0


def test_pods_that_differ_without_a_change_widen_the_tolerance() -> None:
    assert spread([]) == spread([(100, 3)]) == 0.0
    assert spread([(1000, 20)] * 9) == 0.0
    assert spread([(1e18, 0), (1, 1)]) == pytest.approx(0.0, abs=1e-3)
    assert spread([(1e6, 95e3)] * 2 + [(1e6, 0)] * 8) == pytest.approx(0.040, abs=0.001)
    rng = np.random.default_rng(4)
    few = [spread([(30, int(b)) for b in rng.binomial(30, 0.02, 10)]) for _ in range(200)]
    assert sum(few) / 200 < 0.01, "chance is not a difference between pods"
    assert TRIP.widened(0.04).limit(0.02) == pytest.approx(0.13)


def test_what_one_client_may_have_done_shows_on_one_pod() -> None:
    assert few_clients([12, 2, 0], 3)
    assert not few_clients([12, 3, 0], 3)
    assert not few_clients([12], 3), "one pod cannot tell"


# --- answers that are still under way ---------------------------------------------------------------------------------


def test_a_young_arm_has_the_requests_that_must_have_arrived() -> None:
    seen = Slice(2, 2, 45, 1, 0.5)
    young = with_arrivals(seen, share=0.1, rate=100.0, since_change=10.0, p95=30.0)
    assert young.with_all_arrivals.canary_requests == 5.0
    assert with_arrivals(seen, 0.1, 100.0, 30.4, 30.0) == young, "it began before the first answers were complete"
    assert with_arrivals(seen, 0.1, 100.0, 30.5, 30.0) == seen
    assert with_arrivals(seen, 0.1, 100.0, 1e9, math.inf) == young
    assert with_arrivals(replace(seen, canary_requests=9), 0.1, 100.0, 1, 30).with_all_arrivals.canary_requests == 9


def test_requests_that_may_have_arrived_clear_nobody() -> None:
    """A candidate that gets less than its share must not look harmless for it."""
    seen = Slice(1, 1, 90, 2, 0.5, arrived=100)
    watch = run(begun(), *[seen] * 50)
    assert watch.clear.log < 0
    assert not watch.failed_open()


# --- the other questions ----------------------------------------------------------------------------------------------


def test_a_candidate_that_stops_blocking_is_found_and_does_not_trip() -> None:
    watch = run(begun(rate=0.2), *[Slice(10, 0, 90, 18, 0.5)] * 60)
    assert watch.failed_open()
    assert watch.verdict() is Verdict.CLEAR
    assert not run(begun(rate=0.2), *[Slice(10, 2, 90, 18, 0.5)] * 200).failed_open()
    declared = Settings(opened=replace(TRIP, expected_increase=0.2))
    assert not run(begun(declared, rate=0.2), *[Slice(10, 0, 90, 18, 0.5)] * 60).failed_open()


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_few_requests_of_a_healthy_candidate_are_no_fail_open(rate: float) -> None:
    for seed in range(20):
        stream = steady(np.random.default_rng(seed), Load(100.0, 0.02, 60.0), rate, rate)
        assert not any(w.failed_open() for w in judged(stream))


def test_alone_it_is_judged_by_the_last_hour() -> None:
    rng = np.random.default_rng(5)
    minutes = [(600.0, float(b)) for b in rng.binomial(600, 0.02, 60)]
    quiet = Alone.after(minutes, TRIP, 1.0)
    assert 0.02 <= quiet.highest < 0.035
    for b in rng.binomial(5, 0.02, 1200):
        quiet = quiet.step(5, float(b), 0.5)
    assert not quiet.tripped
    loud = quiet
    while not loud.tripped:
        loud = loud.step(5, float(rng.binomial(5, 0.45)), 0.5)
    assert loud.total.seconds - 600 < 10
    assert 595 <= loud.rise_began <= 603


def test_alone_without_requests_time_goes_by() -> None:
    alone = Alone(TRIP, 0.02).step(0, 3, 0.5)
    assert (alone.evidence, alone.total.seconds, alone.open.canary_blocked) == (START, 0.5, 3)
    assert alone.step(4, 0, 0.5).open == Slice()


def test_alone_among_young_pods_blocks_that_come_before_their_allows_are_no_fault() -> None:
    alone = young = Alone.after([(600.0, 12.0)] * 60, TRIP, 1.0)
    for _ in range(60):
        alone, young = alone.step(4, 1, 0.5), young.step(4, 1, 0.5, arrived=50)
    assert alone.tripped
    assert not young.tripped
    assert young.evidence.log < 0


# --- the checkpoint ---------------------------------------------------------------------------------------------------


def through_json(watch: Watch) -> Any:
    return json.loads(json.dumps(to_dict(watch), allow_nan=False))


def half_way() -> Watch:
    *_, watch = judged(steady(np.random.default_rng(6), Load(100.0, 0.1, 20.0), 0.02, 0.07))
    return watch.step(Slice(0, 0, 3, 0, 0.2))


def test_a_new_leader_goes_on_where_the_old_one_was() -> None:
    old = half_way()
    new = from_dict(through_json(old), old.settings)
    assert new.total == old.total
    assert new.open == old.open
    for seen in [BAD, GOOD] * 100:
        old, new = old.step(seen), new.step(seen)
        assert new.verdict() is old.verdict()
    assert new.trip.log == pytest.approx(old.trip.log, abs=0.01)
    assert new.baseline.burstiness(None) == pytest.approx(old.baseline.burstiness(None), rel=0.01)


def test_a_checkpoint_is_small() -> None:
    watch = begun()
    for i in range(2000):
        watch = watch.step(Slice(98765.4321, 1234.56789 * (i % 3), 98765.4321, 2345.6789, 0.51, 12345.678))
        if i % 50 == 0:
            assert len(json.dumps(to_dict(watch))) < 1000


DAMAGE: list[Any] = [None, "x", True, math.nan, math.inf, -math.inf, [], {}, 10**400, "1.0", -1e9]


@pytest.mark.parametrize("key", to_dict(Watch.begin(Settings(), Baseline())))
def test_a_damaged_checkpoint_is_a_fresh_start(key: str) -> None:
    old = half_way()
    fallback = known(500)
    fresh = Watch.begin(old.settings, fallback)
    kept = through_json(old)
    assert from_dict({k: v for k, v in kept.items() if k != key}, old.settings, fallback) == fresh
    for value in DAMAGE:
        again = from_dict({**kept, key: value}, old.settings, fallback)
        assert again.trip == START, value
    if isinstance(kept[key], list) and key != "for":
        for value, i in product(DAMAGE, range(len(kept[key]))):
            numbers = [*kept[key][:i], value, *kept[key][i + 1 :]]
            if value == -1e9 and i == 0 and key in ("trip", "hold", "clear", "opened"):
                continue  # evidence may be as low as it likes
            assert from_dict({**kept, key: numbers}, old.settings, fallback) == fresh, (value, i)
        assert from_dict({**kept, key: [*kept[key], 1.0]}, old.settings, fallback) == fresh


@pytest.mark.parametrize("data", [None, "", "{}", 7, [], {}, {"v": "1"}, {"v": 1}, {"v": "2"}, {"v": math.nan}])
def test_what_is_no_checkpoint_is_a_fresh_start(data: object) -> None:
    assert from_dict(data, Settings()) == Watch.begin(Settings(), Baseline())


def test_evidence_against_another_tolerance_is_not_taken_over() -> None:
    old = half_way()
    other = Settings(trip=Tolerance(1.2))
    new = from_dict(through_json(old), other)
    assert (new.settings, new.trip, new.total) == (other, START, Slice())
    assert new.baseline.rate == pytest.approx(old.baseline.rate, rel=0.001)


# --- words ------------------------------------------------------------------------------------------------------------


def test_the_sentence_of_a_trip_has_its_numbers() -> None:
    watch = begun(rate=0.018)
    while watch.verdict() is not Verdict.TRIP:
        watch = watch.step(Slice(5, 2, 45, 1, 0.5))
    n = watch.total.canary_requests
    said = sentence(figures(watch))
    assert said.startswith(
        f"canary blocked {0.4 * n:.0f} of {n:.0f} (40.0 %), stable blocks 1.8 %, tolerated up to 4.8 %"
    )
    assert "(needs 1,000:1); clients' burstiness 1.0; detected" in said
    assert said.endswith(
        f"detected {n / 10:.1f} s after its first request, {round((0.4 - 0.0185) * n)} requests wrongly blocked"
    )
    assert figures(watch).evidence >= 1000


def test_the_sentence_says_what_bursts_mean_and_nothing_of_a_detection_that_was_none() -> None:
    said = sentence(figures(run(begun(Settings(burst=8)), GOOD)))
    assert "(they retry about 8 times each, so 8 blocked requests count as one)" in said
    assert "detected" not in said


def test_seconds_run_from_the_first_request() -> None:
    watch = run(begun(), Slice(0, 0, 45, 1, 30), Slice(5, 0, 45, 1, 0.5), Slice(0, 0, 45, 1, 0.5))
    assert watch.seconds == 1.0
