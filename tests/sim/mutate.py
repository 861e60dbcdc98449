"""Every field of both resources, changed in every way its schema suggests, while a gateway serves.

One world lives through many changes, and after each the good object is applied again. What must hold: the loop comes to
rest; the status is about what was written, and says why when it does not do it; nothing is written after that; the good
object leads to exactly the children that it has in a fresh world. Values that the API server would refuse are fed to
the loop, too: an older schema may have let them in.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.port import (
    BUDGETS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    GATEWAYS,
    PODS,
    POLICIES,
    SERVICES,
    Obj,
    Resource,
)
from tests.demo import objects
from tests.sim.campaign import Broken, Promises
from tests.sim.node import serves
from tests.sim.world import SimWorld
from tests.unit.api import crd, values
from tests.unit.api.crd import Node

RESOURCES: Mapping[str, Resource] = {r.plural: r for r in (GATEWAYS, POLICIES)}
QUIET_SECONDS = 400.0  # longer than any wait between two looks
LONGEST_DAYS = 2.0  # steps, soaks and deadlines may be hours


@dataclass(frozen=True)
class Mutation:
    """One change of one field; `value` is what it becomes, GONE when it is removed."""

    plural: str
    node: Node
    kind: str
    value: Any

    def __str__(self) -> str:
        return f"{self.plural} {self.node.id} {self.kind}: {str(self.value)[:80]}"

    def applied(self, good: Obj) -> Obj:
        """The good object with this change."""
        if self.kind == "removed":
            return crd.without(good, self.node.path) if _has(good, self.node.path) else good
        return crd.with_value(good, self.node.path, self.value)


def good_objects() -> dict[str, Obj]:
    """Small and quick, with the fields that others depend on."""
    gateway, policy = objects.deployment(objects.STANDIN), objects.policy(objects.STANDIN)
    gateway["spec"]["replicas"] = 2
    gateway["spec"]["template"]["metadata"] = {"labels": {"team": "platform"}, "annotations": {"note": "hello"}}
    policy["spec"]["tests"] = [{"name": "plain", "messages": [{"role": "user", "content": "hello"}], "expect": "Allow"}]
    return {GATEWAYS.plural: gateway, POLICIES.plural: policy}


def mutations() -> Iterator[Mutation]:
    """Every field: null, removed, its bounds, beyond each of them, another legal value, the other order."""
    good = good_objects()
    for plural in RESOURCES:
        for node in crd.spec_nodes(plural):
            present = crd.get(good[plural], node.path) if _has(good[plural], node.path) else None
            if not _reachable(good[plural], node.path):
                continue
            yield Mutation(plural, node, "null", None)
            if present is not None:
                yield Mutation(plural, node, "removed", None)
            if isinstance(present, list | dict) and len(present) > 1:
                yield Mutation(plural, node, "reordered", _reordered(present))
            if node.is_leaf:
                for kind, made in (("bound", values.outermost(node.schema)), ("beyond", values.illegal(node.schema))):
                    yield from (Mutation(plural, node, kind, value) for value in made)
            if node.is_leaf and present is not None:
                yield Mutation(plural, node, "another", values.another(node.schema, present))


class Patient:
    """A world that is changed again and again, beside what a fresh one looks like."""

    def __init__(self, seed: int = 1) -> None:
        self.world = SimWorld(seed, objects.NAMESPACE, objects.STANDIN.name)
        Promises(self.world)
        self.good = good_objects()
        self.healthy: Obj = {}

    async def begin(self) -> None:
        """The good objects, in a fresh world."""
        for plural, obj in reversed(self.good.items()):
            await self.world.kube.create(RESOURCES[plural], obj)
        await self._rest("the good object at first")
        self.healthy = self.children()

    async def suffer(self, mutation: Mutation) -> str:
        """One change, and back. Gives what the status said in between; raises Broken."""
        changed = mutation.applied(self.good[mutation.plural])
        self.world.trace.clear()
        try:
            await self._apply(mutation.plural, changed)
            await self._rest(str(mutation))
            said = await self._said(str(mutation))
            await self._apply(mutation.plural, self.good[mutation.plural])
            await self._rest(f"back from {mutation}")
            if self.children() != self.healthy:
                raise Broken("the good object has other children than in a fresh world")
        except Exception as error:
            raise Broken(f"{mutation}: {type(error).__name__}: {error}\n" + "\n".join(self.world.trace)) from error
        return said

    async def _apply(self, plural: str, obj: Obj) -> None:
        kube, name = self.world.kube, obj["metadata"]["name"]
        old = await kube.get(RESOURCES[plural], obj["metadata"]["namespace"], name)
        await kube.replace(RESOURCES[plural], {**copy.deepcopy(obj), "metadata": old["metadata"]})

    async def _rest(self, what: str) -> None:
        """Let time go by until nothing is written any more."""
        end = self.world.at + LONGEST_DAYS * 86400
        while self.world.at < end:
            before = len(self.world.kube.writes)
            await self.world.run(QUIET_SECONDS)
            if len(self.world.kube.writes) == before:
                return
        raise Broken(f"{what}: it does not come to rest: {self.world.kube.writes[-5:]}")

    async def _said(self, what: str) -> str:
        gateway = await self.world.gateway()
        status = gateway["status"]
        conditions = {c["type"]: c for c in status["conditions"]}
        stalled = conditions.get("Stalled", {})
        if status.get("observedGeneration") != gateway["metadata"]["generation"] and stalled.get("status") != "True":
            raise Broken(f"{what}: the status is about generation {status.get('observedGeneration')}")
        done = status.get("desiredRevision") == status.get("activeRevision") and status["phase"] == "Stable"
        words = str(status.get("message", ""))
        if not done and not words:
            raise Broken(f"{what}: neither done nor said why not")
        if not any(serves(p) for p in self.world.kube.all(PODS, objects.NAMESPACE, {})):
            raise Broken(f"{what}: nothing serves any more")
        return "" if done and stalled.get("status") != "True" else words

    def children(self) -> Obj:
        """What serves: everything that was written for the active revision, and the Service."""
        kube, out = self.world.kube, {}
        gateway = next(kube.all(GATEWAYS, objects.NAMESPACE, {}))
        active = gateway["status"]["activeRevision"]
        for resource in (SERVICES, DEPLOYMENTS, CONFIG_MAPS, BUDGETS):
            for obj in kube.all(resource, objects.NAMESPACE, {}):
                labels = obj["metadata"].get("labels") or {}
                if resource is SERVICES or labels.get(names.LABEL_REVISION) == active:
                    out[resource.plural] = {
                        "name": obj["metadata"]["name"],
                        "labels": labels,
                        **{k: v for k, v in obj.items() if k not in ("metadata", "status", "apiVersion", "kind")},
                    }
        return copy.deepcopy(out)


def _has(obj: Any, path: tuple[crd.Step, ...]) -> bool:
    try:
        crd.get(obj, path)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _reachable(obj: Obj, path: tuple[crd.Step, ...]) -> bool:
    """Whether a value can be put there: lists on the way have an item."""
    return all(not isinstance(step, int) or _has(obj, path[: i + 1]) for i, step in enumerate(path))


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _reordered(v) for k, v in reversed(value.items())}
    return list(reversed(value)) if isinstance(value, list) else value
