"""The demo's stage in the simulated world: the same story, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.kube.port import GATEWAYS, INCIDENTS, PODS, POLICIES, Obj
from tests.demo.objects import NAMESPACE, Cast
from tests.sim.governance import govern
from tests.sim.world import EPOCH, TICK, SimWorld
from tests.traffic.answers import Answer

RESOURCES = {r.kind: r for r in (GATEWAYS, POLICIES)}


class SimStage:
    """What `tests.demo.story.Stage` asks for."""

    def __init__(self, cast: Cast, say: Callable[[float, str], None], seed: int = 1) -> None:
        self.cast, self.say = cast, say
        self.world = SimWorld(seed, NAMESPACE, cast.name)
        self.status: dict[str, Any] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self._told = ""
        self._requests = 0

    def now(self) -> float:
        return EPOCH.timestamp() + self.world.at

    async def sleep(self, seconds: float) -> None:
        await self.until(lambda: False, seconds, "")

    async def apply(self, obj: Obj) -> float:
        resource, kube = RESOURCES[obj["kind"]], self.world.kube
        existing = [o for o in kube.all(resource, NAMESPACE, {}) if o["metadata"]["name"] == obj["metadata"]["name"]]
        if existing:
            await kube.replace(resource, {**obj, "metadata": existing[0]["metadata"]})
        else:
            await kube.create(resource, obj)
        return self.now()

    async def people(self, roles: Mapping[str, str]) -> None:
        """Nobody is refused here; the operator finds the admission policies that vouch for people."""
        await govern(self.world.kube)

    async def annotate(self, who: str, notes: Mapping[str, str]) -> float:
        """With what the admission policy would stamp."""
        asked = {f"{names.PREFIX}{key}": value for key, value in notes.items()}
        for verb in Verb:
            if verb.annotation in asked:
                self._requests += 1
                asked[verb.requested_by_annotation] = who
                asked[verb.request_id_annotation] = str(self._requests)
        await self.world.kube.merge(GATEWAYS, NAMESPACE, self.cast.name, {"metadata": {"annotations": asked}})
        return self.now()

    async def incidents(self) -> list[Obj]:
        return list(self.world.kube.all(INCIDENTS, NAMESPACE, {names.LABEL_DEPLOYMENT: self.cast.name}))

    async def clear(self) -> None:
        """A simulated world begins empty."""

    def watch(self) -> None:
        """Watching is part of every `until`."""

    async def until(self, condition: Callable[[], Any], seconds: float, what: str) -> float:
        end = self.world.at + seconds
        while self.world.at < end:
            await self.world.run(TICK)
            await self._look()
            result = condition()
            if await result if asyncio.iscoroutine(result) else result:
                return self.now()
        if what:
            raise TimeoutError(
                f"not within {seconds:.0f} s: {what}. Status: {self.status.get('phase')} {self.status.get('message')}"
            )
        return self.now()

    async def start_traffic(self, *, rate: float = 100.0, pooled_share: float = 1.0, near_share: float = 0.0) -> None:
        clients = self.world.clients
        clients.rate, clients.pooled_share, clients.near_share = rate, pooled_share, near_share

    async def stop_traffic(self) -> None:
        self.world.clients.rate = 0.0

    def answers(self) -> list[Answer]:
        return self.world.clients.answers

    def stop_processes(self, revision: str) -> int:
        stopped = 0
        for pod in self.world.kube.all(PODS, NAMESPACE, {names.LABEL_REVISION: revision}):
            self.world.node.containers[pod["metadata"]["uid"]].frozen_at = self.world.at
            stopped += 1
        return stopped

    async def _look(self) -> None:
        self.status = await self.world.status()
        for pod in self.world.kube.all(PODS, NAMESPACE, {}):
            self.pods.setdefault(pod["metadata"]["name"], pod)
        line = f"{self.status.get('phase', 'Pending'):<10} {self.status.get('message', '')}"
        if line != self._told and self.status:
            self._told = line
            self.say(self.now(), line)
