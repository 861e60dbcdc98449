"""The circuit breaker: does the candidate block more than was tolerated?

    limit = ratio · (stable's current block rate) + points + expectedIncrease

A paired test by betting. Each slice of traffic multiplies a bettor's wealth by a factor whose expectation is at most 1
as long as the canary's rate is within the limit, whatever the two rates are and however they drift (above
`Baseline.ceiling`: as long as the canary blocks no more than stable does, see `alarm`). So the wealth, the "evidence",
is a non-negative supermartingale, and by Ville's inequality P(it ever reaches 1/α) ≤ α: looking twice a second costs
nothing. Sources: Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests" (2024); Lindon, Malek,
"Anytime-valid inference for multinomial count data" (NeurIPS 2022); Ramdas et al., "Game-theoretic statistics and safe
anytime-valid inference" (2023). What it holds under which traffic: `python -m tests.breaker`.

Rates are fractions, times are seconds, evidence is a natural logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.core.dispersion import NOTHING, Dispersion, Slice, spread, with_arrivals

__all__ = [
    "HOLD",
    "START",
    "TRIP",
    "Alone",
    "Baseline",
    "Evidence",
    "Settings",
    "Slice",
    "Tolerance",
    "Verdict",
    "Watch",
    "alarm",
    "all_clear",
    "with_arrivals",
]

HALF_LIFE = 208.0  # seconds: the stable rate is about the mean of the last 5 minutes
LIFETIME = 2000.0  # requests: what lifetime counters may weigh in a first estimate
PRIOR, PRIOR_WEIGHT = 0.02, 25.0  # block rate taken for granted without traffic, and the requests it counts as
BETS = (0.005, 0.015, 0.04, 0.10, 0.22, 0.45, 0.75, 0.93)  # how far above the limit each bet puts the canary
HIGHEST = 0.99  # rate that is bet on
IDLE = 0.25  # of the wealth is not bet at first: what is left when all bets are lost
RETURN = 0.002  # of the stakes goes back to the start after a slice: a fault that starts late is still seen


class Verdict(StrEnum):
    """What the evidence says so far."""

    TRIP = "Trip"
    HOLD = "Hold"
    CLEAR = "Clear"
    UNDECIDED = "Undecided"


@dataclass(frozen=True)
class Tolerance:
    """What is tolerated, and the probability `alpha` that a verdict is ever given on a candidate within it."""

    ratio: float = 1.5
    points: float = 0.02
    expected_increase: float = 0.0
    alpha: float = 0.001
    min_blocked: float = 3.0

    @property
    def added(self) -> float:
        """The limit beside a stable arm that blocks nothing."""
        return self.points + self.expected_increase

    @property
    def needed(self) -> float:
        """Evidence for a verdict."""
        return -math.log(self.alpha)

    def limit(self, rate: float) -> float:
        """The highest tolerated rate beside a stable arm that blocks `rate`."""
        return self.ratio * rate + self.added

    def widened(self, noise: float) -> Tolerance:
        """For pooled clients, which stick to pods; `noise`: `dispersion.spread` of the stable pods before the change."""
        return replace(self, points=self.points + 2.0 * noise)


TRIP = Tolerance()
HOLD = Tolerance(1.25, 0.01, 0.0, 0.01)


@dataclass(frozen=True)
class Settings:
    """`opened`: by how much stable may block more than the candidate; `burst`: None is measured."""

    trip: Tolerance = TRIP
    hold: Tolerance = HOLD
    opened: Tolerance = TRIP
    clear_alpha: float = 0.05
    burst: float | None = None

    @classmethod
    def of(cls, spec: CircuitBreaker, increase: float, decrease: float, noise: float = 0.0) -> Settings:
        """From spec.circuitBreaker, what the policy declares to change, and the noise floor between stable pods.

        A hold is never more patient than a trip.
        """
        ratio, points, least = spec.tolerance.ratio, spec.tolerance.points, float(spec.min_blocked)
        trip = Tolerance(ratio, points, increase, spec.false_rollback_probability, least)
        hold = Tolerance(min(HOLD.ratio, ratio), min(HOLD.points, points), increase, HOLD.alpha, least)
        opened = replace(trip, expected_increase=decrease)
        return cls(trip.widened(noise), hold.widened(noise), opened.widened(noise), burst=spec.burst)

    @property
    def clear(self) -> Tolerance:
        """The limit of a trip, from the other side."""
        return replace(self.trip, alpha=self.clear_alpha)


@dataclass(frozen=True)
class Baseline:
    """The block rate of the stable arm now, from sums that fade; fed before a rollout as well.

    `prior`: the rate taken for granted before there is traffic.
    """

    requests: float = 0.0
    blocked: float = 0.0
    dispersion: Dispersion = field(default_factory=Dispersion)
    prior: float = PRIOR

    def seed(self, requests: float, blocked: float) -> Baseline:
        """With the lifetime counters of active pods seen for the first time."""
        known = Slice(stable_requests=requests, stable_blocked=min(blocked, requests))
        part = min(1.0, LIFETIME / known.stable_requests) if requests else 0.0
        return replace(
            self, requests=self.requests + part * requests, blocked=self.blocked + part * known.stable_blocked
        )

    def feed(self, seen: Slice) -> Baseline:
        """With the stable arm of a slice."""
        requests, blocked = seen.stable_requests, min(seen.stable_blocked, seen.stable_requests)
        dispersion = self.dispersion
        if self.requests > 200.0:  # before, the scatter would be that of the estimate
            dispersion = dispersion.feed(requests, blocked, seen.seconds, self.rate, self.requests)
        fade = 0.5 ** (seen.seconds / HALF_LIFE)
        return Baseline(fade * self.requests + requests, fade * self.blocked + blocked, dispersion, self.prior)

    @property
    def rate(self) -> float:
        """Block rate, always between 0 and 1 and neither of them."""
        return (self.blocked + self.prior * PRIOR_WEIGHT) / (self.requests + PRIOR_WEIGHT)

    def limit(self, tolerance: Tolerance) -> float:
        """The highest tolerated rate of a canary now."""
        return tolerance.limit(self.rate)

    def burstiness(self, setting: float | None) -> float:
        """How many blocked requests count as one, 1 to 25; `setting`: what the user wrote, None is measured."""
        return self.dispersion.burstiness(setting)

    def ceiling(self, burst: float) -> float:
        """The highest rate the stable arm is believed to have; what is tolerated above it: see `alarm`."""
        rate = self.rate
        return rate + 0.02 + 3.0 * math.sqrt(burst * rate * (1.0 - rate) / (self.requests + PRIOR_WEIGHT))


@dataclass(frozen=True)
class Evidence:
    """Wealth of a bettor who began with 1, as its logarithm, and how it is staked: first the part that does not bet."""

    stakes: tuple[float, ...]
    log: float = 0.0

    def bet(self, gains: Sequence[float]) -> Evidence:
        """After a slice that multiplies what is staked on bet k by exp(gains[k])."""
        idle, *bets = self.stakes
        wealth = [p * math.exp(g) for p, g in zip(bets, gains, strict=True)]
        whole = idle + sum(wealth)
        kept, back = (1.0 - RETURN) / whole, (1.0 - IDLE) * RETURN / len(bets)
        stakes = (kept * idle + IDLE * RETURN, *[kept * w + back for w in wealth])
        return Evidence(stakes, self.log + math.log(whole))


START = Evidence((IDLE, *((1.0 - IDLE) / len(BETS) for _ in BETS)))
START_CLEAR = Evidence((IDLE, 1.0 - IDLE))


def alarm(seen: Slice, tolerance: Tolerance, rate: float, ceiling: float, burst: float) -> list[float]:
    """What each bet "the canary is so far above the limit" gains on a slice.

    `rate`, `ceiling`, `burst`: of the stable arm, from earlier slices only. Without a stable arm `rate` = `ceiling` is
    the highest rate believed in: then the bets are against its limit.

    Above the ceiling, where nobody expects the stable arm to be, less is tolerated: the straight line from the limit
    there to (1, 1). It is above the diagonal, so whatever befalls both arms alike is tolerated at any height: an attack
    that has half of all requests blocked, a moderation service that is down. And the set that is tolerated stays
    convex, which is what makes the bet against its nearest point a fair one.
    """
    limit, line = tolerance.limit(rate), _Line(tolerance.ratio, tolerance.added)
    steep = (1.0 - line.at(ceiling)) / (1.0 - ceiling) if ceiling < 1.0 else 0.0
    beyond = _Line(steep, 1.0 - steep)
    gains = []
    for above in BETS:
        q = min(HIGHEST, limit + above)
        end = line.reaches(q)
        if rate > min(ceiling, end):  # the limit is beyond what is bet on: no bet
            gains.append(0.0)
            continue
        u, v = line.nearest(seen, rate, q, rate, min(ceiling, end))
        if u == ceiling < end and seen.stable_requests:
            u, v = beyond.nearest(seen, rate, q, ceiling, beyond.reaches(q))
        gains.append(_gain(seen, (rate, q), (u, v), burst, tolerance.needed))
    return gains


def all_clear(seen: Slice, tolerance: Tolerance, rate: float, burst: float) -> list[float]:
    """What the bet "the canary blocks as stable does" gains against "it is at or above the limit"."""
    line = _Line(tolerance.ratio, tolerance.added)
    low, high = max(0.0, line.reaches(rate)), min(rate, line.reaches(1.0))
    if not low <= high > 0.0:
        return [0.0]
    return [_gain(seen, (rate, rate), line.nearest(seen, rate, rate, low, high), burst, tolerance.needed)]


def _gain(seen: Slice, bet: tuple[float, float], against: tuple[float, float], burst: float, needed: float) -> float:
    """The logarithm of how much better one pair of rates (stable's, canary's) explains a slice than another does."""
    (s, q), (u, v) = bet, against
    gain = (seen.canary_requests - seen.canary_blocked) * math.log((1.0 - q) / (1.0 - v))
    gain += (seen.stable_requests - seen.stable_blocked) * math.log((1.0 - s) / (1.0 - u))
    if seen.canary_blocked:
        gain += seen.canary_blocked * math.log(q / v)
    if seen.stable_blocked:
        gain += seen.stable_blocked * math.log(s / u)
    return min(gain / burst, needed / 3.0)  # no single slice decides


@dataclass(frozen=True)
class _Line:
    """A border of what is tolerated: the canary's rate v = ratio·u + added beside stable's rate u."""

    ratio: float
    added: float

    def at(self, u: float) -> float:
        return self.ratio * u + self.added

    def reaches(self, v: float) -> float:
        """Where it is `v`."""
        return (v - self.added) / self.ratio

    def nearest(self, seen: Slice, rate: float, q: float, low: float, high: float) -> tuple[float, float]:
        """The pair (u, v) on it that minimises n_s·KL(rate‖u) + n_c·KL(q‖v), with u between `low` and `high`.

        The derivative grows in u, and times u(1-u)v(1-v) it is a cubic with the same zero.
        """
        ratio, added = self.ratio, self.added
        n, k = seen.stable_requests, seen.canary_requests * ratio
        v0, v1 = added * (1.0 - added), ratio * (1.0 - 2.0 * added)  # v(1-v) = v0 + v1·u - ratio²·u²
        part = k * (q - added)
        u = _zero(
            -n * rate * v0,
            n * (v0 - rate * v1) - part,
            n * (v1 + rate * ratio * ratio) + k * ratio + part,
            -ratio * (n * ratio + k),
            low,
            high,
        )
        return u, min(self.at(u), 1.0 - 1e-12)


def _zero(c0: float, c1: float, c2: float, c3: float, low: float, high: float) -> float:
    """Where a cubic that grows through 0 between `low` and `high` does so, else the end that is nearer to its zero:
    Newton's steps, or halves."""
    if ((c3 * high + c2) * high + c1) * high + c0 <= 0.0:
        return high
    if ((c3 * low + c2) * low + c1) * low + c0 > 0.0:
        return low
    u = 0.5 * (low + high)
    for _ in range(60):
        value = ((c3 * u + c2) * u + c1) * u + c0
        if value < 0.0:
            low = u
        else:
            high = u
        slope = (3.0 * c3 * u + 2.0 * c2) * u + c1
        after = u - value / slope if slope > 0.0 else low
        if not low < after < high:
            after = 0.5 * (low + high)
        if abs(after - u) < 1e-6 * u:  # Newton squares the error: it is far below 1e-9 now
            return after
        u = after
    return u


@dataclass(frozen=True)
class Watch:
    """A candidate under judgement: the stable arm, the evidence of each question, and what was counted so far.

    `candidate`: the canary's own rate, for the opposite question. `total` is all that both arms counted, `open` what of
    it waits for requests; `seconds` run from the canary's first request on. A new one: `Watch.begin`.
    """

    settings: Settings
    baseline: Baseline
    candidate: Baseline
    trip: Evidence = START
    hold: Evidence = START
    clear: Evidence = START_CLEAR
    opened: Evidence = START
    total: Slice = NOTHING
    open: Slice = NOTHING
    seconds: float = 0.0

    @classmethod
    def begin(cls, settings: Settings, baseline: Baseline) -> Watch:
        """A candidate that nothing is known of: it is expected to block what stable blocks."""
        return cls(settings, baseline, Baseline(prior=baseline.rate))

    def step(self, seen: Slice) -> Watch:
        """After one more slice. Every estimate that judges it comes from slices before it."""
        total, waiting = self.total + seen, self.open + seen
        seconds = self.seconds + seen.seconds if total.canary_requests else 0.0
        if not waiting.whole:
            return replace(self, total=total, open=waiting, seconds=seconds)
        given, base, other = self.settings, self.baseline, self.candidate
        rate, burst = base.rate, base.burstiness(given.burst)
        ceiling = base.ceiling(burst)
        arrived = waiting.with_all_arrivals
        swapped = waiting.swapped  # as counted, like `clear` below: requests that may be too many hide blocks
        return Watch(
            given,
            base.feed(waiting),
            other.feed(swapped),
            self.trip.bet(alarm(arrived, given.trip, rate, ceiling, burst)),
            self.hold.bet(alarm(arrived, given.hold, rate, ceiling, burst)),
            self.clear.bet(all_clear(waiting, given.clear, rate, burst)),
            self.opened.bet(alarm(swapped, given.opened, other.rate, other.ceiling(burst), burst)),
            total,
            seconds=seconds,
        )

    def next_step(self) -> Watch:
        """At a change of weight: the evidence stays, but every step is cleared for itself."""
        return replace(self, clear=START_CLEAR)

    def verdict(self) -> Verdict:
        """The gravest that holds now. That a trip is final is for the caller to remember."""
        if self._proven(self.trip, self.settings.trip):
            return Verdict.TRIP
        if self._proven(self.hold, self.settings.hold):
            return Verdict.HOLD
        if self.clear.log >= self.settings.clear.needed:
            return Verdict.CLEAR
        return Verdict.UNDECIDED

    def failed_open(self) -> bool:
        """The candidate lets pass what stable blocks."""
        given = self.settings.opened
        return self.opened.log >= given.needed and self.total.stable_blocked >= given.min_blocked

    def _proven(self, evidence: Evidence, given: Tolerance) -> bool:
        return evidence.log >= given.needed and self.total.canary_blocked >= given.min_blocked


@dataclass(frozen=True)
class Alone:
    """A revision that has all the traffic, judged against the last hour of the one before it.

    Weaker than `Watch`: an attack that hits everybody looks like a fault. `highest`: the block rate that hour makes
    credible; `burst`: its burstiness. `rise_began`: seconds after which the evidence was lowest.
    """

    tolerance: Tolerance
    highest: float
    burst: float = 1.0
    evidence: Evidence = START
    total: Slice = NOTHING
    open: Slice = NOTHING
    lowest: float = 0.0
    rise_began: float = 0.0

    @classmethod
    def after(cls, minutes: Sequence[tuple[float, float]], tolerance: Tolerance, burst: float) -> Alone:
        """`minutes`: (requests, blocked) of each minute of that hour."""
        mean = Baseline(sum(n for n, _ in minutes), sum(b for _, b in minutes)).rate
        return cls(tolerance, mean + 3.0 * spread(minutes), burst)

    def step(self, requests: float, blocked: float, seconds: float, arrived: float = 0.0) -> Alone:
        """After one more slice; it stays open until it has requests, and as many as blocked.

        `arrived`: as of `with_arrivals`. Traffic that moves to young pods shows its blocks first here as well.
        """
        seen = Slice(requests, blocked, seconds=seconds, arrived=arrived)
        total, waiting = self.total + seen, self.open + seen
        if not 0.0 < waiting.canary_requests >= waiting.canary_blocked:
            return replace(self, total=total, open=waiting)
        gains = alarm(waiting.with_all_arrivals, self.tolerance, self.highest, self.highest, self.burst)
        after = replace(self, evidence=self.evidence.bet(gains), total=total, open=NOTHING)
        if after.evidence.log > self.lowest:
            return after
        return replace(after, lowest=after.evidence.log, rise_began=total.seconds)

    @property
    def tripped(self) -> bool:
        """More than is tolerated; whether the change is to blame is another question, see `rise_began`."""
        return self.evidence.log >= self.tolerance.needed and self.total.canary_blocked >= self.tolerance.min_blocked
