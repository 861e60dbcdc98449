"""When a signal becomes a warning, or critical: spec.health."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Protocol, Self, TypeVar

from keeptrusts_operator.api.fields import Fields
from keeptrusts_operator.api.quantities import format_duration, format_percent


class _Ordered(Protocol):
    def __gt__(self, other: Self, /) -> bool: ...


T = TypeVar("T", bound=_Ordered)


@dataclass(frozen=True)
class Thresholds(Generic[T]):
    """A signal above `warning` is Warning, above `critical` Critical; None: it never is."""

    warning: T
    critical: T | None = None


@dataclass(frozen=True)
class HealthSettings:
    """Rates are fractions of all requests."""

    latency_p99: Thresholds[timedelta] = Thresholds(timedelta(seconds=5))
    block_rate: Thresholds[float] = Thresholds(0.3)
    provider_errors: Thresholds[float] = Thresholds(0.05)
    escalations: Thresholds[int] = Thresholds(20, 50)
    ingestion_lag: Thresholds[timedelta] = Thresholds(timedelta(minutes=1))


def parse_health(fields: Fields) -> HealthSettings:
    default = HealthSettings()
    return HealthSettings(
        latency_p99=_durations(fields.child("latencyP99"), default.latency_p99),
        block_rate=_shares(fields.child("blockRate"), default.block_rate),
        provider_errors=_shares(fields.child("providerErrors"), default.provider_errors),
        escalations=_counts(fields.child("escalations"), default.escalations),
        ingestion_lag=_durations(fields.child("ingestionLag"), default.ingestion_lag),
    )


def _durations(fields: Fields, default: Thresholds[timedelta]) -> Thresholds[timedelta]:
    parsed = Thresholds(fields.duration("warning", default.warning), fields.duration("critical", default.critical))
    return _ascending(fields, parsed, format_duration)


def _shares(fields: Fields, default: Thresholds[float]) -> Thresholds[float]:
    parsed = Thresholds(fields.percent("warning", default.warning), fields.percent("critical", default.critical))
    return _ascending(fields, parsed, format_percent)


def _counts(fields: Fields, default: Thresholds[int]) -> Thresholds[int]:
    limit = 1_000_000
    parsed = Thresholds(
        fields.integer("warning", default.warning, 0, limit), fields.integer("critical", default.critical, 0, limit)
    )
    return _ascending(fields, parsed, str)


def _ascending(fields: Fields, parsed: Thresholds[T], show: Callable[[T], str]) -> Thresholds[T]:
    if parsed.critical is not None and parsed.warning > parsed.critical:
        fields.fail(f"is below warning ({show(parsed.warning)}); write at least {show(parsed.warning)}", "critical")
    return parsed
