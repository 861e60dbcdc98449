"""The six health signals as they measure now, each against its limit. What was not measured is Unknown, never Ok."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from keeptrusts_operator.api.gateway import MetricsSettings
from keeptrusts_operator.api.health import HealthSettings, Thresholds
from keeptrusts_operator.api.quantities import format_decimal, format_duration, format_percent
from keeptrusts_operator.core.latency import Counted, answers, quantile

WINDOW = timedelta(minutes=5)  # that traffic is looked at
LEAST = 50  # requests: a share or a percentile of fewer says nothing
AHEAD = timedelta(minutes=1)  # an event that is dated further ahead says that a clock is wrong


class Name(StrEnum):
    """The signals, in the order in which people read them."""

    POD_HEALTH = "PodHealth"
    BLOCK_RATE = "BlockRate"
    LATENCY_P99 = "LatencyP99"
    PROVIDER_ERRORS = "ProviderErrors"
    ESCALATION_BACKLOG = "EscalationBacklog"
    INGESTION_LAG = "IngestionLag"


class State(StrEnum):
    """Unknown is a state of its own: neither well nor an alarm."""

    OK = "Ok"
    WARNING = "Warning"
    CRITICAL = "Critical"
    UNKNOWN = "Unknown"


class Source(StrEnum):
    """Who was asked."""

    PODS = "Pods"
    PROMETHEUS = "Prometheus"
    CONTROL_PLANE = "ControlPlane"


@dataclass(frozen=True)
class NotKnown:
    """In place of what could not be measured; `why` for people."""

    why: str


@dataclass(frozen=True)
class Pods:
    """Pods of the active revision; degraded and unhealthy ones say so of themselves, ready or not."""

    ready: int
    wanted: int
    degraded: int = 0
    unhealthy: int = 0


@dataclass(frozen=True)
class Traffic:
    """What the serving revisions counted in the last `seconds`; `read` of `of` their pods could be read."""

    counts: Counted
    read: int
    of: int
    seconds: float = 300.0


@dataclass(frozen=True)
class Backlog:
    """Pending escalations of the organisation; `oldest`: age of the oldest one."""

    total: int
    oldest: timedelta | None = None
    by_policy: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """Everything that the signals are made of.

    `metrics`: which counters there are. `asked`: what a Prometheus server says where that is the source of decisions,
    else None. `moving_since`: since when the gateway's counters have been moving without a pause; None: they do not.
    """

    pods: Pods | NotKnown
    traffic: Traffic | NotKnown
    metrics: MetricsSettings
    escalations: Backlog | NotKnown
    newest_event: datetime | NotKnown
    moving_since: datetime | None = None
    asked: Traffic | NotKnown | None = None


@dataclass(frozen=True)
class Reading:
    """One signal now. `value` and `limit` are words; `number` is the value (fraction, seconds or count), if known."""

    name: Name
    source: Source
    state: State
    value: str = ""
    limit: str = ""
    message: str = ""
    number: float | None = None


def readings(measured: Measured, health: HealthSettings, now: datetime) -> tuple[Reading, ...]:
    """All six, in the order of `Name`."""
    return (
        _pod_health(measured.pods),
        _block_rate(measured, health.block_rate),
        _latency(measured, health.latency_p99),
        _provider_errors(measured, health.provider_errors),
        _escalations(measured.escalations, health.escalations),
        _ingestion_lag(measured, health.ingestion_lag, now),
    )


def _pod_health(pods: Pods | NotKnown) -> Reading:
    if isinstance(pods, NotKnown):
        return Reading(Name.POD_HEALTH, Source.PODS, State.UNKNOWN, message=pods.why)
    sick = [f"{n} {word}" for n, word in ((pods.degraded, "degraded"), (pods.unhealthy, "unhealthy")) if n]
    value = ", ".join([f"{pods.ready} of {pods.wanted} ready", *sick])
    state = State.WARNING if sick or pods.ready < pods.wanted else State.OK
    if pods.wanted and (not pods.ready or pods.unhealthy >= max(pods.ready, pods.wanted)):
        state = State.CRITICAL
    share = pods.ready / pods.wanted if pods.wanted else 1.0
    limit, said = f"{pods.wanted} ready", f"{value} of the active revision"
    return Reading(Name.POD_HEALTH, Source.PODS, state, value, limit, said, share)


def _block_rate(measured: Measured, limits: Thresholds[float]) -> Reading:
    source = Source.PODS if measured.asked is None else Source.PROMETHEUS
    blank = Reading(Name.BLOCK_RATE, source, State.UNKNOWN, "", _limit(limits, format_percent))
    traffic = measured.traffic if measured.asked is None else measured.asked
    if measured.asked is None and measured.metrics.decisions is None:
        return replace(blank, message=_unset("counter of decisions", "decisions"))
    if isinstance(traffic, NotKnown):
        return replace(blank, message=traffic.why)
    return _share(blank, traffic, traffic.counts.blocked, "were blocked", limits)


def _provider_errors(measured: Measured, limits: Thresholds[float]) -> Reading:
    blank = Reading(Name.PROVIDER_ERRORS, Source.PODS, State.UNKNOWN, "", _limit(limits, format_percent))
    if measured.metrics.provider_errors is None:
        return replace(blank, message=_unset("counter of provider errors", "providerErrors"))
    if measured.metrics.decisions is None:
        return replace(blank, message=_unset("counter of decisions, of which errors would be a share", "decisions"))
    traffic = measured.traffic
    if isinstance(traffic, NotKnown):
        return replace(blank, message=traffic.why)
    return _share(blank, traffic, traffic.counts.provider_errors, "failed at a provider", limits)


def _share(blank: Reading, traffic: Traffic, part: float, did: str, limits: Thresholds[float]) -> Reading:
    """A part of all requests."""
    if why := _too_little(traffic, traffic.counts.requests, "requests"):
        return replace(blank, message=why)
    whole = traffic.counts.requests
    share = min(1.0, max(0.0, part / whole))  # a request that is tried at three providers may fail thrice
    said = f"{part:,.0f} of {whole:,.0f} requests in the last {_window(traffic)} {did}{_partly(traffic)}"
    return _judged(blank, traffic, _state(share, limits), format_percent(share, 1), said, share)


def _latency(measured: Measured, limits: Thresholds[timedelta]) -> Reading:
    blank = Reading(Name.LATENCY_P99, Source.PODS, State.UNKNOWN, "", _limit(limits, format_duration))
    traffic = measured.traffic
    if measured.metrics.latency is None:
        return replace(blank, message=_unset("histogram of answer times", "latency"))
    if isinstance(traffic, NotKnown):
        return replace(blank, message=traffic.why)
    latency = traffic.counts.latency
    if latency and math.inf not in latency:
        return replace(blank, message=f"{measured.metrics.latency.histogram} has no +Inf bucket")
    whole, p99 = answers(latency), quantile(0.99, latency)
    if why := _too_little(traffic, whole, "timed answers"):
        return replace(blank, message=why)
    if p99 is None:
        return replace(blank, message=f"{measured.metrics.latency.histogram} has no finite bound")
    value = f"{'> ' if p99.beyond else ''}{_seconds(p99.seconds)}"
    said = f"99% of {whole:,.0f} answers in the last {_window(traffic)} took at most {value}"
    state = _state(timedelta(seconds=p99.seconds), limits)
    if p99.beyond:
        said = f"the slowest 1% took longer than the histogram's last bound, {_seconds(p99.seconds)}"
        state = _state_beyond(timedelta(seconds=p99.seconds), limits)
        if state is State.UNKNOWN:
            said += "; that is not above the limit, so whether they passed it is not known"
            return Reading(blank.name, blank.source, state, value, blank.limit, said)
    return _judged(blank, traffic, state, value, said + _partly(traffic), p99.seconds)


def _escalations(backlog: Backlog | NotKnown, limits: Thresholds[int]) -> Reading:
    blank = Reading(Name.ESCALATION_BACKLOG, Source.CONTROL_PLANE, State.UNKNOWN, "", _limit(limits, str))
    if isinstance(backlog, NotKnown):
        return replace(blank, message=backlog.why)
    words = [f"{backlog.total} pending"]
    if backlog.total and backlog.oldest is not None:
        words.append(f"oldest {_ago(_coarse(backlog.oldest.total_seconds()))}")
    if backlog.total and backlog.by_policy:
        policy, count = max(sorted(backlog.by_policy.items()), key=lambda item: item[1])
        words.append(f"most: {policy[:40]} {count}")
    value, state = ", ".join(words), _state(backlog.total, limits)
    said = f"escalations of the organisation: {value}"
    return Reading(blank.name, blank.source, state, value, blank.limit, said, float(backlog.total))


def _ingestion_lag(measured: Measured, limits: Thresholds[timedelta], now: datetime) -> Reading:
    """How long nothing of what the gateway has been doing has arrived: after a quiet night, since it does again."""
    blank = Reading(Name.INGESTION_LAG, Source.CONTROL_PLANE, State.UNKNOWN, "", _limit(limits, format_duration))
    newest = measured.newest_event
    if isinstance(newest, NotKnown):
        return replace(blank, message=newest.why)
    if measured.moving_since is None:
        return replace(blank, message="the gateway's counters do not move, so no event is due")
    if newest - now > AHEAD:
        return replace(
            blank, message=f"the newest event is dated {_ago((newest - now).total_seconds())} ahead: a clock is wrong"
        )
    lag = max(timedelta(), now - max(newest, measured.moving_since))
    value = _ago(lag.total_seconds())
    said = f"requests are counted, and for {value} no event of them has arrived"
    if lag < limits.warning:
        said = f"the newest event is {_ago(max(0.0, (now - newest).total_seconds()))} old"
    return Reading(blank.name, blank.source, _state(lag, limits), value, blank.limit, said, lag.total_seconds())


N = TypeVar("N", float, int, timedelta)


def _state(value: N, limits: Thresholds[N]) -> State:
    if limits.critical is not None and value > limits.critical:
        return State.CRITICAL
    return State.WARNING if value > limits.warning else State.OK


def _state_beyond(bound: timedelta, limits: Thresholds[timedelta]) -> State:
    """Of something above a bound."""
    if limits.critical is not None and bound >= limits.critical:
        return State.CRITICAL
    return State.WARNING if bound >= limits.warning else State.UNKNOWN


def _judged(blank: Reading, traffic: Traffic, state: State, value: str, said: str, number: float) -> Reading:
    """Too few pods can raise an alarm, but not say that all is well: those that are silent may be the sick ones."""
    if state is State.OK and 2 * traffic.read < traffic.of:
        return Reading(blank.name, blank.source, State.UNKNOWN, value, blank.limit, f"{said}: too few to tell", number)
    return Reading(blank.name, blank.source, state, value, blank.limit, said, number)


def _too_little(traffic: Traffic, count: float, what: str) -> str:
    """Why nothing can be said of it; empty when something can."""
    if traffic.of and not traffic.read:
        return f"none of {traffic.of} pods could be read"
    seen = f"{count:,.0f} {what} in the last {_window(traffic)}{_partly(traffic)}"
    return f"too few requests: {seen}; {LEAST} are needed" if count < LEAST else ""


def _window(traffic: Traffic) -> str:
    """Said the same way until all of it has been watched: words that count seconds would be written again and again."""
    whole = format_duration(WINDOW)
    return whole if traffic.seconds >= WINDOW.total_seconds() else f"{whole} (watched in part)"


def _partly(traffic: Traffic) -> str:
    return f" ({traffic.read} of {traffic.of} pods read)" if traffic.read < traffic.of else ""


def _unset(what: str, key: str) -> str:
    return f"no {what} is known for this gateway; set spec.gateway.metrics.{key}"


def _limit(limits: Thresholds[N], words: Callable[[N], str]) -> str:
    return words(limits.warning) + (f", critical {words(limits.critical)}" if limits.critical is not None else "")


def _seconds(value: float) -> str:
    """3.2 is `3.2s`, 0.0423 is `0.042s`, 75 is `1m15s`."""
    return _ago(value) if value >= 60.0 else f"{format_decimal(value, 1 if value >= 1.0 else 3)}s"


def _coarse(seconds: float) -> float:
    """An age in whole minutes, hours or days: exact, it would be news every minute even where nothing happens."""
    step = next((size for size in (86_400.0, 3_600.0, 60.0) if seconds >= size), 1.0)
    return seconds // step * step


def _ago(seconds: float) -> str:
    """A measured time in two units: `14m0s`, `3h5m`, `2d4h`."""
    whole = max(0, int(seconds))
    for unit, size, below, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part}{below}"
    return f"{whole}s"
