"""What passed in an emergency passthrough, as the gateways' own counters tell it.

Counted is what the pods of the passthrough revision answered: at least so much, since what a pod counts after it was read
last is lost with it. How much of that the active policy would have blocked only a gateway can tell that counts what it
flags (`spec.gateway.metrics.decisions.flagged`). Where none does, it is Unknown; beside it stands an estimate, by the
block rate of before, which is never called a count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from keeptrusts_operator.api.quantities import format_percent, format_time, parse_time

LEAST = 50.0  # requests before it: a block rate of fewer is none to estimate by


@dataclass(frozen=True)
class Answered:
    """Requests that pods answered. `flagged`: those of which the gateway says that a policy found something and let them
    pass; None: it does not tell."""

    requests: float = 0.0
    blocked: float = 0.0
    flagged: float | None = None

    def and_more(self, more: Answered) -> Answered:
        """Both together; what one of them does not tell is not told of the sum."""
        flagged = None if self.flagged is None or more.flagged is None else self.flagged + more.flagged
        return Answered(self.requests + more.requests, self.blocked + more.blocked, flagged)


@dataclass(frozen=True)
class Passed:
    """What was answered in a passthrough until `at`. `before`: what the active revision did with its requests."""

    answered: Answered
    at: datetime
    before: Answered | None = None

    @property
    def requests(self) -> float:
        """Requests that were let through."""
        return max(0.0, self.answered.requests - self.answered.blocked)

    @property
    def estimate(self) -> float | None:
        """Requests that would have been blocked in addition at the block rate of before; None: there was too little."""
        if self.before is None or self.before.requests < LEAST:
            return None
        rate = min(1.0, self.before.blocked / self.before.requests)
        return max(0.0, rate * self.answered.requests - self.answered.blocked)

    def renewed(self, newer: Passed) -> Passed:
        """With newer counts, which never fall; the block rate of before stays the one of before."""
        if newer.answered.requests < self.answered.requests:
            return self
        return replace(newer, before=self.before or newer.before)


def words(passed: Passed | None) -> str:
    """For people, to be read after the name of who asked."""
    if passed is None:
        return "how many requests passed is Unknown: the gateway's decisions are not counted"
    counted = f"at least {passed.requests:,.0f} requests passed"
    if passed.answered.flagged is not None:
        return f"{counted}; the gateway says that policies flagged {passed.answered.flagged:,.0f} of them"
    unknown = f"{counted}; how many of them would have been blocked is Unknown, since the gateway does not tell"
    if passed.estimate is None:
        return unknown
    return f"{unknown} (estimate by the block rate of before: {_rough(passed.estimate)})"


def to_status(passed: Passed) -> dict[str, Any]:
    """`status.passthrough.passed`; counts are whole."""
    answered, before, estimate = passed.answered, passed.before, passed.estimate
    out: dict[str, Any] = {
        "countedAt": format_time(passed.at),
        "requests": round(answered.requests),
        "blocked": round(answered.blocked),
        "message": words(passed),
    }
    if answered.flagged is not None:
        out["flagged"] = round(answered.flagged)
    if before is not None:
        out["before"] = {"requests": round(before.requests), "blocked": round(before.blocked)}
        if before.requests:
            out["before"]["blockRate"] = format_percent(round(min(1.0, before.blocked / before.requests), 3))
    if estimate is not None:
        out["estimatedBlocked"] = round(estimate)
    return out


def from_status(status: Mapping[str, Any]) -> Passed:
    """What was written last. Raises `ValueError` or `KeyError` when it makes no sense."""
    flagged, before = status.get("flagged"), status.get("before")
    return Passed(
        Answered(
            float(status["requests"]), float(status.get("blocked", 0)), None if flagged is None else float(flagged)
        ),
        parse_time(status["countedAt"]),
        Answered(float(before["requests"]), float(before["blocked"])) if before else None,
    )


def _rough(number: float) -> str:
    """Two digits: more would look like a count."""
    return f"about {float(f'{number:.2g}'):,.0f}"
