"""The books of one GatewayDeployment: pages of its pods' counters in, everything that follows from them out.

No I/O, no clock: the real sampler and the simulated one keep the same books.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keeptrusts_operator.api.gateway import MetricsSettings
from keeptrusts_operator.api.names import ADOPTED_REVISION
from keeptrusts_operator.core.judgement import Judgement
from keeptrusts_operator.core.measured import NotKnown, Traffic
from keeptrusts_operator.core.world import Flow, Scrape
from keeptrusts_operator.gateways.counters import Page, PodCounters, lifetime
from keeptrusts_operator.gateways.flows import Flows, Round
from keeptrusts_operator.gateways.judging import Case, Count, Judge
from keeptrusts_operator.gateways.pods import Target

MISSES = 3  # looks in a row without a page, before a pod counts as one that cannot be read


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
        self._born_here: set[str] = set()
        self._missed: dict[str, tuple[int, str]] = {}  # how often in a row, and why the last time
        self._flows = Flows()
        self._round_at: float | None = None

    def aim(
        self, targets: tuple[Target, ...], metrics: MetricsSettings, active: str, case: Case | None, at: float
    ) -> None:
        """Whose pages come from now on, and whom to judge by them.

        A pod that was not there at an earlier aim is new: it counts from zero. The clocks of cluster and operator have
        no say in it, they may be hours apart. Adopted pods are older than their first sight.
        """
        if self._metrics is not None and metrics != self._metrics:
            self._counters, self._flows, self._missed = {}, Flows(), {}
        new = {t.uid for t in targets if t.revision != ADOPTED_REVISION} - set(self._targets)
        if self._metrics is not None:
            self._born_here |= new
        self._metrics, self._targets = metrics, {t.uid: t for t in targets}
        self._born_here &= set(self._targets)
        self._counters = {u: c for u, c in self._counters.items() if u in self._targets}
        self._missed = {u: m for u, m in self._missed.items() if u in self._targets}
        self.judge.windows.keep(self._targets)
        self.judge.aim(active, case, at)

    def enter(self, pages: Mapping[str, Page | Unread], at: float) -> None:
        """One look. A pod that is not in it has not answered yet: its next page covers the time."""
        assert self._metrics is not None
        counts = [c for uid, page in pages.items() if uid in self._targets and (c := self._count(uid, page))]
        since, self._round_at = self._round_at, at
        self.judge.feed(counts, at)
        if since is None:
            return
        increments = {c.uid: c.increment for c in counts}
        requests: dict[str, float | None] = {}
        for uid, target in self._targets.items():
            before, more = requests.get(target.revision, 0.0), increments.get(uid)
            requests[target.revision] = None if before is None or more is None else before + more.requests
        self._flows.add(Round(since, at, requests))

    def _count(self, uid: str, page: Page | Unread) -> Count | None:
        revision, metrics = self._targets[uid].revision, self._metrics
        assert metrics is not None
        if isinstance(page, Unread):
            self._missed[uid] = (self._missed.get(uid, (0, ""))[0] + 1, page.why)
            return None
        self._missed.pop(uid, None)
        if uid in self._counters:
            return Count(uid, revision, self._counters[uid].feed(page))
        born_here = uid in self._born_here
        self._counters[uid] = PodCounters(metrics, from_zero=born_here)
        increment = self._counters[uid].feed(page)
        return Count(uid, revision, increment) if born_here else Count(uid, revision, None, lifetime(page, metrics))

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
        lost = [m for m in self._missed.values() if m[0] >= MISSES]
        known = len(self._counters) + sum(u not in self._counters for u, m in self._missed.items() if m[0] >= MISSES)
        if not known:
            return None
        return Scrape(known - len(lost), known, lost[0][1] if lost else "")
