"""Counters of pods: what cannot be read for certain counts as nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeptrusts_operator.api.profiles import FERRO, KEEPTRUSTS
from keeptrusts_operator.gateways.counters import NotMetrics, PodCounters, lifetime, read_page
from keeptrusts_operator.gateways.flows import Flows, Round

METRICS = KEEPTRUSTS.metrics
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def page(allowed: float, blocked: float, **others: float) -> str:
    rows = {"allowed": allowed, "Blocked": blocked, **others}
    lines = [f'keeptrusts_decisions_total{{decision="{k}",policy="x"}} {v}' for k, v in rows.items()]
    return (
        "# HELP x y\n# TYPE keeptrusts_decisions_total counter\nprocess_cpu_seconds_total 1.5\n"
        + "\n".join(lines)
        + "\n"
    )


def test_decisions_are_summed_over_all_other_labels_and_compared_without_case() -> None:
    text = page(5, 2, redacted=1, escalate=4, unheard=3) + 'keeptrusts_decisions_total{decision="block",policy="y"} 1\n'
    whole = lifetime(read_page(text, METRICS), METRICS)
    assert (whole.requests, whole.allowed, whole.blocked) == (16, 5, 3)
    assert (whole.redacted, whole.escalated) == (1, 4)


@pytest.mark.parametrize(
    "text",
    [
        "<html><body>Sign in</body></html>",
        '{"error": "not found"}',
        page(float("nan"), 0),
        page(float("inf"), 0),
        page(-1, 0),
        page(1, 0).replace(" 1\n", " one\n"),
        page(1, 0) + 'keeptrusts_decisions_total{policy="x",decision="allowed"} 2\n',
        page(1234, 5)[:-1],
        page(1e300, 0),
    ],
)
def test_a_page_that_cannot_be_relied_on_is_none(text: str) -> None:
    with pytest.raises(NotMetrics):
        read_page(text, METRICS)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "process_cpu_seconds_total 1.5\n"])
def test_a_page_without_the_counter_counts_nothing_yet(text: str) -> None:
    assert lifetime(read_page(text, METRICS), METRICS).requests == 0


def test_the_first_page_only_says_where_an_old_pod_stands() -> None:
    old, young = PodCounters(METRICS, from_zero=False), PodCounters(METRICS, from_zero=True)
    pages: list[Counts | str] = [(100, 10), (103, 11), (105, 11)]
    assert counted(old, *pages) == [(0, 0), (0, 0), (2, 0)], "the second page says that the first is true"
    assert counted(young, *pages) == [(100, 10), (3, 1), (2, 0)]


Counts = tuple[float, float]


def counted(start: PodCounters, *pages: Counts | str) -> list[Counts]:
    """What each page counts: (allowed, blocked)."""
    grown = [start.feed(read_page(p if isinstance(p, str) else page(*p), METRICS)) for p in pages]
    return [(g.allowed, g.blocked) for g in grown]


def old() -> PodCounters:
    counters = PodCounters(METRICS, from_zero=False)
    assert counted(counters, (99, 10), (100, 10)) == [(0, 0), (0, 0)]
    return counters


def test_after_a_reset_everything_is_new_as_soon_as_the_next_page_agrees() -> None:
    assert counted(old(), (7, 2), (9, 2), (10, 3)) == [(0, 0), (9, 2), (1, 1)]
    assert counted(old(), (7, 2), (3, 1), (3, 1)) == [(0, 0), (0, 0), (3, 1)], "it began again twice"
    assert counted(old(), (0, 0), (0, 0), (4, 1)) == [(0, 0), (0, 0), (4, 1)]


def test_one_counter_that_fell_alone_is_no_reset() -> None:
    assert counted(old(), (7, 10), (9, 11), (103, 12)) == [(0, 0), (0, 0), (3, 2)]


def test_pages_of_the_same_process_never_count_twice() -> None:
    def born(at: float, *counts: float) -> str:
        return page(*counts) + f"process_start_time_seconds {at}\n"

    for second, grown in ((5.0, (0, 0)), (6.0, (9, 2)), (float("nan"), (0, 0))):
        counters = PodCounters(METRICS, from_zero=False)
        counted(counters, born(5.0, 99, 10), born(5.0, 100, 10))
        assert counted(counters, born(second, 7, 2), born(second, 9, 2)) == [(0, 0), grown]


def test_a_leap_counts_nothing() -> None:
    assert counted(old(), (1e9, 11), (103, 12)) == [(0, 0), (3, 2)], "one page lied"
    assert counted(old(), (1e9, 11), (1e9 + 5, 12), (1e9 + 6, 12)) == [(0, 0), (0, 0), (1, 0)], "nobody looked for long"
    assert counted(old(), (1e9, 11), (1e9, 12), (103, 12), (104, 12)) == [(0, 0), (0, 0), (3, 2), (1, 0)], (
        "it lies again"
    )


def test_half_a_page_counts_nothing_and_the_next_whole_one_all() -> None:
    half = page(101, 15).replace('keeptrusts_decisions_total{decision="allowed",policy="x"} 101\n', "")
    assert 'decision="Blocked"' in half
    assert counted(old(), half, half, "upstream connect error\n", (104, 16)) == [(0, 0), (0, 0), (0, 0), (4, 6)]


def test_a_series_that_appears_counts_from_zero_at_a_pod_that_was_seen_from_its_birth() -> None:
    young = PodCounters(METRICS, from_zero=True)
    assert counted(young, "", (5, 0), page(6, 1, redact=2), page(6, 1, redact=3)) == [(0, 0), (5, 0), (1, 1), (0, 0)]
    assert young.feed(read_page(page(6, 1, redact=5, escalate=1), METRICS)).escalated == 1


def test_the_first_pages_of_an_old_pod_may_be_half_pages() -> None:
    counters = PodCounters(METRICS, from_zero=False)
    assert counted(counters, "", "", (100, 10), (101, 11), (102, 12)) == [(0, 0)] * 4 + [(1, 1)]


def test_the_first_page_of_an_old_pod_may_be_a_lie() -> None:
    counters = PodCounters(METRICS, from_zero=False)
    assert counted(counters, (1e9, 10), (1e9, 10), (100, 10), (101, 10), (102, 10)) == [(0, 0)] * 4 + [(1, 0)]


def test_a_process_that_says_it_is_another_is_known_by_its_next_page() -> None:
    def born(at: float, *counts: float) -> str:
        return page(*counts) + f"process_start_time_seconds {at}\n"

    counters = PodCounters(METRICS, from_zero=True)
    assert counted(counters, born(1, 3, 1), born(2, 4, 1), born(2, 6, 1), born(2, 7, 2)) == [
        (3, 1),
        (0, 0),
        (0, 0),
        (1, 1),
    ]
    assert counted(counters, born(2, 50, 2), born(4, 1, 2), born(4, 2, 3)) == [(43, 0), (0, 0), (2, 3)], (
        "as many blocked"
    )
    counters = PodCounters(METRICS, from_zero=True)
    counted(counters, born(2, 7, 2))
    assert counted(counters, born(3, 1, 0), born(2, 8, 2), born(3, 2, 0), born(3, 3, 0))[-1] == (3, 0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=30), st.integers())
def test_missed_pages_lose_nothing(steps: list[tuple[int, int]], seed: int) -> None:
    rng = random.Random(seed)
    counters = PodCounters(METRICS, from_zero=True)
    allowed = blocked = 0
    total = 0.0
    for index, (a, b) in enumerate(steps):
        allowed, blocked = allowed + a, blocked + b
        if index == len(steps) - 1 or rng.random() < 0.5:
            grown = counters.feed(read_page(page(allowed, blocked), METRICS))
            assert grown.requests >= 0
            total += grown.requests
    assert total == allowed + blocked


def test_ferro_counts_errors_of_providers_in_the_same_counter() -> None:
    text = 'gateway_requests_total{provider="openai",model="m",status="error"} 3\n'
    text += 'gateway_requests_total{provider="none",model="m",status="rejected"} 2\n'
    text += (
        'gateway_request_duration_seconds_bucket{le="0.5"} 4\ngateway_request_duration_seconds_bucket{le="+Inf"} 5\n'
    )
    whole = lifetime(read_page(text, FERRO.metrics), FERRO.metrics)
    assert (whole.requests, whole.blocked, whole.provider_errors) == (5, 2, 3)
    assert whole.latency == {0.5: 4, float("inf"): 5}
    twice = whole + replace(whole, latency={0.5: 1})
    assert (twice.requests, twice.latency[0.5]) == (10, 5)


def rounds(*counts: float | None) -> Flows:
    flows = Flows()
    for n, count in enumerate(counts):
        flows.add(Round(float(n), float(n + 1), {"a": count}))
    return flows


def test_a_flow_is_known_only_after_a_whole_window_without_a_gap() -> None:
    assert rounds(1, 1, 1, 1).flows(NOW, 4.0) == {}
    known = rounds(1, 1, 1, 1, 1, 2).flows(NOW, 6.0)["a"]
    assert known.requests == 6
    assert (NOW - known.since).total_seconds() == 5
    assert rounds(1, 1, 1, 1, None, 1).flows(NOW, 6.0) == {}
    assert rounds(1, 1, 1, 1, 1, 1).flows(NOW, 60.0) == {}, "too old"


def test_the_last_answer_is_when_a_counter_moved_last() -> None:
    flows = rounds(1, 2, 0, None, 0)
    assert (NOW - flows.last_answers(NOW, 5.0)["a"]).total_seconds() == 3
