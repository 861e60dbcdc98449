"""Whether the API server vouches for who makes a request: are the admission policies there?"""

from __future__ import annotations

import time
from collections.abc import Callable

from keeptrusts_operator.core.grant_checks import Attribution
from keeptrusts_operator.kube.port import ApiError, Kube, Resource

GROUP, VERSION = "admissionregistration.k8s.io", "v1"
REQUESTS, STAMPS = "requests.gateway.keeptrusts.com", "stamps.gateway.keeptrusts.com"
CHECKS = (
    Resource(GROUP, VERSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
    Resource(GROUP, VERSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
)
WRITES = (
    Resource(GROUP, VERSION, "mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
    Resource(GROUP, VERSION, "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding"),
)
AGAIN_SECONDS = 60.0


class Governance:
    """Shared by all loops: the policies are those of the cluster. An answer is remembered for a minute; policies that
    cannot be read vouch for nobody."""

    def __init__(self, kube: Kube, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kube, self._monotonic = kube, monotonic
        self._known: tuple[float, Attribution] | None = None

    async def attribution(self) -> Attribution:
        """How far requests can be attributed now."""
        if self._known is None or self._monotonic() - self._known[0] >= AGAIN_SECONDS:
            self._known = (self._monotonic(), await self._read())
        return self._known[1]

    async def _read(self) -> Attribution:
        if not await self._all_there(CHECKS, REQUESTS):
            return Attribution.NONE
        return Attribution.STAMPED if await self._all_there(WRITES, STAMPS) else Attribution.CHECKED

    async def _all_there(self, resources: tuple[Resource, ...], name: str) -> bool:
        try:
            for resource in resources:
                await self._kube.get(resource, "", name)
        except ApiError:
            return False
        return True
