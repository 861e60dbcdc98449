"""Days on which pages of counters are bad: nobody is rolled back or promoted because of them.

One seed is one day. `page_day(seed)` raises `Broken` with the readable trace when a promise does not hold.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeptrusts_operator.api import names
from keeptrusts_operator.gateways.trial import UNREAD_SECONDS
from keeptrusts_operator.kube.port import GATEWAYS, PODS, POLICIES, SERVICES, Obj, Resource
from tests.demo import objects
from tests.sim.campaign import OVER_BROAD, Broken, Promises
from tests.sim.pages import PageFault, PagePlan, good_pages, random_page_faults
from tests.sim.world import SimWorld

PERIOD = 2.0  # seconds from look to look in a soak
BAD_SECONDS = 150.0  # in which pages are bad
REST_SECONDS = 400.0
RATES = (50.0, 200.0, 1000.0)


@dataclass(frozen=True)
class Day:
    """How it went. `unread`: nothing of the candidate could be read for all of that time; `found`: seconds from its
    exposure to the trip of a bad one."""

    bad: bool
    unread: bool
    phase: str
    faults: Mapping[str, int]
    found: float | None
    trace: tuple[str, ...]


class NotBecauseOfPages:
    """Checked at every change of an object."""

    def __init__(self, world: SimWorld, bad: bool) -> None:
        self._world, self._bad = world, bad
        self._active = ""
        self.exposed_at: float | None = None
        self.tripped_at: float | None = None
        world.on_change.append(self.check)

    def check(self, resource: Resource, obj: Obj, mine: bool) -> None:
        if resource is SERVICES and mine:
            notes = obj["metadata"].get("annotations") or {}
            if names.LABEL_REVISION not in obj["spec"]["selector"] and self.exposed_at is None:
                self.exposed_at = self._world.at
            if notes.get(names.ANNOTATION_TRIPPED_REVISION) and self.tripped_at is None:
                self.tripped_at = self._world.at
                if not self._bad:
                    raise Broken(f"a good config was taken back: {notes.get(names.ANNOTATION_EXPOSURE_REASON)}")
        if resource is GATEWAYS and mine:
            active = obj.get("status", {}).get("activeRevision", "")
            if self._active and active != self._active:
                self._promoted(active)
            self._active = active

    def _promoted(self, revision: str) -> None:
        if self._bad:
            raise Broken("a bad config was promoted")
        pods = self._world.kube.all(PODS, self._world.namespace, {names.LABEL_REVISION: revision})
        read = max((self._world.pages.read_at.get(p["metadata"]["uid"], 0.0) for p in pods), default=0.0)
        if self._world.at - read > UNREAD_SECONDS + 2 * PERIOD:
            raise Broken(f"promoted although nothing of it has been read for {self._world.at - read:.0f} s")


async def page_day(seed: int, kinds: Sequence[PageFault] | None = None) -> Day:
    """A change, good or bad, on a day full of bad pages; then they are well again, and it must come to its end. `kinds`:
    some, picked at random, when they are not given."""
    rng, world = random.Random(f"page day {seed}"), SimWorld(seed)
    bad, unread = rng.random() < 0.5, rng.random() < 0.25
    seen, told = NotBecauseOfPages(world, bad), Counter[str]()
    Promises(world)
    try:
        await _begin(world, rng)
        plan = _unread(world) if unread else random_page_faults(rng, rng.choice((0.02, 0.1, 0.4)), kinds or _kinds(rng))
        world.pages.plan = _counted(plan, told)
        await world.run(rng.uniform(0.0, 40.0))

        def change(document: Obj) -> None:
            document["pack"].update(version="2.0.0", description=OVER_BROAD if bad else "")

        await world.replace_policy(change)
        for _ in range(5):
            await world.run(BAD_SECONDS / 5)
            if rng.random() < 0.3:
                world.clock_error = rng.choice((-3600.0, 3600.0, 0.0))
                world.say(f"-- the operator's clock is {world.clock_error:.0f} s off")
        if unread:
            await _undecided(world)
        world.pages.plan, world.clock_error = good_pages, 0.0
        world.say("-- pages are well again")
        await world.run(REST_SECONDS)
        phase = (await world.status()).get("phase", "")
        if phase != ("RolledBack" if bad else "Stable"):
            raise Broken(f"it ends {phase}: {(await world.status()).get('message')}")
    except Exception as error:
        raise Broken(f"day {seed}: {type(error).__name__}: {error}\n" + "\n".join(world.trace)) from error
    found = seen.tripped_at - seen.exposed_at if seen.tripped_at and seen.exposed_at else None
    return Day(bad, unread, phase, told, found, tuple(world.trace))


async def _begin(world: SimWorld, rng: random.Random) -> None:
    gateway = objects.deployment(objects.STANDIN)
    gateway["spec"]["replicas"] = rng.choice((2, 3, 5))
    gateway["spec"]["rollout"].update(maxShare="60%", stepDeadline="1m")
    if rng.random() < 0.5:
        gateway["spec"]["rollout"]["steps"].append({"weight": "50%", "minDuration": "5s"})
    await world.kube.create(POLICIES, objects.policy(objects.STANDIN))
    await world.kube.create(GATEWAYS, gateway)
    await world.run(10)
    world.stream.rate = rng.choice(RATES)
    await world.run(rng.uniform(0.0, 60.0))


def _kinds(rng: random.Random) -> list[PageFault]:
    """One, some or all."""
    return rng.sample(list(PageFault), rng.choice((1, 1, 4, len(PageFault))))


def _unread(world: SimWorld) -> PagePlan:
    """No page of any pod but the active revision's."""

    def plan(uid: str, at: float) -> PageFault | None:
        pods = world.kube.all(PODS, world.namespace, {})
        of = {p["metadata"]["uid"]: p["metadata"]["labels"][names.LABEL_REVISION] for p in pods}
        return None if of.get(uid) == active else PageFault.SILENT

    active = next(iter(world.kube.all(PODS, world.namespace, {})))["metadata"]["labels"][names.LABEL_REVISION]
    return plan


async def _undecided(world: SimWorld) -> None:
    status = await world.status()
    if not status.get("rollout") or status["rollout"]["stage"] != "Canary":
        raise Broken(f"without a single page of the candidate it is {status.get('phase')}: {status.get('message')}")


def _counted(plan: PagePlan, told: Counter[str]) -> PagePlan:
    def counted(uid: str, at: float) -> PageFault | None:
        fault = plan(uid, at)
        if fault:
            told[fault.value] += 1
        return fault

    return counted
