"""Which metrics there are, and which a PromQL expression names."""

from __future__ import annotations

import re

from keeptrusts_operator.loop.telemetry import Telemetry

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
OF_GATEWAYS = {"keeptrusts_decisions_total", "keeptrusts_request_duration_seconds_bucket", "up"}
"""What gateways say by the default profile, and what Prometheus adds."""

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
    return ours | OF_GATEWAYS


def named(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    bare = NOT_METRICS.sub(" ", re.sub(r"\[[^\]]*\]", " ", NOT_METRICS.sub(" ", expression)))
    bare = re.sub(r"\boffset\s+\w+", " ", bare)
    return {n for n in NAME.findall(bare) if n.lower() not in WORDS}
