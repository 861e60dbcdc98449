"""The last change of exposure, and what is known of traffic before it: see `core.breaker.with_arrivals`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from keeptrusts_operator.gateways.windows import Windows

LONGEST_ANSWER = 300.0  # seconds: after them whatever arrived has been counted, whether a histogram says so or not
LEAST_WATCHED = 10.0  # seconds of looks before a rate of arrivals is known


class Arms(Protocol):
    """The two revisions, and how far the candidate is exposed."""

    @property
    def active(self) -> str: ...
    @property
    def candidate(self) -> str: ...
    @property
    def stage(self) -> str: ...


@dataclass(frozen=True)
class Exposure:
    """`at`: monotonic seconds of the change to `stage`; `rate`: requests per second of both arms before it; `p95`:
    seconds that an answer of the active arm takes, infinite if nobody knows."""

    stage: str
    at: float
    rate: float = 0.0
    p95: float = math.inf

    @property
    def longest(self) -> float:
        """Seconds after the change from which on everything that arrives is counted."""
        return min(self.p95, LONGEST_ANSWER)

    def changed(self, case: Arms, windows: Windows, at: float) -> Exposure:
        """After another change. A process that has only begun to look knows the rate from the one before it."""
        watched, rate = windows.seconds(at), self.rate
        if watched >= LEAST_WATCHED:
            rate = windows.rate((case.active, case.candidate), at)
        p95 = quantile(windows.total((case.active,), at).latency, 0.95)
        return Exposure(case.stage, at, rate, self.p95 if math.isinf(p95) else p95)

    def to_dict(self, at: float) -> dict[str, Any]:
        """For a checkpoint. Monotonic clocks do not outlive a process, so what is kept is how long ago it was."""
        known = {} if math.isinf(self.p95) else {"p95": self.p95}
        return {"stage": self.stage, "since": round(at - self.at, 1), "rate": float(f"{self.rate:.4g}"), **known}

    @classmethod
    def kept(cls, data: object, at: float) -> Exposure | None:
        """From a checkpoint; the time in which nobody led does not count. None when it makes no sense."""
        if not isinstance(data, Mapping):
            return None
        try:
            since, rate, p95 = (float(data.get(k, d)) for k, d in (("since", 0.0), ("rate", 0.0), ("p95", math.inf)))
        except (TypeError, ValueError):
            return None
        if not (since >= 0.0 and 0.0 <= rate < 1e9 and p95 > 0.0):
            return None
        return cls(str(data.get("stage", "")), at - since, rate, p95)


def quantile(latency: Mapping[float, float], q: float) -> float:
    """An upper bound of a quantile in seconds, from cumulative buckets by their upper bound; infinite if not known."""
    total = max(latency.values(), default=0.0)
    if total <= 0.0:
        return math.inf
    return min((bound for bound, count in latency.items() if count >= q * total), default=math.inf)
