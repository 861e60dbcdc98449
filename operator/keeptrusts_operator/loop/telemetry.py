"""Metrics of the operator itself, and of what it knows of each GatewayDeployment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from keeptrusts_operator.core.effects import REQUESTED
from keeptrusts_operator.core.signals import Signal
from keeptrusts_operator.loop import told

PREFIX = "keeptrusts_operator"
OBJECT = ("namespace", "name")
Key = tuple[str, str]
Values = Mapping[tuple[str, ...], float]  # by the labels after those of the object
PASS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROLLBACK_BUCKETS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)


@dataclass(frozen=True)
class Described:
    """A metric as `docs/metrics.md` shows it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


@dataclass
class _Rollback:
    """The newest rollback of an object that was seen: which, and whether it was seen to be effective."""

    which: tuple[str, str]
    effective: bool


class SampleAges(Collector):
    """Age of the newest sample, computed when it is asked for: it grows while sampling hangs, and the loop, too."""

    def __init__(self, name: str, text: str, clock: Callable[[], float]) -> None:
        self._name, self._text, self._clock = name, text, clock
        self.at: dict[Key, dict[str, float]] = {}  # by who told it last: the newest counts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """As the registry asks for it."""
        family = GaugeMetricFamily(self._name, self._text, labels=OBJECT)
        now = self._clock()
        for key, at in list(self.at.items()):  # copies: this runs in a thread, beside the loops that write
            family.add_metric(key, max(0.0, now - max(list(at.values()))))
        yield family


class Telemetry:
    """Every metric there is. One instance per process (or per test). `clock`: seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        self._told: dict[Key, dict[Gauge, set[tuple[str, ...]]]] = {}
        self._rollbacks: dict[Key, _Rollback] = {}
        self._exposed: dict[Key, tuple[str, float]] = {}  # revision, since when it has had traffic
        self._requests: dict[Key, set[tuple[str, str, str]]] = {}
        self._operator()
        self._gateways()
        self._breaker(clock)
        self._passthrough()

    def _operator(self) -> None:
        self.leader = self._gauge("leader", "1 while this replica holds the Lease")
        self.passes = self._counter(
            "reconcile_passes",
            "passes of control loops by how they ended: done, api_error, not_leading or bug",
            "outcome",
        )
        self.duration = self._histogram(
            "reconcile_duration_seconds", "duration of one pass over one GatewayDeployment", PASS_BUCKETS
        )
        self.transitions = self._counter(
            "transitions", "transitions of rollouts, named as in the transition table", *OBJECT, "transition"
        )

    def _gateways(self) -> None:
        self.phase = self._gauge("gateway_phase", "1 for the phase a GatewayDeployment is in", *OBJECT, "phase")
        self.conditions = self._gauge(
            "gateway_condition",
            "1 for what a condition of a GatewayDeployment is: True, False or Unknown",
            *OBJECT,
            "type",
            "status",
        )
        self.ready_pods = self._gauge("gateway_ready_pods", "ready pods of the serving revision", *OBJECT)
        self.last_pass = self._gauge(
            "gateway_last_pass_timestamp_seconds", "when it was last looked at, whole and without an error", *OBJECT
        )
        self.signal_state = self._gauge(
            "signal_state",
            "1 for the state a health signal is in: Ok, Warning, Critical or Unknown",
            *OBJECT,
            "signal",
            "state",
        )
        self.signal_value = self._gauge(
            "signal_value",
            "value of a health signal, if known: PodHealth the ready share, BlockRate and ProviderErrors a ratio, "
            "LatencyP99 and IngestionLag seconds, EscalationBacklog a count",
            *OBJECT,
            "signal",
        )

    def _breaker(self, clock: Callable[[], float]) -> None:
        self.evidence = self._gauge(
            "breaker_evidence_log10",
            "evidence that the candidate blocks more than is tolerated, log10 of odds to 1",
            *OBJECT,
        )
        self.limit = self._gauge("breaker_limit_ratio", "block rate that is tolerated now", *OBJECT)
        self.block_rate = self._gauge(
            "breaker_block_rate_ratio", "block rate in this rollout, `canary` or `stable`", *OBJECT, "arm"
        )
        self.burstiness = self._gauge("breaker_burstiness", "how many blocked requests count as one", *OBJECT)
        self.verdict = self._gauge(
            "breaker_verdict",
            "1 for what the breaker says: Trip, Hold, Clear, Inconclusive or Unjudged",
            *OBJECT,
            "verdict",
        )
        name, text = (
            f"{PREFIX}_sample_age_seconds",
            "age of the newest sample of its gateways; it grows while nothing answers",
        )
        self.sample_ages = SampleAges(name, text, clock)
        self.registry.register(self.sample_ages)
        self.described.append(Described(name, "gauge", OBJECT, text))
        self.rollbacks = self._counter(
            "rollbacks", "rollbacks that this replica saw happen, by reason", *OBJECT, "reason"
        )
        self.detection = self._histogram(
            "rollback_detection_seconds",
            "from the first exposure of a candidate to the verdict that took it back; not of requested rollbacks",
            ROLLBACK_BUCKETS,
            *OBJECT,
        )
        self.effective = self._histogram(
            "rollback_effective_seconds",
            "from the verdict until no new connection reached the revision",
            ROLLBACK_BUCKETS,
            *OBJECT,
        )

    def _passthrough(self) -> None:
        self.passthrough_active = self._gauge(
            "passthrough_active", "1 while traffic goes past the policies, or is on its way back and watched", *OBJECT
        )
        self.passthrough_expires = self._gauge(
            "passthrough_expires_timestamp_seconds", "when the passthrough in force, or about to be, ends", *OBJECT
        )
        self.passthrough_passed = {
            key: self._gauge(f"passthrough_{key}_requests", f"requests in the newest passthrough that {text}", *OBJECT)
            for key, text in told.PASSED.items()
        }
        self.passthrough_requests = self._counter(
            "passthrough_requests",
            "requests for a passthrough, by outcome: Done, Refused or Ignored",
            *OBJECT,
            "outcome",
        )

    def record(self, namespace: str, name: str, status: Mapping[str, Any], now: float) -> None:
        """What a finished pass says about its object, by its status. `now`: seconds since the epoch."""
        key = (namespace, name)
        self._tell(self.phase, key, {(str(status.get("phase", "Pending")),): 1.0})
        self._tell(self.conditions, key, dict.fromkeys(told.conditions(status), 1.0))
        self._tell(self.ready_pods, key, {(): status.get("readyReplicas", 0)})
        self._tell(self.last_pass, key, {(): now})
        self._tell(self.signal_state, key, dict.fromkeys(told.signal_states(status), 1.0))
        self._record_breaker(key, status)
        self._record_rollback(key, status)
        self._record_passthrough(key, status)

    def observe(
        self, namespace: str, name: str, signals: Iterable[Signal] = (), sampled_at: float | None = None
    ) -> None:
        """What is not in the status: values of signals as numbers, and when a gateway answered last (seconds since the
        epoch), which must also be told of gateways that nobody judges."""
        key = (namespace, name)
        numbers = {(s.name.value,): s.number for s in signals}
        self._tell(self.signal_value, key, {k: v for k, v in numbers.items() if v is not None})
        self._sampled(key, "loop", sampled_at)

    def forget(self, namespace: str, name: str) -> None:
        """An object is gone: its series end."""
        key = (namespace, name)
        for gauge in self._told.pop(key, {}):
            gauge.remove_by_labels({"namespace": namespace, "name": name})
        for metric in (self.transitions, self.rollbacks, self.detection, self.effective, self.passthrough_requests):
            metric.remove_by_labels({"namespace": namespace, "name": name})
        for kept in (self._rollbacks, self._exposed, self._requests, self.sample_ages.at):
            kept.pop(key, None)

    def _record_breaker(self, key: Key, status: Mapping[str, Any]) -> None:
        breaker = told.part(status, "breaker")
        verdict = told.part(status, "rollout").get("verdict")
        self._tell_one(self.evidence, key, told.evidence_log10(status))
        self._tell_one(self.limit, key, told.number(breaker.get("limit")))
        self._tell_one(self.burstiness, key, told.number(breaker.get("burst")))
        self._tell(self.block_rate, key, {(arm,): rate for arm, rate in told.block_rates(status).items()})
        self._tell(self.verdict, key, {(str(verdict),): 1.0} if verdict else {})
        self._sampled(key, "status", told.seconds(breaker.get("lastSampleAt")))

    def _record_rollback(self, key: Key, status: Mapping[str, Any]) -> None:
        """Each rollback is counted once. One that was there at the first look was counted by whoever saw it happen."""
        rollback, exposed = told.part(status, "rollback"), told.exposed_since(status)
        which = (str(rollback.get("revision", "")), str(rollback.get("detectedAt", "")))
        known = self._rollbacks.get(key)
        if known is None:
            self._begin_counting(key)
            known = self._rollbacks[key] = _Rollback(which, bool(rollback.get("effectiveAt")))
        if which != known.which and rollback:
            known.which, known.effective = which, False
            self._count_rollback(key, rollback)
        took = told.between(status, "detectedAt", "effectiveAt")
        if took is not None and not known.effective:
            known.effective = True
            self.effective.labels(*key).observe(took)
        if exposed is None:
            self._exposed.pop(key, None)
        elif self._exposed.get(key, ("", 0.0))[0] != exposed[0]:
            self._exposed[key] = exposed

    def _begin_counting(self, key: Key) -> None:
        """Counters that alerts look at begin with 0: Prometheus' increase() does not see a series that begins with 1."""
        for reason in ("BlockRate", REQUESTED):
            self.rollbacks.labels(*key, reason)
        for outcome in ("Done", "Refused", "Ignored"):
            self.passthrough_requests.labels(*key, outcome)

    def _count_rollback(self, key: Key, rollback: Mapping[str, Any]) -> None:
        reason = str(rollback.get("reason") or "RolledBack")
        self.rollbacks.labels(*key, reason).inc()
        revision, since = self._exposed.get(key, ("", 0.0))
        detected = told.seconds(rollback.get("detectedAt"))
        if revision and revision == rollback.get("revision") and detected is not None and reason != REQUESTED:
            self.detection.labels(*key).observe(max(0.0, detected - since))

    def _record_passthrough(self, key: Key, status: Mapping[str, Any]) -> None:
        self._tell(self.passthrough_active, key, {(): float(told.passthrough_active(status))})
        self._tell_one(self.passthrough_expires, key, told.passthrough_expiry(status))
        passed = told.passthrough_passed(status)
        for name, gauge in self.passthrough_passed.items():
            self._tell_one(gauge, key, passed.get(name))
        requests = told.passthrough_requests(status)
        for request in requests.keys() - self._requests.get(key, requests.keys()):
            self.passthrough_requests.labels(*key, requests[request]).inc()
        self._requests[key] = set(requests)

    def _sampled(self, key: Key, by: str, at: float | None) -> None:
        if at is not None:
            self.sample_ages.at.setdefault(key, {})[by] = at

    def _tell_one(self, gauge: Gauge, key: Key, value: float | None) -> None:
        self._tell(gauge, key, {} if value is None else {(): value})

    def _tell(self, gauge: Gauge, key: Key, values: Values) -> None:
        """The series of one object; those of before that are not among them end."""
        before = self._told.setdefault(key, {}).setdefault(gauge, set())
        for labels in before - values.keys():
            gauge.remove(*key, *labels)
        for labels, value in values.items():
            gauge.labels(*key, *labels).set(value)
        self._told[key][gauge] = set(values)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self.described.append(Described(f"{PREFIX}_{name}", "gauge", labels, text))
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self.described.append(Described(f"{PREFIX}_{name}_total", "counter", labels, text))
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        self.described.append(Described(f"{PREFIX}_{name}", "histogram", labels, text))
        return Histogram(f"{PREFIX}_{name}", text, labels, buckets=buckets, registry=self.registry)
