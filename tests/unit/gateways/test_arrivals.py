"""The judge of a candidate, look by look."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.judging import Case, Count, Judge

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
CASE = Case("b-1", "a", "b", "Canary/0/running", 0.1, CircuitBreaker())


def watched(seconds: int, period: int) -> Judge:
    """100 requests/s on the active revision, looked at every `period` seconds; the first look says only where it stands."""
    judge = Judge()
    judge.aim("a", None, 0.0)
    judge.feed([Count("pod-a", "a", None, Increment(5000.0, 100.0))], 0.0)
    for second in range(period, seconds + 1, period):
        judge.feed([Count("pod-a", "a", Increment(100.0 * period, 2.0 * period))], float(second))
    return judge


@pytest.mark.parametrize(("period", "seconds"), [(1, 60), (30, 60), (30, 120), (30, 900)])
def test_what_a_candidate_must_have_got_is_its_share_of_what_came_since_it_was_exposed(
    period: int, seconds: int
) -> None:
    """The first look at it comes at once: its slice began earlier, with the last look at the active revision. And what a
    look brings was counted since the look before."""
    judge, exposed = watched(seconds, period), seconds + 0.9
    judge.aim("a", CASE, exposed)
    judge.feed([Count("pod-a", "a", Increment(90.0, 2.0)), Count("pod-b", "b", Increment())], exposed + 0.1)
    judge.feed([Count("pod-a", "a", Increment(45.0, 1.0)), Count("pod-b", "b", Increment(2.0, 2.0))], exposed + 0.6)
    judged = judge.judgement(NOW, exposed + 0.6)
    assert judged
    arrived = [slice_[5] for slice_ in judged.trail["slices"]]
    assert arrived == [pytest.approx(1.0), pytest.approx(5.0)], "a tenth of 100 a second"
