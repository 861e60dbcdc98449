"""What gateway pods say of themselves, sampled in the background so that no silent pod ever delays a decision."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from keeptrusts_operator.api.gateway import GatewaySettings, LoadedConfig
from keeptrusts_operator.core.world import GatewayHealth, Pack

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT = httpx.Timeout(1.0)
BUSY_SECONDS, IDLE_SECONDS = 0.5, 10.0
MAX_BODY = 1 << 20
CONSECUTIVE = 2  # a verdict needs this many samples that say the same
STATUS = {"healthy": GatewayHealth.HEALTHY, "degraded": GatewayHealth.DEGRADED, "unhealthy": GatewayHealth.UNHEALTHY}


@dataclass(frozen=True)
class Target:
    """One pod to ask."""

    uid: str
    ip: str


@dataclass(frozen=True)
class Sample:
    """What a pod said last, on what it was asked."""

    health: GatewayHealth
    loaded: Pack | None
    at: float  # monotonic seconds


class GatewayWatch:
    """Samples the pods of one GatewayDeployment; `wake` is called when what is known of a pod changes."""

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

    def aim(self, targets: tuple[Target, ...], settings: GatewaySettings, *, busy: bool) -> None:
        """Which pods to ask from now on, and how often."""
        period = BUSY_SECONDS if busy else IDLE_SECONDS
        if (targets, settings, period) != (self._targets, self._settings, self._period):
            self._targets, self._settings, self._period = targets, settings, period
            uids = {t.uid for t in targets}
            self._known = {u: s for u, s in self._known.items() if u in uids}
            self._last = {u: s for u, s in self._last.items() if u in uids}
            self._changed.set()

    def known(self) -> Mapping[str, Sample]:
        """The newest sample by pod UID; one that is too old to count is not in it."""
        oldest = self._monotonic() - 3 * max(self._period, 1.0)
        return {u: s for u, s in self._known.items() if s.at >= oldest}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            if self._settings is not None and self._settings.scheme == "http":
                await asyncio.gather(*(self._sample(t, self._settings) for t in self._targets))
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), self._period)
            except TimeoutError:
                continue

    async def _sample(self, target: Target, settings: GatewaySettings) -> None:
        base = f"http://{f'[{target.ip}]' if ':' in target.ip else target.ip}:{settings.port}"
        health, loaded = await asyncio.gather(
            self._health(base, settings.health.status),
            self._loaded(base, settings.loaded_config),
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
                try:
                    body = httpx.Response(200, content=bytes(data)).json()
                except ValueError:
                    body = None
                return _Answer(response.is_success, body)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None


@dataclass(frozen=True)
class _Answer:
    ok: bool
    body: Any


def _pointer(value: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to in an object; None where there is nothing."""
    for part in pointer.split("/")[1:]:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part.replace("~1", "/").replace("~0", "~"))
    return value
