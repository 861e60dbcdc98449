"""The incident this operator was built after, replayed: 1.73 requests a second, 2 % blocked, then 45 % of what reaches
the new policy. What the breaker does beside what the usual alert rule does on the same requests.

The rule is the gateway vendor's, of the whole fleet (a rule per pod would see no more requests):

    sum(rate(…decisions_total{decision="blocked"}[5m])) / sum(rate(…decisions_total[5m])) > 0.3   for 5m
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keeptrusts_operator.core.breaker import TRIP, Alone, Baseline, Verdict, Watch
from keeptrusts_operator.core.dispersion import Slice
from tests.bench.result import write
from tests.breaker.streams import Load, Stream, steady
from tests.breaker.table import quantiles

RATE, SHARE, BEFORE, AFTER = 1.73, 0.2, 0.02, 0.45
SECONDS = 1800.0  # until a person had taken the policy back
ALERTED = 720.0  # when people were told
EVERY, WINDOW, FOR, THRESHOLD = 15.0, 300.0, 300.0, 0.3  # seconds between evaluations; the rule


@dataclass(frozen=True)
class Found:
    """Seconds from the first exposure to the detection, infinite: never; requests wrongly blocked until then."""

    seconds: float
    wrongly: float
    requests: float  # that reached the new policy until then


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.incident", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=500)
    result = replay(parser.parse_args(argv).seeds)
    write("incident", result)
    print("\n".join(told(result)))
    return 0


def replay(seeds: int) -> dict[str, Any]:
    """Every seed is one stream to the canary, and one to a fleet that got the policy at once."""
    canary = [steady(np.random.default_rng([i, 1]), Load(RATE, SHARE, SECONDS), BEFORE, AFTER) for i in range(seeds)]
    fleet = [steady(np.random.default_rng([i, 2]), Load(RATE, 1.0, SECONDS), BEFORE, AFTER) for i in range(seeds)]
    return {
        "seeds": seeds,
        "traffic": {"requests_per_second": RATE, "blocked_before": BEFORE, "blocked_after": AFTER, "canary": SHARE},
        "canary": {
            "operator": _summary([by_operator(s) for s in canary]),
            "alert_rule": _summary([by_rule(s) for s in canary]),
            "nobody_for_30_min": _summary([after(s, SECONDS) for s in canary]),
            "fleet_block_rate": round(SHARE * AFTER + (1.0 - SHARE) * BEFORE, 3),
        },
        "whole_fleet": {
            "operator": _summary([alone(s) for s in fleet]),
            "alert_rule": _summary([by_rule(s) for s in fleet]),
            "alerted_after_12_min": _summary([after(s, ALERTED) for s in fleet]),
            "rolled_back_after_30_min": _summary([after(s, SECONDS) for s in fleet]),
        },
    }


def told(result: dict[str, Any]) -> list[str]:
    """What people read of it."""
    canary, fleet = result["canary"], result["whole_fleet"]
    found, rule, alert = canary["operator"], canary["alert_rule"], fleet["alert_rule"]
    never = f"fires in {rule['found']} of {result['seeds']} runs" if rule["found"] else "never fires"
    return [
        f"The incident replayed {result['seeds']} times ({RATE} requests/s, {BEFORE:.0%} → {AFTER:.0%} blocked), medians:",
        f"  breaker, {SHARE:.0%} canary: found after {found['seconds']['p50']:.0f} s and "
        f"{found['requests']['p50']:.0f} requests; {found['wrongly_blocked']['p50']:.0f} requests wrongly blocked",
        f"  alert rule, same requests: the fleet blocks {canary['fleet_block_rate']:.1%} and {THRESHOLD:.0%} is asked for: "
        f"it {never}; {canary['nobody_for_30_min']['wrongly_blocked']['p50']:.0f} wrongly blocked in 30 min",
        f"  whole fleet at once, no control arm: found after {fleet['operator']['seconds']['p50']:.0f} s; "
        f"{fleet['operator']['wrongly_blocked']['p50']:.0f} requests wrongly blocked",
        f"  whole fleet at once: the rule fires after {alert['seconds']['p50'] / 60:.1f} min and "
        f"{alert['wrongly_blocked']['p50']:.0f} requests wrongly blocked; as it was: "
        f"{fleet['alerted_after_12_min']['wrongly_blocked']['p50']:.0f} at the alert (12 min), "
        f"{fleet['rolled_back_after_30_min']['wrongly_blocked']['p50']:.0f} until the rollback (30 min)",
    ]


def by_operator(stream: Stream) -> Found:
    """The breaker, with 10 minutes of the active revision behind it."""
    baseline = Baseline()
    for seen in stream.before:
        baseline = baseline.feed(seen)
    watch, now = Watch.begin(stream.settings, baseline), 0.0
    for seen in stream.judged:
        watch, now = watch.step(seen), now + seen.seconds
        if watch.verdict() is Verdict.TRIP:
            return _found(watch.total, now)
    return _found(watch.total, math.inf)


def alone(stream: Stream) -> Found:
    """The breaker without a control arm: against the minutes before."""
    minutes = [
        (sum(s.stable_requests for s in part), sum(s.stable_blocked for s in part))
        for part in (stream.before[i : i + 60] for i in range(0, len(stream.before), 60))
    ]
    judge, now = Alone.after(minutes, TRIP, 1.0), 0.0
    for seen in stream.judged:
        judge, now = judge.step(seen.canary_requests, seen.canary_blocked, seen.seconds), now + seen.seconds
        if judge.tripped:
            return _found(judge.total, now)
    return _found(judge.total, math.inf)


def by_rule(stream: Stream) -> Found:
    """The alert rule, evaluated every 15 s."""
    every = round(EVERY / stream.judged[0].seconds)
    steps = [_sum(stream.judged[i : i + every]) for i in range(0, len(stream.judged), every)]
    earlier = round(EVERY / stream.before[0].seconds)
    history = [_sum(stream.before[i : i + earlier]) for i in range(0, len(stream.before), earlier)]
    counts = [(s.canary_requests + s.stable_requests, s.canary_blocked + s.stable_blocked) for s in history + steps]
    window, pending = round(WINDOW / EVERY), 0
    for i in range(len(history), len(counts)):
        requests, blocked = (sum(column) for column in zip(*counts[i + 1 - window : i + 1], strict=True))
        pending = pending + 1 if requests and blocked / requests > THRESHOLD else 0
        if (pending - 1) * EVERY >= FOR:
            return after(stream, (i + 1 - len(history)) * EVERY)
    return Found(math.inf, _found(_sum(stream.judged), 0.0).wrongly, _sum(stream.judged).canary_requests)


def after(stream: Stream, seconds: float) -> Found:
    """What had happened by then."""
    return _found(_sum(stream.judged[: round(seconds / stream.judged[0].seconds)]), seconds)


def _sum(slices: Sequence[Slice]) -> Slice:
    columns = zip(*(vars(s).values() for s in slices), strict=True)
    return Slice(*(sum(column) for column in columns))


def _found(total: Slice, seconds: float) -> Found:
    return Found(seconds, total.canary_blocked - BEFORE * total.canary_requests, total.canary_requests)


def _summary(found: Sequence[Found]) -> dict[str, Any]:
    rows = [asdict(f) for f in found]
    return {
        "found": sum(math.isfinite(f.seconds) for f in found),
        **{
            name: {q: v if v is None else round(v, 1) for q, v in quantiles([r[key] for r in rows]).items()}
            for name, key in (("seconds", "seconds"), ("wrongly_blocked", "wrongly"), ("requests", "requests"))
        },
    }


if __name__ == "__main__":
    sys.exit(main())
