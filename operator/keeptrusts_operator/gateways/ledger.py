"""The books of one GatewayDeployment: pages of its pods' counters in, everything that follows from them out.

No I/O, no clock: the real sampler and the simulated one keep the same books.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keeptrusts_operator.api.gateway import MetricsSettings
from keeptrusts_operator.api.names import ADOPTED_REVISION
from keeptrusts_operator.core.judgement import Judgement
from keeptrusts_operator.core.measured import NotKnown, Traffic
from keeptrusts_operator.core.passed import Answered
from keeptrusts_operator.core.world import Flow, Scrape
from keeptrusts_operator.gateways.counters import Increment, NotMetrics, Page, PodCounters, lifetime, lost_kinds
from keeptrusts_operator.gateways.flows import Flows, Round
from keeptrusts_operator.gateways.judging import Case, Count, Judge
from keeptrusts_operator.gateways.pods import Target
from keeptrusts_operator.gateways.prometheus import Evaluated, Evaluation, NotEvaluated
from keeptrusts_operator.gateways.trial import pods_from

MISSES = 3  # looks in a row without a page, before a pod counts as one that cannot be read
MOST_RATE = 1e5  # requests per second that one pod may answer: what grows faster was not counted
BEFORE_BIRTH = 60.0  # seconds that a pod may have served before its first page


@dataclass(frozen=True)
class Unread:
    """A pod gave no page that counts, and why."""

    why: str


class Ledger:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self.judge = Judge()
        self._metrics: MetricsSettings | None = None
        self._targets: dict[str, Target] = {}
        self._counters: dict[str, PodCounters] = {}
        self._counted_at: dict[str, float] = {}
        self._allowed: set[str] = set()  # pods of the candidate of which an earlier leader had read more than blocks
        self._first: dict[str, Page] = {}  # of pods older than their first sight: believed once the next one agrees
        self._born_here: set[str] = set()
        self._newest = -math.inf  # when the youngest pod that was seen at an aim was created, by the cluster's clock
        self._missed: dict[str, tuple[int, str]] = {}  # how often in a row, and why the last time
        self._flows = Flows()
        self._round_at: float | None = None
        self._answered: dict[str, Answered] = {}  # by revision, since this process asks its pods
        self._asked: Mapping[str, Evaluation] | None = (
            None  # by revision, where a Prometheus server tells what they count
        )

    def aim(
        self, targets: tuple[Target, ...], metrics: MetricsSettings, active: str, case: Case | None, at: float
    ) -> None:
        """Whose pages come from now on, and whom to judge by them.

        A pod that was not there at an earlier aim, and is no older than those that were, is new: it counts from zero. The
        operator's clock has no say in it, it may be hours off. Adopted pods are older than their first sight.
        """
        if self._metrics is not None and metrics != self._metrics:  # other counters: nothing that was counted compares
            self._counters, self._first, self._flows, self._missed, self._born_here = {}, {}, Flows(), {}, set()
            self.judge, self._targets = Judge(), {t.uid: t for t in targets}
        new = [t for t in targets if t.uid not in self._targets and t.revision != ADOPTED_REVISION]
        if self._metrics is not None:
            self._born_here |= {t.uid for t in new if t.born_at >= self._newest}
        self._newest = max([self._newest, *(t.born_at for t in targets)])
        self._metrics, self._targets = metrics, {t.uid: t for t in targets}
        self._born_here &= set(self._targets)
        self._counters = {u: c for u, c in self._counters.items() if u in self._targets}
        self._first = {u: f for u, f in self._first.items() if u in self._targets}
        self._counted_at = {u: a for u, a in self._counted_at.items() if u in self._targets}
        self._missed = {u: m for u, m in self._missed.items() if u in self._targets}
        if case is not None:
            kept = pods_from(case.checkpoint.get("pods"))
            self._allowed = {u for u, c in kept.items() if u in self._targets and c.requests > c.blocked}
        revisions = {t.revision for t in targets}
        self._answered = {r: a for r, a in self._answered.items() if r in revisions}
        self.judge.windows.keep(self._targets)
        self.judge.aim(active, case, at)

    def enter(self, pages: Mapping[str, Page | Unread], at: float) -> None:
        """One look. A pod that is not in it has not answered yet: its next page covers the time."""
        assert self._metrics is not None
        counts = []
        for uid, page in pages.items():
            if uid not in self._targets:
                continue
            count = page if isinstance(page, Unread) else self._count(uid, page, at)
            if isinstance(count, Unread):
                self._missed[uid] = (self._missed.get(uid, (0, ""))[0] + 1, count.why)
                continue
            self._missed.pop(uid, None)
            self._counted_at[uid] = at
            counts.append(count)
            self._sum_up(count)
        since, self._round_at = self._round_at, at
        if self._asked is None:
            self.judge.feed(counts, at)
        if since is None:
            return
        increments = {c.uid: c.increment for c in counts}
        requests: dict[str, float | None] = {}
        for uid, target in self._targets.items():
            before, more = requests.get(target.revision, 0.0), increments.get(uid)
            requests[target.revision] = None if before is None or more is None else before + more.requests
        self._flows.add(Round(since, at, requests))

    def _sum_up(self, count: Count) -> None:
        decisions, more = self._metrics and self._metrics.decisions, count.increment or Increment()
        if decisions:
            answered = Answered(more.requests, more.blocked, more.flagged if decisions.flagged else None)
            known = self._answered.get(count.revision)
            self._answered[count.revision] = known.and_more(answered) if known else answered

    def answered(self) -> Mapping[str, Answered]:
        """What the pods of each revision answered since they are asked here: by their own counters, whoever else may be
        the source of what is judged."""
        return self._answered

    def rates(self) -> Mapping[str, Answered]:
        """Requests of each revision and what it blocked of them; older ones weigh less."""
        return {r: Answered(b.requests, b.blocked) for r, b in self.judge.baselines().items()}

    def ask_elsewhere(self, evaluations: Mapping[str, Evaluation] | None, at: float) -> None:
        """What a Prometheus server says of each revision: from now on its word counts, not that of the pods. None: that of
        the pods counts again."""
        if (self._asked is None) != (evaluations is None):  # two sources do not add up
            self.judge = Judge()
        self._asked = evaluations
        if evaluations:
            known = {r: e.increment for r, e in evaluations.items() if isinstance(e, Evaluated)}
            self.judge.feed([Count(f"prometheus/{r}", r, increment) for r, increment in known.items()], at)

    def asked(self, at: float) -> Traffic | NotKnown | None:
        """What the Prometheus server says of the last minutes; None where it is not the source."""
        if self._asked is None:
            return None
        unknown = [e.why for e in self._asked.values() if isinstance(e, NotEvaluated)]
        known, windows = len(self._asked) - len(unknown), self.judge.windows
        if not known:
            return NotKnown(f"Prometheus: {unknown[0] if unknown else 'it has not answered yet'}")
        return Traffic(windows.total(set(self._asked), at), known, len(self._asked), windows.seconds(at))

    def _count(self, uid: str, page: Page, at: float) -> Count | Unread:
        revision, metrics = self._targets[uid].revision, self._metrics
        assert metrics is not None
        most = MOST_RATE * max(1.0, at - self._counted_at.get(uid, at - BEFORE_BIRTH))
        counters, born_here = self._counters.get(uid), uid in self._born_here
        first = self._first.get(uid)
        if (counters is None or first is not None) and (lost := self._lost_before(uid, first, page)):
            return Unread(f"{metrics.path}: the {lost} that were counted before are gone from its page")
        if counters is None or (first is not None and counters.garbled(page)):  # begin again
            counters = self._counters[uid] = PodCounters(metrics, from_zero=born_here)
            if not born_here:
                self._first[uid] = page
                counters.feed(page)
                return Count(uid, revision, None)
        try:
            increment = counters.feed(page, most)
        except NotMetrics as error:
            return Unread(f"{metrics.path}: {error}")
        self._first.pop(uid, None)
        return Count(uid, revision, increment, lifetime(first, metrics) if first else None)

    def _lost_before(self, uid: str, first: Page | None, page: Page) -> str:
        """What an earlier leader had read of a candidate's pod, or this one a look ago, and what is not there now: half a
        page looks like a gateway that blocks everything. A first page that nothing has confirmed yet can be wrong: counters
        that are lower than its own are no sign that the process began again, after which kinds may be missing."""
        decisions = self._metrics and self._metrics.decisions
        if not decisions:
            return ""
        allowed = Page({frozenset([(decisions.label, decisions.allowed[0])]): 1.0} if uid in self._allowed else {})
        return lost_kinds(allowed, page, decisions) or lost_kinds(first or Page({}), page, decisions)

    def flows(self, now: datetime, at: float) -> Mapping[str, Flow]:
        """Requests by revision over the last seconds; `now` and `at` are the same moment by the two clocks."""
        return self._flows.flows(now, at)

    def last_answers(self, now: datetime, at: float) -> Mapping[str, datetime]:
        """When a counter of each revision moved last."""
        return self._flows.last_answers(now, at)

    def judgement(self, now: datetime, at: float) -> Judgement | None:
        """What is to be said of the candidate."""
        return self.judge.judgement(now, at)

    def traffic(self, at: float) -> Traffic | NotKnown:
        """What the pods counted in the last minutes, and how many of them could be read."""
        windows, revisions = self.judge.windows, {t.revision for t in self._targets.values()}
        read = windows.read(revisions, at)
        if not read:
            why = next((m[1] for m in self._missed.values()), "no pod has been read yet")
            return NotKnown(f"the gateways' counters are not read: {why}")
        return Traffic(windows.total(revisions, at), read, len(self._targets), windows.seconds(at))

    def scrape(self) -> Scrape | None:
        """Whether the counters can be read; None before anything is known."""
        if self._asked is not None:
            unknown = [e.why for e in self._asked.values() if isinstance(e, NotEvaluated)]
            why = f"Prometheus: {unknown[0]}" if unknown else "by way of Prometheus, as old as its last scrape"
            return Scrape(len(self._asked) - len(unknown), len(self._asked), why) if self._asked else None
        lost = [m for m in self._missed.values() if m[0] >= MISSES]
        known = len(self._counters) + sum(u not in self._counters for u, m in self._missed.items() if m[0] >= MISSES)
        if not known:
            return None
        return Scrape(known - len(lost), known, lost[0][1] if lost else "")
