"""What gateway pods say of themselves, sampled in the background so that no silent pod ever delays a decision."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from keeptrusts_operator.api.circuit_breaker import PrometheusSource
from keeptrusts_operator.api.gateway import GatewaySettings, LoadedConfig
from keeptrusts_operator.api.references import Credential
from keeptrusts_operator.core.judgement import Judgement
from keeptrusts_operator.core.measured import NotKnown, Traffic
from keeptrusts_operator.core.passed import Answered
from keeptrusts_operator.core.world import Flow, GatewayHealth, Pack, Scrape, TestReport
from keeptrusts_operator.gateways.asking import TIMEOUT_SECONDS, Answer, Asker
from keeptrusts_operator.gateways.behaviour import BehaviourTests, Plan
from keeptrusts_operator.gateways.counters import NotMetrics, Page, read_page
from keeptrusts_operator.gateways.credentials import headers_of, why_not
from keeptrusts_operator.gateways.judging import Case
from keeptrusts_operator.gateways.ledger import Ledger, Unread
from keeptrusts_operator.gateways.pods import Target, base_url
from keeptrusts_operator.gateways.prometheus import Evaluation, PrometheusCounters

PATIENCE = 0.25  # seconds
IDLE_SECONDS = 30.0
SLOW_SECONDS = 5.0  # from look to look; less is the pace of judging
EVALUATION_SECONDS = 5.0  # from question to question to a Prometheus server
LOADED_SECONDS = 5.0  # for which what a pod has loaded is not asked again
CONSECUTIVE = 2  # a verdict needs this many samples that say the same
STATUS = {"healthy": GatewayHealth.HEALTHY, "degraded": GatewayHealth.DEGRADED, "unhealthy": GatewayHealth.UNHEALTHY}


@dataclass(frozen=True)
class Sample:
    """What a pod said last, on what it was asked."""

    health: GatewayHealth
    loaded: Pack | None
    at: float  # monotonic seconds


@dataclass(frozen=True)
class Heard:
    """What is known by asking the gateways themselves; everything in it may be missing."""

    samples: Mapping[str, Sample] = field(default_factory=dict)  # by pod UID
    flows: Mapping[str, Flow] = field(default_factory=dict)  # by revision
    last_answers: Mapping[str, datetime] = field(default_factory=dict)  # by revision
    tests: TestReport | None = None
    judgement: Judgement | None = None
    scrape: Scrape | None = None
    traffic: Traffic | NotKnown | None = None  # of the last 5 minutes
    moving_since: datetime | None = None  # since when counters have been moving without a pause
    asked: Traffic | NotKnown | None = None  # what a Prometheus server says, where that is the source
    answered: Mapping[str, Answered] = field(default_factory=dict)  # by revision, since its pods are asked here
    rates: Mapping[str, Answered] = field(default_factory=dict)  # by revision; older requests weigh less


@dataclass(frozen=True)
class Aim:
    """Which pods to ask from now on and how often, which behaviour tests to run, and whom to judge."""

    targets: tuple[Target, ...]
    settings: GatewaySettings
    active: str
    period: float = IDLE_SECONDS  # seconds from look to look
    plan: Plan | None = None
    case: Case | None = None
    credential: Credential | None = None  # for the gateways' own pods
    prometheus: PrometheusSource | None = None  # who tells what they count; None: the pods themselves


class GatewayWatch:
    """Asks the pods of one GatewayDeployment; `wake` is called when what is known of one changes, `looked` after every
    look, with whether any pod's counters were read."""

    def __init__(
        self,
        asker: Asker,
        client: httpx.AsyncClient,
        wake: Callable[[], None],
        looked: Callable[[bool], None] = lambda answered: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._asker, self._wake, self._looked, self._monotonic = asker, wake, looked, monotonic
        self._aim: Aim | None = None
        self._changed = asyncio.Event()
        self._known: dict[str, Sample] = {}
        self._last: dict[str, tuple[GatewayHealth, int]] = {}  # newest answer, and how often in a row
        self._asked_loaded: dict[str, float] = {}
        self._ledger = Ledger()
        self._asking: dict[str, asyncio.Task[_Said]] = {}  # by pod UID
        self._tests = BehaviourTests(client, wake)
        self._client = client
        self._prometheus: tuple[PrometheusSource, PrometheusCounters] | None = None
        self._evaluating: asyncio.Task[Mapping[str, Evaluation]] | None = None
        self._evaluated_at = -math.inf
        self._phase = random.random()  # of slow looks, as a share of their period

    def aim(self, aim: Aim) -> None:
        """From now on."""
        before, self._aim = self._aim, aim
        self._tests.aim(aim.plan)
        if before is not None and before.settings != aim.settings:  # what they were asked is not the question any more
            self._forget_asked()
        self._ledger.aim(aim.targets, aim.settings.metrics, aim.active, aim.case, self._monotonic())
        uids = {t.uid for t in aim.targets}
        self._known = {u: s for u, s in self._known.items() if u in uids}
        self._last = {u: s for u, s in self._last.items() if u in uids}
        self._asked_loaded = {u: at for u, at in self._asked_loaded.items() if u in uids}
        if before is None or _asks_for(aim) != _asks_for(before):
            self._changed.set()

    def heard(self, now: datetime) -> Heard:
        """Everything that is known; a sample that is too old to count is not in it."""
        at, ledger = self._monotonic(), self._ledger
        oldest = at - 3 * max(self._aim.period if self._aim else 0.0, 1.0)
        return Heard(
            {u: s for u, s in self._known.items() if s.at >= oldest},
            ledger.flows(now, at),
            ledger.last_answers(now, at),
            self._tests.report(),
            ledger.judgement(now, at),
            ledger.scrape(),
            ledger.traffic(at),
            ledger.judge.windows.moving_since(now, at),
            ledger.asked(at),
            ledger.answered(),
            ledger.rates(),
        )

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tests.run())
            group.create_task(self._look_again_and_again())

    async def _look_again_and_again(self) -> None:
        try:
            while True:
                self._changed.clear()
                began = self._monotonic()
                if self._aim is not None and self._aim.settings.scheme == "http":
                    await self._look(self._aim)
                due = next_look(began, self._aim.period if self._aim else IDLE_SECONDS, self._phase)
                try:
                    await asyncio.wait_for(self._changed.wait(), max(0.05, due - self._monotonic()))
                except TimeoutError:
                    continue
        finally:
            self._forget_asked()

    def _forget_asked(self) -> None:
        for task in self._asking.values():
            task.cancel()
        self._asking = {}

    async def _look(self, aim: Aim) -> None:
        """Ask every pod that is not being asked still, and take what has been answered by now."""
        fresh = [t for t in aim.targets if t.uid not in self._asking]
        for target in fresh:
            self._asking[target.uid] = asyncio.create_task(self._ask(target, aim))
        if fresh:
            await asyncio.wait([self._asking[t.uid] for t in fresh], timeout=_patience(aim.period))
        if (self._aim or aim).settings != aim.settings:
            return
        await self._ask_prometheus(aim)
        answered = {u: task.result() for u, task in self._asking.items() if task.done()}
        self._asking = {u: task for u, task in self._asking.items() if u not in answered}
        before = self._told()
        current = {t.uid for t in (self._aim or aim).targets}
        news = [self._take(u, said) for u, said in answered.items() if u in current]
        self._ledger.enter({u: said.page for u, said in answered.items() if said.page}, self._monotonic())
        if any(news) or self._told() != before:
            self._wake()
        self._looked(any(isinstance(said.page, Page) for said in answered.values()))

    async def _ask_prometheus(self, aim: Aim) -> None:
        """Where it is the source: not more often than its samples can change, and never waited for."""
        if aim.prometheus is None:
            self._ledger.ask_elsewhere(None, self._monotonic())
            return
        if self._prometheus is None or self._prometheus[0] != aim.prometheus:
            self._prometheus = (aim.prometheus, PrometheusCounters(self._client, aim.prometheus))
            self._ledger.ask_elsewhere({}, self._monotonic())
        at = self._monotonic()
        if self._evaluating is None and at - self._evaluated_at >= EVALUATION_SECONDS:
            revisions = {t.revision for t in aim.targets}
            self._evaluating = asyncio.create_task(self._prometheus[1].evaluate(revisions))
            await asyncio.wait([self._evaluating], timeout=PATIENCE)
        if self._evaluating is not None and self._evaluating.done():
            self._ledger.ask_elsewhere(self._evaluating.result(), at)
            self._evaluating, self._evaluated_at = None, at

    def _told(self) -> tuple[object, bool | None]:
        """What the counters say that wakes the loop up when it changes: the judge's word, and whether all can be read."""
        scrape = self._ledger.scrape()
        return self._ledger.judge.word, scrape.read == scrape.of if scrape else None

    def _take(self, uid: str, said: _Said) -> bool:
        """Whether a pod says something else than before, and says it often enough."""
        before, health = self._known.get(uid), said.health
        last, times = self._last.get(uid, (GatewayHealth.UNKNOWN, 0))
        times = times + 1 if last is health else 1
        self._last[uid] = (health, times)
        if times < CONSECUTIVE:
            health = before.health if before else GatewayHealth.UNKNOWN
        self._known[uid] = Sample(health, said.loaded, self._monotonic())
        return before is None or (before.health, before.loaded) != (health, said.loaded)

    async def _ask(self, target: Target, aim: Aim) -> _Said:
        """Ask one pod everything, at once."""
        settings, base = aim.settings, base_url(target, aim.settings)
        async with self._asker.places:
            health, loaded, page = await asyncio.gather(
                self._health(base, settings.health.status),
                self._loaded(target.uid, base, settings.loaded_config, aim.credential),
                self._page(base, settings, aim.credential),
            )
        return _Said(health, loaded, page)

    async def _page(self, base: str, settings: GatewaySettings, credential: Credential | None) -> Page | Unread | None:
        """Its counters; None when there are none to look for."""
        if settings.metrics.decisions is None:
            return None
        if missing := why_not(credential):
            return Unread(missing)
        path = settings.metrics.path
        answer = await self._get(base + path, credential)
        if answer is None:
            return Unread(f"no answer from {path} within {TIMEOUT_SECONDS:g} s")
        if not answer.ok:
            return Unread(f"{path} answers HTTP {answer.status}")
        try:
            return read_page(answer.text, settings.metrics)
        except NotMetrics as error:
            return Unread(f"{path}: {error}")

    async def _health(self, base: str, path: str) -> GatewayHealth:
        """Its own word where there is one; an answer without one is healthy when it is a 2xx, else unknown."""
        answer = await self._get(base + path) if path else None
        if answer is None:
            return GatewayHealth.UNKNOWN
        word = _pointer(answer.body, "/status")
        if isinstance(word, str) and word.lower() in STATUS:
            return STATUS[word.lower()]
        return GatewayHealth.HEALTHY if answer.ok else GatewayHealth.UNKNOWN

    async def _loaded(
        self, uid: str, base: str, config: LoadedConfig | None, credential: Credential | None
    ) -> Pack | None:
        """What it has loaded; a third of all requests, so once known it is not asked at every look."""
        if config is None:
            return None
        known, now = self._known.get(uid), self._monotonic()
        if known and known.loaded and now - self._asked_loaded.get(uid, -math.inf) < LOADED_SECONDS:
            return known.loaded
        self._asked_loaded[uid] = now
        answer = await self._get(base + config.path, credential)
        if answer is None or not answer.ok:
            return None
        name, version = _pointer(answer.body, config.name), _pointer(answer.body, config.version)
        return Pack(name, version) if isinstance(name, str) and isinstance(version, str) else None

    async def _get(self, url: str, credential: Credential | None = None) -> Answer | None:
        """One bounded request; None for anything that is not an answer."""
        return await self._asker.get(url, headers_of(credential))


def next_look(began: float, period: float, phase: float) -> float:
    """When to look next, at the latest a period after the last look began. Slow looks are at moments of one's own
    (`phase`: 0 … 1): hundreds of gateways that a new leader finds at once would be asked at once for ever."""
    due = began + period
    return due - (due - phase * period) % period if period >= SLOW_SECONDS else due


def _patience(period: float) -> float:
    """Seconds that a look waits for its pods; who answers later is in a later look. Slow looks can wait for time-outs."""
    return PATIENCE if period < SLOW_SECONDS else 3 * TIMEOUT_SECONDS


def _asks_for(aim: Aim) -> tuple[object, ...]:
    """What is worth a look at once when it changes."""
    return (aim.targets, aim.settings, aim.period, aim.credential)


@dataclass(frozen=True)
class _Said:
    """One pod's answers."""

    health: GatewayHealth
    loaded: Pack | None
    page: Page | Unread | None


def _pointer(value: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to in an object; None where there is nothing."""
    for part in pointer.split("/")[1:]:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part.replace("~1", "/").replace("~0", "~"))
    return value
