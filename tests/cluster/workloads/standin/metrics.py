"""The three documented metric families; a gateway has one of them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

# family → counter, label, words for block / allow / redact / escalate, histogram
FAMILIES = {
    "decisions": (
        "keeptrusts_decisions_total",
        "decision",
        {"block": "blocked", "allow": "allowed", "redact": "redacted", "escalate": "escalated"},
        "keeptrusts_request_duration_seconds",
    ),
    "llm": (
        "keeptrusts_llm_requests_total",
        "verdict",
        {"block": "block", "allow": "allow", "redact": "redact", "escalate": "escalate"},
        "keeptrusts_llm_latency_seconds",
    ),
    "gateway": (
        "keeptrusts_gateway_policy_evaluations_total",
        "result",
        {"block": "block", "allow": "pass", "redact": "redact", "escalate": "escalate"},
        "keeptrusts_gateway_request_duration_seconds",
    ),
}


class Metrics:
    """Counts decisions the way one family does. A family that counts policy evaluations counts each policy of a chain."""

    def __init__(self, family: str) -> None:
        counter, label, self._words, histogram = FAMILIES[family]
        self.registry = CollectorRegistry()
        self._per_policy = family == "gateway"
        self._decisions = Counter(counter.removesuffix("_total"), "Decisions.", [label], registry=self.registry)
        self._latency = Histogram(histogram, "Duration of requests.", registry=self.registry)
        self._requests = Counter(
            "keeptrusts_gateway_requests", "Requests.", ["provider", "model", "status"], registry=self.registry
        )

    def decided(self, verdict: str, policies: int) -> None:
        self._decisions.labels(self._words[verdict]).inc()
        if self._per_policy and policies > 1:
            self._decisions.labels(self._words["allow"]).inc(policies - 1)

    def answered(self, status: int, seconds: float) -> None:
        self._latency.observe(seconds)
        self._requests.labels("openai", "gpt-4o-mini", str(status)).inc()
