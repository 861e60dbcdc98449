"""The judge of one GatewayDeployment: what its pods count, look by look, becomes a verdict on the candidate.

It does no I/O and has no clock. Between rollouts it keeps what a verdict will need: the block rate of the active
revision, how much its pods and its minutes differ. What must survive the process goes into `Judgement.checkpoint`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from keeptrusts_operator.core.breaker import Baseline, Slice
from keeptrusts_operator.core.judgement import Judgement, Verdict
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.trial import Case, Confirm, Trial
from keeptrusts_operator.gateways.windows import Windows

__all__ = ["Case", "Confirm", "Count", "Judge"]

WATCHED_AFTER = 3600.0  # seconds for which a candidate is watched after its rollout has ended


@dataclass(frozen=True)
class Count:
    """What one pod has counted since it was read before. At its first sight there is no increment; with the second page
    comes what it had counted until the first."""

    uid: str
    revision: str
    increment: Increment | None
    lifetime: Increment | None = None


class Judge:
    """Fed with every look at the pods. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.windows = Windows()
        self._active = ""
        self._own: dict[str, Baseline] = {}  # each revision's own block rate
        self._last: float | None = None
        self._case: Case | None = None
        self._trial: Trial | None = None
        self._over_at: float | None = None  # since when there has been nothing to judge

    def aim(self, active: str, case: Case | None, at: float) -> None:
        """What to judge from now on; None: only what serves is watched."""
        self._active = active
        if case is None:  # the trial stays: what it said is still asked for, and it goes on watching for a while
            self._over_at = at if self._over_at is None else self._over_at
            return
        case, self._over_at = case.declared(self._case), None
        if self._trial is None or not case.same_as(self._case):
            self._trial = Trial(case, self._own.get(case.active, Baseline()), self.windows, at)
        else:
            self._trial.go_on(case, self.windows, at)
        self._case = case

    def feed(self, counts: Sequence[Count], at: float) -> None:
        """One look at the pods that were asked; pods that gave no answer are not in it."""
        seconds, self._last = (at - self._last if self._last is not None else 0.0), at
        self.windows.begin(at)
        sums: dict[str, Increment] = {}
        for count in counts:
            if count.increment is not None:
                self.windows.add(at, count.revision, count.uid, count.increment)
                sums[count.revision] = sums.get(count.revision, Increment()) + count.increment
            if count.lifetime is not None and count.revision == self._active:
                own = self._own.get(count.revision, Baseline())
                self._own[count.revision] = own.seed(count.lifetime.requests, count.lifetime.blocked)
        if seconds <= 0.0:
            return
        self.windows.looked(at, seconds)
        for revision, more in sums.items():
            mine = Slice(stable_requests=more.requests, stable_blocked=more.blocked, seconds=seconds)
            self._own[revision] = self._own.get(revision, Baseline()).feed(mine)
        trial = self._trial
        judged = {self._active, *((trial.candidate,) if trial else ())}
        self._own = {r: b for r, b in self._own.items() if r in sums or r in judged}
        if trial and (self._over_at is None or at - self._over_at <= WATCHED_AFTER):
            pods = {c.uid: c.increment for c in counts if c.increment and c.revision == trial.candidate}
            trial.feed(sums, pods, seconds, at)

    def baselines(self) -> Mapping[str, Baseline]:
        """Each revision's own block rate."""
        return self._own

    @property
    def word(self) -> tuple[Verdict, str] | None:
        """The newest answer without its numbers: whoever waits for another one is to be woken up when it changes."""
        return self._trial.word if self._trial else None

    def judgement(self, now: datetime, at: float) -> Judgement | None:
        """The newest word; `now` and `at` are the same moment by the two clocks."""
        return self._trial.judgement(now, at) if self._trial else None
