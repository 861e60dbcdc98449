"""Which metrics there are, and which a PromQL expression names."""

from __future__ import annotations

import re

from keeptrusts_operator.loop.telemetry import Telemetry

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
OF_GATEWAYS = {"keeptrusts_decisions_total", "keeptrusts_request_duration_seconds_bucket", "up"}
"""What gateways say by the default profile, and what Prometheus adds."""

# Of parts that are written beside this one; a name leaves this list when `Telemetry` has it.
AGREED = {
    f"keeptrusts_operator_{name}"
    for name in (
        "breaker_evidence_log10",
        "breaker_limit_ratio",
        "breaker_block_rate_ratio",
        "breaker_burstiness",
        "breaker_verdict",
        "sample_age_seconds",
        "signal_state",
        "signal_value",
        "rollback_detection_seconds_bucket",
        "rollback_effective_seconds_bucket",
        "rollback_effective_seconds_count",
        "rollbacks_total",
        "passthrough_active",
        "passthrough_expires_timestamp_seconds",
        "passthrough_requests_total",
        "gateway_condition",
    )
}
NOT_METRICS = re.compile(r'"(?:[^"\\]|\\.)*"|\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)|\{[^}]*\}')
NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])")
WORDS = {
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "offset",
    "by",
    "on",
    "bool",
    "without",
    "ignoring",
    "inf",
    "nan",
}


def existing() -> set[str]:
    """Every series name of the operator and of gateways."""
    ours = {metric.name + suffix for metric in Telemetry().registry.collect() for suffix in SUFFIXES[str(metric.type)]}
    return ours | AGREED | OF_GATEWAYS


def named(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    bare = NOT_METRICS.sub(" ", re.sub(r"\[[^\]]*\]", " ", NOT_METRICS.sub(" ", expression)))
    bare = re.sub(r"\boffset\s+\w+", " ", bare)
    return {n for n in NAME.findall(bare) if n.lower() not in WORDS}
