"""What both arms count, and how much more than independent requests the blocked ones scatter: in time, and between pods.

A client that retries what was blocked turns one event into many. Counts that scatter m times as much as independent
requests would are worth 1/m of them as evidence. Always measured on the stable arm: a bad candidate must not excuse
itself by its own bursts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

BATCH = 60.0  # seconds: long enough to hold a client's retries, which straddle slices
MOST = 25.0  # burstiness above this is not believed: it would blind the judge
_FADE_SLICE, _FADE_BATCH = 0.985, 0.97  # memory of about 67 slices and 33 batches
_LEAST_VARIANCE = 0.2  # blocked²: with less to expect, χ² says nothing
MOST_COUNTED = 1e15  # above it a float no longer counts by one; its square is far from overflowing
_LARGEST_TERM = 400.0  # one outlier, e.g. a jump of the whole fleet, does not fill the memory


@dataclass(frozen=True)
class Slice:
    """What both arms counted in `seconds`: requests, and how many of them were blocked.

    `arrived`: requests the canary must have had although they are not counted yet (see `with_arrivals`). Raises
    `ValueError` for what is no count (NaN, negative, above `MOST_COUNTED`); a sum stays there. Blocked may exceed
    requests, since blocks and arrivals are counted at different times: such a slice is not judged before its requests
    are there, see `whole`.
    """

    canary_requests: float = 0.0
    canary_blocked: float = 0.0
    stable_requests: float = 0.0
    stable_blocked: float = 0.0
    seconds: float = 0.0
    arrived: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0.0 <= value <= MOST_COUNTED:
                raise ValueError(f"{name} is {value}, not a count")

    def __add__(self, other: Slice) -> Slice:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Slice(*(min(mine + more, MOST_COUNTED) for mine, more in pairs))

    @property
    def whole(self) -> bool:
        """Both arms had requests, and no block waits for its request to be counted: no evidence from no data."""
        return (
            self.canary_requests > 0.0
            and self.stable_requests > 0.0
            and self.canary_blocked <= self.canary_requests
            and self.stable_blocked <= self.stable_requests
        )

    @property
    def with_all_arrivals(self) -> Slice:
        """Its canary with the requests that must have arrived."""
        return replace(self, canary_requests=self.arrived) if self.arrived > self.canary_requests else self

    @property
    def swapped(self) -> Slice:
        """The arms exchanged, as counted."""
        return Slice(self.stable_requests, self.stable_blocked, self.canary_requests, self.canary_blocked, self.seconds)


NOTHING = Slice()


def with_arrivals(seen: Slice, share: float, rate: float, since_change: float, p95: float) -> Slice:
    """The slice with what the canary must have got by now, as long as its first answers are under way.

    For gateways that count a request when it is answered: a block at once, an allowed one 10 to 60 s later, so that
    after every change of exposure a young arm shows its blocks without their allows. `share`: of all requests that the
    canary gets; `rate`: requests per second of both arms before the change; `since_change`: seconds from it to the end
    of this slice; `p95`: seconds an answer of the active arm takes, infinite if nobody knows.
    """
    if since_change - seen.seconds >= p95:
        return seen
    return replace(seen, arrived=share * rate * seen.seconds)


@dataclass(frozen=True)
class Scatter:
    """Pearson's χ² over its degrees of freedom, both fading; it starts as six counts that scatter as they should."""

    chi: float = 6.0
    df: float = 6.0

    def feed(self, squared: float, variance: float, fade: float) -> Scatter:
        """`squared`: (blocked − expected)²; `variance`: of the blocked, were requests independent."""
        if variance <= _LEAST_VARIANCE:
            return self
        return Scatter(fade * self.chi + min(_LARGEST_TERM, squared / variance), fade * self.df + 1.0)

    @property
    def ratio(self) -> float:
        """1: as independent requests."""
        return self.chi / self.df


@dataclass(frozen=True)
class Batch:
    """The open batch: what the stable arm counted; when it began, what its block rate was thought to be, by how many
    requests."""

    requests: float = 0.0
    blocked: float = 0.0
    seconds: float = 0.0
    rate: float = 0.0
    known: float = 0.0


@dataclass(frozen=True)
class Dispersion:
    """Scatter of the stable arm over slices and over batches of 60 s."""

    slices: Scatter = Scatter()
    batches: Scatter = Scatter()
    batch: Batch = Batch()

    def feed(self, requests: float, blocked: float, seconds: float, rate: float, known: float) -> Dispersion:
        """`rate`: the block rate as it was thought to be before this slice; `known`: requests it was known from."""
        slices = self.slices.feed(*_terms(requests, blocked, rate, known), _FADE_SLICE)
        batch = self.batch if self.batch.seconds else Batch(rate=rate, known=known)
        batch = Batch(
            batch.requests + requests, batch.blocked + blocked, batch.seconds + seconds, batch.rate, batch.known
        )
        if batch.seconds < BATCH:
            return Dispersion(slices, self.batches, batch)
        terms = _terms(batch.requests, batch.blocked, batch.rate, batch.known)
        return Dispersion(slices, self.batches.feed(*terms, _FADE_BATCH))

    def burstiness(self, setting: float | None) -> float:
        """How many blocked requests count as one, 1 to 25; `setting`: the user's number, None to measure it."""
        wanted = max(self.slices.ratio, self.batches.ratio) if setting is None else setting
        return min(max(wanted, 1.0), MOST)


def _terms(requests: float, blocked: float, rate: float, known: float) -> tuple[float, float]:
    """Squared distance of the blocked from what was expected, and its mean if requests are independent.

    Part of the distance is the error of the expectation: without it, a long batch beside a young estimate would look
    like a burst.
    """
    return (blocked - requests * rate) ** 2, requests * rate * (1.0 - rate) * (1.0 + requests / known)


def spread(groups: Sequence[tuple[float, float]]) -> float:
    """Standard deviation of the block rate between groups of (requests, blocked), weighted by requests; a fraction.

    Between stable pods over the 5 minutes before a change it is the noise floor: pooled clients stick to pods, and what
    differs between stable pods may differ on the candidate's as well. Between the minutes of an hour it is how much a
    block rate drifts. What equal groups would scatter by chance is taken off (method of moments, as DerSimonian and
    Laird do), or few requests would look like groups that differ.
    """
    counted = [(n, b) for n, b in groups if n > 0]
    total = math.fsum(n for n, _ in counted)
    if len(counted) < 2:
        return 0.0
    mean = math.fsum(b for _, b in counted) / total
    between = math.fsum(n / total * (b / n - mean) ** 2 for n, b in counted)
    chance = (len(counted) - 1) * mean * (1.0 - mean) / total
    unequal = 1.0 - math.fsum((n / total) ** 2 for n, _ in counted)
    return math.sqrt(max(0.0, between - chance) / max(unequal, 1e-9))


def few_clients(blocked: Sequence[float], least: float) -> bool:
    """Whether what was blocked may be one client's that sticks to its pod; `blocked`: by each of the candidate's pods.

    With two pods or more, a fault of the candidate shows on two of them, `least` blocked on each.
    """
    return len(blocked) > 1 and sorted(blocked)[-2] < least
