"""Everything that the loop writes into `status` is in the CRD: the API server would silently drop the rest."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.sim.change import change_in
from tests.unit.api import crd


def closed(node: dict[str, Any]) -> dict[str, Any]:
    """The schema with unknown fields refused instead of dropped."""
    out = {k: v for k, v in node.items() if not k.startswith("x-")}
    if "properties" in out:
        out["properties"] = {k: closed(v) for k, v in out["properties"].items()}
        out["additionalProperties"] = False
    if isinstance(out.get("items"), dict):
        out["items"] = closed(out["items"])
    return out


@pytest.mark.parametrize("mode", ["", "crash", "unhealthy-after:2s", "crash-after:3s"])
async def test_every_status_on_the_way_fits_the_crd(mode: str) -> None:
    schema = closed(crd.version("gatewaydeployments")["schema"]["openAPIV3Schema"]["properties"]["status"])
    world = await change_in(3, mode)
    assert len(world.statuses) > 5
    for status in world.statuses:
        jsonschema.validate(status, schema)
