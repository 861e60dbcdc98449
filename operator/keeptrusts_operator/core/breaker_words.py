"""What a watch says: figures and one sentence for people, and a checkpoint for the next leader."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keeptrusts_operator.core.breaker import START, Alone, Baseline, Evidence, Settings, Tolerance, Verdict, Watch
from keeptrusts_operator.core.dispersion import MOST_COUNTED, Batch, Dispersion, Scatter, Slice

VERSION = "1"
_MOST_SAID = 1e9  # odds beyond this are "more than"


@dataclass(frozen=True)
class Figures:
    """What a verdict rests on. Rates are fractions; `evidence` and `needed` are odds to 1, of a trip or of a hold."""

    verdict: Verdict
    canary_requests: float
    canary_blocked: float
    stable_requests: float
    stable_blocked: float
    stable_rate: float
    limit: float
    evidence_log10: float
    needed: float
    burstiness: float
    seconds: float  # since the canary's first request

    @property
    def canary_rate(self) -> float:
        return self.canary_blocked / self.canary_requests if self.canary_requests else 0.0

    @property
    def evidence(self) -> float:
        return math.pow(10.0, min(self.evidence_log10, 300.0))

    @property
    def wrongly_blocked(self) -> int:
        """More blocks than stable's rate would have given."""
        return max(0, round(self.canary_blocked - self.canary_requests * self.stable_rate))


def figures(watch: Watch) -> Figures:
    """Of a hold when that is the verdict, else of a trip."""
    verdict, total, base = watch.verdict(), watch.total.with_all_arrivals, watch.baseline
    hold = verdict is Verdict.HOLD
    evidence, tolerance = (watch.hold, watch.settings.hold) if hold else (watch.trip, watch.settings.trip)
    return Figures(
        verdict,
        total.canary_requests,
        total.canary_blocked,
        total.stable_requests,
        total.stable_blocked,
        base.rate,
        base.limit(tolerance),
        evidence.log / math.log(10.0),
        1.0 / tolerance.alpha,
        base.burstiness(watch.settings.burst),
        watch.seconds,
    )


def sentence(of: Figures) -> str:
    """One sentence for the Event, the condition and the incident; the caller puts in front what was done about it."""
    bursts = f"clients' burstiness {of.burstiness:.1f}"
    if of.burstiness >= 2.0:
        times = round(of.burstiness)
        bursts += f" (they retry about {times} times each, so {times} blocked requests count as one)"
    said = (
        f"canary blocked {of.canary_blocked:,.0f} of {of.canary_requests:,.0f} ({_percent(of.canary_rate)}), "
        f"stable blocks {_percent(of.stable_rate)}, tolerated up to {_percent(min(of.limit, 1.0))}; "
        f"evidence {_odds(of.evidence)} (needs {_odds(of.needed)}); {bursts}"
    )
    if of.verdict not in (Verdict.TRIP, Verdict.HOLD):
        return said
    return (
        f"{said}; detected {of.seconds:.1f} s after its first request, {of.wrongly_blocked:,} requests wrongly blocked"
    )


def sentence_alone(alone: Alone) -> str:
    """The same for a revision that has all the traffic."""
    total, limit = alone.total.with_all_arrivals, min(alone.tolerance.limit(alone.highest), 1.0)
    odds = math.exp(min(alone.evidence.log, 600.0))
    return (
        f"with all traffic it blocked {total.canary_blocked:,.0f} of {total.canary_requests:,.0f}, tolerated up to "
        f"{_percent(limit)} by the hour before; evidence {_odds(odds)} (needs {_odds(1.0 / alone.tolerance.alpha)})"
    )


def _percent(rate: float) -> str:
    return f"{100.0 * rate:.1f} %"


def _odds(odds: float) -> str:
    if odds > _MOST_SAID:
        return f"more than {_MOST_SAID:,.0f}:1"
    return f"{odds:,.0f}:1" if odds >= 10.0 else f"{odds:.2g}:1"


def to_dict(watch: Watch) -> dict[str, Any]:
    """A checkpoint for `status`, less than 1 kB of JSON."""
    base, other = watch.baseline, watch.candidate
    scatter, batch = base.dispersion, base.dispersion.batch
    return {
        "v": VERSION,
        "for": _judged_by(watch.settings),
        "stable": _rounded(base.requests, base.blocked, base.prior),
        "scatter": _rounded(scatter.slices.chi, scatter.slices.df, scatter.batches.chi, scatter.batches.df),
        "batch": _rounded(batch.requests, batch.blocked, batch.seconds, batch.rate, batch.known),
        "canary": _rounded(other.requests, other.blocked, other.prior),
        **{q: _rounded(e.log, *e.stakes) for q, e in _evidence(watch).items()},
        "total": _rounded(*vars(watch.total).values()),
        "open": _rounded(*vars(watch.open).values()),
        "seconds": _rounded(watch.seconds),
    }


def from_dict(data: object, settings: Settings, baseline: Baseline | None = None) -> Watch:
    """The watch that was kept, or a new one: on `baseline` if what was kept is missing or damaged in any way.

    Evidence against another tolerance says nothing about this one: then only the stable arm is taken over.
    """
    try:
        return _read(data, settings)
    except (ValueError, TypeError, KeyError, OverflowError):
        return Watch.begin(settings, baseline or Baseline())


def _read(data: object, settings: Settings) -> Watch:
    if not isinstance(data, Mapping) or data["v"] != VERSION:
        raise ValueError("not a checkpoint of this version")
    slices_chi, slices_df, batches_chi, batches_df = _numbers(data, "scatter", 4)
    batch = Batch(*_numbers(data, "batch", 5))
    if min(slices_df, batches_df) < 1.0 or batch.rate > 1.0 or (batch.seconds and batch.known < 1.0):
        raise ValueError("no dispersion")
    scatter = Dispersion(Scatter(slices_chi, slices_df), Scatter(batches_chi, batches_df), batch)
    base = _baseline(_numbers(data, "stable", 3), scatter)
    other = _baseline(_numbers(data, "canary", 3), Dispersion())
    kept = {q: _evidence_from(data, q, len(e.stakes)) for q, e in _evidence(Watch.begin(settings, base)).items()}
    total, waiting = (Slice(*_numbers(data, key, 6)) for key in ("total", "open"))
    (seconds,) = _numbers(data, "seconds", 1)
    if data["for"] != _judged_by(settings):
        return Watch.begin(settings, base)
    return Watch(settings, base, other, **kept, total=total, open=waiting, seconds=seconds)


def alone_to_dict(alone: Alone) -> dict[str, Any]:
    """A checkpoint for `status`, some 300 bytes of JSON."""
    return {
        "v": VERSION,
        "for": _rounded(alone.tolerance.ratio, alone.tolerance.added),
        "before": _rounded(alone.highest, alone.burst),
        "trip": _rounded(alone.evidence.log, *alone.evidence.stakes),
        "total": _rounded(*vars(alone.total).values()),
        "open": _rounded(*vars(alone.open).values()),
        "rise": _rounded(alone.lowest, alone.rise_began),
    }


def alone_from_dict(data: object, tolerance: Tolerance) -> Alone | None:
    """What was kept; None when it is missing or damaged in any way. Evidence against another tolerance is none."""
    try:
        if not isinstance(data, Mapping) or data["v"] != VERSION:
            return None
        highest, burst = _numbers(data, "before", 2)
        if burst < 1.0:
            return None
        if data["for"] != _rounded(tolerance.ratio, tolerance.added):
            return Alone(tolerance, highest, burst)
        total, waiting = (Slice(*_numbers(data, key, 6)) for key in ("total", "open"))
        lowest, began = _numbers(data, "rise", 2, least=-math.inf)
        evidence = _evidence_from(data, "trip", len(START.stakes))
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return Alone(tolerance, highest, burst, evidence, total, waiting, lowest, began)


def _evidence(watch: Watch) -> dict[str, Evidence]:
    return {"trip": watch.trip, "hold": watch.hold, "clear": watch.clear, "opened": watch.opened}


def _judged_by(settings: Settings) -> list[float]:
    """What evidence is evidence against."""
    used = (settings.trip, settings.hold, settings.clear, settings.opened)
    return _rounded(*(value for t in used for value in (t.ratio, t.added)))


def _baseline(numbers: Sequence[float], dispersion: Dispersion) -> Baseline:
    requests, blocked, prior = numbers
    if blocked > requests * 1.001 or not 0.0 < prior < 1.0:
        raise ValueError("no block rate")
    return Baseline(requests, min(blocked, requests), dispersion, prior)


def _evidence_from(data: Mapping[str, object], question: str, count: int) -> Evidence:
    log, *stakes = _numbers(data, question, 1 + count, least=-math.inf)
    whole = math.fsum(stakes)
    if min(stakes) < 0.0 or not 0.99 < whole < 1.01:
        raise ValueError("no stakes")
    return Evidence(tuple(s / whole for s in stakes), log)


def _numbers(data: Mapping[str, object], key: str, count: int, least: float = 0.0) -> list[float]:
    found = data[key]
    if not isinstance(found, list) or len(found) != count:
        raise ValueError(key)
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in found):
        raise ValueError(key)
    numbers = [float(x) for x in found]
    if not all(math.isfinite(x) and x >= least for x in numbers):
        raise ValueError(key)
    return numbers


def _rounded(*values: float) -> list[float]:
    """Four digits of what is measured, seven of what is counted; whole numbers without a fraction."""
    short = [float(f"{v:.7g}" if v >= 100.0 else f"{v:.4g}") for v in values]
    return [int(v) if abs(v) < MOST_COUNTED and v == int(v) else v for v in short]
