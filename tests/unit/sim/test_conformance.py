"""The simulated API answers the script as a real API server did."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.conformance import recorded, script
from tests.conformance.schema import schemas
from tests.sim.api import SimKube

RECORDED = recorded.load()


@pytest.mark.parametrize("name", list(script.CASES))
async def test_the_simulated_api_answers_as_a_real_one(name: str) -> None:
    kube = SimKube(lambda: datetime(2026, 11, 24, tzinfo=UTC), schemas())
    assert recorded.lines(await script.play(name, kube, "here")) == recorded.lines(RECORDED[name])


def test_every_case_is_recorded() -> None:
    assert set(RECORDED) == set(script.CASES)
