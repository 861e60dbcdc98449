"""Metrics of the operator itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Telemetry:
    """Every metric there is; `docs/metrics.md` describes them. One instance per process (or per test)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        names = ["namespace", "name"]
        prefix = "keeptrusts_operator"
        self.leader = Gauge(f"{prefix}_leader", "1 while this replica holds the Lease.", registry=self.registry)
        self.passes = Counter(
            f"{prefix}_reconcile_passes",
            "Passes of control loops, by how they ended: done, api_error, not_leading or bug.",
            ["outcome"],
            registry=self.registry,
        )
        self.duration = Histogram(
            f"{prefix}_reconcile_duration_seconds",
            "Duration of one pass over one GatewayDeployment.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.transitions = Counter(
            f"{prefix}_transitions",
            "Transitions of rollouts by name, as in the transition table.",
            [*names, "transition"],
            registry=self.registry,
        )
        self.phase = Gauge(
            f"{prefix}_gateway_phase",
            "1 for the phase a GatewayDeployment is in.",
            [*names, "phase"],
            registry=self.registry,
        )
        self.ready_pods = Gauge(
            f"{prefix}_gateway_ready_pods", "Ready pods of the serving revision.", names, registry=self.registry
        )
        self.last_pass = Gauge(
            f"{prefix}_gateway_last_pass_timestamp_seconds",
            "When a GatewayDeployment was last looked at, whole and without an error.",
            names,
            registry=self.registry,
        )
        self._phases: dict[tuple[str, str], str] = {}

    def record(self, namespace: str, name: str, status: Mapping[str, Any], now: float) -> None:
        """What a finished pass says about its object."""
        key = (namespace, name)
        phase = status.get("phase", "Pending")
        if (old := self._phases.get(key)) != phase:
            if old:
                self.phase.remove(namespace, name, old)
            self._phases[key] = phase
        self.phase.labels(namespace, name, phase).set(1)
        self.ready_pods.labels(namespace, name).set(status.get("readyReplicas", 0))
        self.last_pass.labels(namespace, name).set(now)

    def forget(self, namespace: str, name: str) -> None:
        """An object is gone: its series end."""
        if phase := self._phases.pop((namespace, name), None):
            self.phase.remove(namespace, name, phase)
            self.ready_pods.remove(namespace, name)
            self.last_pass.remove(namespace, name)
