"""Counters of pods: what cannot be read for certain counts as nothing."""

from __future__ import annotations

import contextlib
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


def _only_blocked(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if "allowed" not in line)


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
        page(1e300, 0),
        page(0, 1e18),
        page(100, 2012)[:-3],
        page(100, 2012).rstrip(),
        "Forbidden\n",
        "upstream connect error or disconnect/reset before headers\n",
        'keeptrusts_request_duration_seconds_bucket{le="long"} 3\n',
        'keeptrusts_request_duration_seconds_bucket{le="NaN"} 3\n',
        page(1, 0).replace(" 1\n", " one\n"),
        page(1, 0) + 'keeptrusts_decisions_total{policy="x",decision="allowed"} 2\n',
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
    first, second = read_page(page(100, 10), METRICS), read_page(page(103, 11), METRICS)
    assert old.feed(first).requests == 0
    assert young.feed(first).requests == 110
    assert (old.feed(second).requests, young.feed(second).blocked) == (4, 1)


def fallen(counters: PodCounters, text: str) -> None:
    """A page whose counters have fallen counts as missed at first."""
    with pytest.raises(NotMetrics, match="fallen"):
        counters.feed(read_page(text, METRICS))


def test_after_a_reset_everything_is_new() -> None:
    counters = PodCounters(METRICS, from_zero=False)
    counters.feed(read_page(page(100, 10), METRICS))
    fallen(counters, page(7, 12, redact=2))
    grown = counters.feed(read_page(page(8, 12, redact=3), METRICS))
    assert (grown.allowed, grown.blocked, grown.redacted) == (8, 12, 3)
    grown = counters.feed(read_page(page(9, 13, redact=3), METRICS))
    assert (grown.allowed, grown.blocked, grown.redacted) == (1, 1, 0)


def test_a_stale_answer_counts_nothing_twice() -> None:
    counters = PodCounters(METRICS, from_zero=False)
    counters.feed(read_page(page(100, 10), METRICS))
    fallen(counters, page(90, 9))
    grown = counters.feed(read_page(page(110, 12), METRICS))
    assert (grown.allowed, grown.blocked) == (10, 2)


def test_a_process_that_begins_again_and_again_is_believed_when_it_stays() -> None:
    counters = PodCounters(METRICS, from_zero=False)
    counters.feed(read_page(page(100, 10), METRICS))
    fallen(counters, page(20, 2))
    fallen(counters, page(5, 1))
    assert counters.feed(read_page(page(6, 1), METRICS)).requests == 7


def only(word: str, count: int) -> str:
    return f'keeptrusts_decisions_total{{decision="{word}",policy="x"}} {count}\n'


@pytest.mark.parametrize("left", [only("allowed", 120), only("Blocked", 20), "", "process_cpu_seconds_total 2\n"])
def test_a_page_that_has_lost_what_it_had_counts_as_missed(left: str) -> None:
    """What is left of half a page would look like a gateway that blocks everything, or nothing."""
    counters = PodCounters(METRICS, from_zero=False)
    counters.feed(read_page(page(100, 10), METRICS))
    with pytest.raises(NotMetrics, match="gone from its page"):
        counters.feed(read_page(left, METRICS))
    grown = counters.feed(read_page(page(150, 25), METRICS))
    assert (grown.allowed, grown.blocked) == (50, 15), "the next one covers its time"


def test_a_new_process_without_a_block_is_no_lost_page() -> None:
    counters = PodCounters(METRICS, from_zero=False)
    counters.feed(read_page(page(100, 10), METRICS))
    fallen(counters, only("allowed", 3))
    assert counters.feed(read_page(only("allowed", 4), METRICS)).requests == 4
    assert counters.feed(read_page(page(5, 1), METRICS)).blocked == 1


def test_a_single_series_that_is_missing_for_once_does_not_count_its_life_again() -> None:
    counters = PodCounters(METRICS, from_zero=False)
    counters.feed(read_page(page(100, 10, block=7), METRICS))
    counters.feed(read_page(page(101, 10), METRICS))
    assert counters.feed(read_page(page(102, 10, block=8), METRICS)).blocked == 1


def test_more_than_there_can_have_been_was_not_counted() -> None:
    counters = PodCounters(METRICS, from_zero=False)
    counters.feed(read_page(page(100, 10), METRICS))
    with pytest.raises(NotMetrics, match="more than there can have been"):
        counters.feed(read_page(page(1e9, 10), METRICS), most=1e5)
    assert counters.feed(read_page(page(103, 10), METRICS), most=1e5).requests == 3


@given(st.text() | st.binary().map(lambda b: b.decode(errors="replace")))
def test_any_text_is_a_page_or_not_metrics(text: str) -> None:
    for prefix in ("", "keeptrusts_decisions_total", 'keeptrusts_decisions_total{decision="blocked"}'):
        with contextlib.suppress(NotMetrics):
            read_page(prefix + text, METRICS)


def test_a_page_that_counted_too_much_still_says_what_kinds_there_are() -> None:
    counters = PodCounters(METRICS, from_zero=True)
    with pytest.raises(NotMetrics, match="more than there can have been"):
        counters.feed(read_page(page(10**9, 3), METRICS), most=1000)
    with pytest.raises(NotMetrics, match="not blocked that it counted before are gone"):
        counters.feed(read_page(_only_blocked(page(0, 5)), METRICS), most=1000)
    assert counters.feed(read_page(page(200, 6), METRICS), most=1000).blocked == 6


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
