"""Pages of metrics from pods that have a bad day, and what the breaker makes of them.

Two arms answer requests that are blocked at rates known here. Every round each pod is scraped once; most scrapes go
wrong in one of the ways of `Fault`. Beside it runs the same traffic seen by a perfect observer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

import numpy as np
from numpy.random import Generator

from keeptrusts_operator.api.profiles import KEEPTRUSTS
from keeptrusts_operator.core.breaker import Baseline, Settings, Verdict, Watch
from keeptrusts_operator.core.dispersion import Slice
from keeptrusts_operator.gateways.counters import NotMetrics, PodCounters, read_page

METRICS = KEEPTRUSTS.metrics
SECONDS = 2.0  # between rounds
COUNTER = "keeptrusts_decisions_total"


class Fault(StrEnum):
    """What goes wrong with one scrape."""

    NO_ANSWER = "no answer"
    LATE = "an answer that others have overtaken"
    NAN = "NaN"
    NEGATIVE = "negative"
    HUGE = "huge"
    DUPLICATE = "a series twice"
    MISSING = "a series is missing"
    HTML = "HTML with 200"
    WORDS = "words with 200"
    EMPTY = "nothing with 200"
    CUT = "a page that ends anywhere"
    HALF = "a page that ends after some line"


@dataclass(frozen=True)
class Day:
    """A stream to be: `faulty`: share of scrapes that go wrong; `restarts`: of rounds in which a pod begins again."""

    rate: float
    stable: float
    canary: float
    share: float = 0.25
    pods: int = 2  # of each arm
    rounds: int = 40
    faulty: float = 0.6
    restarts: float = 0.02
    faults: tuple[Fault, ...] = tuple(Fault)


@dataclass
class Pod:
    """A gateway that counts; `whole` what it ever decided since its first scrape, (allowed, blocked)."""

    counters: PodCounters
    tells_start: bool
    allowed: int = 0
    blocked: int = 0
    born: float = 0.0
    whole: list[int] = field(default_factory=lambda: [0, 0])
    counted: list[float] = field(default_factory=lambda: [0.0, 0.0])
    earlier: list[str] = field(default_factory=list)

    def page(self) -> str:
        """What it would say to a scrape that works."""
        lines = [f"# TYPE {COUNTER} counter", "process_cpu_seconds_total 1.5"]
        if self.allowed:
            lines.append(f'{COUNTER}{{decision="allowed",policy="a"}} {self.allowed}')
        if self.blocked:
            lines.append(f'{COUNTER}{{decision="blocked",policy="a"}} {self.blocked}')
        if self.tells_start:
            lines.append(f"process_start_time_seconds {self.born}")
        return "\n".join([*lines, "process_open_fds 9", ""])

    def restart(self, at: float) -> None:
        """Its process ends, and answers no more."""
        self.allowed = self.blocked = 0
        self.born = at
        self.earlier.clear()

    def scraped(self, text: str | None) -> tuple[float, float]:
        """What the operator counts, (requests, blocked)."""
        try:
            grown = self.counters.feed(read_page(text, METRICS)) if text is not None else None
        except NotMetrics:
            return 0.0, 0.0
        if grown is None:
            return 0.0, 0.0
        self.counted[0] += grown.allowed
        self.counted[1] += grown.blocked
        return grown.requests, grown.blocked


@dataclass(frozen=True)
class Lived:
    """How a day went, to the operator and to the perfect observer: every verdict that was ever given."""

    seen: Watch
    verdicts: frozenset[Verdict]
    true: Watch
    true_verdicts: frozenset[Verdict]
    overcounted: str  # the first pod that was counted more than it ever decided; empty: none


def live(seed: int, day: Day) -> Lived:
    """One stream from its beginning to its end."""
    rng, dice = Random(seed), np.random.default_rng(seed)
    arms = [[_pod(rng, young=arm == 0) for _ in range(day.pods)] for arm in (0, 1)]
    known = Baseline().seed(2000, 2000 * day.stable)
    seen = true = Watch.begin(Settings(), known)
    verdicts, true_verdicts, over = set[Verdict](), set[Verdict](), ""
    for round_ in range(day.rounds):
        seconds, counts, truth = _clock(rng), list[float](), list[float]()
        for arm, (share, block) in zip(arms, ((day.share, day.canary), (1 - day.share, day.stable)), strict=True):
            decided = [_serve(dice, pod, day.rate * share * SECONDS / day.pods, block) for pod in arm]
            truth += map(sum, zip(*decided, strict=True))
            heard = [pod.scraped(_scrape(rng, pod, day)) for pod in arm]
            counts += map(sum, zip(*heard, strict=True))
            for pod in arm:
                if rng.random() < day.restarts:
                    pod.restart(round_ + 1.0)
                if any(c > t for c, t in zip(pod.counted, pod.whole, strict=True)):
                    over = over or f"round {round_}: counted {pod.counted} of {pod.whole}"
        seen = seen.step(Slice(counts[0], counts[1], counts[2], counts[3], seconds))
        true = true.step(Slice(truth[0], truth[1], truth[2], truth[3], SECONDS))
        verdicts.add(seen.verdict())
        true_verdicts.add(true.verdict())
    return Lived(seen, frozenset(verdicts), true, frozenset(true_verdicts), over)


def _pod(rng: Random, *, young: bool) -> Pod:
    """A candidate's pod is born under the operator's eyes; a stable one has counted before."""
    pod = Pod(PodCounters(METRICS, from_zero=young), tells_start=rng.random() < 0.5)
    if not young:
        pod.allowed, pod.blocked = rng.randrange(5000), rng.randrange(100)
    return pod


def _serve(dice: Generator, pod: Pod, mean: float, block: float) -> tuple[int, int]:
    """Requests of a round; returns (requests, blocked)."""
    requests = int(dice.poisson(mean))
    blocked = int(dice.binomial(requests, block))
    pod.allowed += requests - blocked
    pod.blocked += blocked
    pod.whole[0] += requests - blocked
    pod.whole[1] += blocked
    return requests, blocked


def _scrape(rng: Random, pod: Pod, day: Day) -> str | None:
    good = pod.page()
    pod.earlier.append(good)
    return _FAULTS[rng.choice(day.faults)](rng, pod, good) if rng.random() < day.faulty else good


def _clock(rng: Random) -> float:
    """Seconds of a round by a clock that stands still or leaps now and then."""
    return rng.choice((0.0, 1e4)) if rng.random() < 0.02 else SECONDS


def _series(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith(COUNTER)]


def _changed(value: str) -> Callable[[Random, Pod, str], str]:
    """One of the counters has a value that no counter has."""

    def fault(rng: Random, pod: Pod, page: str) -> str:
        if not (lines := _series(page)):
            return page
        line = rng.choice(lines)
        return page.replace(line, f"{line.rpartition(' ')[0]} {value or rng.choice(('1e300', '1e15', '1e9', '+Inf'))}")

    return fault


def _duplicate(rng: Random, pod: Pod, page: str) -> str:
    return page + "".join(f"{line}\n" for line in _series(page)[:1])


def _missing(rng: Random, pod: Pod, page: str) -> str:
    return page.replace(f"{rng.choice(lines)}\n", "") if (lines := _series(page)) else page


def _late(rng: Random, pod: Pod, page: str) -> str:
    """Old answers in a row can be told from a new process only by its start."""
    return rng.choice(pod.earlier[-9 if pod.tells_start else -3 :])


def _cut(rng: Random, pod: Pod, page: str) -> str:
    return page[: rng.randrange(len(page))]


def _half(rng: Random, pod: Pod, page: str) -> str:
    lines = page.splitlines(keepends=True)
    return "".join(lines[: rng.randrange(len(lines))])


_FAULTS: dict[Fault, Callable[[Random, Pod, str], str | None]] = {
    Fault.NO_ANSWER: lambda rng, pod, page: None,
    Fault.LATE: _late,
    Fault.NAN: _changed("NaN"),
    Fault.NEGATIVE: _changed("-5"),
    Fault.HUGE: _changed(""),
    Fault.DUPLICATE: _duplicate,
    Fault.MISSING: _missing,
    Fault.HTML: lambda rng, pod, page: "<!doctype html>\n<html><body>Sign in</body></html>\n",
    Fault.WORDS: lambda rng, pod, page: "upstream connect error or disconnect/reset before headers\n",
    Fault.EMPTY: lambda rng, pod, page: "",
    Fault.CUT: _cut,
    Fault.HALF: _half,
}
