"""Leader election on a `coordination.k8s.io` Lease, and the fence that follows from it.

Other replicas judge a holder by *their own* monotonic clock since they last saw the Lease change, never by the
timestamps in it: clocks of nodes differ. The holder counts from before it *sent* its last successful renewal.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from keeptrusts_operator.kube.fence import LeadershipLost
from keeptrusts_operator.kube.port import LEASES, ApiError, Conflict, Kube, NotFound, Obj

logger = logging.getLogger(__name__)

CLEANUP_HOLDER = "cleanup"
"""Holder that is not to be succeeded: an uninstall is going on."""


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds. A write is allowed until `duration - margin` after the last renewal: `margin` covers the longest request."""

    duration: float = 15.0
    renew_every: float = 2.0
    margin: float = 6.0


class Lease:
    """One replica's view of the Lease. `acquire` waits until it leads, `keep` returns when it does not any more."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube, self._namespace, self._name = kube, namespace, name
        self.identity = identity
        self._times = times or LeaseTimes()
        self._monotonic = monotonic
        self._valid_until = float("-inf")
        self._seen: tuple[str, float] = ("", 0.0)  # the newest version of the Lease, and when it was first seen
        self._read_at = float("-inf")
        self.holder = ""

    def check(self) -> None:
        """Raises LeadershipLost unless a request sent now ends while the Lease is ours."""
        if self._monotonic() >= self._valid_until - self._times.margin:
            raise LeadershipLost(
                f"the Lease {self._namespace}/{self._name} is not certainly ours; held by {self.holder or '?'}"
            )

    @property
    def held(self) -> bool:
        """Whether we lead, as far as we know."""
        return self._monotonic() < self._valid_until

    @property
    def seen_recently(self) -> bool:
        """Whether the API server has told of the Lease within its duration."""
        return self._monotonic() - self._read_at < self._times.duration

    @property
    def old_leader_gone_after(self) -> float:
        """Seconds after `take` until a leader that was cut off from the API server has stopped writing too."""
        return self._times.duration

    async def acquire(self) -> None:
        """Compete until the Lease is ours."""
        while True:
            if await self._try():
                logger.info("leading as %s", self.identity)
                return
            await asyncio.sleep(self._times.renew_every)

    async def keep(self) -> None:
        """Renew until another holds the Lease; returns then.

        An API server that does not answer is waited for: the fence is down meanwhile, and what is known is kept.
        """
        while True:
            await asyncio.sleep(self._times.renew_every)
            await self._try()
            if self.holder != self.identity:
                logger.error("lost the Lease to %s", self.holder or "nobody")
                return

    async def release(self) -> None:
        """Give the Lease up at a clean end, so that the next replica need not wait for it to run out."""
        if self.held and self.holder == self.identity:
            self._valid_until = float("-inf")
            try:
                lease = await self._kube.get(LEASES, self._namespace, self._name)
                if lease["spec"].get("holderIdentity") == self.identity:
                    lease["spec"].update(holderIdentity="", leaseDurationSeconds=1)
                    await self._kube.replace(LEASES, lease)
            except ApiError as error:
                logger.warning("the Lease could not be released: %s", error)

    async def take(self, duration: float) -> None:
        """Take the Lease from whoever holds it, for `duration` seconds (for `cleanup`)."""
        while True:
            try:
                lease = await self._kube.get(LEASES, self._namespace, self._name)
                await self._write(lease, duration, transitions=True)
                return
            except NotFound:
                await self._create(duration)
                return
            except Conflict:
                continue  # the holder renewed in between

    async def _try(self) -> bool:
        """One attempt to become or stay the holder; any failure counts as no."""
        try:
            lease = await self._kube.get(LEASES, self._namespace, self._name)
        except NotFound:
            try:
                await self._create(self._times.duration)
                return True
            except ApiError as error:
                logger.warning("the Lease could not be created: %s", error)
                return False
        except ApiError as error:
            logger.warning("the Lease could not be read: %s", error)
            return False
        self._read_at = self._monotonic()
        self.holder = lease["spec"].get("holderIdentity") or ""
        if self.holder not in ("", self.identity) and not self._expired(lease):
            self._valid_until = float("-inf")
            return False
        try:
            await self._write(lease, self._times.duration, transitions=self.holder != self.identity)
            return True
        except ApiError as error:
            logger.warning("the Lease could not be renewed: %s", error)
            return False

    def _expired(self, lease: Obj) -> bool:
        version = lease["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, self._monotonic())
        return self._monotonic() - self._seen[1] > float(lease["spec"].get("leaseDurationSeconds") or 0)

    async def _write(self, lease: Obj, duration: float, *, transitions: bool) -> None:
        sent, spec = self._monotonic(), lease["spec"]
        now = _micro_time()
        spec.update(holderIdentity=self.identity, leaseDurationSeconds=int(duration), renewTime=now)
        if transitions:
            spec.update(acquireTime=now, leaseTransitions=int(spec.get("leaseTransitions") or 0) + 1)
        await self._kube.replace(LEASES, lease)
        self.holder, self._valid_until = self.identity, sent + duration

    async def _create(self, duration: float) -> None:
        sent, now = self._monotonic(), _micro_time()
        await self._kube.create(
            LEASES,
            {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"name": self._name, "namespace": self._namespace},
                "spec": {
                    "holderIdentity": self.identity,
                    "leaseDurationSeconds": int(duration),
                    "acquireTime": now,
                    "renewTime": now,
                    "leaseTransitions": 0,
                },
            },
        )
        self.holder, self._valid_until = self.identity, sent + duration


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
