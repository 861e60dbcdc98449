"""The judge of a candidate, look by look."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.judging import Case, Count, Judge

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
CASE = Case("b-1", "a", "b", "Canary/0/running", 0.1, CircuitBreaker())


def watched(seconds: int) -> Judge:
    """100 requests/s on the active revision, looked at once a second."""
    judge = Judge()
    judge.aim("a", None, 0.0)
    for second in range(seconds):
        judge.feed([Count("pod-a", "a", Increment(100.0, 2.0))], float(second))
    return judge


def test_no_request_is_expected_of_a_candidate_before_it_was_exposed() -> None:
    """The first look at it comes at once, and its slice began with the last look at the active revision."""
    judge = watched(61)
    judge.aim("a", CASE, 60.9)
    judge.feed([Count("pod-a", "a", Increment(90.0, 2.0)), Count("pod-b", "b", Increment())], 61.0)
    judge.feed([Count("pod-a", "a", Increment(45.0, 1.0)), Count("pod-b", "b", Increment(2.0, 2.0))], 61.5)
    judged = judge.judgement(NOW, 61.5)
    assert judged
    arrived = [slice_[5] for slice_ in judged.trail["slices"]]
    assert arrived == [pytest.approx(1.0, rel=0.05), pytest.approx(5.0, rel=0.05)], "a tenth of 100 a second"
