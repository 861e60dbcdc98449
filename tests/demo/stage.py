"""The cluster as the demo and the benches see it: apply, watch one GatewayDeployment, and keep traffic going."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.client import ApiServer
from keeptrusts_operator.kube.port import (
    CONFIG_MAPS,
    GATEWAYS,
    INCIDENTS,
    PODS,
    POLICIES,
    SERVICES,
    ApiError,
    Conflict,
    NotFound,
    Refused,
    Resource,
)
from tests.demo.objects import NAMESPACE, Cast
from tests.traffic.answers import Answer, attributed
from tests.traffic.generator import Load, Traffic

RESOURCES = {r.kind: r for r in (GATEWAYS, POLICIES, CONFIG_MAPS)}
Say = Callable[[float, str], None]


@dataclass
class Stage:
    """One GatewayDeployment under observation. Times are seconds since the epoch."""

    api: ApiServer
    cast: Cast
    say: Say = lambda at, text: None
    status: dict[str, Any] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)  # pod address → revision
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)  # pod name → first sight of it
    ready_seen: dict[str, float] = field(default_factory=dict)  # revision → when a pod of it was first seen ready
    pod_ready: dict[str, float] = field(default_factory=dict)  # pod name → when it was first seen ready
    traffic: Traffic | None = None
    poll: float = 0.05  # seconds between two looks
    _watcher: asyncio.Task[None] | None = None

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def apply(self, obj: dict[str, Any]) -> float:
        """Create or replace an object's spec, as `kubectl apply` would; gives the time."""
        resource = RESOURCES[obj["kind"]]
        name = obj["metadata"]["name"]
        while True:
            now = time.time()
            try:
                old = await self.api.get(resource, NAMESPACE, name)
                await self.api.replace(resource, {**obj, "metadata": old["metadata"]})
            except NotFound:
                await self.api.create(resource, obj)
            except Conflict:
                continue  # status was written in between
            return now

    async def people(self, roles: Mapping[str, str]) -> None:
        """Give people (user names) a ClusterRole each in the namespace."""
        rbac = "rbac.authorization.k8s.io"
        for who, role in roles.items():
            binding = {
                "apiVersion": f"{rbac}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": f"{who}-{role}", "namespace": NAMESPACE},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "User", "name": who, "apiGroup": rbac}],
            }
            await self.api.apply(Resource(rbac, "v1", "rolebindings", "RoleBinding"), binding)

    async def annotate(self, who: str, notes: Mapping[str, str]) -> float:
        """`kubectl annotate` by this person, without the prefix of our annotations; the time at which it was typed.

        By impersonation, so that roles and admission policies decide. Raises Refused with what kubectl says.
        """
        pairs = [f"{names.PREFIX}{key}={value}" for key, value in notes.items()]
        command = ["annotate", "--overwrite", "gwd", self.cast.name, "-n", NAMESPACE, *pairs]
        now = time.time()
        process = await asyncio.create_subprocess_exec(
            "kubectl", *command, "--as", who, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        if process.returncode:
            raise Refused(f"kubectl {shlex.join(command)} --as {who}: {said.decode().strip()}")
        return now

    async def incidents(self) -> list[dict[str, Any]]:
        """The GatewayIncidents of this GatewayDeployment."""
        return list(await self.api.list(INCIDENTS, NAMESPACE, {names.LABEL_DEPLOYMENT: self.cast.name}))

    async def clear(self) -> None:
        """Remove what an earlier run left, and wait until it is gone."""
        for resource in (GATEWAYS, POLICIES):
            await self.api.delete(resource, NAMESPACE, self.cast.name)
        await self.until(self._gone, 150, "the objects of an earlier run are gone")

    async def _gone(self) -> bool:
        if await self._exists(GATEWAYS) or await self._exists(SERVICES):
            return False
        return not await self.api.list(PODS, NAMESPACE, {names.LABEL_DEPLOYMENT: self.cast.name})

    async def _exists(self, resource: Resource) -> bool:
        try:
            await self.api.get(resource, NAMESPACE, self.cast.name)
        except NotFound:
            return False
        return True

    def watch(self) -> None:
        """Follow status and pods until `close`."""
        self._watcher = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._watcher:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    async def _follow(self) -> None:
        told = ""
        while True:
            with contextlib.suppress(ApiError):
                gateway = await self.api.get(GATEWAYS, NAMESPACE, self.cast.name)
                self.status = gateway.get("status") or {}
                for pod in await self.api.list(PODS, NAMESPACE, {names.LABEL_DEPLOYMENT: self.cast.name}):
                    self.pods.setdefault(pod["metadata"]["name"], pod)
                    revision = pod["metadata"]["labels"][names.LABEL_REVISION]
                    if address := pod.get("status", {}).get("podIP"):
                        self.revisions[address] = revision
                    if is_ready(pod):
                        self.ready_seen.setdefault(revision, time.time())
                        self.pod_ready.setdefault(pod["metadata"]["name"], time.time())
                line = f"{self.status.get('phase', 'Pending'):<10} {self.status.get('message', '')}"
                if line != told and self.status:
                    told = line
                    self.say(time.time(), line)
            await asyncio.sleep(self.poll)

    async def until(self, condition: Callable[[], Any], seconds: float, what: str) -> float:
        """Wait for a condition (sync or async); the time at which it was seen. Raises TimeoutError, saying what."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            result = condition()
            if await result if asyncio.iscoroutine(result) else result:
                return time.time()
            await asyncio.sleep(0.05)
        raise TimeoutError(
            f"not within {seconds:.0f} s: {what}. Status: {self.status.get('phase')} {self.status.get('message')}"
        )

    async def start_traffic(self, *, rate: float = 100.0, pooled_share: float = 1.0, **more: Any) -> None:
        """Clients that ask through the Service's cluster IP; `more`: of `Load`."""
        service = await self.api.get(SERVICES, NAMESPACE, self.cast.name)
        address = service["spec"]["clusterIP"]
        self.traffic = Traffic(
            Load(address, self.cast.port, rate=rate, pooled_share=pooled_share, headers=self.cast.headers, **more)
        )
        self.traffic.start()

    async def stop_traffic(self) -> None:
        """Wait for the answers that are still to come."""
        if self.traffic:
            await self.traffic.stop()

    def answers(self) -> list[Answer]:
        """Everything that was answered so far, with the revision that did."""
        return attributed(self.traffic.answers, self.revisions) if self.traffic else []

    def stop_processes(self, revision: str) -> int:
        """Freeze the gateway processes of a revision's pods (SIGSTOP); how many."""
        uids = {
            p["metadata"]["uid"]
            for p in self.pods.values()
            if p["metadata"]["labels"][names.LABEL_REVISION] == revision
        }
        processes = gateway_processes(uids)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
        return len(processes)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """By its condition."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def gateway_processes(uids: set[str]) -> list[int]:
    """The gateways of these pods, by UID; root sees them from outside."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and _gateway_of(folder, uids):
                found.append(int(folder.name))
    return found


def _gateway_of(process: Path, uids: set[str]) -> bool:
    """Whether a process belongs to one of these pods and is not the one that only keeps its namespaces."""
    group = (process / "cgroup").read_text()
    return any(uid in group for uid in uids) and b"pause" not in (process / "cmdline").read_bytes()
