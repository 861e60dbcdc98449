"""The demo's story in the simulated world, as `python -m tests.demo --simulated` plays it."""

from __future__ import annotations

import asyncio

import pytest

from tests.demo.objects import CASTS
from tests.demo.story import tell
from tests.sim.stage import SimStage


@pytest.mark.parametrize("gateway", list(CASTS))
def test_every_chapter_ends_as_expected(gateway: str) -> None:
    told = asyncio.run(tell(SimStage(CASTS[gateway], lambda at, text: None), lambda text: None))
    assert {c.title: c.problems for c in told.chapters if not c.ok} == {}
    assert told.ok
    seen = told.chapters[-1].bypass
    assert seen
    assert (seen.by, seen.approved_by, seen.blocked) == ("ada", "grace", 0)
    assert seen.passed_near > 0.4 * seen.passed
    last = [entry["event"] for entry in seen.incident["timeline"]][-1]
    assert last.startswith("over: Expired; at least ")
    assert "would have been blocked" in last
