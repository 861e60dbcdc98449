"""Counts over a time, and what a histogram of answer times among them says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Counted(Protocol):
    """What pods counted in some time. `latency`: upper bound in seconds → cumulative count."""

    @property
    def requests(self) -> float: ...
    @property
    def blocked(self) -> float: ...
    @property
    def provider_errors(self) -> float: ...
    @property
    def latency(self) -> Mapping[float, float]: ...


@dataclass(frozen=True)
class Quantile:
    """`seconds`; with `beyond` it is more than that, and nobody knows how much: it lies above the last finite bound."""

    seconds: float
    beyond: bool = False


def answers(latency: Mapping[float, float]) -> float:
    """Number of answers in a histogram; 0 for one without a +Inf bucket: what is above its last bound is not known."""
    return max(latency.values()) if math.inf in latency else 0.0


def quantile(q: float, latency: Mapping[float, float]) -> Quantile | None:
    """As Prometheus' histogram_quantile for classic buckets: linear within a bucket, the lowest one begins at 0 s.

    None: no answer was counted, or there is no +Inf bucket, or no other. Sums over pods with unlike bounds may shrink
    from bound to bound; they are evened out as Prometheus does.
    """
    whole = answers(latency)
    bounds = sorted(b for b in latency if math.isfinite(b))
    if whole <= 0.0 or not bounds:
        return None
    rank, below, start = q * whole, 0.0, 0.0
    for bound in bounds:
        count = max(below, latency[bound])
        if count >= rank:
            if bound <= 0.0:
                return Quantile(bound)
            part = (rank - below) / (count - below) if count > below else 0.0
            return Quantile(start + (bound - start) * part)
        below, start = count, max(0.0, bound)
    return Quantile(bounds[-1], beyond=True)


def slower_than(latency: Mapping[float, float], bound: float) -> float | None:
    """Number of answers that took longer than a bound; None if the histogram does not have it."""
    if bound not in latency:
        return None
    whole = answers(latency)
    return min(max(0.0, whole - latency[bound]), whole)
