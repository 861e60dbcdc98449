"""Before acting on a trip: would it stand without the loudest client?

One client that repeats a blocked request can look like a policy that blocks everybody. Where decision events tell
clients apart, the most blocked one is left out; what the others show must still exceed the limit, one-sided at 95 %:

    b − n·L > 1.645·sqrt(n·L·(1−L)·m)        b of n requests of the other clients blocked, L limit, m burstiness

What cannot be told from the events is `Unverifiable`, never a verdict by accident. Sentences name no client: they end
up in Events and incidents, and a client is often a person.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

FRESH = 5.0  # seconds: an older answer says nothing about now
LEAST_OTHERS = 3  # blocked requests of other clients
Z = 1.645  # 95 %, one-sided
LEAST_SEEN = 0.5  # of the blocks that the gateways' counters show; with fewer, events are behind, and so are clients


@dataclass(frozen=True)
class DecisionEvent:
    """One decision of a gateway. `client` and `config_version` are empty where the event does not tell."""

    at: datetime
    client: str
    blocked: bool
    config_version: str


@dataclass(frozen=True)
class Events:
    """The newest answer: the decisions, and how many seconds ago it was asked for. `why`: why there is no newer one."""

    decisions: Sequence[DecisionEvent] = ()
    age: float = math.inf
    why: str = ""


@dataclass(frozen=True)
class Question:
    """Whether the candidate blocks too much for several clients.

    `limit` is a rate, `burstiness` ≥ 1 (`breaker.Baseline.burstiness`), `since` the start of the rollout in the events'
    time, `counted_blocked` what the gateways' own counters say the candidate has blocked since then (None: not known).
    """

    candidate_version: str
    active_version: str
    limit: float
    burstiness: float
    since: datetime
    counted_blocked: float | None = None


@dataclass(frozen=True)
class Confirmed:
    """Other clients are blocked too much as well: act."""

    message: str


@dataclass(frozen=True)
class SuspectSingleClient:
    """Without one client there is no excess: hold and tell."""

    message: str


@dataclass(frozen=True)
class Unverifiable:
    """The events cannot tell: `circuitBreaker.onUnverifiable` decides."""

    message: str


Confirmation = Confirmed | SuspectSingleClient | Unverifiable


@dataclass
class _Tally:
    requests: int = 0
    blocked: int = 0


def confirm(question: Question, events: Events) -> Confirmation:
    """The answer that the events give, with its numbers in one sentence."""
    if problem := _unusable(question, events):
        return Unverifiable(problem)
    named, unnamed = _by_client(question, events.decisions)
    total = sum(t.requests for t in named.values()) + unnamed.requests
    blocked = sum(t.blocked for t in named.values()) + unnamed.blocked
    if not blocked:
        return Unverifiable(
            f"the control plane shows {total} decisions of {question.candidate_version} since the rollout began, "
            "none of them blocked"
        )
    others = _without_loudest(named.values())
    loudest = blocked - unnamed.blocked - others.blocked
    said = _sentence(question, len(named), loudest, others)
    if _exceeds(others, question):
        return Confirmed(said)
    if unnamed.blocked:
        return Unverifiable(f"{unnamed.blocked} of {blocked} blocked decisions name no client; of the rest, {said}")
    seen = question.counted_blocked
    if seen is not None and blocked < LEAST_SEEN * seen:
        return Unverifiable(
            f"the control plane shows only {blocked} of the {seen:.0f} blocked requests that the gateways counted; {said}"
        )
    return SuspectSingleClient(said)


def _unusable(question: Question, events: Events) -> str:
    """Why these events cannot be used at all; empty when they can."""
    candidate, active = question.candidate_version, question.active_version
    if events.age > FRESH:
        old = "have not been read" if math.isinf(events.age) else f"are {events.age:.0f} s old (at most {FRESH:.0f} s)"
        return f"decision events {old}: {events.why}" if events.why else f"decision events {old}"
    if not candidate or not active:
        return "the policy has no version by which decision events could be told apart"
    if candidate == active:
        return (
            f"candidate and active policy have the same version {candidate}: their decision events cannot be told apart"
        )
    return ""


def _by_client(question: Question, decisions: Iterable[DecisionEvent]) -> tuple[dict[str, _Tally], _Tally]:
    """The candidate's decisions since the rollout began, of each client, and of events that name none."""
    named: dict[str, _Tally] = {}
    unnamed = _Tally()
    for event in decisions:
        if event.config_version != question.candidate_version or event.at < question.since:
            continue
        tally = named.setdefault(event.client, _Tally()) if event.client else unnamed
        tally.requests += 1
        tally.blocked += event.blocked
    return named, unnamed


def _without_loudest(tallies: Iterable[_Tally]) -> _Tally:
    """All clients but the most blocked one; of several that are, the one without which the least excess is left."""
    ranked = sorted(tallies, key=lambda t: (-t.blocked, t.requests))
    rest = ranked[1:]
    return _Tally(sum(t.requests for t in rest), sum(t.blocked for t in rest))


def _exceeds(others: _Tally, question: Question) -> bool:
    n, b = others.requests, others.blocked
    limit = min(max(question.limit, 0.0), 1.0)
    noise = n * limit * (1.0 - limit) * max(question.burstiness, 1.0)
    return b >= LEAST_OTHERS and b - n * limit > Z * math.sqrt(noise)


def _sentence(question: Question, clients: int, loudest: int, others: _Tally) -> str:
    if clients <= 1:
        return f"all {loudest} blocked requests are of one client" if clients else "no client is named"
    rate = f" ({100.0 * others.blocked / others.requests:.1f} %)" if others.requests else ""
    return (
        f"without the most blocked of {clients} clients ({loudest} blocked requests), the others were blocked "
        f"{others.blocked} times in {others.requests} requests{rate}, tolerated up to {100.0 * question.limit:.1f} %"
    )
