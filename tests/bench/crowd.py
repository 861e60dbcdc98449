"""Thousands of pods that are nobody's business here, some of which come, change and go all the time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque

from keeptrusts_operator.kube.client import ApiServer
from keeptrusts_operator.kube.port import PODS, ApiError, Obj

AT_A_TIME = 24


class Crowd:
    """Foreign pods in some namespaces. They are objects only: no controller owns them and nothing runs them."""

    def __init__(self, api: ApiServer, namespaces: list[str]) -> None:
        self._api, self._namespaces = api, namespaces
        self._names: deque[tuple[str, str]] = deque()
        self._numbers = itertools.count(int(time.time()) % 100_000 * 100_000)
        self.writes = 0

    async def gather(self, count: int) -> None:
        """Create them."""
        gate = asyncio.Semaphore(AT_A_TIME)

        async def one() -> None:
            async with gate:
                await self._create()

        for _ in range(0, count, 500):
            await asyncio.gather(*(one() for _ in range(min(500, count - len(self._names)))))

    async def churn(self, per_second: float) -> None:
        """So many created, as many patched and as many deleted each second, until cancelled."""
        began = time.monotonic()
        for number in itertools.count(1):
            await asyncio.gather(self._create(), self._patch(), self._delete())
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))

    async def _create(self) -> None:
        number = next(self._numbers)
        namespace, name = self._namespaces[number % len(self._namespaces)], f"foreign-{number}"
        for _ in range(3):
            with contextlib.suppress(ApiError):
                await self._api.create(PODS, _pod(namespace, name))
                self._names.append((namespace, name))
                self.writes += 1
                return

    async def _patch(self) -> None:
        namespace, name = self._names[len(self._names) // 2]
        note = {"metadata": {"annotations": {"example.com/touched": str(time.time())}}}
        with contextlib.suppress(ApiError):
            await self._api.merge(PODS, namespace, name, note)
            self.writes += 1

    async def _delete(self) -> None:
        namespace, name = self._names.popleft()
        with contextlib.suppress(ApiError):
            await self._api.delete(PODS, namespace, name)
            self.writes += 1


def _pod(namespace: str, name: str) -> Obj:
    container = {"name": "main", "image": "example.com/app:1", "resources": {"requests": {"cpu": "10m"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "foreign", "team": name[-1]}},
        "spec": {"automountServiceAccountToken": False, "containers": [container]},
    }
