"""What gateway pods say of themselves, sampled in the background so that no silent pod ever delays a decision."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from keeptrusts_operator.api.gateway import GatewaySettings, LoadedConfig
from keeptrusts_operator.core.world import Flow, GatewayHealth, Pack, TestReport
from keeptrusts_operator.gateways.behaviour import BehaviourTests, Plan
from keeptrusts_operator.gateways.counters import NotMetrics, PodCounters, read_page
from keeptrusts_operator.gateways.flows import Flows, Round
from keeptrusts_operator.gateways.pods import Target, base_url

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT = httpx.Timeout(1.0)
BUSY_SECONDS, IDLE_SECONDS = 0.5, 10.0
MAX_BODY = 1 << 20
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


class GatewayWatch:
    """Asks the pods of one GatewayDeployment; `wake` is called when what is known of one changes."""

    def __init__(
        self, client: httpx.AsyncClient, wake: Callable[[], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._wake, self._monotonic = client, wake, monotonic
        self._targets: tuple[Target, ...] = ()
        self._settings: GatewaySettings | None = None
        self._period = IDLE_SECONDS
        self._changed = asyncio.Event()
        self._known: dict[str, Sample] = {}
        self._last: dict[str, tuple[GatewayHealth, int]] = {}  # newest answer, and how often in a row
        self._counters: dict[str, PodCounters] = {}
        self._flows = Flows()
        self._round_at: float | None = None
        self._started_at = time.time()
        self._tests = BehaviourTests(client, wake)

    def aim(self, targets: tuple[Target, ...], settings: GatewaySettings, plan: Plan | None, *, busy: bool) -> None:
        """Which pods to ask from now on and how often, and which behaviour tests to run."""
        self._tests.aim(plan)
        period = BUSY_SECONDS if busy else IDLE_SECONDS
        if (targets, settings, period) == (self._targets, self._settings, self._period):
            return
        if self._settings and settings.metrics != self._settings.metrics:
            self._counters, self._flows = {}, Flows()
        self._targets, self._settings, self._period = targets, settings, period
        uids = {t.uid for t in targets}
        self._known = {u: s for u, s in self._known.items() if u in uids}
        self._last = {u: s for u, s in self._last.items() if u in uids}
        self._counters = {u: c for u, c in self._counters.items() if u in uids}
        self._changed.set()

    def heard(self, now: datetime) -> Heard:
        """Everything that is known; a sample that is too old to count is not in it."""
        at = self._monotonic()
        oldest = at - 3 * max(self._period, 1.0)
        samples = {u: s for u, s in self._known.items() if s.at >= oldest}
        return Heard(samples, self._flows.flows(now, at), self._flows.last_answers(now, at), self._tests.report())

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tests.run())
            group.create_task(self._sample_all())

    async def _sample_all(self) -> None:
        while True:
            if self._settings is not None and self._settings.scheme == "http":
                await self._round(self._targets, self._settings)
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), self._period)
            except TimeoutError:
                continue

    async def _round(self, targets: tuple[Target, ...], settings: GatewaySettings) -> None:
        since, at = self._round_at, self._monotonic()
        self._round_at = at
        counted = await asyncio.gather(*(self._sample(t, settings) for t in targets))
        if since is None:
            return
        requests: dict[str, float | None] = {}
        for target, more in zip(targets, counted, strict=True):
            before = requests.get(target.revision, 0.0)
            requests[target.revision] = None if before is None or more is None else before + more
        self._flows.add(Round(since, at, requests))

    async def _sample(self, target: Target, settings: GatewaySettings) -> float | None:
        """Ask one pod everything; the requests that it has counted since it was asked before, None if not known."""
        base = base_url(target, settings)
        health, loaded, counted = await asyncio.gather(
            self._health(base, settings.health.status),
            self._loaded(base, settings.loaded_config),
            self._count(base, target, settings),
        )
        before = self._known.get(target.uid)
        last, times = self._last.get(target.uid, (GatewayHealth.UNKNOWN, 0))
        times = times + 1 if last is health else 1
        self._last[target.uid] = (health, times)
        if times < CONSECUTIVE:
            health = before.health if before else GatewayHealth.UNKNOWN
        self._known[target.uid] = Sample(health, loaded, self._monotonic())
        if before is None or (before.health, before.loaded) != (health, loaded):
            self._wake()
        return counted

    async def _count(self, base: str, target: Target, settings: GatewaySettings) -> float | None:
        """Increment of the decision counters; None for a pod at its first sight, unless it was born under our eyes."""
        if settings.metrics.decisions is None:
            return None
        answer = await self._get(base + settings.metrics.path)
        if answer is None or not answer.ok:
            return None
        try:
            page = read_page(answer.text, settings.metrics)
        except NotMetrics as error:
            logger.debug("%s: %s", base, error)
            return None
        counters = self._counters.get(target.uid)
        if counters is None:
            born_here = self._round_at is not None and target.born_at > self._started_at
            counters = self._counters[target.uid] = PodCounters(settings.metrics, from_zero=born_here)
            increment = counters.feed(page)
            return increment.requests if born_here else None
        return counters.feed(page).requests

    async def _health(self, base: str, path: str) -> GatewayHealth:
        """Its own word where there is one; an answer without one is healthy when it is a 2xx, else unknown."""
        answer = await self._get(base + path) if path else None
        if answer is None:
            return GatewayHealth.UNKNOWN
        word = _pointer(answer.body, "/status")
        if isinstance(word, str) and word.lower() in STATUS:
            return STATUS[word.lower()]
        return GatewayHealth.HEALTHY if answer.ok else GatewayHealth.UNKNOWN

    async def _loaded(self, base: str, config: LoadedConfig | None) -> Pack | None:
        if config is None:
            return None
        answer = await self._get(base + config.path)
        if answer is None or not answer.ok:
            return None
        name, version = _pointer(answer.body, config.name), _pointer(answer.body, config.version)
        return Pack(name, version) if isinstance(name, str) and isinstance(version, str) else None

    async def _get(self, url: str) -> _Answer | None:
        """One bounded request; None for anything that is not an answer."""
        try:
            async with self._client.stream("GET", url, timeout=REQUEST_TIMEOUT) as response:
                data = bytearray()
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > MAX_BODY:
                        return None
                return _Answer(response.is_success, data.decode(errors="replace"))
        except (httpx.HTTPError, httpx.InvalidURL):
            return None


@dataclass(frozen=True)
class _Answer:
    ok: bool
    text: str

    @property
    def body(self) -> Any:
        """The parsed JSON; None when it is not JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


def _pointer(value: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to in an object; None where there is nothing."""
    for part in pointer.split("/")[1:]:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part.replace("~1", "/").replace("~0", "~"))
    return value
