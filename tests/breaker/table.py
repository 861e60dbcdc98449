"""The table of what the breaker must show: each row a kind of traffic, its cases, and a bound that was set beforehand.

A row's value is that of its worst case. `extra` rows have no bound of the specification: they are for information.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.random import Generator

from keeptrusts_operator.core.breaker import Baseline, Verdict, Watch
from tests.breaker import streams
from tests.breaker.streams import Answers, Load, Stream

RATES, SHARES = (1.0, 10.0, 100.0), (0.1, 0.2, 0.5)
BLOCK = 50  # runs per piece of work


@dataclass(frozen=True)
class Run:
    """How one run went; seconds from the candidate's exposure on, None: never."""

    tripped: float | None
    requests: float  # of the canary, until the trip
    held: float | None
    cleared: float | None
    opened: float | None


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[Generator], Stream]


@dataclass(frozen=True)
class Row:
    """`trips`: the largest share of runs that may trip; `median`, `requests`: the most a detection may take.

    `counts_from`: seconds after the exposure at which the fault begins.
    """

    name: str
    cases: Sequence[Case]
    trips: float | None = None
    median: float | None = None
    requests: float | None = None
    counts_from: float = 0.0
    extra: bool = False
    notes: str = ""


def play(stream: Stream) -> Run:
    """The breaker, from a cold start, over one stream; it ends with a trip."""
    baseline = Baseline()
    for seen in stream.before:
        baseline = baseline.feed(seen)
    watch = Watch.begin(stream.settings, baseline)
    held = cleared = opened = None
    now = 0.0
    for seen in stream.judged:
        now += seen.seconds
        before, watch = watch, watch.step(seen)
        if watch.trip is before.trip:
            continue
        verdict = watch.verdict()
        if verdict is Verdict.TRIP:
            return Run(now, watch.total.with_all_arrivals.canary_requests, held or now, cleared, opened)
        if verdict is Verdict.HOLD:
            held = held or now
        elif verdict is Verdict.CLEAR:
            cleared = cleared or now
        if opened is None and watch.failed_open():
            opened = now
    return Run(None, watch.total.with_all_arrivals.canary_requests, held, cleared, opened)


def table() -> list[Row]:
    """Every row, by name."""
    return [
        Row("healthy", _grid(0.02, 0.02), trips=0.0),
        Row(
            "at-limit",
            [
                *_grid(0.02, 0.05, ((1.0, 0.5), (10.0, 0.2), (100.0, 0.1), (100.0, 0.5))),
                *_grid(0.1, 0.17, ((100.0, 0.1),)),
            ],
            trips=0.001,
        ),
        Row("retries", _retries(rare=False), trips=0.005),
        Row(
            "jump",
            [
                Case(
                    f"{r:g}/s x {s:.0%}",
                    partial(streams.jump, load=Load(r, s), low=0.02, high=0.2, begin=60, seconds=300),
                )
                for r, s in product(RATES, SHARES)
            ],
            trips=0.001,
        ),
        Row("delayed", _delayed(), trips=0.001),
        Row("delayed-45", _delayed_bad(), median=4.0),
        Row("pooled", [_pooled(None, True)], trips=0.01),
        Row("pooled-45", [_pooled(0.45, True)], median=6.0),
        Row("bad-45", _grid(0.02, 0.45, ((100.0, 0.1),)), median=3.5, requests=40),
        Row("bad-45-slow", _grid(0.02, 0.45, ((10.0, 0.2),)), median=30),
        Row("bad-10", _grid(0.02, 0.10, ((100.0, 0.1),)), median=70),
        Row("bad-45-incident", _grid(0.02, 0.45, ((1.73, 0.2),)), median=80),
        *_extra(),
    ]


def _extra() -> list[Row]:
    """Questions beyond the specification's table."""
    answers = Answers(30.0, 0.7)
    after = {"10 min": 600.0, "1 h": 3600.0, "6 h": 21600.0}
    return [
        Row(
            "outage",
            [
                Case(
                    f"{r:g}/s x {s:.0%}, to {high:.0%}",
                    partial(streams.jump, load=Load(r, s, 300.0), low=0.02, high=high, begin=60, seconds=120),
                )
                for r, s, high in product((10.0, 100.0), (0.1, 0.5), (0.45, 0.9))
            ],
            trips=0.001,
            extra=True,
            notes="what both arms need is down; see `opened`, too",
        ),
        Row(
            "retries-rare",
            _retries(rare=True),
            trips=0.005,
            extra=True,
            notes="2 % of all requests, retries among them",
        ),
        Row("pooled-random", [_pooled(None, False)], trips=0.01, extra=True, notes="each client picks a pod by chance"),
        Row("pooled-random-45", [_pooled(0.45, False)], median=6.0, extra=True),
        Row(
            "delayed-half",
            [
                Case(
                    f"{b:.0%}, 10 -> 50 %, {a.median:g} s",
                    partial(streams.delayed, rate=100.0, shares=(0.1, 0.5), each=400.0, blocks=(b, b), answers=a),
                )
                for b, a in product((0.02, 0.1), (Answers(10.0, 0.7), Answers(60.0, 0.7)))
            ],
            trips=0.001,
            extra=True,
        ),
        Row(
            "delayed-growth",
            [
                Case(
                    f"{b:.0%}, traffic x {g:g}",
                    partial(
                        streams.delayed, rate=100.0, shares=(0.1,), each=400.0, blocks=(b, b), answers=answers, growth=g
                    ),
                )
                for b, g in product((0.02, 0.1), (1.25, 1.5, 2.0))
            ],
            trips=0.001,
            extra=True,
        ),
        *(
            Row(
                f"late-{name.replace(' ', '')}",
                [
                    Case(
                        f"45 % after {name}",
                        partial(streams.late, load=Load(100.0, 0.1, 120.0), stable=0.02, canary=0.45, after=s),
                    )
                ],
                median=math.inf,
                counts_from=s,
                extra=True,
            )
            for name, s in after.items()
        ),
        Row("fail-open", _grid(0.1, 0.0, ((100.0, 0.1), (10.0, 0.2))), trips=0.001, extra=True, notes="see `opened`"),
    ]


def _grid(stable: float, canary: float, loads: Sequence[tuple[float, float]] | None = None) -> list[Case]:
    return [
        Case(
            f"{r:g}/s x {s:.0%}, {stable:.0%} and {canary:.0%}",
            partial(streams.steady, load=Load(r, s), stable=stable, canary=canary),
        )
        for r, s in loads or list(product(RATES, SHARES))
    ]


def _retries(rare: bool) -> list[Case]:
    """2 % of first tries are blocked; or, `rare`, as few as make 2 % of all requests blocked."""
    return [
        Case(
            f"{r:g}/s x {s:.0%}, {k} retries",
            partial(streams.retries, load=Load(r, s), stable=p, canary=p, again=k),
        )
        for r, s, k in product(RATES, SHARES, (4, 19))
        for p in [0.02 / (1 + k * 0.98) if rare else 0.02]
    ]


def _delayed() -> list[Case]:
    return [
        Case(
            f"{rate:g}/s, {b:.0%}, {' -> '.join(f'{s:.0%}' for s in shares)}, {a.median:g} s (sigma {a.sigma:g})",
            partial(streams.delayed, rate=rate, shares=shares, each=400.0, blocks=(b, b), answers=a),
        )
        for rate, b, shares, a in product(
            (10.0, 100.0),
            (0.02, 0.1),
            ((0.1, 0.33), (0.33,)),
            [Answers(m, s) for m in (10.0, 60.0) for s in (0.5, 1.0)],
        )
    ]


def _delayed_bad() -> list[Case]:
    return [
        Case(
            f"{m:g} s (sigma {sigma:g})",
            partial(
                streams.delayed, rate=100.0, shares=(0.1,), each=60.0, blocks=(0.02, 0.45), answers=Answers(m, sigma)
            ),
        )
        for m, sigma in product((10.0, 60.0), (0.5, 1.0))
    ]


def _pooled(canary: float | None, even: bool) -> Case:
    return Case("100/s, 40 clients, 10 pods", partial(streams.pooled, rate=100.0, canary=canary, even=even))


def run_case(row: str, case: Case, runs: int, first: int = 0) -> list[Run]:
    """Runs `first` … `first + runs` of a case, each with a seed of its own."""
    name = f"{row}/{case.name}".encode()
    return [play(case.make(np.random.default_rng([i, *name]))) for i in range(first, first + runs)]


def measure(row: Row, runs: int, jobs: int = 1) -> dict[str, Any]:
    """Every case of a row, `runs` times; the row holds when each of its cases does."""
    pieces = [(case, min(BLOCK, runs - i), i) for case in row.cases for i in range(0, runs, BLOCK)]
    played: dict[str, list[Run]] = {case.name: [] for case in row.cases}
    if jobs == 1:
        done = [run_case(row.name, *piece) for piece in pieces]
    else:
        with ProcessPoolExecutor(jobs) as pool:
            done = [f.result() for f in [pool.submit(run_case, row.name, *piece) for piece in pieces]]
    for (case, _, _), part in zip(pieces, done, strict=True):
        played[case.name] += part
    cases = {name: summary(row, results) for name, results in played.items()}
    total = {what: sum(c[what] for c in cases.values()) for what in ("runs", "trips")}
    holds = all(c["holds"] for c in cases.values())
    return {"row": row.name, "notes": row.notes, "extra": row.extra, "holds": holds, **total, "cases": cases}


def summary(row: Row, played: Sequence[Run]) -> dict[str, Any]:
    """One case in numbers."""
    count = len(played)
    trips = [r for r in played if r.tripped is not None]
    out: dict[str, Any] = {"runs": count, "trips": len(trips)}
    for name in ("held", "cleared", "opened"):
        times = [t for r in played if (t := getattr(r, name)) is not None]
        out[name] = {"runs": len(times), "median": round(statistics.median(times), 1) if times else None}
    holds = True
    if row.trips is not None:
        out["bound"] = {"trips": row.trips}
        holds = not proven_above(len(trips), count, row.trips)
    if row.median is not None:
        times = [r.tripped - row.counts_from if r.tripped is not None else math.inf for r in played]
        needed = [r.requests if r.tripped is not None else math.inf for r in played]
        out["seconds"], out["canary_requests"] = quantiles(times), quantiles(needed)
        out["early"] = sum(t <= 0 for t in times)
        out["bound"] = {"seconds": finite(row.median), "canary_requests": row.requests}
        holds = statistics.median(times) <= row.median and statistics.median(needed) <= (row.requests or math.inf)
    return {**out, "holds": holds}


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """5 %, 50 % and 95 %; None: never."""
    ordered = sorted(values)
    return {f"p{q}": finite(ordered[min(len(ordered) - 1, len(ordered) * q // 100)]) for q in (5, 50, 95)}


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def proven_above(hits: int, runs: int, bound: float) -> bool:
    """Whether so many hits are incompatible with a probability of `bound` (one-sided, 1 %); a bound of 0 is exact."""
    below = sum(math.comb(runs, k) * bound**k * (1.0 - bound) ** (runs - k) for k in range(hits))
    return hits > bound * runs and 1.0 - below < 0.01
