"""Everything that can go wrong between the operator and the API server, at any call.

`FaultyKube` is what the operator talks to; the simulated controllers and people talk to the API directly. It asks a
`Plan` before each call. A killed process, a lost answer and a refused write are all the same to the API server's store:
either the write happened or it did not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, cast

from keeptrusts_operator.kube.fence import LeadershipLost
from keeptrusts_operator.kube.port import ApiError, Conflict, Forbidden, Kube, Obj, Refused, Resource, Unavailable
from tests.sim.api import SimKube

T = TypeVar("T")


class Crash(Exception):
    """The operator's process ends here; the world starts another one."""


class Fault(StrEnum):
    CRASH_BEFORE = "killed before"
    CRASH_AFTER = "killed after"
    LOST = "answer lost of"
    TIMEOUT = "timeout of"
    CONFLICT = "409 for"
    INVALID = "422 for"
    FORBIDDEN = "403 for"
    THROTTLED = "429 for"
    BROKEN = "500 for"
    STALE = "stale answer to"
    FREEZE = "process frozen before"


ERRORS: Mapping[Fault, Callable[[str], ApiError]] = {
    Fault.TIMEOUT: lambda what: Unavailable(f"timeout: {what}"),
    Fault.CONFLICT: lambda what: Conflict(f"conflict: {what}", 409),
    Fault.INVALID: lambda what: Refused(f"invalid: {what}", 422),
    Fault.FORBIDDEN: lambda what: Forbidden(f"forbidden: {what}", 403),
    Fault.THROTTLED: lambda what: Unavailable(f"too many requests: {what}", 429),
    Fault.BROKEN: lambda what: Unavailable(f"internal error: {what}", 500),
}
READ_FAULTS = (Fault.CRASH_BEFORE, Fault.TIMEOUT, Fault.THROTTLED, Fault.BROKEN, Fault.FORBIDDEN, Fault.STALE)
WRITE_FAULTS = tuple(f for f in Fault if f is not Fault.STALE)


@dataclass(frozen=True)
class Call:
    """One call of the operator."""

    verb: str
    resource: Resource
    name: str
    writes: bool

    def __str__(self) -> str:
        return f"{self.verb} {self.resource.plural}{f'/{self.name}' if self.name else ''}"


Plan = Callable[[Call], Fault | None]


def no_faults(call: Call) -> Fault | None:
    """A good day."""


def random_faults(rng: random.Random, rate: float, kinds: Sequence[Fault] = tuple(Fault)) -> Plan:
    """Each call fails with this probability."""
    reads = [f for f in READ_FAULTS if f in kinds]
    writes = [f for f in WRITE_FAULTS if f in kinds]

    def plan(call: Call) -> Fault | None:
        choices = writes if call.writes else reads
        return rng.choice(choices) if choices and rng.random() < rate else None

    return plan


def fault_at(number: int, fault: Fault) -> Plan:
    """One fault, at the n-th write."""
    seen = 0

    def plan(call: Call) -> Fault | None:
        nonlocal seen
        seen += call.writes
        return fault if call.writes and seen == number else None

    return plan


class Past:
    """Reads as they were a moment ago: an API server that lags behind. Objects that are gone now are gone here, too."""

    def __init__(self, api: SimKube, clock: Callable[[], float], lag: float = 2.0) -> None:
        self._api, self._clock = api, clock
        self.lag = lag  # seconds
        self._used_at = float("-inf")
        self._versions: dict[tuple[str, str, str], list[tuple[float, Obj]]] = {}

    def remember(self, resource: Resource, obj: Obj) -> None:
        """An object has changed."""
        key = (resource.plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        versions = self._versions.setdefault(key, [])
        versions.append((self._clock(), self._api.snapshot(resource, obj)))
        while len(versions) > 1 and versions[1][0] <= self._clock() - self.lag:
            versions.pop(0)

    @property
    def just_used(self) -> bool:
        """Whether what the operator knows may still come from here."""
        return self._clock() - self._used_at <= self.lag

    def _then(self, resource: Resource, obj: Obj) -> Obj:
        self._used_at = self._clock()
        versions = self._versions.get(
            (resource.plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]), []
        )
        then = [version for since, version in versions if since <= self._clock() - self.lag]
        return (then or [v for _, v in versions[:1]] or [self._api.snapshot(resource, obj)])[-1]

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        return self._then(resource, await self._api.get(resource, namespace, name))

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        return [self._then(resource, o) for o in await self._api.list(resource, namespace, labels)]


class FaultyKube:
    """`keeptrusts_operator.kube.port.Kube` as one process of the operator sees it.

    `leading` False is what a deposed leader gets from its fence. `frozen` is awaited where a process stands still in
    the middle of a call, after its fence has let the call pass.
    """

    def __init__(self, api: SimKube, plan: Plan, told: Callable[[str], None]) -> None:
        self._api, self._told = api, told
        self.plan = plan
        self.leading = True
        self.past: Past | None = None
        self.stuck: asyncio.Event | None = None  # set while this process stands still
        self.thawed: Callable[[], Awaitable[None]] | None = None  # waits for the end of a freeze
        self.writing: Callable[[bool], None] = lambda on: None

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        return await self._call(Call("get", resource, name, False), lambda kube: kube.get(resource, namespace, name))

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        return await self._call(Call("list", resource, "", False), lambda kube: kube.list(resource, namespace, labels))

    async def create(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        call = Call("create", resource, obj["metadata"]["name"], not dry_run)
        return await self._call(call, lambda kube: kube.create(resource, obj, dry_run=dry_run))

    async def apply(self, resource: Resource, obj: Obj, *, force: bool = True) -> Obj:
        return await self._call(
            Call("apply", resource, obj["metadata"]["name"], True), lambda kube: kube.apply(resource, obj, force=force)
        )

    async def replace(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        call = Call("replace", resource, obj["metadata"]["name"], not dry_run)
        return await self._call(call, lambda kube: kube.replace(resource, obj, dry_run=dry_run))

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Obj, *, subresource: str = "") -> Obj:
        return await self._call(
            Call("merge", resource, name, True),
            lambda kube: kube.merge(resource, namespace, name, patch, subresource=subresource),
        )

    async def json_patch(self, resource: Resource, namespace: str, name: str, patch: Sequence[Obj]) -> Obj:
        return await self._call(
            Call("json_patch", resource, name, True), lambda kube: kube.json_patch(resource, namespace, name, patch)
        )

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", grace_seconds: int | None = None
    ) -> None:
        await self._call(
            Call("delete", resource, name, True),
            lambda kube: kube.delete(resource, namespace, name, uid=uid, grace_seconds=grace_seconds),
        )

    async def _call(self, call: Call, do: Callable[[Kube], Awaitable[T]]) -> T:
        if call.writes and not self.leading:
            raise LeadershipLost("another process leads")
        fault = self.plan(call)
        if fault is None:
            return await self._done(call, do)
        self._told(f"!! {fault} {call}")
        if fault in ERRORS:
            raise ERRORS[fault](str(call))
        if fault is Fault.CRASH_BEFORE:
            raise Crash(str(call))
        if fault is Fault.STALE and call.verb in ("get", "list"):
            return await do(cast("Kube", self.past))
        if fault is Fault.FREEZE and self.thawed:
            await self.thawed()
        answer = await self._done(call, do)
        if fault is Fault.CRASH_AFTER:
            raise Crash(str(call))
        if fault is Fault.LOST:
            raise Unavailable(f"no answer: {call}")
        return answer

    async def _done(self, call: Call, do: Callable[[Kube], Awaitable[T]]) -> T:
        """The call itself. Who writes is told to the invariants."""
        self.writing(call.writes)
        try:
            return await do(self._api)
        finally:
            self.writing(False)
