"""Health signals: what is not known is Unknown; alarms rise at once and fall slowly; status is written sparingly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeptrusts_operator.api.gateway import ProviderErrors
from keeptrusts_operator.api.health import HealthSettings, Thresholds
from keeptrusts_operator.api.profiles import FERRO, KEEPTRUSTS
from keeptrusts_operator.core.latency import Quantile, quantile, slower_than
from keeptrusts_operator.core.measured import Backlog, Measured, Name, NotKnown, Pods, Source, State, Traffic
from keeptrusts_operator.core.signals import (
    Signal,
    assess,
    from_status,
    healthy_condition,
    merge_for_status,
    to_status,
)
from keeptrusts_operator.gateways.counters import Increment
from tests.unit.api import crd

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
LATENCY = {0.5: 900.0, 1.0: 980.0, 2.5: 998.0, 5.0: 999.0, 10.0: 1000.0, math.inf: 1000.0}
METRICS = replace(KEEPTRUSTS.metrics, provider_errors=ProviderErrors("errors_total", "kind", ("5xx",)))
WELL = Measured(
    Pods(3, 3),
    Traffic(Increment(1000, 21, provider_errors=10, latency=LATENCY), 3, 3),
    METRICS,
    Backlog(3, timedelta(minutes=2), {"pii-detector": 2, "toxicity": 1}),
    NOW - timedelta(seconds=4),
    NOW - timedelta(minutes=10),
)


def signals(measured: Measured, health: HealthSettings | None = None) -> dict[Name, Signal]:
    return assess(measured, health or HealthSettings(), {}, NOW)


def one(name: Name, measured: Measured, health: HealthSettings | None = None) -> Signal:
    return signals(measured, health)[name]


def counted(increment: Increment, read: int = 3, of: int = 3) -> Measured:
    return replace(WELL, traffic=Traffic(increment, read, of))


def test_a_gateway_that_is_well() -> None:
    found = signals(WELL)
    assert {n: (s.state, s.value, s.limit, s.source) for n, s in found.items()} == {
        Name.POD_HEALTH: (State.OK, "3 of 3 ready", "3 ready", Source.PODS),
        Name.BLOCK_RATE: (State.OK, "2.1%", "30%", Source.PODS),
        Name.LATENCY_P99: (State.OK, "1.8s", "5s", Source.PODS),
        Name.PROVIDER_ERRORS: (State.OK, "1%", "5%", Source.PODS),
        Name.ESCALATION_BACKLOG: (
            State.OK,
            "3 pending, oldest 2m0s, most: pii-detector 2",
            "20, critical 50",
            Source.CONTROL_PLANE,
        ),
        Name.INGESTION_LAG: (State.OK, "4s", "1m", Source.CONTROL_PLANE),
    }
    assert all(s.since == NOW for s in found.values())
    assert found[Name.BLOCK_RATE].message == "21 of 1,000 requests in the last 5m were blocked"
    assert {n: round(s.number or 0.0, 4) for n, s in found.items()} == {
        Name.POD_HEALTH: 1.0,
        Name.BLOCK_RATE: 0.021,
        Name.LATENCY_P99: 1.8333,
        Name.PROVIDER_ERRORS: 0.01,
        Name.ESCALATION_BACKLOG: 3.0,
        Name.INGESTION_LAG: 4.0,
    }
    assert one(Name.POD_HEALTH, replace(WELL, pods=Pods(2, 4))).number == 0.5


@pytest.mark.parametrize(
    ("pods", "state", "value"),
    [
        (Pods(2, 3), State.WARNING, "2 of 3 ready"),
        (Pods(0, 3), State.CRITICAL, "0 of 3 ready"),
        (Pods(3, 3, degraded=1), State.WARNING, "3 of 3 ready, 1 degraded"),
        (Pods(3, 3, unhealthy=1), State.WARNING, "3 of 3 ready, 1 unhealthy"),
        (Pods(3, 3, unhealthy=3), State.CRITICAL, "3 of 3 ready, 3 unhealthy"),
        (Pods(4, 3), State.OK, "4 of 3 ready"),
        (Pods(0, 0), State.OK, "0 of 0 ready"),
        (NotKnown("no revision has been activated yet"), State.UNKNOWN, ""),
    ],
)
def test_pod_health(pods: Pods | NotKnown, state: State, value: str) -> None:
    signal = one(Name.POD_HEALTH, replace(WELL, pods=pods))
    assert (signal.state, signal.value) == (state, value)


@pytest.mark.parametrize(
    ("requests", "blocked", "state"),
    [
        (49, 49, State.UNKNOWN),
        (0, 0, State.UNKNOWN),
        (50, 15, State.OK),
        (50, 16, State.WARNING),
        (50, 45, State.WARNING),
        (50, 46, State.CRITICAL),
    ],
)
def test_a_block_rate_needs_fifty_requests(requests: float, blocked: float, state: State) -> None:
    health = HealthSettings(block_rate=Thresholds(0.3, 0.9))
    signal = one(Name.BLOCK_RATE, counted(Increment(requests, blocked)), health)
    assert signal.state is state
    if state is State.UNKNOWN:
        assert signal.message.startswith("too few requests")
        assert signal.value == ""


def test_silent_pods_can_hide_an_alarm_but_not_make_one_up() -> None:
    assert one(Name.BLOCK_RATE, counted(Increment(1000, 21), 2, 3)).state is State.OK
    assert one(Name.BLOCK_RATE, counted(Increment(1000, 21), 1, 3)).state is State.UNKNOWN
    assert one(Name.BLOCK_RATE, counted(Increment(1000, 450), 1, 3)).state is State.WARNING
    none = one(Name.BLOCK_RATE, counted(Increment(), 0, 3))
    assert (none.state, none.message) == (State.UNKNOWN, "none of 3 pods could be read")


def test_decisions_may_come_from_prometheus_while_pods_tell_the_rest() -> None:
    asked = replace(WELL, asked=Traffic(Increment(100, 40), 1, 1))
    assert one(Name.BLOCK_RATE, asked).source is Source.PROMETHEUS
    assert one(Name.BLOCK_RATE, asked).value == "40%"
    assert one(Name.LATENCY_P99, asked).value == "1.8s"
    silent = one(Name.BLOCK_RATE, replace(WELL, asked=NotKnown("HTTP 503")))
    assert (silent.state, silent.message) == (State.UNKNOWN, "HTTP 503")


def test_keeptrusts_has_no_counter_of_provider_errors_unless_one_is_set() -> None:
    signal = one(Name.PROVIDER_ERRORS, replace(WELL, metrics=KEEPTRUSTS.metrics))
    assert signal.state is State.UNKNOWN
    assert "spec.gateway.metrics.providerErrors" in signal.message
    assert one(Name.PROVIDER_ERRORS, counted(Increment(100, 0, provider_errors=6))).state is State.WARNING
    tried_thrice = one(Name.PROVIDER_ERRORS, counted(Increment(100, 0, provider_errors=300)))
    assert (tried_thrice.value, tried_thrice.number) == ("100%", 1.0)


@pytest.mark.parametrize(
    ("latency", "warning", "critical", "state", "value"),
    [
        ({1.0: 0.0, 10.0: 100.0, math.inf: 100.0}, 5, None, State.WARNING, "9.9s"),
        ({1.0: 0.0, 10.0: 50.0, math.inf: 100.0}, 5, None, State.WARNING, "> 10s"),
        ({1.0: 0.0, 10.0: 50.0, math.inf: 100.0}, 5, 10, State.CRITICAL, "> 10s"),
        ({1.0: 0.0, 10.0: 50.0, math.inf: 100.0}, 5, 30, State.WARNING, "> 10s"),
        ({1.0: 0.0, 2.0: 50.0, math.inf: 100.0}, 5, None, State.UNKNOWN, "> 2s"),
        ({1.0: 49.0, math.inf: 49.0}, 5, None, State.UNKNOWN, ""),
        ({1.0: 100.0}, 5, None, State.UNKNOWN, ""),
        ({math.inf: 100.0}, 5, None, State.UNKNOWN, ""),
        ({}, 5, None, State.UNKNOWN, ""),
    ],
)
def test_p99(latency: Mapping[float, float], warning: int, critical: int | None, state: State, value: str) -> None:
    limits = Thresholds(timedelta(seconds=warning), timedelta(seconds=critical) if critical else None)
    signal = one(Name.LATENCY_P99, counted(Increment(100, latency=latency)), HealthSettings(latency_p99=limits))
    assert (signal.state, signal.value) == (state, value)


def test_a_p99_beyond_the_histogram_is_no_number_when_it_cannot_be_judged() -> None:
    hidden = one(Name.LATENCY_P99, counted(Increment(100, latency={1.0: 0.0, 2.0: 50.0, math.inf: 100.0})))
    assert (hidden.number, "last bound, 2s" in hidden.message) == (None, True)
    known = one(Name.LATENCY_P99, counted(Increment(100, latency={1.0: 0.0, 5.0: 50.0, math.inf: 100.0})))
    assert (known.state, known.number, known.value) == (State.WARNING, 5.0, "> 5s")


@pytest.mark.parametrize(
    ("latency", "why"),
    [
        ({1.0: 100.0}, "keeptrusts_request_duration_seconds has no +Inf bucket"),
        ({math.inf: 100.0}, "keeptrusts_request_duration_seconds has no finite bound"),
        ({}, "too few requests: 0 timed answers in the last 5m; 50 are needed"),
    ],
)
def test_a_histogram_that_says_nothing(latency: Mapping[float, float], why: str) -> None:
    assert one(Name.LATENCY_P99, counted(Increment(100, latency=latency))).message == why


def test_a_gateway_without_a_counter_of_decisions_says_what_to_set() -> None:
    none = replace(WELL, metrics=replace(METRICS, decisions=None, latency=None))
    for name, key in (("BlockRate", "decisions"), ("ProviderErrors", "decisions"), ("LatencyP99", "latency")):
        signal = one(Name(name), none)
        assert signal.state is State.UNKNOWN
        assert signal.message.endswith(f"set spec.gateway.metrics.{key}")
    asked = replace(none, asked=Traffic(Increment(100, 1), 1, 1))
    assert one(Name.BLOCK_RATE, asked).state is State.OK


def test_a_quantile_is_interpolated_as_prometheus_does() -> None:
    assert quantile(0.5, {1.0: 10.0, 2.0: 20.0, math.inf: 20.0}) == Quantile(1.0)
    assert quantile(0.75, {1.0: 10.0, 2.0: 20.0, math.inf: 20.0}) == Quantile(1.5)
    assert quantile(0.25, {1.0: 10.0, 2.0: 20.0, math.inf: 20.0}) == Quantile(0.5)
    assert quantile(0.99, {1.0: 10.0, 2.0: 20.0, math.inf: 40.0}) == Quantile(2.0, beyond=True)
    assert quantile(0.99, {1.0: 10.0, 2.0: 8.0, math.inf: 10.0}) == Quantile(0.99)  # pods with unlike bounds
    assert quantile(0.1, {-1.0: 5.0, 1.0: 10.0, math.inf: 10.0}) == Quantile(-1.0)
    assert quantile(0.5, {1.0: 0.0, math.inf: 0.0}) is None


@given(
    st.lists(st.floats(0.001, 100, allow_subnormal=False), min_size=1, max_size=12, unique=True),
    st.lists(st.integers(0, 1000), min_size=13, max_size=13),
    st.floats(0, 1),
)
def test_a_quantile_lies_in_the_bucket_that_holds_its_rank(bounds: list[float], counts: list[int], q: float) -> None:
    bounds = [*sorted(bounds), math.inf]
    latency = {b: float(sum(counts[: i + 1])) for i, b in enumerate(bounds)}
    found, whole = quantile(q, latency), latency[math.inf]
    if not whole:
        assert found is None
        return
    assert found is not None
    if found.beyond:
        assert found.seconds == bounds[-2]
        assert latency[bounds[-2]] < q * whole
        return
    holding = next(b for b in bounds if latency[b] >= q * whole)
    below = max((b for b in bounds if b < holding), default=0.0)
    assert below <= found.seconds <= holding


def test_slower_than_a_bound() -> None:
    assert slower_than(LATENCY, 2.5) == 2.0
    assert slower_than(LATENCY, 3.0) is None
    assert slower_than({2.5: 7.0}, 2.5) == 0.0  # no +Inf: nobody knows


@pytest.mark.parametrize(
    ("backlog", "state", "value"),
    [
        (Backlog(20), State.OK, "20 pending"),
        (
            Backlog(23, timedelta(minutes=14, seconds=41), {"a": 3, "pii-detector": 12}),
            State.WARNING,
            "23 pending, oldest 14m0s, most: pii-detector 12",
        ),
        (Backlog(51, timedelta(hours=27)), State.CRITICAL, "51 pending, oldest 1d0h"),
        (Backlog(0, timedelta(0), {}), State.OK, "0 pending"),
        (NotKnown("no control plane is configured"), State.UNKNOWN, ""),
    ],
)
def test_escalations(backlog: Backlog | NotKnown, state: State, value: str) -> None:
    signal = one(Name.ESCALATION_BACKLOG, replace(WELL, escalations=backlog))
    assert (signal.state, signal.value) == (state, value)


@pytest.mark.parametrize(
    ("newest", "moving", "state", "value"),
    [
        (NOW - timedelta(seconds=70), NOW - timedelta(hours=1), State.WARNING, "1m10s"),
        (NOW - timedelta(seconds=70), None, State.UNKNOWN, ""),
        (NOW - timedelta(hours=8), NOW - timedelta(seconds=5), State.OK, "5s"),  # the first request of the morning
        (NOW + timedelta(seconds=5), NOW - timedelta(hours=1), State.OK, "0s"),
        (NOW + timedelta(minutes=5), NOW - timedelta(hours=1), State.UNKNOWN, ""),
        (NotKnown("the control plane did not answer"), NOW - timedelta(hours=1), State.UNKNOWN, ""),
    ],
)
def test_ingestion_lag(newest: datetime | NotKnown, moving: datetime | None, state: State, value: str) -> None:
    signal = one(Name.INGESTION_LAG, replace(WELL, newest_event=newest, moving_since=moving))
    assert (signal.state, signal.value) == (state, value)


def test_a_lag_says_how_old_the_newest_event_is_or_that_none_has_arrived() -> None:
    morning = replace(WELL, newest_event=NOW - timedelta(hours=8), moving_since=NOW - timedelta(seconds=5))
    assert one(Name.INGESTION_LAG, morning).message == "the newest event is 8h0m old"
    lost = replace(morning, moving_since=NOW - timedelta(minutes=9))
    assert one(Name.INGESTION_LAG, lost).message == "requests are counted, and for 9m0s no event of them has arrived"


def story(shares: str) -> list[State]:
    """States of the block rate told every 10 s: o, w, c measured, or ? for nothing."""
    health = HealthSettings(block_rate=Thresholds(0.3, 0.6))
    previous: dict[Name, Signal] = {}
    told = []
    for number, letter in enumerate(shares):
        rate = {"o": 0.02, "w": 0.45, "c": 0.9, "?": 0.0}[letter]
        traffic: Traffic | NotKnown = Traffic(Increment(100, 100 * rate), 3, 3)
        measured = replace(WELL, traffic=NotKnown("silence") if letter == "?" else traffic)
        previous = assess(measured, health, previous, NOW + timedelta(seconds=10 * number))
        told.append(previous[Name.BLOCK_RATE].state)
    return told


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ("owcc", "owcc"),
        ("cooooo", "ccccoo"),
        ("cowooooo", "ccccwwwo"),
        ("wowowowo", "wwwwwwww"),
        ("o?oooo", "o????o"),
        ("c?w", "c?w"),
        ("????", "????"),
    ],
)
def test_up_at_once_down_after_thirty_seconds(measured: str, told: str) -> None:
    letters = {State.OK: "o", State.WARNING: "w", State.CRITICAL: "c", State.UNKNOWN: "?"}
    assert "".join(letters[s] for s in story(measured)) == told


@given(st.text("owc?", max_size=40))
def test_what_is_not_known_is_unknown_and_nothing_else_is_lower_than_measured(shares: str) -> None:
    alarm = "o?wc"
    letters = {State.OK: "o", State.WARNING: "w", State.CRITICAL: "c", State.UNKNOWN: "?"}
    for letter, state in zip(shares, story(shares), strict=True):
        if letter == "?":
            assert state is State.UNKNOWN
        else:
            assert alarm.index(letters[state]) >= alarm.index(letter)


def test_a_clock_that_was_set_back_does_not_freeze_an_alarm() -> None:
    sick, well = counted(Increment(100, 90)), counted(Increment(100, 1))
    after = assess(sick, HealthSettings(), {}, NOW)
    after = assess(well, HealthSettings(), after, NOW + timedelta(seconds=5))
    for seconds in (0, 31):
        after = assess(well, HealthSettings(), after, NOW - timedelta(hours=5) + timedelta(seconds=seconds))
    assert after[Name.BLOCK_RATE].state is State.OK
    assert after[Name.BLOCK_RATE].since < NOW


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_values_are_written_once_a_minute_and_states_at_once() -> None:
    status: Any = None
    writes = []
    previous: dict[Name, Signal] = {}
    for second in range(180):
        blocked = 50 if second == 90 else second % 7
        measured = replace(counted(Increment(100, blocked)), newest_event=at(second))
        previous = assess(measured, HealthSettings(), previous, at(second))
        merged = merge_for_status(status, previous, at(second))
        if merged != status:
            writes.append(second)
            status = merged
    assert writes == [0, 60, 90, 121]  # values; values; Warning; Ok, 30 s after the first value without it


def test_a_backlog_that_only_gets_older_is_written_seldom() -> None:
    status: Any = None
    writes = 0
    for minute in range(24 * 60):
        backlog = Backlog(3, timedelta(minutes=minute), {"pii-detector": 3})
        quiet = replace(WELL, traffic=NotKnown("no requests"), escalations=backlog, moving_since=None)
        merged = merge_for_status(
            status, assess(quiet, HealthSettings(), from_status(status), at(60 * minute)), at(60 * minute)
        )
        writes, status = writes + (merged != status), merged
    assert writes <= 60 + 24


def test_what_does_not_change_is_never_written_again() -> None:
    first = merge_for_status(None, signals(WELL), NOW)
    still = replace(WELL, newest_event=at(3596), moving_since=NOW)
    later = assess(still, HealthSettings(), from_status(first), at(3600))
    assert merge_for_status(first, later, at(3600)) == first
    assert from_status(first)[Name.BLOCK_RATE].since == NOW == later[Name.BLOCK_RATE].since


@pytest.mark.parametrize("kept", [None, [], {}, "x", [1], [{"name": "BlockRate"}], [{"name": []}]])
def test_a_damaged_status_is_replaced(kept: object) -> None:
    assert merge_for_status(kept, signals(WELL), NOW) == to_status(signals(WELL), NOW)
    assert from_status(kept) == {}


def test_the_list_fits_the_crd() -> None:
    root = crd.version("gatewaydeployments")["schema"]["openAPIV3Schema"]["properties"]["status"]
    schema = root["properties"]["health"]["properties"]["signals"]
    closed = {**schema["items"], "additionalProperties": False}
    long = replace(WELL, escalations=Backlog(99, timedelta(days=9), {"x" * 300: 99}), newest_event=NotKnown("y" * 900))
    for entry in [*to_status(signals(WELL), NOW), *to_status(signals(long), NOW)]:
        jsonschema.validate(entry, closed)
    assert len({e["name"] for e in to_status(signals(WELL), NOW)}) == 6 <= schema["maxItems"]


def test_the_condition_names_what_is_wrong_and_what_is_not_known() -> None:
    assert healthy_condition(signals(replace(WELL, newest_event=NotKnown("silence")))) == (
        "True",
        "SignalsOk",
        "Ok: PodHealth, BlockRate, LatencyP99, ProviderErrors, EscalationBacklog; not known: IngestionLag",
    )
    bad = replace(counted(Increment(100, 40)), escalations=Backlog(60), newest_event=NotKnown("silence"))
    status, reason, message = healthy_condition(signals(bad))
    assert (status, reason) == ("False", "EscalationBacklogCritical")
    assert message.startswith(
        "EscalationBacklog is Critical at 60 pending (limit 20, critical 50); BlockRate is Warning"
    )
    assert message.endswith("not known: LatencyP99, IngestionLag")


def test_a_signal_that_is_not_known_makes_nothing_unhealthy_but_pods_do() -> None:
    nothing = NotKnown("silence")
    quiet = replace(WELL, traffic=nothing, escalations=nothing, newest_event=nothing)
    assert healthy_condition(signals(quiet))[0] == "True"
    blind = replace(quiet, pods=nothing)
    assert healthy_condition(signals(blind)) == ("Unknown", "PodsUnknown", "silence")
    assert healthy_condition({})[0] == "Unknown"


def test_ferro_counts_provider_errors_by_itself() -> None:
    ferro = replace(counted(Increment(100, 0, provider_errors=7)), metrics=FERRO.metrics)
    assert one(Name.PROVIDER_ERRORS, ferro).value == "7%"
