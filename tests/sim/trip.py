"""A change that blocks too much, up to the moment in which no new connection reaches it: how long that takes when other
things go wrong as well, and what is lost when the leader dies on the way."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from keeptrusts_operator.api import names
from keeptrusts_operator.core.judgement import Verdict
from keeptrusts_operator.kube.port import BUDGETS, GATEWAYS, PODS, POLICIES, SERVICES, Obj
from tests.demo import objects
from tests.sim.campaign import OVER_BROAD, Broken, Promises
from tests.sim.change import never_serves_quarantined
from tests.sim.clients import reachable
from tests.sim.faults import Call, Fault, Plan, fault_at, no_faults
from tests.sim.node import PROBES_TO_FAIL, serves
from tests.sim.pages import PageFault
from tests.sim.world import SimWorld

WARM_SECONDS, STALE_SECONDS = 40.0, 5.0


@dataclass
class Tripped:
    """Times are the world's; None: it has not come to that."""

    world: SimWorld
    exposed_at: float | None = None
    tripped_at: float | None = None  # the judge says so
    effective_at: float | None = None  # no new connection reaches the candidate
    calls: int = (
        0  # of the API from the trip to its effect: each is a round trip, which the world's own time leaves out
    )
    evidence: list[tuple[float, float]] = field(default_factory=list)  # look by look: when, and its logarithm
    died_at: float | None = None
    inherited: float | None = None  # what the next leader began with

    @property
    def seconds(self) -> float:
        """From the trip to its effect."""
        assert self.tripped_at is not None
        assert self.effective_at is not None
        return self.effective_at - self.tripped_at

    def evidence_at(self, at: float) -> float:
        """What the first leader had by then."""
        return next((e for when, e in reversed(self.evidence) if when <= at), 0.0)


def _of(world: SimWorld, revision: str) -> list[Obj]:
    return list(world.kube.all(PODS, world.namespace, {names.LABEL_REVISION: revision}))


def _frozen(world: SimWorld, active: str) -> None:
    """An active pod stops answering, and loses its readiness after three probes."""
    world.node.containers[_of(world, active)[0]["metadata"]["uid"]].frozen_at = world.at - 5.0


def _crashing(world: SimWorld, active: str) -> None:
    """An active pod ends again and again."""
    container = world.node.containers[_of(world, active)[0]["metadata"]["uid"]]
    container.crashed_at, container.refuses = world.at, True


def _all_but_one(world: SimWorld, active: str) -> None:
    """Only one active pod still answers."""
    for pod in _of(world, active)[1:]:
        world.node.containers[pod["metadata"]["uid"]].crashed_at = world.at


def _unread(world: SimWorld, active: str) -> None:
    """An active pod answers users, but no look."""
    silent = _of(world, active)[0]["metadata"]["uid"]
    world.pages.plan = lambda uid, at: PageFault.SILENT if uid == silent else None


async def _evicted(world: SimWorld, active: str) -> None:
    """An active pod's node is drained."""
    await world.kube.delete(PODS, world.namespace, _of(world, active)[0]["metadata"]["name"])


async def _covered(world: SimWorld, active: str) -> None:
    """Somebody else's PodDisruptionBudget covers every pod."""
    selector = {"matchLabels": {names.LABEL_DEPLOYMENT: world.name}}
    named = {"name": "theirs", "namespace": world.namespace}
    await world.kube.create(BUDGETS, {"metadata": named, "spec": {"minAvailable": "100%", "selector": selector}})


async def _resized(world: SimWorld, active: str) -> None:
    """Replicas are doubled at that moment."""
    await world.kube.merge(GATEWAYS, world.namespace, world.name, {"spec": {"replicas": 8}})


def _deaf(world: SimWorld, active: str) -> None:
    """Nine of ten wake-ups are lost."""
    world.wake_loss = 0.9


def _clock(world: SimWorld, active: str) -> None:
    """The operator's clock jumps an hour ahead."""
    world.clock_error = 3600.0


DISTURBANCES: Mapping[str, Callable[[SimWorld, str], Awaitable[None] | None]] = {
    "an active pod is frozen": _frozen,
    "an active pod is crash-looping": _crashing,
    "one active pod is left": _all_but_one,
    "an active pod cannot be read": _unread,
    "an active pod is evicted": _evicted,
    "a foreign budget covers all pods": _covered,
    "replicas are doubled": _resized,
    "wake-ups are lost": _deaf,
    "the clock jumps": _clock,
}


async def trip_in(
    seed: int,
    rate: float = 500.0,
    disturbance: str = "",
    *,
    dies_at_look: int = 0,
    dies_at_write: int = 0,
    when: str = "after",
    frozen: bool = False,
    stale: bool = False,
    seconds: float = 120.0,
) -> Tripped:
    """Let a change that blocks 45 % trip. `disturbance` begins when it is exposed; the leader dies at the n-th look since
    then, or at the n-th write since the change; `frozen`: it stands still in the middle of the call that exposes, and goes
    on when the next one has long taken over; `stale`: after the rollback it reads for a while how things were before the
    exposure."""
    world = SimWorld(seed)
    run = Tripped(world)
    world.past.lag = 60.0  # so much is remembered
    Promises(world)
    world.checks.append(never_serves_quarantined)
    world.on_look.append(lambda world: _looked(run, dies_at_look))
    await world.kube.create(POLICIES, objects.policy(objects.STANDIN))
    gateway = objects.deployment(objects.STANDIN)
    gateway["spec"]["replicas"] = 4
    gateway["spec"]["rollout"]["steps"] = [{"weight": "25%", "minDuration": "60s"}]
    await world.kube.create(GATEWAYS, gateway)
    await world.run(10)
    world.stream.rate = rate
    await world.run(WARM_SECONDS)
    fault = Fault.CRASH_BEFORE if when == "before" else Fault.CRASH_AFTER
    plan = fault_at(dies_at_write, fault) if dies_at_write else no_faults
    if frozen or stale:
        plan = _frozen_in_the_middle() if frozen else _stale_afterwards(run)
    world.plan = _counted(run, plan)
    active = (await world.status())["activeRevision"]
    await world.replace_policy(lambda d: d["pack"].update(version="1.1.0", description=OVER_BROAD))
    await world.run(60, lambda: _exposed(run))
    if disturbance:
        done = DISTURBANCES[disturbance](world, active)
        if done is not None:
            await done
    await world.run(seconds, lambda: _effective(run))
    await world.run(60)
    return run


def _counted(run: Tripped, plan: Plan) -> Plan:
    def counted(call: Call) -> Fault | None:
        _effective(run)
        run.calls += run.tripped_at is not None and run.effective_at is None
        return plan(call)

    return counted


def _frozen_in_the_middle() -> Plan:
    """Of the first write that raises exposure."""
    left = [Fault.FREEZE]

    def plan(call: Call) -> Fault | None:
        return left.pop() if left and (call.verb, call.resource) == ("apply", SERVICES) else None

    return plan


def _stale_afterwards(run: Tripped) -> Plan:
    """What is read for some seconds after the rollback is older than the exposure."""

    def plan(call: Call) -> Fault | None:
        if run.effective_at is None or run.exposed_at is None or run.world.at > run.effective_at + STALE_SECONDS:
            return None
        run.world.past.lag = run.world.at - run.exposed_at + 0.05
        return Fault.STALE if call.verb in ("get", "list") else None

    return plan


def _exposed(run: Tripped) -> bool:
    service = next(iter(run.world.kube.all(SERVICES, run.world.namespace, {})))
    if names.LABEL_REVISION not in service["spec"]["selector"]:
        run.exposed_at = run.world.at
    return run.exposed_at is not None


def _effective(run: Tripped) -> bool:
    world = run.world
    if run.tripped_at is None or run.effective_at is not None:
        return run.effective_at is not None
    reached = [p for p in reachable(world.kube, (world.namespace, world.name)) if serves(p)]
    bad = [p for p in reached if OVER_BROAD in world.node.containers[p["metadata"]["uid"]].description]
    if reached and not bad:
        run.effective_at = world.at
    return run.effective_at is not None


async def trip_with_nowhere_to_go(seed: int) -> Tripped:
    """It trips while no active pod is ready, only kept by clients that stick to them; then its fault heals, and active
    pods come back. What was tripped stays tripped."""
    world = SimWorld(seed)
    run = Tripped(world)
    Promises(world)
    world.on_look.append(lambda world: _looked(run, 0))
    await world.kube.create(POLICIES, objects.policy(objects.STANDIN))
    gateway = objects.deployment(objects.STANDIN)
    gateway["spec"]["rollout"]["steps"] = [{"weight": "25%", "minDuration": "5s"}]
    await world.kube.create(GATEWAYS, gateway)
    await world.run(10)
    world.clients.rate = 100.0
    await world.run(WARM_SECONDS)
    active = [p["metadata"]["uid"] for p in _of(world, (await world.status())["activeRevision"])]
    await world.replace_policy(lambda d: d["pack"].update(version="1.1.0", description=OVER_BROAD))
    await world.run(60, lambda: _exposed(run))
    for uid in active:
        world.node.containers[uid].unhealthy_since = world.at - PROBES_TO_FAIL
    await world.run(60, lambda: run.tripped_at is not None)
    for container in world.node.containers.values():
        container.healed = True
    await world.run(60)
    for uid in active:
        world.node.containers[uid].unhealthy_since = None
    await world.run(120)
    return run


def inherits(run: Tripped, period: float) -> None:
    """What the next leader begins with lacks at most what was learned since the last checkpoint."""
    if run.died_at is None or run.inherited is None:
        return
    lately = [e for at, e in [(run.exposed_at or 0.0, 0.0), *run.evidence] if at >= run.died_at - period]
    if run.inherited < min(lately) - 0.01:
        raise Broken(
            f"evidence is lost: e^{run.evidence[-1][1]:.2f} when the leader died, e^{run.inherited:.2f} for the next one"
        )


def _looked(run: Tripped, dies_at: int) -> None:
    """Take down the evidence, and let the leader die if it is time."""
    world, judged = run.world, run.world.gateways.judgement
    if run.exposed_at is None or judged is None:
        return
    log = float(judged.checkpoint["watch"]["trip"][0]) if judged.checkpoint else math.log(judged.evidence)
    if run.tripped_at is None and judged.verdict is Verdict.TRIP:
        run.tripped_at = world.at
    if run.died_at is not None:
        run.inherited = log if run.inherited is None else run.inherited
        return
    run.evidence.append((world.at, log))
    if len(run.evidence) == dies_at:
        run.died_at = world.at
        world.kill()
