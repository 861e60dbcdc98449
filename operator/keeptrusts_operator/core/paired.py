"""Is the candidate slower than the active revision, or does it have more provider errors? Then the rollout is held.

The breaker's paired test (core/breaker.py) on two other shares: answers that took longer than a bound, and requests that
failed at a provider. Never a trip: providers are not the policy's fault.

The bound is that of the histogram which is next below 1.5 times the active revision's p99, chosen when the rollout
starts and kept: one that followed the active revision would compare each slice with something else. The test is valid
at any bound; next below, since above a far one there is nothing to see even of a candidate that is thrice as slow.
Slow answers are counted late, so a young candidate looks faster than it is: this errs on the side of going on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from keeptrusts_operator.api.quantities import format_decimal
from keeptrusts_operator.core import breaker_words
from keeptrusts_operator.core.breaker import TRIP, Baseline, Settings, Slice, Tolerance, Verdict, Watch
from keeptrusts_operator.core.breaker_words import figures
from keeptrusts_operator.core.dispersion import spread
from keeptrusts_operator.core.latency import Counted, answers, quantile, slower_than

SLOWER = 1.5  # times the active revision's p99
LEAST_ANSWERS = 200.0  # of the active revision, for its p99 to be worth choosing a bound by
LEAST_OF_POD = 50.0  # requests: with fewer, how a pod differs from others is chance
TOLERANCE = Tolerance(ratio=1.5, points=0.01, alpha=0.01, min_blocked=5.0)


@dataclass(frozen=True)
class Noise:
    """How much either share differs between pods of the active revision, whose clients stick to them; fractions."""

    slow: float = 0.0
    errors: float = 0.0


@dataclass(frozen=True)
class Beside:
    """A candidate beside the active revision. `bound` in seconds, None as long as there are too few answers to choose
    it; `latency`: the active revision's answers until then."""

    slow: Watch
    errors: Watch
    noise: Noise = Noise()
    bound: float | None = None
    latency: Mapping[float, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, active: Counted, pods: Sequence[Counted] = (), burst: float | None = None) -> Beside:
        """When a rollout starts. `active`: what the active revision counted in the last minutes, `pods`: by each of its
        pods; `burst`: spec.circuitBreaker.burst."""
        bound = choose_bound(active.latency)
        enough = [p for p in pods if p.requests >= LEAST_OF_POD]
        slow = [(answers(p.latency), slower_than(p.latency, bound) or 0.0) for p in enough] if bound else []
        errors_of = [(p.requests, min(p.provider_errors, p.requests)) for p in enough]
        noise = Noise(*(round(spread(groups), 5) for groups in (slow, errors_of)))  # as it is kept: one limit for all
        errors = Baseline().seed(active.requests, active.provider_errors)
        return cls(
            Watch.begin(_settings(noise.slow, burst), _baseline(active.latency, bound)),
            Watch.begin(_settings(noise.errors, burst), errors),
            noise,
            bound,
            {} if bound else active.latency,
        )

    def step(self, candidate: Counted, active: Counted, seconds: float, arrived: float = 0.0) -> Beside:
        """After one more slice. `arrived`: requests the candidate must have had, as in `dispersion.with_arrivals`: an
        error is counted at once, a good answer when it is complete."""
        errors = self.errors.step(error_slice(candidate, active, seconds, arrived))
        if self.bound is None:
            return replace(self._choose(active), errors=errors)
        seen = slow_slice(candidate, active, self.bound, seconds)
        return replace(self, errors=errors, slow=self.slow if seen is None else self.slow.step(seen))

    def verdict(self) -> Verdict:
        """Hold, or Undecided."""
        return Verdict.HOLD if self.held_for() else Verdict.UNDECIDED

    def held_for(self) -> str:
        """`Slower`, `ProviderErrors` or nothing: the reason of the hold."""
        for reason, watch in (("Slower", self.slow), ("ProviderErrors", self.errors)):
            if watch.verdict() in (Verdict.TRIP, Verdict.HOLD):
                return reason
        return ""

    def sentence(self) -> str:
        """Why it is held, for people; empty when it is not."""
        reason = self.held_for()
        if not reason:
            return ""
        of = figures(self.slow if reason == "Slower" else self.errors)
        did = (
            f"took longer than {format_decimal(self.bound or 0.0, 3)} s"
            if reason == "Slower"
            else "failed at a provider"
        )
        what = "answers" if reason == "Slower" else "requests"
        return (
            f"{of.canary_blocked:,.0f} of the candidate's {of.canary_requests:,.0f} {what} ({of.canary_rate:.1%}) {did}, "
            f"{of.stable_rate:.1%} of the active revision's, tolerated up to {min(of.limit, 1.0):.1%}"
        )

    def _choose(self, active: Counted) -> Beside:
        latency = {b: self.latency.get(b, 0.0) + n for b, n in active.latency.items()} or self.latency
        bound = choose_bound(latency)
        if bound is None:
            return replace(self, latency=latency)
        watch = Watch.begin(self.slow.settings, _baseline(latency, bound))
        return replace(self, slow=watch, bound=bound, latency={})


def choose_bound(latency: Mapping[float, float]) -> float | None:
    """The highest finite bound up to 1.5 · p99, else the lowest there is; None if there are too few answers."""
    if answers(latency) < LEAST_ANSWERS:
        return None
    p99 = quantile(0.99, latency)
    if p99 is None:
        return None
    bounds = [b for b in latency if 0.0 < b < math.inf]
    return max((b for b in bounds if b <= SLOWER * p99.seconds), default=min(bounds, default=None))


def slow_slice(candidate: Counted, active: Counted, bound: float, seconds: float) -> Slice | None:
    """Answers of both, those above the bound as the blocked ones; None if one of them does not count by it."""
    whole, others = answers(candidate.latency), answers(active.latency)
    slow, other_slow = slower_than(candidate.latency, bound), slower_than(active.latency, bound)
    if (whole and slow is None) or (others and other_slow is None):
        return None
    return Slice(whole, slow or 0.0, others, other_slow or 0.0, seconds)


def error_slice(candidate: Counted, active: Counted, seconds: float, arrived: float = 0.0) -> Slice:
    """Requests of both, those that failed at a provider as the blocked ones. A request that is tried at several
    providers may fail at each: it is one."""
    failed, others = (min(arm.provider_errors, arm.requests) for arm in (candidate, active))
    return Slice(candidate.requests, failed, active.requests, others, seconds, arrived)


def to_dict(beside: Beside) -> dict[str, Any]:
    """A checkpoint for `status`; the answers that wait for a bound are not kept."""
    return {
        "bound": beside.bound or 0.0,
        "noise": [round(beside.noise.slow, 5), round(beside.noise.errors, 5)],
        "slow": breaker_words.to_dict(beside.slow),
        "errors": breaker_words.to_dict(beside.errors),
    }


def from_dict(data: object, otherwise: Beside, burst: float | None = None) -> Beside:
    """What was kept; `otherwise` where it is missing or damaged. Evidence against another tolerance begins again."""
    try:
        return _read(data, otherwise, burst)
    except (KeyError, TypeError, ValueError):
        return otherwise


def _read(data: object, otherwise: Beside, burst: float | None) -> Beside:
    if not isinstance(data, Mapping):
        raise TypeError("no checkpoint")
    bound, (slow, errors) = data["bound"], data["noise"]
    for number in (bound, slow, errors):
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0.0 <= number < math.inf:
            raise ValueError("no number")
    if not bound:
        return replace(otherwise, errors=breaker_words.from_dict(data["errors"], otherwise.errors.settings))
    return Beside(
        breaker_words.from_dict(data["slow"], _settings(slow, burst), otherwise.slow.baseline),
        breaker_words.from_dict(data["errors"], _settings(errors, burst), otherwise.errors.baseline),
        Noise(float(slow), float(errors)),
        float(bound),
    )


def _settings(noise: float, burst: float | None) -> Settings:
    """A trip of this watch is a hold, too; what is asked the other way round is not read."""
    hold = TOLERANCE.widened(noise)
    return Settings(trip=replace(hold, alpha=TRIP.alpha), hold=hold, opened=hold, burst=burst)


def _baseline(latency: Mapping[float, float], bound: float | None) -> Baseline:
    slow = slower_than(latency, bound) if bound else None
    return Baseline() if slow is None else Baseline().seed(answers(latency), slow)
