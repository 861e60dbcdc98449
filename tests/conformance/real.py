"""The script on a real API server, the one that KUBECONFIG names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from keeptrusts_operator.kube.client import ApiServer, load_configuration
from keeptrusts_operator.kube.port import BUDGETS, DEPLOYMENTS, ApiError, Kube, Obj, Resource
from tests.conformance import script
from tests.conformance.told import Answer

STILL_SECONDS, LONGEST_SECONDS = 0.3, 5.0


class Settled:
    """Waits after a write until the controllers have answered it with theirs, so that a script's next call finds the
    object as the script left it. An answer carries the version that the object has by then."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        return await self._kube.get(resource, namespace, name)

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        return await self._kube.list(resource, namespace, labels)

    async def create(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        made = await self._kube.create(resource, obj, dry_run=dry_run)
        return made if dry_run else await self._settled(resource, made)

    async def apply(self, resource: Resource, obj: Obj, *, force: bool = True) -> Obj:
        return await self._settled(resource, await self._kube.apply(resource, obj, force=force))

    async def replace(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        made = await self._kube.replace(resource, obj, dry_run=dry_run)
        return made if dry_run else await self._settled(resource, made)

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Obj, *, subresource: str = "") -> Obj:
        made = await self._kube.merge(resource, namespace, name, patch, subresource=subresource)
        return await self._settled(resource, made)

    async def json_patch(self, resource: Resource, namespace: str, name: str, patch: Sequence[Obj]) -> Obj:
        return await self._settled(resource, await self._kube.json_patch(resource, namespace, name, patch))

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> None:
        await self._kube.delete(resource, namespace, name, uid=uid, grace_seconds=grace_seconds)

    async def _settled(self, resource: Resource, made: Obj) -> Obj:
        if resource not in (DEPLOYMENTS, BUDGETS):
            return made
        metadata, version = made["metadata"], ""
        for _ in range(int(LONGEST_SECONDS / STILL_SECONDS)):
            now = await self._kube.get(resource, metadata["namespace"], metadata["name"])
            seen = now.get("status", {}).get("observedGeneration") == now["metadata"]["generation"]
            if seen and version == now["metadata"]["resourceVersion"]:
                break
            version = now["metadata"]["resourceVersion"]
            await asyncio.sleep(STILL_SECONDS)
        return {**made, "metadata": {**metadata, "resourceVersion": version}}


async def play(name: str, namespace: str) -> list[Answer]:
    """One case in a namespace that is there and new."""
    async with ApiServer(await load_configuration()) as kube:
        await _inhabited(kube, namespace)
        return await script.play(name, Settled(kube), namespace)


async def _inhabited(kube: Kube, namespace: str) -> None:
    """Pods need the namespace's own service account, which a controller makes."""
    accounts = Resource("", "v1", "serviceaccounts", "ServiceAccount")
    for _ in range(50):
        try:
            await kube.get(accounts, namespace, "default")
            return
        except ApiError:
            await asyncio.sleep(0.1)
