"""A spec that only the parser refuses: it is said, and what serves goes on."""

from __future__ import annotations

from keeptrusts_operator.kube.port import GATEWAYS, SERVICES
from tests.sim.change import change_in


async def test_a_spec_that_cannot_be_read_is_told_for_its_generation() -> None:
    world = await change_in(3, "")
    served = (await world.kube.get(SERVICES, world.namespace, world.name))["spec"]["selector"]
    await world.kube.merge(GATEWAYS, world.namespace, world.name, {"spec": {"replicas": "two"}})
    await world.run(30)
    gateway = await world.kube.get(GATEWAYS, world.namespace, world.name)
    stalled = next(c for c in gateway["status"]["conditions"] if c["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "SpecInvalid")
    assert "spec.replicas" in stalled["message"]
    assert gateway["status"]["observedGeneration"] == gateway["metadata"]["generation"]
    assert (await world.kube.get(SERVICES, world.namespace, world.name))["spec"]["selector"] == served
    await world.kube.merge(GATEWAYS, world.namespace, world.name, {"spec": {"replicas": 2}})
    await world.run(60)
    status = await world.status()
    assert next(c["status"] for c in status["conditions"] if c["type"] == "Stalled") == "False"
    assert status["phase"] == "Stable"
