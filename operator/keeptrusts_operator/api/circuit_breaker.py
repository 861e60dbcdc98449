"""When a candidate blocks too much: spec.circuitBreaker."""

from dataclasses import dataclass
from enum import StrEnum

from keeptrusts_operator.api.fields import Fields
from keeptrusts_operator.api.formats import BURST, QUERY, URL
from keeptrusts_operator.api.quantities import format_decimal

AUTO = "Auto"
_MAX_FALSE_ROLLBACK_PROBABILITY = 0.1
_MAX_RATIO = 100.0


class BreakerMode(StrEnum):
    ROLL_BACK = "RollBack"
    HOLD = "Hold"
    NOTIFY = "Notify"
    OFF = "Off"


class OnUnverifiable(StrEnum):
    ROLL_BACK = "RollBack"
    HOLD = "Hold"


class SourceType(StrEnum):
    PODS = "Pods"
    PROMETHEUS = "Prometheus"


@dataclass(frozen=True)
class Tolerance:
    """limit = ratio · (stable's block rate) + points + the policy's expected increase; points as a fraction."""

    ratio: float = 1.5
    points: float = 0.02


@dataclass(frozen=True)
class PrometheusSource:
    """`$revision` in the queries is replaced by a revision."""

    url: str
    requests_query: str
    blocked_query: str


@dataclass(frozen=True)
class Source:
    """`prometheus` is set exactly when `type` is Prometheus."""

    type: SourceType = SourceType.PODS
    prometheus: PrometheusSource | None = None


@dataclass(frozen=True)
class CircuitBreaker:
    """`burst` None: measured; a number: how many blocked requests count as one (1 to 25)."""

    mode: BreakerMode = BreakerMode.ROLL_BACK
    false_rollback_probability: float = 0.001
    tolerance: Tolerance = Tolerance()
    min_blocked: int = 3
    burst: float | None = None
    source: Source = Source()
    on_unverifiable: OnUnverifiable = OnUnverifiable.ROLL_BACK


def parse_circuit_breaker(fields: Fields) -> CircuitBreaker:
    default = CircuitBreaker()
    burst = fields.string("burst", AUTO, BURST)
    return CircuitBreaker(
        mode=fields.choice("mode", default.mode),
        false_rollback_probability=_parse_probability(fields, default.false_rollback_probability),
        tolerance=_parse_tolerance(fields.child("tolerance"), default.tolerance),
        min_blocked=fields.integer("minBlocked", default.min_blocked, 1, 1000),
        burst=None if burst == AUTO else float(burst),
        source=_parse_source(fields.child("source")),
        on_unverifiable=fields.choice("onUnverifiable", default.on_unverifiable),
    )


def _parse_probability(fields: Fields, default: float) -> float:
    probability = fields.decimal("falseRollbackProbability", default)
    if not 0 < probability <= _MAX_FALSE_ROLLBACK_PROBABILITY:
        fields.fail(
            f'must be above 0 and at most {_MAX_FALSE_ROLLBACK_PROBABILITY}, e.g. "0.001"', "falseRollbackProbability"
        )
    return probability


def _parse_tolerance(fields: Fields, default: Tolerance) -> Tolerance:
    tolerance = Tolerance(ratio=fields.decimal("ratio", default.ratio), points=fields.percent("points", default.points))
    if not 1 <= tolerance.ratio <= _MAX_RATIO:
        fields.fail(f'must be from 1 (no more than stable blocks) to {format_decimal(_MAX_RATIO)}, e.g. "1.5"', "ratio")
    return tolerance


def _parse_source(fields: Fields) -> Source:
    kind = fields.choice("type", SourceType.PODS)
    if kind is SourceType.PROMETHEUS and not fields.has("prometheus"):
        fields.fail("is required with type: Prometheus; write url, requestsQuery and blockedQuery", "prometheus")
    if kind is SourceType.PODS and fields.has("prometheus"):
        fields.fail("is not read with type: Pods; write type: Prometheus, or remove it", "prometheus")
    return Source(
        type=kind, prometheus=_parse_prometheus(fields.child("prometheus")) if fields.has("prometheus") else None
    )


def _parse_prometheus(fields: Fields) -> PrometheusSource:
    source = PrometheusSource(
        url=fields.required("url", URL),
        requests_query=fields.required("requestsQuery", QUERY),
        blocked_query=fields.required("blockedQuery", QUERY),
    )
    for name, query in (("requestsQuery", source.requests_query), ("blockedQuery", source.blocked_query)):
        if query and "$revision" not in query:
            fields.fail('must contain $revision, e.g. {revision="$revision"}: revisions are judged apart', name)
    return source
