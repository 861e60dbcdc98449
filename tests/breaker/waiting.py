"""`python -m tests.breaker.waiting`: how long a verdict takes, as `docs/how-to/steps-and-limits.md` shows it.

Medians of runs with independent requests, looked at twice a second; the active revision blocks 2 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import numpy as np

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker, Tolerance
from keeptrusts_operator.core.breaker import Baseline, Settings, Slice, Verdict, Watch

LOOK, BASELINE, LONGEST = 0.5, 0.02, 7200.0  # seconds, rate, seconds
QUESTIONS = (
    ("it blocks 45 %: trip", 0.45, Verdict.TRIP),
    ("it blocks 10 %: trip", 0.10, Verdict.TRIP),
    ("it is as good as the active one: clear", 0.02, Verdict.CLEAR),
)
TRAFFIC = ((10.0, 0.1), (10.0, 1 / 3), (100.0, 0.1))  # requests a second, share of the candidate


def until(verdict: Verdict, rate: float, traffic: tuple[float, float], points: float, seed: int) -> tuple[float, int]:
    """Seconds and requests of the candidate before a verdict; `LONGEST` when there is none by then."""
    dice, (rps, share) = np.random.default_rng(seed), traffic
    settings = Settings.of(CircuitBreaker(tolerance=Tolerance(points=points)), 0.0, 0.0)
    watch, seconds, requests = Watch.begin(settings, Baseline().seed(2000, 2000 * BASELINE)), 0.0, 0
    while watch.verdict() is not verdict and seconds < LONGEST:
        mine, others = (int(dice.poisson(rps * part * LOOK)) for part in (share, 1 - share))
        blocked = int(dice.binomial(mine, rate)), int(dice.binomial(others, BASELINE))
        watch = watch.step(Slice(mine, blocked[0], others, blocked[1], LOOK))
        seconds, requests = seconds + LOOK, requests + mine
    return seconds, requests


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.breaker.waiting", description=__doc__)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--points", type=float, default=0.02, help="circuitBreaker.tolerance.points, as a fraction")
    given = parser.parse_args()
    print("| | " + " | ".join(f"{rps:g} requests/s × {share:.0%}" for rps, share in TRAFFIC) + " |")
    print("|---|" + "---|" * len(TRAFFIC))
    for words, rate, verdict in QUESTIONS:
        cells = []
        for traffic in TRAFFIC:
            runs = [until(verdict, rate, traffic, given.points, seed) for seed in range(given.runs)]
            seconds, requests = (statistics.median(column) for column in zip(*runs, strict=True))
            cells.append(f"{seconds:,.0f} s ({requests:,.0f} requests)")
        print(f"| {words} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
