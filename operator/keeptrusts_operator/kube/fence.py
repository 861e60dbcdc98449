"""Writes only while we lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from keeptrusts_operator.kube.port import Kube, Obj, Resource


class LeadershipLost(Exception):
    """Another replica may lead by now: whatever was being done must not be done by us."""


class Fence(Protocol):
    """Who may write."""

    def check(self) -> None:
        """Raises LeadershipLost unless the Lease is certainly ours for as long as a request may take."""
        ...


class FencedKube:
    """A `Kube` whose every write first asks the fence."""

    def __init__(self, kube: Kube, fence: Fence) -> None:
        self._kube, self._fence = kube, fence

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        return await self._kube.get(resource, namespace, name)

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        return await self._kube.list(resource, namespace, labels)

    async def create(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        self._fence.check()
        return await self._kube.create(resource, obj, dry_run=dry_run)

    async def apply(self, resource: Resource, obj: Obj, *, force: bool = True) -> Obj:
        self._fence.check()
        return await self._kube.apply(resource, obj, force=force)

    async def replace(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        self._fence.check()
        return await self._kube.replace(resource, obj, dry_run=dry_run)

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Obj, *, subresource: str = "") -> Obj:
        self._fence.check()
        return await self._kube.merge(resource, namespace, name, patch, subresource=subresource)

    async def json_patch(self, resource: Resource, namespace: str, name: str, patch: Sequence[Obj]) -> Obj:
        self._fence.check()
        return await self._kube.json_patch(resource, namespace, name, patch)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> None:
        self._fence.check()
        await self._kube.delete(resource, namespace, name, uid=uid, grace_seconds=grace_seconds)
