"""The admission policies that vouch for people, as the operator looks for them. The simulated API enforces none of them."""

from __future__ import annotations

from keeptrusts_operator.loop.governance import CHECKS, REQUESTS, STAMPS, WRITES
from tests.sim.api import SimKube


async def govern(kube: SimKube) -> None:
    """They are there from now on."""
    for resources, name in ((CHECKS, REQUESTS), (WRITES, STAMPS)):
        for resource in resources:
            await kube.create(resource, {"metadata": {"name": name, "namespace": ""}})
