"""A GatewayDeployment deleted and created again at once: it begins when its predecessor's children are gone."""

from __future__ import annotations

import copy

import pytest

from keeptrusts_operator.api.names import LABEL_REVISION
from keeptrusts_operator.kube.port import CONFIG_MAPS, DEPLOYMENTS, GATEWAYS, SERVICES, Obj, Resource
from keeptrusts_operator.loop.views import predecessors
from tests.demo import objects
from tests.sim.change import change_in
from tests.sim.world import SimWorld


@pytest.mark.parametrize("resource", [SERVICES, CONFIG_MAPS, DEPLOYMENTS], ids=lambda r: r.kind)
async def test_it_waits_for_what_is_still_there_and_says_so(resource: Resource) -> None:
    world = await change_in(3, "")
    old = copy.deepcopy((await world.kube.list(resource, world.namespace))[0])
    await _again(world)
    await world.kube.create(resource, _bare(old))
    await world.run(5)
    status = await world.status()
    word = next(c for c in status["conditions"] if c["type"] == "Reconciling")
    assert (word["status"], word["reason"]) == ("True", "PredecessorLeft")
    assert f"{resource.kind} {old['metadata']['name']}" in word["message"]
    assert "activeRevision" not in status
    await world.kube.delete(resource, world.namespace, old["metadata"]["name"], grace_seconds=0)
    await world.run(30)
    assert (await world.status())["phase"] == "Stable"


@pytest.mark.parametrize(
    ("created", "more", "kept", "left"),
    [
        ("02:59:59", {}, [], ["Pod old"]),
        ("03:00:00", {}, [], []),
        ("02:59:59", {"deletionTimestamp": "2026-11-24T03:00:01Z"}, [], []),
        ("02:59:59", {}, [{"kind": "Deployment", "metadata": {"name": "d", "labels": {LABEL_REVISION: "a"}}}], []),
    ],
    ids=["older", "as old", "going", "of a Deployment that was orphaned"],
)
def test_pods_from_before(created: str, more: dict[str, str], kept: list[Obj], left: list[str]) -> None:
    born = {"kind": "GatewayDeployment", "metadata": {"uid": "new", "creationTimestamp": "2026-11-24T03:00:00Z"}}
    pod = {"name": "old", "creationTimestamp": f"2026-11-24T{created}Z", "labels": {LABEL_REVISION: "a"}, **more}
    assert predecessors(born, kept, [{"metadata": pod}]) == left


async def test_children_that_were_orphaned_are_taken_as_they_are() -> None:
    world = await change_in(3, "")
    kept = [copy.deepcopy(o) for r in (CONFIG_MAPS, DEPLOYMENTS) for o in await world.kube.list(r, world.namespace)]
    await _again(world)
    for obj in kept:
        resource = DEPLOYMENTS if obj["kind"] == DEPLOYMENTS.kind else CONFIG_MAPS
        await world.kube.create(resource, _bare(obj, "ownerReferences"))
    await world.run(30)
    assert (await world.status())["phase"] == "Stable"


async def _again(world: SimWorld) -> None:
    await world.kube.delete(GATEWAYS, world.namespace, world.name)
    await world.run(1)
    world.checks.clear()  # they expect a Service
    await world.kube.create(GATEWAYS, objects.deployment(objects.STANDIN))


def _bare(obj: Obj, *without: str) -> Obj:
    """To be created again."""
    gone = ("uid", "resourceVersion", "managedFields", *without)
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k not in gone}}
