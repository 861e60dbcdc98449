"""The reference changes: a first revision, then a changed one, under traffic; killed at any write that is named."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from keeptrusts_operator.kube.port import DEPLOYMENTS, GATEWAYS, POLICIES, SERVICES
from tests.demo import objects
from tests.sim.faults import Fault, fault_at
from tests.sim.world import SimWorld

SETTLED_SECONDS = 60.0
MID_CANARY_SECONDS = 8.0
KEPT = ("gatewaypolicies", "gatewayincidents", "events")


async def _nothing(world: SimWorld) -> None: ...


async def _supersede(world: SimWorld) -> None:
    await world.replace_policy(lambda document: document["pack"].update(version="1.2.0"))


async def _delete(world: SimWorld) -> None:
    await world.kube.delete(GATEWAYS, world.namespace, world.name)


THEN: Mapping[str, Callable[[SimWorld], Awaitable[None]]] = {
    "nothing": _nothing,
    "supersede": _supersede,
    "delete": _delete,
}


async def change_in(seed: int, mode: str, crash_at: int = 0, when: str = "after", *, then: str = "nothing") -> SimWorld:
    """Run the change to its end. With `crash_at`, the operator dies before or after its n-th write since the change.
    `then` happens in mid-canary: a newer document, or the object is deleted."""
    world = SimWorld(seed)
    world.stirs = True
    world.checks.append(never_serves_quarantined)
    await world.kube.create(POLICIES, objects.policy(objects.STANDIN))
    await world.kube.create(GATEWAYS, objects.deployment(objects.STANDIN))
    await world.run(10)
    world.clients.rate, world.stream.rate = 20.0, 500.0
    if crash_at:
        world.plan = fault_at(crash_at, Fault.CRASH_BEFORE if when == "before" else Fault.CRASH_AFTER)

    def change(document: dict[str, Any]) -> None:
        document["pack"].update(version="1.1.0", description=f"mode={mode}" if mode and "=" not in mode else mode)

    await world.replace_policy(change)
    await world.run(MID_CANARY_SECONDS)
    await THEN[then](world)
    await world.run(SETTLED_SECONDS)
    return world


async def outcome(world: SimWorld) -> dict[str, Any]:
    """What must not depend on when the operator was killed."""
    if not list(world.kube.all(GATEWAYS, world.namespace, {})):
        return {"left": sorted(key for key in world.kube.stored() if key[0] not in KEPT)}
    status = await world.status()
    service = await world.kube.get(SERVICES, world.namespace, world.name)
    deployments = await world.kube.list(DEPLOYMENTS, world.namespace)
    return {
        "phase": status["phase"],
        "active": status["activeRevision"],
        "candidate": status.get("candidateRevision"),
        "selector": service["spec"]["selector"],
        "replicas": {d["metadata"]["name"]: d["spec"]["replicas"] for d in deployments},
        "quarantined": [(q["revision"], q["outcome"]) for q in status.get("quarantined", [])],
        "lost": sum(a.lost for a in world.clients.answers),
    }


def never_serves_quarantined(world: SimWorld) -> None:
    """An invariant, checked after every pass: what is in quarantine, or was taken back, gets no traffic."""
    gateway = next(iter(world.kube.all(GATEWAYS, world.namespace, {})), None)
    if gateway is None:
        return
    service = next(iter(world.kube.all(SERVICES, world.namespace, {})))
    selected = service["spec"]["selector"].get("gateway.keeptrusts.com/revision")
    bad = {q["revision"] for q in gateway.get("status", {}).get("quarantined", [])}
    assert selected not in bad, f"{selected} is in quarantine and has traffic"
    tripped = service["metadata"]["annotations"].get("gateway.keeptrusts.com/tripped-revision")
    if tripped:
        assert selected not in (None, tripped), f"{tripped} was taken back and has traffic"
