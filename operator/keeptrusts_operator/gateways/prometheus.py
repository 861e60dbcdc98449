"""A Prometheus server as the source of decisions: spec.circuitBreaker.source.

Slower than asking pods: a sample is as old as the server's scrape interval, and that is said (`Evaluated.age`). Both
queries give sums of counters; what is judged is their growth between two evaluations. A sum says less than counters of
pods: it falls when a pod goes or begins again, and jumps when one comes back, so neither is taken for traffic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import httpx

from keeptrusts_operator.api.circuit_breaker import PrometheusSource
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.promql import NoAnswer, Value, ask, newest_sample

STALE = 90.0  # seconds: an older newest sample says nothing of now; three scrapes at the usual 30 s
LOOKBACK = 300.0  # seconds after which Prometheus forgets a series that was not scraped
PART = 0.25  # of what fell: growth by as much in one step is not taken for traffic


@dataclass(frozen=True)
class Evaluated:
    """What a revision counted in the `seconds` between two evaluations: requests and blocked ones, no more.

    `age`: of the newest sample in seconds, by the server's own clock; None where the query does not let it be known.
    `note`: what people should know of it.
    """

    increment: Increment
    seconds: float
    age: float | None = None
    note: str = ""


@dataclass(frozen=True)
class NotEvaluated:
    """Nothing can be said of a revision now; `why` for people."""

    why: str


Evaluation = Evaluated | NotEvaluated


@dataclass(frozen=True)
class _Look:
    """Both sums at one evaluation. `blocked` None: there is no such series."""

    at: float  # seconds since the epoch, by the server's clock
    requests: float
    blocked: float | None
    age: float | None


@dataclass(frozen=True)
class _Known:
    """The last sums that could be relied on, and by how much they fell until `fell_at`: what left may come back."""

    look: _Look
    fallen: Increment = field(default_factory=Increment)
    fell_at: float = 0.0

    def back(self, more: Increment, at: float) -> bool:
        """Whether growth is so much of what has fallen that it may be a pod that is scraped again."""
        if at - self.fell_at > LOOKBACK:
            return False
        pairs = ((more.requests, self.fallen.requests), (more.blocked, self.fallen.blocked))
        return any(fallen > 0.0 and grown >= PART * fallen for grown, fallen in pairs)


class PrometheusCounters:
    """Sums of one GatewayDeployment from evaluation to evaluation."""

    def __init__(self, client: httpx.AsyncClient, source: PrometheusSource) -> None:
        self._client, self._source = client, source
        self._known: dict[str, _Known] = {}

    async def evaluate(self, revisions: Iterable[str]) -> dict[str, Evaluation]:
        """Ask for all of them at once; takes 5 s at most. One that is not asked for is forgotten.

        An evaluation that fails is covered by the next that does not.
        """
        wanted = sorted(set(revisions))
        self._known = {r: k for r, k in self._known.items() if r in wanted}
        looks = await asyncio.gather(*(self._look(r) for r in wanted))
        return {r: self._evaluated(r, look) for r, look in zip(wanted, looks, strict=True)}

    async def _look(self, revision: str) -> _Look | NoAnswer:
        """Both sums and the newest sample, all at the same time."""
        requests, blocked = (
            query.replace("$revision", revision) for query in (self._source.requests_query, self._source.blocked_query)
        )
        newest = newest_sample(requests)
        queries = (requests, blocked, newest) if newest else (requests, blocked)
        answers = await asyncio.gather(*(ask(self._client, self._source.url, q) for q in queries))
        return _look_of(answers[0], answers[1], answers[2] if newest else None)

    def _evaluated(self, revision: str, look: _Look | NoAnswer) -> Evaluation:
        if isinstance(look, NoAnswer):
            return NotEvaluated(look.why)
        if look.age is not None and look.age > STALE:
            return NotEvaluated(f"the newest sample is {look.age:.0f} s old: is the gateway still scraped?")
        known = self._known.get(revision)
        if known is None:
            self._known[revision] = _Known(look)
            return NotEvaluated("this is the first look; the next one can be compared with it")
        outcome, self._known[revision] = _compared(known, look)
        return outcome


def _look_of(
    requests: Value | NoAnswer | None, blocked: Value | NoAnswer | None, newest: Value | NoAnswer | None
) -> _Look | NoAnswer:
    if isinstance(requests, NoAnswer):
        return NoAnswer(f"requestsQuery: {requests.why}")
    if isinstance(blocked, NoAnswer):
        return NoAnswer(f"blockedQuery: {blocked.why}")
    if requests is None:
        return NoAnswer("requestsQuery: no series (not scraped yet, or the query fits nothing)")
    age = max(0.0, newest.at - newest.value) if isinstance(newest, Value) else None
    return _Look(requests.at, requests.value, None if blocked is None else blocked.value, age)


def _compared(known: _Known, look: _Look) -> tuple[Evaluation, _Known]:
    """Growth since the last look, or why it cannot be known; and what to compare with next."""
    before, fallen = known.look, known.fallen
    if look.at <= before.at:
        return NotEvaluated("the answer is not newer than the last one: it comes from a cache or another server"), known
    if look.blocked is None and before.blocked is not None:
        return NotEvaluated("blockedQuery: its series have gone"), known
    requests, blocked = look.requests - before.requests, (look.blocked or 0.0) - (before.blocked or 0.0)
    if requests < 0.0 or blocked < 0.0:
        fallen += Increment(max(0.0, -requests), max(0.0, -blocked))
        return NotEvaluated("a sum fell: a pod has gone, or has begun again"), _Known(look, fallen, look.at)
    more = Increment(requests, blocked)
    if known.back(more, look.at):
        left = Increment(max(0.0, fallen.requests - requests), max(0.0, fallen.blocked - blocked))
        why = "a sum jumped after it had fallen: a pod that was not scraped may be back"
        return NotEvaluated(why), _Known(look, left, known.fell_at)
    note = "" if look.blocked is not None else "blockedQuery has no series yet, which counts as nothing blocked"
    return Evaluated(more, look.at - before.at, look.age, note), _Known(look, fallen, known.fell_at)
