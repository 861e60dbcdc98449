"""Everything together: virtual time, the simulated API, node and clients, and the operator's real loop.

Time jumps from event to event. The operator is killed, frozen and deposed here; another process takes over a moment
later and remembers nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.core.judgement import Judgement
from keeptrusts_operator.core.world import TestReport, TestResult, TestVerdict
from keeptrusts_operator.gateways.control_plane_poller import Follow, PlaneHeard
from keeptrusts_operator.gateways.ledger import Ledger
from keeptrusts_operator.gateways.trial import pods_from
from keeptrusts_operator.gateways.watch import Aim, Heard, Sample
from keeptrusts_operator.kube.fence import LeadershipLost
from keeptrusts_operator.kube.port import GATEWAYS, PODS, POLICIES, ApiError, Obj, Resource
from keeptrusts_operator.loop.budgets import ForeignBudgets
from keeptrusts_operator.loop.clock import SteadyClock
from keeptrusts_operator.loop.credentials import Credentials
from keeptrusts_operator.loop.governance import Governance
from keeptrusts_operator.loop.observe import Shared
from keeptrusts_operator.loop.pace import Pace
from keeptrusts_operator.loop.reconcile import Reconciler
from tests.demo import objects
from tests.sim.api import SimKube
from tests.sim.clients import Clients
from tests.sim.faults import Call, Crash, Fault, FaultyKube, Past, Plan, no_faults
from tests.sim.node import Node
from tests.sim.pages import Pages
from tests.sim.stream import Stream

TICK = 0.1
EPOCH = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
NEVER = float("inf")


class SimGateways:
    """What the operator hears from gateways: every aimed-at pod is asked once a period, and the real books are kept."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._aim: Aim | None = None
        self._ledger = Ledger()
        self.next_at, self.looked_at = 0.0, -1.0
        self._known: dict[str, Sample] = {}
        self._results: dict[str, TestResult] = {}

    def aim(self, aim: Aim) -> None:
        before, self._aim = self._aim, aim
        if (aim.plan and aim.plan.rollout_id) != (before and before.plan and before.plan.rollout_id):
            self._results = {}
        self._ledger.aim(aim.targets, aim.settings.metrics, aim.active, aim.case, self._world.at)
        if before is None or (aim.targets, aim.period, aim.plan) != (before.targets, before.period, before.plan):
            self.next_at = self._world.at

    def heard(self, now: datetime) -> Heard:
        at, ledger, plan = self._world.at, self._ledger, self._aim and self._aim.plan
        report = TestReport(plan.rollout_id, tuple(self._results.values())) if plan else None
        flows, last_answers = ledger.flows(now, at), ledger.last_answers(now, at)
        moving = ledger.judge.windows.moving_since(now, at)
        said = (ledger.judgement(now, at), ledger.scrape(), ledger.traffic(at), moving, None)
        said_of_all = (ledger.answered(), ledger.rates())
        return Heard(self._known, flows, last_answers, report, *said, *said_of_all)

    @property
    def judgement(self) -> Judgement | None:
        """The judge's word now, by the true clock."""
        return self._ledger.judgement(self._world.now(), self._world.at)

    def tick(self, at: float) -> bool:
        """Ask when it is time to; whether something new was heard."""
        if self._aim is None or at < self.next_at:
            return False
        self.next_at, self.looked_at = at + self._aim.period, at
        containers = self._world.node.containers
        before, word = {u: (s.health, s.loaded) for u, s in self._known.items()}, self._ledger.judge.word
        asked = [t.uid for t in self._aim.targets if t.uid in containers]
        self._known = {u: Sample(self._world.node.health(u), containers[u].pack, at) for u in asked}
        pages, metrics = self._world.pages, self._aim.settings.metrics
        self._ledger.enter({u: p for u in asked if (p := pages.of(u, containers[u], metrics, at)) is not None}, at)
        news = {u: (s.health, s.loaded) for u, s in self._known.items()} != before or self._ledger.judge.word != word
        return self._test(at) or news

    def _test(self, at: float) -> bool:
        """One behaviour test a look. What the gateway decides is written in the document's description."""
        plan = self._aim and self._aim.plan
        if not plan or plan.pod.uid not in self._world.node.containers:
            return False
        for test in plan.tests:
            old = self._results.get(test.name)
            if old is None or old.verdict is TestVerdict.UNKNOWN:
                new = self._world.node.tested(plan.pod.uid, test.name, at)
                self._results[test.name] = new
                return new != old
        return False


class Nobody:
    """No Secrets and no control plane."""

    def credentials(self, spec: GatewayDeploymentSpec) -> Credentials:
        return Credentials()

    def aim(
        self, spec: GatewayDeploymentSpec, credentials: Credentials, follow: Follow | None, now: datetime
    ) -> None: ...

    def heard(self) -> PlaneHeard:
        return PlaneHeard.unknown("spec.controlPlane is not set")


class SimWorld:
    """One GatewayDeployment in a small cluster. `run` lets virtual time go by; `trace` says what happened when."""

    def __init__(self, seed: int, namespace: str = "demo", name: str = "kt-gateway") -> None:
        rng = random.Random(seed)
        self.seed, self.rng = seed, rng
        self.at = 0.0
        self.clock_error = 0.0  # seconds by which the operator's system clock is off
        self.namespace, self.name = namespace, name
        self.kube = SimKube(self.now)
        self.kube.changed = self._changed
        self.past = Past(self.kube, lambda: self.at)
        self.node = Node(self.kube, rng)
        self.clients = Clients(self.kube, self.node, rng, lambda at: EPOCH.timestamp() + at)
        self.stream = Stream(self.kube, self.node, rng)
        self.clients.service = self.stream.service = (namespace, name)
        self.trace: list[str] = []
        self.statuses: list[Obj] = []  # every one that was written
        self.checks: list[Callable[[SimWorld], None]] = []  # after every pass
        self.on_look: list[Callable[[SimWorld], None]] = []  # after every look at the pods
        self.on_change: list[Callable[[Resource, Obj, bool], None]] = []  # after every change; True: by the operator
        self.plan: Plan = no_faults
        self.pages = Pages(random.Random(f"pages of {seed}"))
        self.wake_loss, self.wake_delay = 0.0, TICK  # share of lost wake-ups; how long a wake-up takes
        self.stirs = False  # a look whose health signals have changed wakes the loop up, as in a real process
        self.deaths = 0
        self.thawing = False  # who writes now has stood still since it looked
        self._operator_writes = False
        self._next_pass = self._next_tick = 0.0
        self._frozen: list[tuple[float, asyncio.Event, asyncio.Task[None]]] = []
        self.restart()

    def now(self) -> datetime:
        """The true time; milliseconds."""
        return EPOCH + timedelta(milliseconds=round(self.at * 1000))

    def restart(self) -> None:
        """A new operator process, which remembers nothing."""
        self.pages.forget(self._only_the_dead_knew())
        self.gateways = SimGateways(self)
        self.operator = FaultyKube(self.kube, self._fault, self.say)
        self.operator.past, self.operator.writing = self.past, self._write
        self.operator.thawed = partial(self._freeze, self.operator)
        shared = Shared(Governance(self.kube, lambda: self.at), ForeignBudgets(self.operator))
        clock = SteadyClock(lambda: self.now() + timedelta(seconds=self.clock_error), lambda: self.at)
        self._reconciler = Reconciler(self.operator, self.gateways, Nobody(), shared, self.namespace, self.name, clock)
        self._pace, self._next_pass = Pace(), self.at

    def _only_the_dead_knew(self) -> list[str]:
        """The candidate's pods of which no checkpoint says that they allow: nobody can tell what is missing there."""
        status = next((g.get("status") or {} for g in self.kube.all(GATEWAYS, self.namespace, {})), {})
        kept = pods_from(status.get("breaker", {}).get("checkpoint", {}).get("pods"))
        labels = {names.LABEL_REVISION: status.get("candidateRevision", "")}
        uids = [str(p["metadata"]["uid"]) for p in self.kube.all(PODS, self.namespace, labels)]
        return [u for u in uids if u not in kept or kept[u].requests <= kept[u].blocked]

    def kill(self) -> None:
        """The operator dies; a second later another process begins."""
        self.say("the operator is killed, another one starts")
        self.deaths += 1
        self.restart()
        self._next_pass = self.at + 1

    async def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time go by; True as soon as `until` holds."""
        end = round(self.at + seconds, 3)
        while self.at < end:
            self.at = round(min(end, max(self.at + TICK, self._next_event())), 3)
            self.stream.flow(self.at)
            await self._thaw()
            if self._next_tick <= self.at or self.node.next_event(self.at - TICK) <= self.at or self.clients.rate:
                self._next_tick = NEVER
                await self.node.tick(self.now(), self.at)
            self.clients.tick(self.at, TICK)
            looks = self.gateways.next_at
            if self.gateways.tick(self.at) or (
                self.stirs and self.gateways.next_at != looks and self._reconciler.stirred
            ):
                self._next_pass = self.at
            if self.gateways.looked_at == self.at:
                for check in self.on_look:
                    check(self)
            if self.at >= self._next_pass:
                await self._pass()
            if until and until():
                return True
        return until is None

    def _next_event(self) -> float:
        if self.clients.rate:
            return self.at + TICK
        frozen = min((at for at, _, _ in self._frozen), default=NEVER)
        return min(self._next_pass, self._next_tick, self.node.next_event(self.at), self.gateways.next_at, frozen)

    async def _pass(self) -> None:
        """One pass of the operator. One that is frozen in the middle stays behind, and another process takes over."""
        operator = self.operator
        task = asyncio.create_task(self._once(operator))
        while not task.done():
            await asyncio.sleep(0)
            if any(t is task for _, _, t in self._frozen):
                return
            if operator.stuck is not None:
                self._frozen.append((self.at + self.rng.uniform(5.0, 60.0), operator.stuck, task))
                operator.leading = False
                self.restart()
                self._next_pass = self.at + self.rng.uniform(1.0, 20.0)
                return
        await task

    async def _once(self, operator: FaultyKube) -> None:
        before = len(self.kube.writes)
        mine = operator is self.operator
        try:
            done = await self._reconciler.once()
        except Crash:
            if operator is self.operator:
                self.kill()
            return
        except LeadershipLost:
            return
        except ApiError as error:
            if operator is self.operator:
                self._next_pass = self.at + self._pace.failed()
                self.say(f"pass failed: {error}")
            return
        if not mine or operator is not self.operator:
            return
        self._next_pass = self.at + self._pace.done(done.look_again)
        for write in self.kube.writes[before:]:
            self.say(write)
        if done.status is not None and done.status not in self.statuses[-1:]:
            self.statuses.append(done.status)
        if done.decision and done.decision.transition:
            self.say(f"== {done.decision.transition}")
        for check in self.checks:
            check(self)

    async def _freeze(self, operator: FaultyKube) -> None:
        """The process that calls this stands still until it thaws, all its calls with it: its fence has let them pass
        before."""
        operator.stuck = operator.stuck or asyncio.Event()
        await operator.stuck.wait()

    async def _thaw(self) -> None:
        for frozen in [f for f in self._frozen if f[0] <= self.at]:
            self._frozen.remove(frozen)
            self.say("the frozen process wakes up")
            self.thawing = True
            frozen[1].set()
            await frozen[2]
            self.thawing = False

    def _fault(self, call: Call) -> Fault | None:
        return self.plan(call)

    def _write(self, on: bool) -> None:
        self._operator_writes = on

    async def replace_policy(self, change: Callable[[Obj], None]) -> None:
        """The user applies the demo's policy with a change to its document."""
        policy = next(iter(self.kube.all(POLICIES, self.namespace, {})))
        await self.kube.replace(POLICIES, {**objects.policy(objects.STANDIN, change), "metadata": policy["metadata"]})

    async def gateway(self) -> Obj:
        return await self.kube.get(GATEWAYS, self.namespace, self.name)

    async def status(self) -> dict[str, Any]:
        return dict((await self.gateway()).get("status") or {})

    def _changed(self, resource: Resource, obj: Obj) -> None:
        """A watch tells of it a moment later, or never."""
        self._next_tick = min(self._next_tick, self.at + TICK)
        self.past.remember(resource, obj)
        if not (self.wake_loss and self.rng.random() < self.wake_loss):
            self._next_pass = min(self._next_pass, self.at + self.wake_delay)
        for check in self.on_change:
            check(resource, obj, self._operator_writes)

    def say(self, text: str) -> None:
        self.trace.append(f"{self.at:8.2f}s {text}")
