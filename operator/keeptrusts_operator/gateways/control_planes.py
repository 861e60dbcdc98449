"""All control planes that GatewayDeployments name, each asked in the background once for all of them.

A control loop never waits for any: it says what it wants to know (`aim`) and reads what is known (`heard`). One that
hangs keeps its own few calls busy, makes its own signals unknown, and delays nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from keeptrusts_operator.api.deployment import ControlPlane as Named
from keeptrusts_operator.api.references import Credential, Token
from keeptrusts_operator.gateways.control_plane import ControlPlane
from keeptrusts_operator.gateways.control_plane_poller import Asker, Follow, PlaneHeard, Poller
from keeptrusts_operator.gateways.credentials import AllowedHosts, why_not

MAX_APIS = 64  # asked at the same time, with at most four calls each
NOTHING_NAMED = "spec.controlPlane is not set"

Key = tuple[str, Token]
"""Whom to ask, and as whom."""


@dataclass(frozen=True)
class _Interest:
    """What an asker wants to know of whom; `key` None: of nobody, and `why`."""

    key: Key | None = None
    gateway: str = ""
    why: str = ""


class ControlPlanes:
    """Everything that is known of control planes, for all GatewayDeployments."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        allowed: AllowedHosts,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._allowed, self._monotonic, self._wall = client, allowed, monotonic, wall
        self._interests: dict[Asker, _Interest] = {}
        self._pollers: dict[Key, Poller] = {}
        self._tasks: dict[Poller, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def aim(
        self, asker: Asker, named: Named | None, credential: Credential | None, follow: Follow | None, now: datetime
    ) -> None:
        """What an asker wants to know from now on. None named: nothing.

        `credential` is what `tokenSecretRef` leads to; `follow`: while a candidate is judged; `now`: the asker's time.
        """
        interest = self._interest(named, credential)
        before = self._interests.get(asker, _Interest()).key
        if before is not None and before != interest.key:
            self._leave(asker, before)
        self._interests[asker] = interest
        if interest.key is not None:
            self._poller(interest.key).aim(asker, interest.gateway, follow, now)

    def forget(self, asker: Asker) -> None:
        """An asker is gone; with the last one of an API, asking it ends."""
        before = self._interests.pop(asker, _Interest()).key
        if before is not None:
            self._leave(asker, before)

    def heard(self, asker: Asker) -> PlaneHeard:
        """What is known now; nothing is waited for."""
        interest = self._interests.get(asker, _Interest(why=NOTHING_NAMED))
        if interest.key is None:
            return PlaneHeard.unknown(interest.why)
        return self._pollers[interest.key].heard(asker, interest.gateway)

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                self._changed.clear()
                self._settle()
                await self._changed.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()
            self._tasks.clear()

    def _settle(self) -> None:
        """A task for each poller there is, and none for any other."""
        wanted = set(self._pollers.values())
        for poller in self._tasks.keys() - wanted:
            self._tasks.pop(poller).cancel()
        for (url, _), poller in self._pollers.items():
            if poller not in self._tasks:
                self._tasks[poller] = asyncio.create_task(poller.run(), name=f"control plane {url}")

    def _interest(self, named: Named | None, credential: Credential | None) -> _Interest:
        if named is None:
            return _Interest(why=NOTHING_NAMED)
        if refusal := self._allowed.refusal(named.url, "spec.controlPlane.url"):
            return _Interest(why=refusal)
        if not isinstance(credential, Token):
            return _Interest(why=why_not(credential) or "its token has not been read yet")
        key = (named.url.rstrip("/"), credential)
        if key not in self._pollers and len(self._pollers) >= MAX_APIS:
            return _Interest(why=f"the operator asks {MAX_APIS} other control planes already")
        return _Interest(key, named.gateway_id or "")

    def _poller(self, key: Key) -> Poller:
        if key not in self._pollers:
            api = ControlPlane(self._client, *key, self._monotonic, self._wall)
            self._pollers[key] = Poller(api, self._monotonic)
            self._changed.set()
        return self._pollers[key]

    def _leave(self, asker: Asker, key: Key) -> None:
        if self._pollers[key].leave(asker):
            del self._pollers[key]
            self._changed.set()
