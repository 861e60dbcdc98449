"""Sums over time: nothing too old is in them, nothing is lost, nothing grows."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeptrusts_operator.core.breaker import TRIP, Alone
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.windows import BUCKET, FRESH, HOUR, MINUTE, PAUSE, WINDOW, Windows

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


@given(st.lists(st.tuples(st.floats(0, 50), st.sampled_from("ab"), st.integers(0, 9)), max_size=60), st.floats(0, 800))
def test_a_window_holds_five_minutes_and_at_most_ten_seconds_more(
    looks: list[tuple[float, str, int]], later: float
) -> None:
    windows, at, booked = Windows(), 1000.0, []
    for after, revision, requests in looks:
        at += after
        windows.add(at, revision, "pod", Increment(requests, latency={math.inf: requests}))
        booked.append((at, revision, requests))
    at += later
    for asked in ("a", "b", "ab"):
        total = windows.total(asked, at)
        least = sum(n for t, r, n in booked if r in asked and t >= at - WINDOW)
        most = sum(n for t, r, n in booked if r in asked and t >= at - WINDOW - BUCKET)
        assert least <= total.requests <= most
        assert total.latency.get(math.inf, 0.0) == total.requests
        hour = sum(n for n, _ in windows.minutes("a", at))
        assert sum(n for t, r, n in booked if r == "a" and t >= at - HOUR) <= hour
        assert hour <= sum(n for t, r, n in booked if r == "a" and t >= at - HOUR - MINUTE)


def test_minutes_are_those_of_the_last_hour_and_feed_the_breaker() -> None:
    windows = Windows()
    for second in range(0, 7200, 10):
        windows.add(float(second), "a", "p", Increment(20, 20 if second < 3000 else 1))
    minutes = windows.minutes("a", 7199.0)
    assert 60 <= len(minutes) <= 61
    assert all(pair == (120, 6) for pair in minutes)
    assert windows.minutes("b", 7199.0) == []
    assert Alone.after(minutes, TRIP, 1.0).highest == pytest.approx(0.05, abs=0.001)


def test_the_noise_floor_is_that_between_pods() -> None:
    windows = Windows()
    for second in range(300):
        for number in range(10):
            windows.add(float(second), "a", f"p{number}", Increment(10, 4 if number < 2 else 0))
        windows.add(float(second), "b", "other", Increment(10, 10))
    pods = windows.pods("a", 299.0)
    assert sorted((p.requests, p.blocked) for p in pods) == [(3000, 0)] * 8 + [(3000, 1200)] * 2
    assert windows.noise("a", 299.0) == pytest.approx(0.1687, abs=0.001)
    assert windows.pods("a", 299.0 + WINDOW + 2 * MINUTE) == []
    assert windows.noise("a", 299.0 + WINDOW + 2 * MINUTE) == 0.0


def test_a_pod_with_hardly_a_request_is_no_noise() -> None:
    """Two blocked requests of two would make the floor 70 points, and blind the judge for a whole rollout."""
    windows = Windows()
    windows.add(0.0, "a", "p1", Increment(350, 7))
    windows.add(0.0, "a", "p2", Increment(2, 2))
    assert windows.noise("a", 1.0) == 0.0


def test_a_pod_counts_as_read_while_it_answers_and_is_there() -> None:
    windows = Windows()
    for pod in ("p", "q"):
        windows.add(100.0, "a", pod, Increment())
    windows.add(125.0, "a", "q", Increment())
    assert windows.read("a", 100.0 + FRESH) == 2
    assert windows.read("b", 126.0) == 0
    assert windows.read("a", 101.0 + FRESH) == 1
    windows.keep(["p"])
    assert windows.read("a", 126.0) == 1
    assert windows.read("a", 101.0 + FRESH) == 0


def test_counters_move_until_there_is_a_pause() -> None:
    windows = Windows()
    assert windows.moving_since(NOW, 0.0) is None
    for at in (100.0, 130.0, 155.0):
        windows.add(at, "a", "p", Increment(1))
        windows.add(at + 1, "a", "q", Increment(0))
    assert windows.moving_since(NOW, 170.0) == NOW - timedelta(seconds=70)
    assert windows.moving_since(NOW, 156.0 + PAUSE) is None
    windows.add(300.0, "b", "r", Increment(1))
    assert windows.moving_since(NOW, 303.0) == NOW - timedelta(seconds=3)


def test_how_much_of_the_window_has_been_watched() -> None:
    windows = Windows()
    assert windows.seconds(50.0) == 0.0
    windows.add(50.0, "a", "p", Increment())
    assert windows.seconds(92.0) == 42.0
    assert windows.seconds(5000.0) == WINDOW


def test_memory_does_not_grow_with_time_or_with_pods_that_came_and_went() -> None:
    windows = Windows()

    def kept() -> int:
        slots = [*windows._buckets.since(0.0), *windows._pods.since(0.0)]
        return sum(len(s.counted) for s in slots) + len(list(windows._minutes.since(0.0))) + len(windows._read)

    sizes = []
    for second in range(0, 40_000, 5):
        windows.add(float(second), f"r{second // 600}", f"p{second // 60}", Increment(1))
        if second >= 10_000:
            sizes.append(kept())
    assert max(sizes) <= 31 + 12 + 61 + 15
