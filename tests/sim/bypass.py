"""A passthrough from request to re-arming, under traffic; the operator may be killed at any of its writes."""

from __future__ import annotations

from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.kube.port import DEPLOYMENTS, GATEWAYS, INCIDENTS, POLICIES, SERVICES, Obj, Resource
from tests.demo import objects
from tests.sim.faults import Fault, fault_at
from tests.sim.governance import govern
from tests.sim.world import SimWorld

GRANTED = 120.0  # seconds
BEFORE = 30.0  # seconds in which a first revision comes to serve


class Bypass:
    """One world, and for how long traffic went past the policies in it."""

    def __init__(self, seed: int = 1) -> None:
        self.world = SimWorld(seed)
        self.passing_since: float | None = None
        self.spans: list[tuple[float, float]] = []
        self.world.on_change.append(self._watch)

    async def begin(self) -> None:
        """A gateway serves, the admission policies are there, and clients ask."""
        kube = self.world.kube
        await govern(kube)
        await kube.create(POLICIES, objects.policy(objects.STANDIN))
        gateway = objects.deployment(objects.STANDIN)
        gateway["spec"]["passthrough"] = {"rearm": {"maxDuration": "30s"}}
        await kube.create(GATEWAYS, gateway)
        await self.world.run(BEFORE)
        self.world.stream.rate = 500.0

    async def ask(self, value: str, number: int = 1, by: str = "ada", verb: Verb = Verb.EMERGENCY_PASSTHROUGH) -> None:
        """What a person annotates, and what the admission policy stamps."""
        notes = {
            verb.annotation: f"{value}#{number}",
            verb.requested_by_annotation: by,
            verb.request_id_annotation: f"id-{number}",
            names.ANNOTATION_REASON: "INC-4711 the content filter blocks legitimate prompts",
        }
        world = self.world
        await world.kube.merge(GATEWAYS, world.namespace, world.name, {"metadata": {"annotations": notes}})

    async def strip(self) -> None:
        """As Flux does at its next reconcile."""
        world = self.world
        notes = dict.fromkeys((Verb.EMERGENCY_PASSTHROUGH.annotation, names.ANNOTATION_REASON))
        await world.kube.merge(GATEWAYS, world.namespace, world.name, {"metadata": {"annotations": notes}})

    def _watch(self, resource: Resource, obj: Obj, mine: bool) -> None:
        if resource is not SERVICES:
            return
        passing = self._is_passthrough(obj["spec"]["selector"].get(names.LABEL_REVISION, ""))
        if passing and self.passing_since is None:
            self.passing_since = self.world.at
        elif not passing and self.passing_since is not None:
            self.spans.append((self.passing_since, self.world.at))
            self.passing_since = None

    def _is_passthrough(self, revision: str) -> bool:
        found = self.world.kube.all(DEPLOYMENTS, self.world.namespace, {names.LABEL_REVISION: revision})
        return any(d["metadata"]["labels"].get(names.LABEL_EXPOSURE) == names.EXPOSURE_STANDBY for d in found)

    async def end(self) -> dict[str, Any]:
        """What must not depend on when the operator was killed."""
        world = self.world
        status = await world.status()
        service = await world.kube.get(SERVICES, world.namespace, world.name)
        running = {
            d["metadata"]["name"]: d["spec"]["replicas"]
            for d in world.kube.all(DEPLOYMENTS, world.namespace, {})
            if d["spec"]["replicas"]
        }
        incidents = [i["status"] for i in world.kube.all(INCIDENTS, world.namespace, {})]
        return {
            "phase": status["phase"],
            "selector": service["spec"]["selector"],
            "running": running,
            "grant": {k: status["passthrough"][k] for k in ("state", "endReason", "requestedBy")},
            "incidents": [(i["type"], i["phase"], i["passthrough"]["requestId"]) for i in incidents],
            "flips": len(self.spans),
        }


async def bypass(seed: int, crash_at: int = 0, when: str = "after", value: str = "2m") -> Bypass:
    """From the request to after the end. With `crash_at` the operator dies before or after its n-th write."""
    told = Bypass(seed)
    await told.begin()
    if crash_at:
        told.world.plan = fault_at(crash_at, Fault.CRASH_BEFORE if when == "before" else Fault.CRASH_AFTER)
    await told.ask(value)
    await told.world.run(60.0)
    await told.strip()
    await told.world.run(GRANTED + 120.0)
    return told
