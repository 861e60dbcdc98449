"""What the circuit breaker says of a candidate: the value that goes from who counts to who decides, and into `status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from keeptrusts_operator.api.quantities import format_percent, format_time, parse_time

BLOCK_RATE = "BlockRate"


class Verdict(StrEnum):
    """`Undecided`: not enough was counted yet, or nothing could be read. `Unjudged`: nobody judges; time and health do."""

    TRIP = "Trip"
    HOLD = "Hold"
    CLEAR = "Clear"
    UNDECIDED = "Undecided"
    UNJUDGED = "Unjudged"


@dataclass(frozen=True)
class Counts:
    """Decisions of one arm since the candidate was exposed."""

    requests: float = 0.0
    blocked: float = 0.0

    def and_more(self, requests: float, blocked: float) -> Counts:
        """With what was counted since."""
        return Counts(self.requests + requests, self.blocked + blocked)

    @property
    def rate(self) -> float | None:
        """Blocked of all; None without requests."""
        return self.blocked / self.requests if self.requests else None


@dataclass(frozen=True)
class Judgement:
    """The verdict on the candidate of one rollout with its numbers. Rates are fractions.

    `reason` is CamelCase and says which question was answered; `message` is the sentence for people. `checkpoint` is
    what a new leader goes on from. `trail` is what the verdict can be replayed from: it goes into the incident only.
    """

    rollout_id: str
    verdict: Verdict
    reason: str = BLOCK_RATE
    message: str = ""
    canary: Counts = Counts()
    stable: Counts = Counts()
    stable_rate: float | None = None  # as the judge estimates it, with what was counted before the rollout
    limit: float | None = None
    evidence: float = 1.0  # odds to 1
    needed: float = 1000.0
    burst: float = 1.0
    noise: float = 0.0  # between stable pods, before the change
    seconds: float = 0.0  # since the candidate's first request
    sampled_at: datetime | None = None
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    trail: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def says_as(self, other: Judgement) -> bool:
        """The same answer to the same question, whatever its numbers."""
        return (self.verdict, self.reason) == (other.verdict, other.reason)


def to_status(judged: Judgement) -> dict[str, Any]:
    """`status.breaker`; counts are whole."""
    out: dict[str, Any] = {
        "rolloutId": judged.rollout_id,
        "state": judged.verdict.value,
        "reason": judged.reason,
        "message": judged.message,
        "canary": _counts_out(judged.canary),
        "stable": _counts_out(judged.stable),
        "stableRate": _percent(judged.stable_rate),
        "limit": _percent(judged.limit),
        "evidence": _decimal(judged.evidence),
        "needed": _decimal(judged.needed),
        "burst": _decimal(judged.burst),
        "noise": _decimal(judged.noise) if judged.noise else "",
        "seconds": _decimal(judged.seconds),
        "lastSampleAt": format_time(judged.sampled_at) if judged.sampled_at else "",
        "checkpoint": dict(judged.checkpoint),
    }
    return {k: v for k, v in out.items() if v not in ("", {})}


def from_status(status: Mapping[str, Any]) -> Judgement:
    """What was written last. Rates come back rounded; nothing that decides is read from them (`checkpoint` is)."""
    return Judgement(
        rollout_id=status["rolloutId"],
        verdict=Verdict(status["state"]),
        reason=status.get("reason", BLOCK_RATE),
        message=status.get("message", ""),
        canary=_counts_from(status.get("canary") or {}),
        stable=_counts_from(status.get("stable") or {}),
        stable_rate=_rate(status.get("stableRate")),
        limit=_rate(status.get("limit")),
        evidence=float(status.get("evidence", 1.0)),
        needed=float(status.get("needed", 1000.0)),
        burst=float(status.get("burst", 1.0)),
        noise=float(status.get("noise", 0.0)),
        seconds=float(status.get("seconds", 0.0)),
        sampled_at=parse_time(status["lastSampleAt"]) if status.get("lastSampleAt") else None,
        checkpoint=status.get("checkpoint") or {},
    )


def _counts_out(counts: Counts) -> dict[str, Any]:
    out: dict[str, Any] = {"requests": round(counts.requests), "blocked": round(counts.blocked)}
    return {**out, "blockRate": _percent(counts.rate)} if counts.rate is not None else out


def _counts_from(counts: Mapping[str, Any]) -> Counts:
    return Counts(float(counts.get("requests", 0)), float(counts.get("blocked", 0)))


def _percent(rate: float | None) -> str:
    return "" if rate is None else format_percent(round(min(rate, 1.0), 3))


def _rate(text: str | None) -> float | None:
    return float(text.rstrip("%")) / 100.0 if text else None


def _decimal(value: float) -> str:
    return f"{min(value, 1e300):.4g}"
