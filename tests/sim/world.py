"""Everything together: virtual time, the simulated API, node and clients, and the operator's real loop."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from keeptrusts_operator.gateways.watch import Sample, Target
from keeptrusts_operator.kube.port import GATEWAYS, POLICIES, ApiError, Obj, Resource
from keeptrusts_operator.loop.reconcile import Reconciler
from tests.demo import objects
from tests.sim.api import SimKube
from tests.sim.clients import Clients
from tests.sim.node import Node

TICK = 0.1
EPOCH = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


class Crash(Exception):
    """The operator's process ends here; the world starts another one."""


class SimGateways:
    """What the loop's sampler would know: every aimed-at pod, asked every half second (ten when nothing goes on)."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._targets: tuple[Target, ...] = ()
        self._period = 10.0
        self._asked_at = 0.0
        self._known: dict[str, Sample] = {}

    def aim(self, targets: tuple[Target, ...], settings: object, *, busy: bool) -> None:
        self._targets, self._period = targets, 0.5 if busy else 10.0

    def known(self) -> Mapping[str, Sample]:
        return self._known

    def tick(self, at: float) -> bool:
        """Ask when it is time to; whether something new was heard."""
        if at < self._asked_at + self._period:
            return False
        self._asked_at = at
        containers = self._world.node.containers
        fresh = {
            t.uid: Sample(self._world.node.health(t.uid), containers[t.uid].pack, at)
            for t in self._targets
            if t.uid in containers
        }
        heard = {u: (s.health, s.loaded) for u, s in fresh.items()} != {
            u: (s.health, s.loaded) for u, s in self._known.items()
        }
        self._known = fresh
        return heard


class SimWorld:
    """One GatewayDeployment in a small cluster. `run` lets virtual time go by; `trace` says what happened when."""

    def __init__(self, seed: int, namespace: str = "demo", name: str = "kt-gateway") -> None:
        rng = random.Random(seed)
        self.at = 0.0
        self.namespace, self.name = namespace, name
        self.kube = SimKube(self.now)
        self.kube.changed = self._changed
        self.node = Node(self.kube, rng)
        self.clients = Clients(self.kube, self.node, rng, lambda at: EPOCH.timestamp() + at)
        self.clients.service = (namespace, name)
        self.trace: list[str] = []
        self.statuses: list[Obj] = []  # every one that was written
        self.checks: list[Callable[[SimWorld], None]] = []
        self._next_pass = 0.0
        self._failures = 0
        self.restart()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.at)

    def restart(self) -> None:
        """A new operator process, which remembers nothing."""
        self.gateways = SimGateways(self)
        self._reconciler = Reconciler(self.kube, self.gateways, self.namespace, self.name, self.now)
        self._next_pass = self.at

    async def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time go by; True as soon as `until` holds."""
        end = self.at + seconds
        while self.at < end:
            self.at += TICK
            await self.node.tick(self.now(), self.at)
            self.clients.tick(self.at, TICK)
            if self.gateways.tick(self.at):
                self._next_pass = self.at
            if self.at >= self._next_pass:
                await self._pass()
            if until and until():
                return True
        return until is None

    async def _pass(self) -> None:
        before = len(self.kube.writes)
        self.kube.armed = True
        try:
            done = await self._reconciler.once()
        except Crash:
            self._say("the operator is killed, another one starts")
            self.restart()
            self._next_pass = self.at + 1
            return
        except ApiError as error:
            self._failures += 1
            self._next_pass = self.at + min(0.5 * 2.0 ** min(self._failures, 10), 30.0)
            self._say(f"pass failed: {error}")
            return
        finally:
            self.kube.armed = False
        self._failures = 0
        self._next_pass = self.at + done.look_again.total_seconds()
        for write in self.kube.writes[before:]:
            self._say(write)
        if done.status is not None and done.status not in self.statuses[-1:]:
            self.statuses.append(done.status)
        if done.decision and done.decision.transition:
            self._say(f"== {done.decision.transition}")
        for check in self.checks:
            check(self)

    async def replace_policy(self, change: Callable[[Obj], None]) -> None:
        """The user applies the demo's policy with a change to its document."""
        policy = next(iter(self.kube.all(POLICIES, self.namespace, {})))
        await self.kube.replace(POLICIES, {**objects.policy(objects.STANDIN, change), "metadata": policy["metadata"]})

    async def gateway(self) -> Obj:
        return await self.kube.get(GATEWAYS, self.namespace, self.name)

    async def status(self) -> dict[str, Any]:
        return dict((await self.gateway()).get("status") or {})

    def _changed(self, resource: Resource, obj: Obj) -> None:
        """A watch tells of it a moment later."""
        self._next_pass = min(self._next_pass, self.at + TICK)

    def _say(self, text: str) -> None:
        self.trace.append(f"{self.at:8.2f}s {text}")
