"""The judge of one GatewayDeployment: what its pods count, look by look, becomes a verdict on the candidate.

It does no I/O and has no clock. Between rollouts it keeps what a verdict will need: the block rate of the active
revision, how much its pods and its minutes differ. What must survive the process goes into `Judgement.checkpoint`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker, OnUnverifiable
from keeptrusts_operator.core import breaker, breaker_words, paired
from keeptrusts_operator.core.breaker import Alone, Baseline, Settings, Slice, with_arrivals
from keeptrusts_operator.core.confirmation import Confirmation, Confirmed, SuspectSingleClient
from keeptrusts_operator.core.dispersion import few_clients, spread
from keeptrusts_operator.core.judgement import BLOCK_RATE, Counts, Judgement, Verdict
from keeptrusts_operator.core.paired import Beside
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.windows import Windows

ATTRIBUTION_SECONDS = 600.0  # a rise that begins later after a change of all traffic is not blamed on it
WATCHED_AFTER = 3600.0  # seconds after the candidate took all traffic
WITNESS = 2.0  # times the blocked requests that a trip needs: what a pod should show before its word counts
TRAIL = 240  # slices that are kept to replay a verdict from
OF_ALL = "Soaking"
BESIDE = ("Slower", "ProviderErrors")  # reasons of a hold that are not about what is blocked


Confirm = Callable[[float, float, float], Confirmation]
"""Limit, burstiness and the candidate's blocked requests → would the excess stand without the loudest client?"""


@dataclass(frozen=True)
class Case:
    """Which candidate to judge, by what. A change of `stage` is a change of exposure; one that is `OF_ALL` gives it all
    new connections. `share` is what it gets of them. `kept` is the word of an earlier process, if any."""

    rollout_id: str
    active: str
    candidate: str
    stage: str
    share: float
    given: CircuitBreaker
    increase: float = 0.0
    decrease: float = 0.0
    counted_late: bool = True  # a request is counted when it is answered, not when it arrives
    kept: Judgement | None = field(default=None, compare=False)
    confirm: Confirm | None = field(default=None, compare=False)  # where there are events that tell clients apart

    def same_as(self, other: Case | None) -> bool:
        """The same rollout, judged by the same numbers."""
        return other is not None and replace(self, stage="", share=0.0) == replace(other, stage="", share=0.0)


@dataclass(frozen=True)
class Count:
    """What one pod has counted since it was read before. At its first sight there is no increment, but a lifetime."""

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
        self._trial: _Trial | None = None

    def aim(self, active: str, case: Case | None, at: float) -> None:
        """What to judge from now on; None: only what serves is watched."""
        self._active = active
        if case is None:
            self._case = None  # the trial stays: what it said is still asked for, and it goes on watching for a while
            return
        if not case.same_as(self._case) or self._trial is None:
            self._trial = _Trial(case, self._own.get(case.active, Baseline()), self.windows, at)
        else:
            self._trial.go_on(case, self.windows, at)
        self._case = case

    def feed(self, counts: Sequence[Count], at: float) -> None:
        """One look at the pods that were asked; pods that gave no answer are not in it."""
        seconds, self._last = (at - self._last if self._last is not None else 0.0), at
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
        self._own = {r: b for r, b in self._own.items() if r in sums or r == self._active}
        if self._trial:
            pods = {c.uid: c.increment for c in counts if c.increment and c.revision == self._trial.candidate}
            self._trial.feed(sums, pods, seconds, at)

    @property
    def word(self) -> tuple[Verdict, str] | None:
        """The newest answer without its numbers: whoever waits for another one is to be woken up when it changes."""
        return self._trial.word if self._trial else None

    def judgement(self, now: datetime, at: float) -> Judgement | None:
        """The newest word; `now` and `at` are the same moment by the two clocks."""
        return self._trial.judgement(now, at) if self._trial else None


class _Trial:
    """One candidate's."""

    def __init__(self, case: Case, baseline: Baseline, windows: Windows, at: float) -> None:
        self._case = case
        kept = case.kept if case.kept and case.kept.rollout_id == case.rollout_id else None
        self._noise = kept.noise if kept else spread([(p.requests, p.blocked) for p in windows.pods(case.active, at)])
        self._settings = Settings.of(case.given, case.increase, case.decrease, self._noise)
        checkpoint: Mapping[str, Any] = kept.checkpoint if kept else {}
        self._watch = breaker_words.from_dict(checkpoint.get("watch"), self._settings, baseline)
        self._alone = _alone_from(checkpoint.get("alone"), self._settings)
        self._final = kept if kept and kept.verdict is Verdict.TRIP else None
        self._pods: dict[str, Counts] = {}  # of the candidate
        self._confirmation: Confirmation | None = None
        beside = Beside.begin(windows.total((case.active,), at), windows.pods(case.active, at), case.given.burst)
        self._beside = paired.from_dict(checkpoint.get("beside"), beside, case.given.burst)
        self._began_at = self._changed_at = at
        self._rate, self._p95 = 0.0, math.inf
        self._sampled_at: float | None = None
        self._before, self._slices = self._watch, deque[Slice](maxlen=TRAIL)
        self._took_all_at = at
        self._changed(windows, at)
        self.word = self._word()

    @property
    def candidate(self) -> str:
        return self._case.candidate

    def go_on(self, case: Case, windows: Windows, at: float) -> None:
        """When exposure has changed, evidence stays, but each step is cleared for itself."""
        moved, self._case = case.stage != self._case.stage, case
        if moved:
            self._watch = self._watch.next_step()
            self._changed(windows, at)
            self.word = self._word()

    def _changed(self, windows: Windows, at: float) -> None:
        self._changed_at, self._rate = at, windows.rate((self._case.active, self._case.candidate), at)
        self._p95 = quantile(windows.total((self._case.active,), at).latency, 0.95)
        if self._case.stage == OF_ALL:
            self._took_all_at = at
            if self._alone is None:
                self._alone = self._begin_alone(windows, at)

    def _begin_alone(self, windows: Windows, at: float) -> Alone:
        minutes = windows.minutes(self._case.active, at)
        base = self._watch.baseline
        if sum(n for n, _ in minutes) < base.requests:  # this process has not seen enough of it
            minutes = [(base.requests, base.blocked)]
        return Alone.after(minutes, self._settings.trip, base.burstiness(self._settings.burst))

    def feed(self, sums: Mapping[str, Increment], pods: Mapping[str, Increment], seconds: float, at: float) -> None:
        """What each revision counted, and each of the candidate's pods."""
        if at - self._took_all_at > WATCHED_AFTER and self._case.stage == OF_ALL:
            return
        canary, stable = (sums.get(r, Increment()) for r in (self._case.candidate, self._case.active))
        if self._case.candidate in sums or self._case.active in sums:
            self._sampled_at = at
        for uid, more in pods.items():
            self._pods[uid] = self._pods.get(uid, Counts()).and_more(more.requests, more.blocked)
        if self.word[0] is Verdict.TRIP:  # final: its numbers stay as they were
            return
        if self._case.stage == OF_ALL:
            assert self._alone is not None
            self._alone = self._alone.step(canary.requests, canary.blocked, seconds)
        else:
            self._step(canary, stable, seconds, at)
        self.word = self._word()

    def _step(self, canary: Increment, stable: Increment, seconds: float, at: float) -> None:
        seen = Slice(canary.requests, canary.blocked, stable.requests, stable.blocked, seconds)
        if self._case.counted_late:
            exposed = min(1.0, (at - self._began_at) / seconds)  # the first slice began before it had any traffic
            share = exposed * self._case.share
            seen = with_arrivals(seen, share, self._rate, at - self._changed_at, self._p95)
        if len(self._slices) == TRAIL:
            self._before = self._before.step(self._slices[0])
        self._slices.append(seen)
        self._watch = self._watch.step(seen)
        self._beside = self._beside.step(canary, stable, seconds, seen.arrived)

    def judgement(self, now: datetime, at: float) -> Judgement:
        """The word with its numbers, a checkpoint, and what it can be replayed from."""
        if self._final is not None:
            return self._final
        said = self._of_all() if self._case.stage == OF_ALL else self._paired()
        sampled = now - timedelta(seconds=at - self._sampled_at) if self._sampled_at is not None else None
        return replace(said, sampled_at=sampled, noise=self._noise, checkpoint=self._checkpoint(), trail=self._trail())

    def _word(self) -> tuple[Verdict, str]:
        if self._final is not None:
            return self._final.verdict, self._final.reason
        return self._verdict_of_all() if self._case.stage == OF_ALL else self._verdict()

    def _paired(self) -> Judgement:
        watch = self._watch
        verdict, reason = self.word
        figures = breaker_words.figures(watch)
        message = breaker_words.sentence(figures)
        if reason == "FewClients":
            message += "; all of it on one pod, which may be one client's that sticks to it"
        elif reason == "BlockRateFell":
            message += "; it lets pass what the active revision blocks"
        if self._confirmation and verdict in (Verdict.TRIP, Verdict.HOLD):
            message += f"; {self._confirmation.message}"
        if reason in BESIDE:
            message = self._beside.sentence()
        total = watch.total.with_all_arrivals
        return Judgement(
            self._case.rollout_id,
            verdict,
            reason,
            message,
            Counts(total.canary_requests, total.canary_blocked),
            Counts(total.stable_requests, total.stable_blocked),
            figures.stable_rate,
            figures.limit,
            figures.evidence,
            figures.needed,
            figures.burstiness,
            seconds=figures.seconds,
        )

    def _verdict(self) -> tuple[Verdict, str]:
        watch = self._watch
        said = watch.verdict()
        if said is breaker.Verdict.TRIP:
            return self._confirmed()
        if said is breaker.Verdict.HOLD:
            return Verdict.HOLD, BLOCK_RATE
        if watch.failed_open():
            return Verdict.HOLD, "BlockRateFell"
        if reason := self._beside.held_for():
            return Verdict.HOLD, reason
        return (Verdict.CLEAR if said is breaker.Verdict.CLEAR else Verdict.UNDECIDED), BLOCK_RATE

    def _confirmed(self) -> tuple[Verdict, str]:
        """A trip, unless it may be a single client's."""
        self._confirmation, confirm = None, self._case.confirm
        if confirm:
            base, given = self._watch.baseline, self._settings
            limit, burst = base.limit(given.trip), base.burstiness(given.burst)
            self._confirmation = confirm(limit, burst, self._watch.total.canary_blocked)
        if isinstance(self._confirmation, Confirmed):
            return Verdict.TRIP, BLOCK_RATE
        if isinstance(self._confirmation, SuspectSingleClient):
            return Verdict.HOLD, "SingleClient"
        if self._confirmation and self._case.given.on_unverifiable is OnUnverifiable.HOLD:
            return Verdict.HOLD, "Unverifiable"
        return (Verdict.HOLD, "FewClients") if self._few_clients() else (Verdict.TRIP, BLOCK_RATE)

    def _few_clients(self) -> bool:
        """Whether the blocks come from one pod although others had requests enough to show some too."""
        total, least = self._watch.total, self._settings.trip.min_blocked
        rate = total.canary_blocked / max(total.canary_requests, 1.0)
        witnesses = [c.blocked for c in self._pods.values() if c.requests * rate >= WITNESS * least]
        return few_clients(witnesses, least)

    def _verdict_of_all(self) -> tuple[Verdict, str]:
        """Without a control arm: weaker, so only a rise that began soon after the change is blamed on it."""
        alone = self._alone
        assert alone is not None
        if not alone.tripped:
            return (Verdict.CLEAR if alone.total.canary_requests else Verdict.UNDECIDED), BLOCK_RATE
        return (Verdict.TRIP, BLOCK_RATE) if alone.rise_began <= ATTRIBUTION_SECONDS else (Verdict.HOLD, "LateRise")

    def _of_all(self) -> Judgement:
        alone = self._alone
        assert alone is not None
        total, limit = alone.total, alone.tolerance.limit(alone.highest)
        verdict, reason = self.word
        message = (
            f"with all traffic it blocked {total.canary_blocked:,.0f} of {total.canary_requests:,.0f}, tolerated up to "
            f"{100 * min(limit, 1.0):.1f} % by the hour before; evidence {math.exp(min(alone.evidence.log, 20.0)):,.2g}:1 "
            f"(needs {1 / alone.tolerance.alpha:,.0f}:1)"
        )
        if reason == "LateRise":
            message += f"; the rise began {alone.rise_began:,.0f} s after the change, so it is not blamed on it"
        return Judgement(
            self._case.rollout_id,
            verdict,
            reason,
            message,
            Counts(total.canary_requests, total.canary_blocked),
            stable_rate=self._watch.baseline.rate,
            limit=limit,
            evidence=math.exp(min(alone.evidence.log, 600.0)),
            needed=1.0 / alone.tolerance.alpha,
            burst=alone.burst,
            seconds=total.seconds,
        )

    def _checkpoint(self) -> dict[str, Any]:
        out: dict[str, Any] = {"watch": breaker_words.to_dict(self._watch), "beside": paired.to_dict(self._beside)}
        return {**out, "alone": _alone_to(self._alone)} if self._alone else out

    def _trail(self) -> dict[str, Any]:
        """From the checkpoint `before`, the slices lead to the verdict; each: canary requests and blocked, stable requests
        and blocked, seconds, arrived."""
        if self._case.stage == OF_ALL:
            return {}
        return {
            "before": breaker_words.to_dict(self._before),
            "slices": [[round(v, 3) for v in vars(s).values()] for s in self._slices],
        }


def quantile(latency: Mapping[float, float], q: float) -> float:
    """An upper bound of a quantile in seconds, from cumulative buckets by their upper bound; infinite if not known."""
    total = max(latency.values(), default=0.0)
    if total <= 0.0:
        return math.inf
    return min((bound for bound, count in latency.items() if count >= q * total), default=math.inf)


def _alone_to(alone: Alone) -> dict[str, Any]:
    return {
        "highest": alone.highest,
        "burst": alone.burst,
        "log": alone.evidence.log,
        "stakes": list(alone.evidence.stakes),
        "total": [alone.total.canary_requests, alone.total.canary_blocked, alone.total.seconds],
        "rise": [alone.lowest, alone.rise_began],
    }


def _alone_from(data: object, settings: Settings) -> Alone | None:
    """What an earlier process knew; None when there is nothing, or it makes no sense."""
    if not isinstance(data, Mapping):
        return None
    try:
        requests, blocked, seconds = data["total"]
        lowest, began = data["rise"]
        return Alone(
            settings.trip,
            float(data["highest"]),
            float(data["burst"]),
            breaker.Evidence(tuple(float(s) for s in data["stakes"]), float(data["log"])),
            Slice(requests, blocked, seconds=seconds),
            lowest=float(lowest),
            rise_began=float(began),
        )
    except (KeyError, TypeError, ValueError):
        return None
