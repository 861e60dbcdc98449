"""Traffic for the breaker: what two arms count, slice by slice, in worlds that are known to be good or bad.

Requests arrive at random (Poisson) unless a stream says otherwise. Every stream has 10 minutes of stable traffic before
the rollout, as an operator that has watched the active revision would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.core.breaker import Settings
from keeptrusts_operator.core.dispersion import Slice, spread, with_arrivals

WARM, IDLE_SLICE = 600.0, 1.0  # seconds before the rollout, and how often the active revision is looked at then
SLICE = 0.5  # seconds, while a canary is judged
Times = NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """One run: what stable counted before the rollout, and both arms from the candidate's exposure on."""

    before: list[Slice]
    judged: list[Slice]
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Load:
    """`rate`: requests per second of both arms; `share`: of the canary; `seconds`: of the run."""

    rate: float
    share: float
    seconds: float = 600.0


def steady(rng: Generator, load: Load, stable: float, canary: float) -> Stream:
    """Independent requests, two constant block rates."""
    return Stream(warm(rng, load.rate, stable), _independent(rng, load, stable, canary))


def jump(rng: Generator, load: Load, low: float, high: float, begin: float, seconds: float) -> Stream:
    """Both arms go from `low` to `high` for a while: an attack, or a client with a new bad habit."""
    first = _independent(rng, Load(load.rate, load.share, begin), low, low)
    second = _independent(rng, Load(load.rate, load.share, seconds), high, high)
    rest = _independent(rng, Load(load.rate, load.share, load.seconds - begin - seconds), low, low)
    return Stream(warm(rng, load.rate, low), first + second + rest)


def late(rng: Generator, load: Load, stable: float, canary: float, after: float) -> Stream:
    """A candidate that is healthy at first."""
    healthy = _independent(rng, Load(load.rate, load.share, after), stable, stable)
    return Stream(warm(rng, load.rate, stable), healthy + _independent(rng, load, stable, canary))


def retries(rng: Generator, load: Load, stable: float, canary: float, again: int) -> Stream:
    """Who is blocked asks `again` times more, once a second, of the same arm; all in vain. Rates are of first tries."""
    before = _with_retries(rng, load.rate, stable, again, -WARM, 0.0)
    arms = [
        _with_retries(rng, load.rate * part, block, again, -again - 1.0 if old else 0.0, load.seconds)
        for part, block, old in ((load.share, canary, False), (1.0 - load.share, stable, True))
    ]
    return Stream(_warm_slices(*before), _slices(load.seconds, *arms))


def _with_retries(
    rng: Generator, rate: float, block: float, again: int, begin: float, end: float
) -> tuple[Times, Times]:
    """Times of all requests and of the blocked ones."""
    first = _arrivals(rng, rate, begin, end)
    unlucky = first[rng.random(len(first)) < block]
    blocked = (unlucky[:, None] + np.arange(again + 1)[None, :]).ravel()
    allowed = np.setdiff1d(first, unlucky, assume_unique=True)
    return np.concatenate([allowed, blocked]), blocked


@dataclass(frozen=True)
class Answers:
    """How long an allowed answer takes before it is counted: log-normal, seconds."""

    median: float
    sigma: float

    @property
    def p95(self) -> float:
        return float(self.median * np.exp(1.6449 * self.sigma))

    def draw(self, rng: Generator, count: int) -> Times:
        return rng.lognormal(np.log(self.median), self.sigma, count)


def delayed(
    rng: Generator,
    rate: float,
    shares: Sequence[float],
    each: float,
    blocks: tuple[float, float],
    answers: Answers,
    growth: float = 1.0,
) -> Stream:
    """Blocked at once, allowed when answered. The canary gets one share after the other, `each` for so many seconds.

    `blocks`: rate of stable and canary; `growth`: of the traffic, from the first exposure on.
    """
    seconds = each * len(shares)
    settled = -WARM - 20.0 * answers.median  # answers of requests from long ago come in from the start
    times = np.concatenate([_arrivals(rng, rate, settled, 0.0), _arrivals(rng, rate * growth, 0.0, seconds)])
    share = np.array([0.0, *shares])[np.clip(np.floor(times / each).astype(int) + 1, 0, len(shares))]
    to_canary = rng.random(len(times)) < share
    blocked = rng.random(len(times)) < np.where(to_canary, blocks[1], blocks[0])
    counted = np.where(blocked, times, times + answers.draw(rng, len(times)))
    stable = counted[~to_canary], counted[~to_canary & blocked]
    raw = _slices(seconds, (counted[to_canary], counted[to_canary & blocked]), stable)
    before = _warm_slices(*stable)
    known = sum(s.stable_requests for s in before[-300:]) / 300.0
    judged = []
    for i, seen in enumerate(raw):
        step, since = divmod(i * SLICE, each)
        judged.append(with_arrivals(seen, shares[int(step)], known, since + SLICE, answers.p95))
    return Stream(before, judged)


def pooled(rng: Generator, rate: float, canary: float | None, even: bool, seconds: float = 300.0) -> Stream:
    """40 clients whose connections stick to one of 10 pods, and two of them are blocked 38 % of the time.

    One of the 10 pods is the canary's; before the change the clients were on the 9 others. `canary`: rate at which it
    blocks everybody, None: healthy. `even`: as many clients on each pod as possible, else each picks one by chance.
    """
    clients = np.array([0.38, 0.38] + [0.0] * 38)
    each = rate / len(clients)
    homes = _homes(rng, len(clients), 9, even)
    requests = rng.poisson(each * IDLE_SLICE, (int(WARM / IDLE_SLICE), len(clients)))
    blocked = rng.binomial(requests, clients)
    before = [
        Slice(0, 0, n, b, IDLE_SLICE) for n, b in zip(requests.sum(1).tolist(), blocked.sum(1).tolist(), strict=True)
    ]
    last = int(300 / IDLE_SLICE)
    pods = [(int(requests[-last:, homes == p].sum()), int(blocked[-last:, homes == p].sum())) for p in range(9)]
    noise = spread(pods)
    here = _homes(rng, len(clients), 10, even) == 0
    requests = rng.poisson(each * SLICE, (int(seconds / SLICE), len(clients)))
    blocked = rng.binomial(
        requests, clients if canary is None else np.where(here, np.maximum(clients, canary), clients)
    )
    sums = [x[:, who].sum(1).tolist() for who in (here, ~here) for x in (requests, blocked)]
    settings = Settings.of(CircuitBreaker(), 0.0, 0.0, noise)
    return Stream(before, [_slice(*counts) for counts in zip(*sums, strict=True)], settings)


def _homes(rng: Generator, clients: int, pods: int, even: bool) -> NDArray[np.int64]:
    return rng.permutation(np.arange(clients) % pods) if even else rng.integers(0, pods, clients)


def warm(rng: Generator, rate: float, block: float) -> list[Slice]:
    """Stable traffic before the rollout."""
    requests = rng.poisson(rate * IDLE_SLICE, int(WARM / IDLE_SLICE))
    blocked = rng.binomial(requests, block)
    return [Slice(0, 0, n, b, IDLE_SLICE) for n, b in zip(requests.tolist(), blocked.tolist(), strict=True)]


def _independent(rng: Generator, load: Load, stable: float, canary: float) -> list[Slice]:
    count = int(load.seconds / SLICE)
    columns = []
    for rate, block in ((load.rate * load.share, canary), (load.rate * (1.0 - load.share), stable)):
        requests = rng.poisson(rate * SLICE, count)
        columns += [requests.tolist(), rng.binomial(requests, block).tolist()]
    return [_slice(*counts) for counts in zip(*columns, strict=True)]


def _arrivals(rng: Generator, rate: float, begin: float, end: float) -> Times:
    return rng.uniform(begin, end, rng.poisson(rate * (end - begin)))


def _warm_slices(requests: Times, blocked: Times) -> list[Slice]:
    counts = (_counts(x, -WARM, 0.0, IDLE_SLICE) for x in (requests, blocked))
    return [Slice(0, 0, n, b, IDLE_SLICE) for n, b in zip(*counts, strict=True)]


def _slices(seconds: float, canary: tuple[Times, Times], stable: tuple[Times, Times]) -> list[Slice]:
    counts = (_counts(x, 0.0, seconds, SLICE) for x in (*canary, *stable))
    return [_slice(*column) for column in zip(*counts, strict=True)]


def _counts(times: Times, begin: float, end: float, width: float) -> list[int]:
    """How many times fall into each slice from `begin` to `end`."""
    where = np.floor((times - begin) / width).astype(np.int64)
    count = round((end - begin) / width)
    counts: list[int] = np.bincount(where[(where >= 0) & (where < count)], minlength=count).tolist()
    return counts


def _slice(canary_requests: float, canary_blocked: float, stable_requests: float, stable_blocked: float) -> Slice:
    return Slice(canary_requests, canary_blocked, stable_requests, stable_blocked, SLICE)
