"""What a gateway counted over the last 5 minutes and the minutes of the last hour, by revision and by pod.

A ring of 10 s buckets and one of minutes: an increment is booked where it was read, and what is too old falls out. So
memory is bounded by the pods and revisions of 5 minutes, and of an hour, whatever the traffic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from keeptrusts_operator.core.dispersion import spread
from keeptrusts_operator.gateways.counters import Increment

BUCKET, WINDOW = 10.0, 300.0  # seconds
MINUTE, HOUR = 60.0, 3600.0
PAUSE = 75.0  # idle gateways are looked at every 30 s; seconds without a request: from then on counters do not move
FRESH = 75.0  # seconds for which a pod counts as read
LEAST = 50.0  # requests: the block rate of a pod with fewer says nothing of its clients

Pair = tuple[float, float]
Key = tuple[str, ...]


@dataclass
class _Decisions:
    """Requests and blocked ones of one revision."""

    requests: float = 0.0
    blocked: float = 0.0

    def add(self, more: Increment) -> None:
        self.requests += more.requests
        self.blocked += more.blocked


@dataclass
class _Bucket:
    """Everything that was counted in it, by revision or by (revision, pod); and over how many seconds, which may have
    begun before it."""

    counted: dict[Key, Increment] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, key: Key, more: Increment) -> None:
        known = self.counted.get(key)
        self.counted[key] = more if known is None else known + more


@dataclass
class _Minute:
    """Decisions only, since an hour of them is kept."""

    revisions: dict[str, _Decisions] = field(default_factory=dict)


B = TypeVar("B", _Bucket, _Minute)


class _Ring(Generic[B]):
    """The newest `count` slots of `seconds` each, beside the one that is being filled."""

    def __init__(self, new: Callable[[], B], seconds: float, count: int) -> None:
        self._new: Callable[[], B] = new
        self._seconds, self._count = seconds, count
        self._slots: deque[tuple[int, B]] = deque()

    def at(self, at: float) -> B:
        """The slot to book in; a time before the newest slot belongs to that one, as the clock is monotonic."""
        number = int(at // self._seconds)
        if not self._slots or self._slots[-1][0] < number:
            self._slots.append((number, self._new()))
            self._forget(number)
        return self._slots[-1][1]

    def since(self, at: float) -> Iterator[B]:
        """Slots that are not too old at a time, oldest first."""
        oldest = int(at // self._seconds) - self._count
        return (slot for number, slot in self._slots if number >= oldest)

    def _forget(self, number: int) -> None:
        while self._slots[0][0] < number - self._count:
            self._slots.popleft()


class Windows:
    """Sums of increments of one GatewayDeployment. Times are monotonic seconds; all reads ignore what is too old."""

    def __init__(self) -> None:
        self._buckets = _Ring(_Bucket, BUCKET, int(WINDOW / BUCKET))
        self._pods = _Ring(_Bucket, MINUTE, int(WINDOW / MINUTE))  # coarser: there are many, each with a histogram
        self._minutes = _Ring(_Minute, MINUTE, int(HOUR / MINUTE))
        self._began: float | None = None
        self._moving: Pair | None = None  # since when, and when last
        self._read: dict[str, tuple[str, float]] = {}  # pod → its revision, when it was read last

    def begin(self, at: float) -> None:
        """There was a look. The first one begins the time that is watched: what the next one finds was counted since."""
        self._began = at if self._began is None else self._began

    def add(self, at: float, revision: str, pod: str, more: Increment) -> None:
        """What a pod has counted since it was read before; also when that is nothing, for `read`. O(1) in time kept."""
        self._began = at if self._began is None else self._began
        bucket = self._buckets.at(at)
        if not bucket.counted:
            self._read = {p: r for p, r in self._read.items() if at - r[1] <= WINDOW}
        bucket.add((revision,), more)
        self._pods.at(at).add((revision, pod), more)
        self._minutes.at(at).revisions.setdefault(revision, _Decisions()).add(more)
        self._read[pod] = (revision, at)
        if more.requests > 0.0:
            since, last = self._moving or (at, at)
            self._moving = (since if at - last <= PAUSE else at, at)

    def looked(self, at: float, seconds: float) -> None:
        """What is added at this time was counted since the look before, so long ago."""
        self._buckets.at(at).seconds += seconds

    def keep(self, pods: Collection[str]) -> None:
        """Pods that are gone do not count as read any more; what they counted stays."""
        self._read = {p: r for p, r in self._read.items() if p in pods}

    def total(self, revisions: Collection[str], at: float) -> Increment:
        """What these revisions counted in the last 5 minutes (and up to 10 s more)."""
        total = nothing = Increment()
        for bucket in self._buckets.since(at):
            for revision in revisions:
                total += bucket.counted.get((revision,), nothing)
        return total

    def rate(self, revisions: Collection[str], at: float) -> float:
        """Requests per second of these revisions in the last 5 minutes. Not `total` by `seconds`: between rollouts pods are
        looked at every 30 s, and what the oldest of these looks brought was counted before the 5 minutes began."""
        seconds = sum(bucket.seconds for bucket in self._buckets.since(at))
        return self.total(revisions, at).requests / max(seconds, 1.0)

    def seconds(self, at: float) -> float:
        """How much of the 5 minutes has been watched yet."""
        return 0.0 if self._began is None else min(WINDOW, max(0.0, at - self._began))

    def read(self, revisions: Collection[str], at: float) -> int:
        """How many pods of these revisions were read lately."""
        return sum(r in revisions and at - when <= FRESH for r, when in self._read.values())

    def pods(self, revision: str, at: float) -> list[Increment]:
        """What each pod that had requests counted in the last 5 minutes (and up to one more)."""
        sums = _Bucket()
        for slot in self._pods.since(at):
            for key, counted in slot.counted.items():
                if key[0] == revision:
                    sums.add(key, counted)
        return [s for s in sums.counted.values() if s.requests > 0.0]

    def noise(self, revision: str, at: float) -> float:
        """The noise floor: how much the block rate differs between the pods of the stable revision; a fraction."""
        return spread([(p.requests, p.blocked) for p in self.pods(revision, at) if p.requests >= LEAST])

    def minutes(self, revision: str, at: float) -> list[Pair]:
        """(requests, blocked) of each minute of the last hour that had requests, for `core.breaker.Alone.after`."""
        counted = (minute.revisions.get(revision) for minute in self._minutes.since(at))
        return [(c.requests, c.blocked) for c in counted if c and c.requests > 0.0]

    def moving_since(self, now: datetime, at: float) -> datetime | None:
        """Since when requests have been counted without a pause, whatever the revision; None: there is a pause now.

        `now` and `at` are the same moment by the two clocks.
        """
        if self._moving is None or at - self._moving[1] > PAUSE:
            return None
        return now - timedelta(seconds=at - self._moving[0])
