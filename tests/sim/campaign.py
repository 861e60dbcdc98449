"""Bad days: random changes, requests and faults in one world, with the promises checked after every change of an object.

One seed is one run. `live(seed)` raises `Broken` with the readable trace when a promise does not hold.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.core.judgement import BLOCK_RATE, Verdict
from keeptrusts_operator.kube.port import DEPLOYMENTS, GATEWAYS, PODS, POLICIES, SERVICES, Obj, Resource
from keeptrusts_operator.loop.governance import CHECKS, WRITES
from tests.demo import objects
from tests.sim.bypass_days import BYPASSES, BypassDays
from tests.sim.faults import Fault, no_faults, random_faults
from tests.sim.node import serves
from tests.sim.pages import good_pages, random_page_faults
from tests.sim.world import SimWorld

GOOD, REFUSED, SICK, CRASHES, UNTESTED = (
    "",
    "mode=crash",
    "mode=unhealthy-after:2s",
    "mode=crash-after:2s",
    "tests=fail",
)
OVER_BROAD = "blocks=45%"
MODES = (GOOD, GOOD, GOOD, REFUSED, SICK, CRASHES, UNTESTED, OVER_BROAD, OVER_BROAD, "tests=unknown:4s")
BAD_PAGES = 0.5  # of all worlds have them
RATES = (0.0, 200.0, 1000.0)  # requests a second
TEST = {"name": "plain", "messages": [{"role": "user", "content": "hello"}], "expect": "Allow"}
REST_SECONDS = 900.0  # longer than any back-off in the way of a rollout that lasts some 40 s
KEPT = ("gatewaypolicies", "gatewayincidents", "events", *(r.plural for r in (*CHECKS, *WRITES)))
SETTLED = ("Stable", "RolledBack", "Rejected")


class Broken(AssertionError):
    """A promise does not hold."""


@dataclass(frozen=True)
class Lived:
    """What a world went through."""

    trace: tuple[str, ...]
    transitions: Mapping[str, int]
    faults: Mapping[str, int]
    seconds: float  # of virtual time

    @property
    def rollouts(self) -> int:
        return self.transitions.get("RolloutStarted", 0)

    def without_trace(self) -> Lived:
        """As it is sent from one process to another."""
        return replace(self, trace=())


class Promises:
    """Checked at every change of an object; `mine` is True when the operator made it."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._spec: dict[str, Any] = {}
        self._tripped: dict[str, str] = {}  # rollout → revision that it was taken back from
        self._told_tripped: set[str] = set()
        self._deadlines: dict[tuple[str, str, int], str] = {}
        self.by_hand = False  # somebody has asked for a promotion in this world
        world.on_change.append(self.check)

    def check(self, resource: Resource, obj: Obj, mine: bool) -> None:
        if resource is GATEWAYS:
            self._never_writes_intent(obj, mine)
            self._deadlines_stand(obj)
            if mine:
                self._trips_stand(obj)
                self._says_what_is_so(obj)
        if resource is SERVICES and mine:
            self._only_serves_what_may_serve(obj)

    def _never_writes_intent(self, gateway: Obj, mine: bool) -> None:
        intent = {"spec": gateway["spec"], "annotations": gateway["metadata"].get("annotations")}
        if mine and self._spec != intent:
            raise Broken("spec or annotations were written by the operator")
        self._spec = dict(intent)

    def _deadlines_stand(self, gateway: Obj) -> None:
        rollout = gateway.get("status", {}).get("rollout")
        if not rollout or "deadline" not in rollout:
            return
        key = (rollout["id"], rollout["stage"], rollout.get("step", {}).get("index", 0))
        if self._deadlines.setdefault(key, rollout["deadline"]) != rollout["deadline"]:
            raise Broken(f"the deadline of {key} moved")

    def _trips_stand(self, gateway: Obj) -> None:
        """What was told to have tripped is never told to be anything else, whoever leads."""
        told = gateway.get("status", {}).get("breaker")
        if not told:
            return
        if told["rolloutId"] in self._told_tripped and told["state"] != Verdict.TRIP:
            raise Broken(f"rollout {told['rolloutId']} had tripped and is {told['state']} now")
        if told["state"] == Verdict.TRIP:
            self._told_tripped.add(told["rolloutId"])

    def _says_what_is_so(self, gateway: Obj) -> None:
        """Exposure is written before it is told: whoever reads a status finds the Service no less far."""
        status = gateway.get("status", {})
        if status.get("phase") not in SETTLED or not status.get("activeRevision") or self._world.past.just_used:
            return
        service = next((s for s in self._world.kube.all(SERVICES, self._world.namespace, {})), None)
        selected = service and service["spec"]["selector"].get(names.LABEL_REVISION)
        if (
            selected
            and not self.by_hand
            and self._world.stream.rate
            and OVER_BROAD in (self._description(selected) or "")
        ):
            raise Broken(f"{selected} blocks far too much and was promoted by nobody's hand")
        if selected != status["activeRevision"]:
            raise Broken(f"status says {status['phase']} on {status['activeRevision']}; the Service selects {selected}")

    def _only_serves_what_may_serve(self, service: Obj) -> None:
        selector, notes = service["spec"]["selector"], service["metadata"].get("annotations") or {}
        reached = [p for p in self._reached(selector) if serves(p)]
        for revision in {p["metadata"]["labels"][names.LABEL_REVISION] for p in reached}:
            document = self._description(revision) or ""
            if REFUSED in document.split() or UNTESTED in document.split():
                raise Broken(f"{revision} ({document}) may never serve")
        rollout = notes.get(names.ANNOTATION_ROLLOUT_ID, "")
        left = self._tripped.get(rollout, "")
        if left and (selector.get(names.LABEL_REVISION) in (None, left)):
            raise Broken(f"{left} was taken back in rollout {rollout} and is exposed again in it")
        if notes.get(names.ANNOTATION_TRIPPED_REVISION):
            self._tripped_for_cause(notes)
            self._tripped[rollout] = notes[names.ANNOTATION_TRIPPED_REVISION]
        if selector.get(names.LABEL_REVISION) not in (None, "none") and not reached and not self._may_be_late(service):
            raise Broken("the Service was pointed at no ready pod")

    def _may_be_late(self, service: Obj) -> bool:
        """What was seen may be old by now: on a stale read, or when a process that stood still takes traffic back after all.
        A deposed leader can lower exposure, never raise it."""
        gateway = next(iter(self._world.kube.all(GATEWAYS, self._world.namespace, {})), {})
        active = gateway.get("status", {}).get("activeRevision")
        lowers = service["spec"]["selector"].get(names.LABEL_REVISION) == active
        return self._world.past.just_used or (self._world.thawing and lowers)

    def _tripped_for_cause(self, notes: dict[str, str]) -> None:
        """By the breaker's word only what blocks too much is taken back, whatever pages of counters look like."""
        revision, reason = notes[names.ANNOTATION_TRIPPED_REVISION], notes.get(names.ANNOTATION_EXPOSURE_REASON, "")
        description = self._description(revision)
        if reason.startswith(BLOCK_RATE) and description is not None and OVER_BROAD not in description:
            raise Broken(f"{revision} ({description}) blocks no more than others and was taken back: {reason}")

    def _reached(self, selector: dict[str, str]) -> list[Obj]:
        pods = self._world.kube.all(PODS, self._world.namespace, {})
        return [p for p in pods if selector.items() <= p["metadata"]["labels"].items()]

    def _description(self, revision: str) -> str | None:
        """What its gateways do; None when none of its pods is left to ask."""
        for pod in self._world.kube.all(PODS, self._world.namespace, {names.LABEL_REVISION: revision}):
            return self._world.node.containers[pod["metadata"]["uid"]].description
        return None


async def live(
    seed: int,
    changes: int = 8,
    fault_rate: float = 0.03,
    kinds: Sequence[Fault] | None = None,
    bypasses: bool | None = None,
) -> Lived:
    """A world with some changes and requests at random moments, and faults at random calls; then a quiet time in which
    everything must come to rest, be idempotent, take a good change, and end with its object. `kinds` of faults: some,
    picked at random, when they are not given. `bypasses`: whether people ask for passthroughs; None: in some worlds."""
    world = SimWorld(seed, "demo")
    world.past.lag = random.Random(f"lag of {seed}").choice((2.0, 10.0, 60.0))
    promises, own = Promises(world), random.Random(f"passthroughs of {seed}")
    bypasses = own.random() < BYPASSES if bypasses is None else bypasses
    days = BypassDays(world, own) if bypasses else None
    try:
        return await _live(world, promises, random.Random(f"people of {seed}"), changes, fault_rate, kinds, days)
    except Exception as error:
        raise Broken(f"seed {seed}: {type(error).__name__}: {error}\n" + "\n".join(world.trace)) from error


async def _live(
    world: SimWorld,
    promises: Promises,
    rng: random.Random,
    changes: int,
    fault_rate: float,
    kinds: Sequence[Fault] | None,
    days: BypassDays | None,
) -> Lived:
    paper = random.Random(f"pages in the days of {world.seed}")
    gateway = objects.deployment(objects.STANDIN)
    gateway["spec"]["replicas"] = rng.choice((1, 2, 3, 5))
    rate = rng.choice(RATES)
    on_inconclusive = "Hold" if rate else "Promote"  # without a request nothing can be said of what would be blocked
    gateway["spec"]["rollout"].update(maxShare="60%", stepDeadline="3m", onInconclusive=on_inconclusive)
    policy = objects.policy(objects.STANDIN)
    policy["spec"]["tests"] = [TEST] if rng.random() < 0.7 else []
    await world.kube.create(POLICIES, policy)
    if days:
        await days.begin(gateway)
    await world.kube.create(GATEWAYS, gateway)
    await world.run(30)
    world.stream.rate = rate
    if paper.random() < BAD_PAGES:
        world.pages.plan = random_page_faults(paper, paper.choice((0.002, 0.02, 0.2)))
    some = tuple(f for f in Fault if rng.random() < 0.7)
    world.plan = random_faults(rng, fault_rate, some if kinds is None else kinds)
    world.wake_loss = rng.choice((0.0, 0.3, 0.9))
    for number in range(changes):
        await _change(world, rng, number)
        await world.run(rng.uniform(1, 60))
        if days:
            await days.some(3)
        await _meddle(world, promises, rng)
    world.plan, world.wake_loss, world.pages.plan = no_faults, 0.0, good_pages
    if days:
        await days.end()
    await _rest(world)
    await _good_end(world, changes)
    await _deleted(world)
    transitions = Counter(line.partition("== ")[2] for line in world.trace if "== " in line)
    faults = Counter(fault.value for line in world.trace if "!! " in line for fault in Fault if f"!! {fault} " in line)
    return Lived(tuple(world.trace), transitions, faults, world.at)


async def _change(world: SimWorld, rng: random.Random, number: int) -> None:
    mode = rng.choice(MODES)
    world.say(f"-- a person changes the policy: {mode or 'good'}")
    policy = next(iter(world.kube.all(POLICIES, world.namespace, {})))
    policy = {
        **policy,
        "spec": {**policy["spec"], "tests": [TEST] if mode.startswith("tests") else policy["spec"]["tests"]},
    }
    config = {**policy["spec"]["config"]}
    config["pack"] = {**config["pack"], "version": f"2.{number}.{rng.randrange(3)}", "description": mode}
    await world.kube.replace(POLICIES, {**policy, "spec": {**policy["spec"], "config": config}})


async def _meddle(world: SimWorld, promises: Promises, rng: random.Random) -> None:
    """What people and clusters do at the worst moment."""
    status = await world.status()
    deed = rng.choice(("nothing", "nothing", "ask", "ask", "scale", "clock", "evict", "edit"))
    world.say(f"-- {deed}")
    if deed == "ask":
        verb = rng.choice((Verb.ROLLBACK, Verb.PROMOTE, Verb.PAUSE, Verb.PAUSE, Verb.RETRY, Verb.RESTART))
        values = [
            "previous",
            "true",
            "false",
            "nonsense",
            status.get("activeRevision", ""),
            status.get("candidateRevision", ""),
        ]
        promises.by_hand |= verb is Verb.PROMOTE
        value = f"{rng.choice(values)}#{rng.randrange(10**6)}"
        patch = {"metadata": {"annotations": {verb.annotation: value}}}
        await world.kube.merge(GATEWAYS, world.namespace, world.name, patch)
    elif deed == "scale":
        replicas = {"spec": {"replicas": rng.choice((1, 2, 4, 6))}}
        await world.kube.merge(GATEWAYS, world.namespace, world.name, replicas)
    elif deed == "clock":
        world.clock_error = rng.choice((-3600.0, 3600.0, 0.0))
    elif deed == "evict":
        pods = list(world.kube.all(PODS, world.namespace, {}))
        if pods:
            await world.kube.delete(PODS, world.namespace, rng.choice(pods)["metadata"]["name"])
    elif deed == "edit":
        deployments = list(world.kube.all(DEPLOYMENTS, world.namespace, {}))
        name = rng.choice(deployments)["metadata"]["name"]
        await world.kube.merge(DEPLOYMENTS, world.namespace, name, {"spec": {"replicas": rng.choice((0, 1, 7))}})


async def _rest(world: SimWorld) -> None:
    """Faults are over: everything comes to rest, and further passes write nothing but what signals measure."""
    resume = {"metadata": {"annotations": {Verb.PAUSE.annotation: "false#end"}}}
    await world.kube.merge(GATEWAYS, world.namespace, world.name, resume)
    await world.run(REST_SECONDS)
    status = await world.status()
    if status.get("phase") not in SETTLED:
        raise Broken(f"no rest: {status.get('phase')}: {status.get('message')}")
    before, others = len(world.kube.writes), _without_signals(status)
    await world.run(600)
    more = world.kube.writes[before:]
    if set(more) - {f"merge {GATEWAYS.plural}/{world.name}"} or len(more) > 10:  # signals: at most once a minute
        raise Broken(f"a world at rest is written to: {more[:5]}")
    if (now := _without_signals(await world.status())) != others:
        changed = [k for k in now.keys() | others.keys() if now.get(k) != others.get(k)]
        raise Broken(f"a world at rest is written to: {', '.join(sorted(changed))} of its status")


def _without_signals(status: dict[str, Any]) -> dict[str, Any]:
    """How much traffic there is and what becomes of it changes all the time."""
    return {k: v for k, v in status.items() if k != "health"}


async def _good_end(world: SimWorld, changes: int) -> None:
    """Whatever happened before: a good change is promoted, and its children are those of a fresh world."""

    def change(document: Obj) -> None:
        document["pack"].update(version="9.0.0", description="")

    await world.kube.merge(GATEWAYS, world.namespace, world.name, {"spec": {"replicas": 2}})
    await world.replace_policy(change)
    await world.run(REST_SECONDS)
    status = await world.status()
    if status.get("phase") != "Stable" or status.get("desiredRevision") != status.get("activeRevision"):
        raise Broken(f"a good change does not end Stable: {status.get('phase')}: {status.get('message')}")
    active = status["activeRevision"]
    service = await world.kube.get(SERVICES, world.namespace, world.name)
    wanted = {names.LABEL_DEPLOYMENT: world.name, names.LABEL_REVISION: active}
    if service["spec"]["selector"] != wanted:
        raise Broken(f"the Service selects {service['spec']['selector']}")
    deployments = await world.kube.list(DEPLOYMENTS, world.namespace)
    serving = [d for d in deployments if d["metadata"]["labels"].get(names.LABEL_EXPOSURE) != names.EXPOSURE_STANDBY]
    running = {d["metadata"]["name"]: d["spec"]["replicas"] for d in serving if d["spec"]["replicas"]}
    if running != {f"{world.name}-{active}": 2}:
        raise Broken(f"these Deployments run: {running}")
    pods = [p for p in world.kube.all(PODS, world.namespace, {names.LABEL_REVISION: active}) if serves(p)]
    if len(pods) != 2:
        raise Broken(f"{len(pods)} pods serve")


async def _deleted(world: SimWorld) -> None:
    """Deletion ends; nothing of ours is left but evidence."""
    await world.kube.delete(GATEWAYS, world.namespace, world.name)
    await world.run(120)
    left = [k for k in world.kube.stored() if k[0] not in KEPT]
    if left:
        raise Broken(f"left behind: {left}")
