"""A candidate that is slower, or has more provider errors, is held; one that is as the active one is not."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.random import Generator

from keeptrusts_operator.core import paired
from keeptrusts_operator.core.breaker import Verdict
from keeptrusts_operator.core.dispersion import Slice
from keeptrusts_operator.core.paired import Beside, choose_bound, error_slice, slow_slice
from keeptrusts_operator.gateways.counters import Increment

BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def traffic(rng: Generator, requests: float, median: float = 0.8, errors: float = 0.01) -> Increment:
    """Log-normal answer times (p99 is 5 times the median), and errors that come one by one."""
    count = int(rng.poisson(requests))
    times = rng.lognormal(math.log(median), 0.7, count)
    latency = {b: float(np.sum(times <= b)) for b in BOUNDS} | {math.inf: float(count)}
    return Increment(count, provider_errors=float(rng.binomial(count, errors)), latency=latency)


def begun(rng: Generator) -> Beside:
    return Beside.begin(traffic(rng, 30_000), [traffic(rng, 3_000) for _ in range(9)])


def held_after(rng: Generator, seconds: int, slower: float = 1.0, errors: float = 0.01) -> float:
    """Seconds until the hold at 20 requests/s, a quarter of them on the candidate; infinite without one."""
    beside = begun(rng)
    for second in range(seconds):
        beside = beside.step(traffic(rng, 5, 0.8 * slower, errors), traffic(rng, 15), 1.0)
        if beside.verdict() is Verdict.HOLD:
            return second + 1.0
    return math.inf


def test_a_candidate_that_is_as_the_active_one_is_not_held() -> None:
    runs = [held_after(np.random.default_rng(seed), 300) for seed in range(40)]
    assert sum(r < math.inf for r in runs) <= 1


@pytest.mark.parametrize(("slower", "within"), [(2.0, 120.0), (3.0, 30.0)])
def test_a_slower_candidate_is_held(slower: float, within: float) -> None:
    runs = [held_after(np.random.default_rng(seed), 300, slower=slower) for seed in range(20)]
    assert np.median(runs) <= within
    assert max(runs) < math.inf


def test_a_candidate_with_a_tenth_of_provider_errors_is_held_within_a_minute() -> None:
    runs = [held_after(np.random.default_rng(seed), 300, errors=0.1) for seed in range(20)]
    assert np.median(runs) <= 60.0


def test_providers_that_fail_for_both_hold_nothing() -> None:
    rng = np.random.default_rng(7)
    beside = begun(rng)
    for _ in range(200):
        beside = beside.step(traffic(rng, 5, 3.0, 0.4), traffic(rng, 15, 3.0, 0.4), 1.0)
    assert beside.verdict() is Verdict.UNDECIDED
    assert beside.sentence() == ""


def test_the_sentence_names_both_shares_and_the_bound() -> None:
    rng = np.random.default_rng(1)
    beside = begun(rng)
    while beside.verdict() is Verdict.UNDECIDED:
        beside = beside.step(traffic(rng, 5, 8.0), traffic(rng, 15), 1.0)
    assert beside.held_for() == "Slower"
    slow, whole = beside.slow.total.canary_blocked, beside.slow.total.canary_requests
    assert beside.sentence().startswith(f"{slow:.0f} of the candidate's {whole:.0f} answers ({slow / whole:.1%}) took")
    assert "took longer than 5 s" in beside.sentence()
    assert "of the active revision's, tolerated up to" in beside.sentence()
    beside = begun(rng)
    while beside.verdict() is Verdict.UNDECIDED:
        beside = beside.step(traffic(rng, 5, errors=0.5), traffic(rng, 15), 1.0)
    assert beside.held_for() == "ProviderErrors"
    assert "failed at a provider" in beside.sentence()


@pytest.mark.parametrize(
    ("latency", "bound"),
    [
        ({1.0: 500.0, 2.5: 1000.0, 5.0: 1000.0, math.inf: 1000.0}, 2.5),  # p99 2.47 s, 3.7 s
        ({1.0: 1000.0, 2.5: 1000.0, math.inf: 1000.0}, 1.0),  # p99 0.99 s, 1.49 s
        ({1.0: 500.0, 2.5: 900.0, 5.0: 990.0, 7.5: 1000.0, 8.0: 1000.0, math.inf: 1000.0}, 7.5),  # p99 5 s
        ({1.0: 500.0, 2.5: 1000.0, math.inf: 1000.0}, 2.5),  # the highest there is
        ({10.0: 1000.0, 20.0: 1000.0, math.inf: 1000.0}, 10.0),
        ({1.0: 500.0, 2.5: 600.0, math.inf: 1000.0}, 2.5),  # p99 beyond all bounds
        ({1.0: 100.0, 2.5: 199.0, math.inf: 199.0}, None),  # too few
        ({1.0: 1000.0}, None),
        ({math.inf: 1000.0}, None),
        ({}, None),
    ],
)
def test_the_bound_is_the_one_next_below_one_and_a_half_times_p99(
    latency: dict[float, float], bound: float | None
) -> None:
    assert choose_bound(latency) == bound


def test_the_bound_is_kept_and_one_is_chosen_as_soon_as_there_are_answers() -> None:
    rng = np.random.default_rng(3)
    beside = begun(rng)
    chosen = beside.bound
    assert chosen is not None
    for _ in range(100):
        beside = beside.step(traffic(rng, 5), traffic(rng, 15, 6.0), 1.0)
    assert beside.bound == chosen
    late = Beside.begin(Increment())
    assert late.bound is None
    for _ in range(30):
        late = late.step(traffic(rng, 5), traffic(rng, 15), 1.0)
    assert late.bound == chosen
    assert late.slow.total.canary_requests > 0
    assert late.verdict() is Verdict.UNDECIDED


def test_slices() -> None:
    one = Increment(10, provider_errors=25, latency={1.0: 7.0, math.inf: 10.0})
    two = Increment(40, provider_errors=2, latency={1.0: 40.0, math.inf: 40.0})
    assert slow_slice(one, two, 1.0, 0.5) == Slice(10, 3, 40, 0, 0.5)
    assert slow_slice(one, Increment(), 1.0, 0.5) == Slice(10, 3, 0, 0, 0.5)
    assert slow_slice(one, replace(two, latency={2.0: 40.0, math.inf: 40.0}), 1.0, 0.5) is None
    assert error_slice(one, two, 0.5, 12.0) == Slice(10, 10, 40, 2, 0.5, 12.0)


def test_a_candidate_whose_histogram_has_other_bounds_is_not_judged_by_time() -> None:
    rng = np.random.default_rng(4)
    beside = begun(rng)
    for _ in range(50):
        other = Increment(5, latency={0.7: 0.0, 70.0: 5.0, math.inf: 5.0})
        beside = beside.step(other, traffic(rng, 15), 1.0)
    assert beside.slow.total.canary_requests == 0
    assert beside.held_for() == ""


def test_pods_that_differ_anyway_widen_what_is_tolerated() -> None:
    rng = np.random.default_rng(5)
    pods = [traffic(rng, 3_000, 3.0 if n < 2 else 0.6) for n in range(10)]
    noisy, calm = Beside.begin(sum(pods, Increment()), pods), begun(rng)
    assert noisy.noise.slow > 0.015
    assert noisy.slow.settings.hold.points > calm.slow.settings.hold.points + 0.03
    assert noisy.errors.settings.hold.points == pytest.approx(calm.errors.settings.hold.points, abs=0.005)


def test_a_checkpoint_goes_on_where_it_was_and_a_damaged_one_begins_again() -> None:
    rng = np.random.default_rng(6)
    beside = begun(rng)
    for _ in range(30):
        beside = beside.step(traffic(rng, 5, errors=0.03), traffic(rng, 15), 1.0)
    kept, fresh = json.loads(json.dumps(paired.to_dict(beside))), begun(rng)
    back = paired.from_dict(kept, fresh)
    assert back.bound == beside.bound
    assert back.errors.hold.log == pytest.approx(beside.errors.hold.log, rel=0.01)
    assert back.slow.total.canary_requests == beside.slow.total.canary_requests
    assert len(json.dumps(kept)) < 2_500
    damages: list[object] = [
        None,
        [],
        {},
        {**kept, "bound": "5"},
        {**kept, "noise": [1]},
        {**kept, "noise": [float("nan"), 0]},
    ]
    for damaged in damages:
        assert paired.from_dict(damaged, fresh) == fresh
    half = paired.from_dict({**kept, "slow": None}, fresh)
    assert half.slow.total == Slice()
    assert half.errors.hold.log == back.errors.hold.log
    young = paired.from_dict(paired.to_dict(Beside.begin(Increment())), fresh)
    assert young.bound == fresh.bound
