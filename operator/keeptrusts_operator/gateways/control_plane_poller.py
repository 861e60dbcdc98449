"""One control plane, asked in the background: slowly what the organisation is told, quickly what a judged candidate does."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from keeptrusts_operator.core.confirmation import DecisionEvent, Events
from keeptrusts_operator.gateways.control_plane_answers import Backlog, Event, NoAnswer, Page

logger = logging.getLogger(__name__)

PERIOD, FOLLOW_PERIOD, SLOWEST_FOLLOW = 15.0, 1.0, 4.0  # seconds between calls; the last one while they fail
LOOK_BACK = 120.0  # seconds of events in which the newest of each gateway is looked for
OVERLAP = 10.0  # seconds of events that are asked for again: gateways send theirs late, and not in order
LONGEST_REACH, SHORTEST_REACH = 900.0, 2.0  # seconds of events in one call; less when the answer is too large
MAX_KEPT = 20_000  # decisions that are kept for one follower, the newest
MAX_GATEWAYS = 1_000  # whose newest event is remembered
NOT_YET = "it has not answered yet"
NOT_ALL = "/v1/events: there are more events than can be read at once"

Asker = tuple[str, str]
"""Namespace and name of a GatewayDeployment."""
T = TypeVar("T")
K = TypeVar("K")


class Api(Protocol):
    """What is asked (`control_plane.ControlPlane`)."""

    async def backlog(self) -> Backlog:
        """Escalations that wait; raises NoAnswer."""
        ...

    async def events(self, since: float) -> Page:
        """Decision events since a time in monotonic seconds; raises NoAnswer."""
        ...


@dataclass(frozen=True)
class Known(Generic[T]):
    """The newest answer (None: there has been none), and how many seconds ago it was asked for. `why`: the newest try
    failed, and why."""

    value: T | None = None
    age: float = math.inf
    why: str = NOT_YET


@dataclass(frozen=True)
class Ingestion:
    """The age in seconds of a gateway's newest event when it was looked for; None: none in the last `looked_back` s."""

    lag: float | None
    looked_back: float


@dataclass(frozen=True)
class Pending:
    """Escalations of the whole organisation that wait. `oldest` in seconds; `whole`: oldest and policies are of all."""

    total: int
    oldest: float | None = None
    by_policy: tuple[tuple[str, int], ...] = ()
    whole: bool = True


@dataclass(frozen=True)
class PlaneHeard:
    """What a control plane says, as far as one GatewayDeployment wants to know it. `decisions` are for
    `core.confirmation`, in the asker's own time."""

    pending: Known[Pending]
    ingestion: Known[Ingestion]
    decisions: Events

    @classmethod
    def unknown(cls, why: str) -> PlaneHeard:
        """Nothing is known, all for one reason."""
        return cls(Known(why=why), Known(why=why), Events(why=why))


@dataclass(frozen=True)
class Follow:
    """Decisions under a config version since a time: what a trip of that candidate is confirmed by."""

    version: str
    since: datetime


@dataclass
class Memory(Generic[T]):
    """The newest answer to one question, and how the newest try went."""

    value: T | None = None
    asked: float = -math.inf
    why: str = NOT_YET

    def known(self, now: float, make: Callable[[T], K]) -> Known[K]:
        """It as others see it, made by `make` of the answer."""
        if self.value is None:
            return Known(why=self.why)
        return Known(make(self.value), now - self.asked, self.why)


@dataclass
class Follower:
    """Decisions that one asker follows; `epoch` is its own time at 0 monotonic seconds."""

    gateway: str
    follow: Follow
    epoch: datetime
    cursor: float = 0.0
    asked: float = -math.inf
    decisions: dict[str, DecisionEvent] = field(default_factory=dict)  # by id, oldest first

    def __post_init__(self) -> None:
        self.start = self.cursor = (self.follow.since - self.epoch).total_seconds()

    def feed(self, page: Page, asked: float) -> None:
        """Take what is its own from an answer that was asked for from `cursor` on, or less far back."""
        for event in page.events:
            if self._is_ours(event):
                at = self.epoch + timedelta(seconds=event.at)
                decision = DecisionEvent(at, event.client, event.verdict == "block", event.config_version)
                self.decisions.setdefault(event.id, decision)
        for oldest in list(self.decisions)[: len(self.decisions) - MAX_KEPT]:
            del self.decisions[oldest]
        if page.events:
            self.cursor = max(self.cursor, page.events[-1].at - OVERLAP)
        if page.exact:
            self.asked = asked

    def _is_ours(self, event: Event) -> bool:
        ours = not self.gateway or event.gateway == self.gateway
        return ours and event.config_version == self.follow.version and event.verdict != "" and event.at >= self.start


class Poller:
    """Asks one API for all that name it with the same token."""

    def __init__(
        self,
        api: Api,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api, self._monotonic, self._sleep = api, monotonic, sleep
        self._askers: set[Asker] = set()
        self._followers: dict[Asker, Follower] = {}
        self._followed = asyncio.Event()
        self._backlog: Memory[Backlog] = Memory()
        self._recent: Memory[Page] = Memory()
        self._followed_page: Memory[Page] = Memory()
        self._newest: dict[str, float] = {}  # by gateway, monotonic seconds
        self._look_back, self._reach = LOOK_BACK, LONGEST_REACH

    def aim(self, asker: Asker, gateway: str, follow: Follow | None, now: datetime) -> None:
        """Somebody wants to know; `now` is the asker's own time."""
        self._askers.add(asker)
        before = self._followers.get(asker)
        if follow is None:
            self._followers.pop(asker, None)
        elif before is None or (before.gateway, before.follow) != (gateway, follow):
            epoch = now - timedelta(seconds=self._monotonic())
            self._followers[asker] = Follower(gateway, follow, epoch)
        if self._followers:
            self._followed.set()
        else:
            self._followed.clear()

    def leave(self, asker: Asker) -> bool:
        """Somebody does not want to know any more; whether nobody does."""
        self._askers.discard(asker)
        self._followers.pop(asker, None)
        if not self._followers:
            self._followed.clear()
        return not self._askers

    def heard(self, asker: Asker, gateway: str) -> PlaneHeard:
        """What is known now."""
        now = self._monotonic()
        pending = self._backlog.known(now, lambda b: _pending(b, now))
        return PlaneHeard(pending, self._ingestion(gateway, now), self._decisions(asker, now))

    async def run(self) -> None:
        """Ask until cancelled. One question never waits for another's answer."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every_period(self._ask_backlog))
            group.create_task(self._every_period(self._ask_newest))
            group.create_task(self._follow())

    async def _every_period(self, ask: Callable[[], Awaitable[object]]) -> None:
        while True:
            await ask()
            await self._sleep(PERIOD)

    async def _ask_backlog(self) -> None:
        await self._try(self._backlog, self._api.backlog)

    async def _ask_newest(self) -> None:
        """The newest event of each gateway. A busy organisation's events are looked for less far back."""
        since = self._monotonic() - self._look_back
        page = await self._try(self._recent, lambda: self._events(since))
        if page is None:
            return
        self._recent.value = replace(page, events=())
        self._look_back = min(LOOK_BACK, self._look_back * 2)
        for event in page.events:
            self._newest[event.gateway] = max(event.at, self._newest.get(event.gateway, -math.inf))
        for gateway in sorted(self._newest, key=lambda g: self._newest[g])[: len(self._newest) - MAX_GATEWAYS]:
            del self._newest[gateway]

    async def _events(self, since: float) -> Page:
        try:
            page = await self._api.events(since)
        except NoAnswer as no:
            if no.too_large:
                self._look_back = max(SHORTEST_REACH, self._look_back / 2)
            raise
        if not page.exact:
            self._look_back = max(SHORTEST_REACH, self._look_back / 2)
            raise NoAnswer(NOT_ALL)
        return page

    async def _follow(self) -> None:
        """While somebody follows a candidate: its decisions, about once a second."""
        pause = FOLLOW_PERIOD
        while True:
            await self._followed.wait()
            answered = await self._ask_followed()
            pause = FOLLOW_PERIOD if answered else min(pause * 2, SLOWEST_FOLLOW)
            await self._sleep(pause)

    async def _ask_followed(self) -> bool:
        asked, followers = self._monotonic(), tuple(self._followers.values())
        since = max(min((f.cursor for f in followers), default=asked), asked - self._reach)
        page = await self._try(self._followed_page, lambda: self._followed_events(since))
        if page is None:
            return False
        self._followed_page.value = None
        for follower in followers:
            follower.feed(page, asked)
        if not page.exact:
            self._followed_page.why = NOT_ALL
        return page.exact

    async def _followed_events(self, since: float) -> Page:
        try:
            return await self._api.events(since)
        except NoAnswer as no:
            if no.too_large:
                self._reach = max(SHORTEST_REACH, self._reach / 2)
            raise

    async def _try(self, memory: Memory[T], ask: Callable[[], Awaitable[T]]) -> T | None:
        """One call; its answer is remembered, or why there is none."""
        asked = self._monotonic()
        try:
            value = await ask()
        except NoAnswer as no:
            memory.why = str(no)
            return None
        except Exception as error:  # a bug of ours in reading an answer may not end the asking
            logger.exception("an answer of a control plane could not be read")
            memory.why = f"its answer could not be read ({type(error).__name__})"
            return None
        memory.value, memory.asked, memory.why = value, asked, ""
        return value

    def _ingestion(self, gateway: str, now: float) -> Known[Ingestion]:
        if not gateway:
            return Known(why="spec.controlPlane.gatewayId is not set, so this gateway's events cannot be told apart")
        newest, asked = self._newest.get(gateway), self._recent.asked
        lag = None if newest is None else max(0.0, asked - newest)
        return self._recent.known(now, lambda page: Ingestion(lag, asked - page.since))

    def _decisions(self, asker: Asker, now: float) -> Events:
        follower = self._followers.get(asker)
        if follower is None:
            return Events(why="no candidate is followed")
        return Events(tuple(follower.decisions.values()), now - follower.asked, self._followed_page.why)


def _pending(backlog: Backlog, now: float) -> Pending:
    oldest = None if backlog.oldest is None else max(0.0, now - backlog.oldest)
    return Pending(backlog.total, oldest, tuple(backlog.by_policy.items()), backlog.whole)
