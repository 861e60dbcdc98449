"""Never on no data: pages that cannot be relied on are no verdict, and nothing is counted that was not decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from keeptrusts_operator.core.breaker import TRIP, Verdict
from tests.breaker.table import proven_above
from tests.sim.pages import Day, Fault, Lived, live

STREAMS = 1000
NO_DATA = tuple(f for f in Fault if f not in (Fault.LATE, Fault.HUGE, Fault.CUT, Fault.HALF, Fault.MISSING))


def days(streams: int, over: float = 0.0) -> Iterator[Lived]:
    """Streams of all kinds; the canary blocks as stable does, or by `over` the way up to the limit."""
    for seed in range(streams):
        rng = Random(seed)
        rate, block, share = rng.choice((2.0, 20.0, 100.0)), rng.choice((0.02, 0.1, 0.3)), rng.choice((0.1, 0.25, 0.5))
        canary = block + over * (TRIP.limit(block) - block)
        lived = live(seed, Day(rate, block, canary, share, rounds=25, faulty=rng.choice((0.3, 0.6, 0.9))))
        assert not lived.overcounted, (seed, lived.overcounted)
        yield lived


def test_no_fault_of_a_page_is_a_verdict_or_counts_what_was_not_decided() -> None:
    verdicts, truly = Counter[Verdict](), Counter[Verdict]()
    for lived in days(STREAMS):
        verdicts.update(lived.verdicts)
        truly.update(lived.true_verdicts)
    assert verdicts[Verdict.TRIP] == 0
    assert verdicts[Verdict.HOLD] <= 10
    assert 50 < verdicts[Verdict.CLEAR] < truly[Verdict.CLEAR], "good pages between the bad ones count, and no more"


def test_at_the_limit_faults_of_pages_clear_nobody() -> None:
    verdicts = Counter(v for lived in days(200, over=1.0) for v in lived.verdicts)
    assert not proven_above(verdicts[Verdict.CLEAR], 200, 0.05)
    assert not proven_above(verdicts[Verdict.TRIP], 200, 0.001)


@pytest.mark.parametrize("fault", NO_DATA)
def test_a_fault_that_lasts_leaves_everything_as_it_was(fault: Fault) -> None:
    for seed in range(5):
        lived = live(seed, Day(100.0, 0.02, 0.45, faulty=1.0, faults=(fault,)))
        assert lived.verdicts == {Verdict.UNDECIDED}
        assert (lived.seen.trip.log, lived.seen.clear.log) == (0.0, 0.0)
        assert lived.seen.total.canary_requests == 0
        assert Verdict.TRIP in lived.true_verdicts


def test_faults_of_pages_do_not_hide_a_bad_candidate_nor_clear_it() -> None:
    tripped = 0
    for seed in range(40):
        lived = live(seed, Day(50.0, 0.02, 0.45))
        assert not lived.overcounted, (seed, lived.overcounted)
        assert Verdict.CLEAR not in lived.verdicts, seed
        tripped += Verdict.TRIP in lived.verdicts
    assert tripped >= 36
