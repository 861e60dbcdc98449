"""One candidate before the judge: slice by slice beside the active revision, and alone once it has all the traffic."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker, OnUnverifiable
from keeptrusts_operator.core import breaker, breaker_words, paired
from keeptrusts_operator.core.breaker import Alone, Baseline, Settings, Slice, with_arrivals
from keeptrusts_operator.core.confirmation import Confirmation, Confirmed, SuspectSingleClient
from keeptrusts_operator.core.dispersion import few_clients
from keeptrusts_operator.core.judgement import BLOCK_RATE, Counts, Judgement, Verdict
from keeptrusts_operator.core.paired import Beside
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.exposure import Exposure
from keeptrusts_operator.gateways.windows import Windows

ATTRIBUTION_SECONDS = 600.0  # a rise that begins later after a change of all traffic is not blamed on it
LEAST_KNOWN = 200.0  # requests of a revision that is judged by what it blocked itself before
UNREAD_SECONDS = 10.0  # without a page of the candidate; after that nothing is said in its favour
MOST_NOISE = 0.1  # between stable pods: with more, nothing a candidate does could be told from it, for a whole rollout
WITNESS = 2.0  # times the blocked requests that a trip needs: what a pod should show before its word counts
TRAIL = 240  # slices that are kept to replay a verdict from
PODS_KEPT = 50  # in a checkpoint
OF_ALL = "Soaking"
BESIDE = ("Slower", "ProviderErrors")  # reasons of a hold that are not about what is blocked


Confirm = Callable[[float, float, float], Confirmation]
"""Limit, burstiness and the candidate's blocked requests → would the excess stand without the loudest client?"""


@dataclass(frozen=True)
class Case:
    """Which candidate to judge, by what. A change of `stage` is a change of exposure; one that is `OF_ALL` gives it all
    new connections. `share` is what it gets of them. `increase` and `decrease` None: what the policy declares cannot be
    read now, so it is what it was. `kept` is the word of an earlier process, if any."""

    rollout_id: str
    active: str
    candidate: str
    stage: str
    share: float
    given: CircuitBreaker
    increase: float | None = 0.0
    decrease: float | None = 0.0
    counted_late: bool = True  # a request is counted when it is answered, not when it arrives
    kept: Judgement | None = field(default=None, compare=False)
    confirm: Confirm | None = field(default=None, compare=False)  # where there are events that tell clients apart

    def same_as(self, other: Case | None) -> bool:
        """The same rollout, judged by the same numbers."""
        return other is not None and replace(self, stage="", share=0.0) == replace(other, stage="", share=0.0)

    def declared(self, before: Case | None) -> Case:
        """With what the policy declared when it could be read: to this process, or to the one before it."""
        if self.increase is not None and self.decrease is not None:
            return self
        if before and before.rollout_id == self.rollout_id:
            known = before.increase, before.decrease
        else:
            known = _pair(self.checkpoint.get("declared"))
        increase, decrease = (
            k if mine is None else mine for mine, k in zip((self.increase, self.decrease), known, strict=True)
        )
        return replace(self, increase=increase, decrease=decrease)

    @property
    def checkpoint(self) -> Mapping[str, Any]:
        """What an earlier process kept of this rollout."""
        return self.kept.checkpoint if self.kept and self.kept.rollout_id == self.rollout_id else {}


class Trial:
    """One candidate's. Times are monotonic seconds."""

    def __init__(self, case: Case, baseline: Baseline, windows: Windows, at: float) -> None:
        kept = case.kept if case.kept and case.kept.rollout_id == case.rollout_id else None
        checkpoint = case.checkpoint
        self._case = case
        # As `status` keeps it: evidence is evidence against a limit, and the next process must come to the same one.
        self._noise = kept.noise if kept else float(f"{min(windows.noise(case.active, at), MOST_NOISE):.4g}")
        self._settings = Settings.of(case.given, case.increase or 0.0, case.decrease or 0.0, self._noise)
        self._watch = breaker_words.from_dict(checkpoint.get("watch"), self._settings, baseline)
        self._alone = breaker_words.alone_from_dict(checkpoint.get("alone"), self._settings.trip)
        self._final = kept if kept and kept.verdict is Verdict.TRIP else None
        self._pods = pods_from(checkpoint.get("pods"))  # of the candidate
        self._confirmation: Confirmation | None = None
        beside = Beside.begin(windows.total((case.active,), at), windows.pods(case.active, at), case.given.burst)
        self._beside = paired.from_dict(checkpoint.get("beside"), beside, case.given.burst)
        before = Exposure.kept(checkpoint.get("exposure"), at)
        self._exposure = before or Exposure(case.stage, at)
        self._began_at = at if before is None else -math.inf  # when the candidate got its first traffic
        self._sampled_at: float | None = None
        self._read_at = -math.inf  # when the candidate was read last
        self._before, self._slices = self._watch, deque[Slice](maxlen=TRAIL)
        if before is None or before.stage != case.stage:
            self._exposure = self._exposure.changed(case, windows, at)
        self._begin_alone(windows, at)
        self.word = self._word(at)

    @property
    def candidate(self) -> str:
        return self._case.candidate

    def go_on(self, case: Case, windows: Windows, at: float) -> None:
        """When exposure has changed, evidence stays, but each step is cleared for itself. A trip is final."""
        if self.word[0] is Verdict.TRIP:
            return
        moved, self._case = case.stage != self._case.stage, case
        if moved:
            self._watch = self._watch.next_step()
            self._exposure = self._exposure.changed(case, windows, at)
            self._begin_alone(windows, at)
            self.word = self._word(at)

    def _begin_alone(self, windows: Windows, at: float) -> None:
        if self._case.stage != OF_ALL or self._alone is not None:
            return
        minutes = windows.minutes(self._case.active, at)
        base = self._watch.baseline
        if self._case.active == self._case.candidate and max(base.requests, sum(n for n, _ in minutes)) < LEAST_KNOWN:
            return  # after a passthrough that outlived its operator: what it blocked before is not known
        if sum(n for n, _ in minutes) < base.requests:  # this process has not seen enough of it
            minutes = [(base.requests, base.blocked)]
        self._alone = Alone.after(minutes, self._settings.trip, base.burstiness(self._settings.burst))

    def feed(self, sums: Mapping[str, Increment], pods: Mapping[str, Increment], seconds: float, at: float) -> None:
        """What each revision counted, and each of the candidate's pods."""
        canary, stable = (sums.get(r, Increment()) for r in (self._case.candidate, self._case.active))
        if self._case.candidate in sums:
            self._read_at = at
        if self._case.candidate in sums or self._case.active in sums:
            self._sampled_at = at
        for uid, more in pods.items():
            self._pods[uid] = self._pods.get(uid, Counts()).and_more(more.requests, more.blocked)
        if self.word[0] is Verdict.TRIP:  # final: its numbers stay as they were
            return
        seen = Slice(canary.requests, canary.blocked, stable.requests, stable.blocked, seconds)
        if self._case.counted_late:
            e = self._exposure
            exposed = min(1.0, (at - self._began_at) / seconds)  # the first slice began before it had any traffic
            seen = with_arrivals(seen, exposed * self._case.share, e.rate, at - e.at, e.longest)
        if self._case.stage != OF_ALL:
            self._step(seen)
            self._beside = self._beside.step(canary, stable, seconds, seen.arrived)
        elif self._alone is not None:
            self._alone = self._alone.step(canary.requests, canary.blocked, seconds, seen.arrived)
        self.word = self._word(at)

    def _step(self, seen: Slice) -> None:
        if len(self._slices) == TRAIL:
            self._before = self._before.step(self._slices[0])
        self._slices.append(seen)
        self._watch = self._watch.step(seen)

    def judgement(self, now: datetime, at: float) -> Judgement:
        """The word with its numbers, a checkpoint, and what it can be replayed from."""
        if self._final is not None:
            return self._final
        said = self._of_all(self._alone) if self._case.stage == OF_ALL and self._alone else self._paired()
        sampled = now - timedelta(seconds=at - self._sampled_at) if self._sampled_at is not None else None
        return replace(
            said, sampled_at=sampled, noise=self._noise, checkpoint=self._checkpoint(at), trail=self._trail()
        )

    def _word(self, at: float) -> tuple[Verdict, str]:
        if self._final is not None:
            return self._final.verdict, self._final.reason
        said = self._verdict_of_all(self._alone) if self._case.stage == OF_ALL and self._alone else self._verdict()
        if said[0] is Verdict.CLEAR and at - self._read_at > UNREAD_SECONDS:
            return Verdict.UNDECIDED, said[1]  # it may be anything by now
        return said

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

    def _verdict_of_all(self, alone: Alone) -> tuple[Verdict, str]:
        """Without a control arm: weaker, so only a rise that began soon after the change is blamed on it."""
        if not alone.tripped:
            return (Verdict.CLEAR if alone.total.canary_requests else Verdict.UNDECIDED), BLOCK_RATE
        return (Verdict.TRIP, BLOCK_RATE) if alone.rise_began <= ATTRIBUTION_SECONDS else (Verdict.HOLD, "LateRise")

    def _paired(self) -> Judgement:
        verdict, reason = self.word
        figures = breaker_words.figures(self._watch)
        message = breaker_words.sentence(figures)
        if reason == "FewClients":
            message += "; all of it on one pod, which may be one client's that sticks to it"
        elif reason == "BlockRateFell":
            message += "; it lets pass what the active revision blocks"
        if self._confirmation and verdict in (Verdict.TRIP, Verdict.HOLD):
            message += f"; {self._confirmation.message}"
        if reason in BESIDE:
            message = self._beside.sentence()
        total = self._watch.total.with_all_arrivals
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

    def _of_all(self, alone: Alone) -> Judgement:
        total = alone.total
        verdict, reason = self.word
        message = breaker_words.sentence_alone(alone)
        if reason == "LateRise":
            message += f"; the rise began {alone.rise_began:,.0f} s after the change, so it is not blamed on it"
        return Judgement(
            self._case.rollout_id,
            verdict,
            reason,
            message,
            Counts(total.canary_requests, total.canary_blocked),
            stable_rate=self._watch.baseline.rate,
            limit=alone.tolerance.limit(alone.highest),
            evidence=math.exp(min(alone.evidence.log, 600.0)),
            needed=1.0 / alone.tolerance.alpha,
            burst=alone.burst,
            seconds=total.seconds,
        )

    def _checkpoint(self, at: float) -> dict[str, Any]:
        declared = [self._case.increase or 0.0, self._case.decrease or 0.0]
        most = sorted(self._pods.items(), key=lambda item: -item[1].requests)[:PODS_KEPT]
        return {
            "watch": breaker_words.to_dict(self._watch),
            "beside": paired.to_dict(self._beside),
            **({"alone": breaker_words.alone_to_dict(self._alone)} if self._alone else {}),
            **({"pods": {u: [round(c.requests), round(c.blocked)] for u, c in most}} if most else {}),
            **({"declared": declared} if any(declared) else {}),
            "exposure": self._exposure.to_dict(at),
        }

    def _trail(self) -> dict[str, Any]:
        """From the checkpoint `before`, the slices lead to the verdict; each: canary requests and blocked, stable requests
        and blocked, seconds, arrived."""
        if self._case.stage == OF_ALL:
            return {}
        return {
            "before": breaker_words.to_dict(self._before),
            "slices": [[round(v, 3) for v in vars(s).values()] for s in self._slices],
        }


def pods_from(data: object) -> dict[str, Counts]:
    """What each pod of the candidate counted for an earlier process; nothing when it makes no sense."""
    if not isinstance(data, Mapping):
        return {}
    try:
        return {str(u): Counts(float(requests), float(blocked)) for u, (requests, blocked) in data.items()}
    except (TypeError, ValueError):
        return {}


def _pair(data: object) -> tuple[float, float]:
    if isinstance(data, list) and len(data) == 2 and all(isinstance(x, int | float) for x in data):
        return min(1.0, max(0.0, data[0])), min(1.0, max(0.0, data[1]))
    return 0.0, 0.0
