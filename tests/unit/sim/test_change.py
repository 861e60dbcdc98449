"""The real loop in the simulated world: a change comes to the same end wherever the operator dies on the way."""

from __future__ import annotations

import random

import pytest

from tests.demo import objects
from tests.demo.story import tell
from tests.sim.change import change_in, outcome
from tests.sim.faults import Fault, random_faults
from tests.sim.stage import SimStage

WRITES = 40  # more than any of these changes needs


@pytest.mark.parametrize(
    ("mode", "phase"), [("", "Stable"), ("crash", "Rejected"), ("unhealthy-after:2s", "RolledBack")]
)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_change_comes_to_its_end(mode: str, phase: str, seed: int) -> None:
    world = await change_in(seed, mode)
    end = await outcome(world)
    assert end["phase"] == phase, "\n".join(world.trace)
    assert end["lost"] == 0


async def test_the_same_seed_is_the_same_run() -> None:
    assert (await change_in(5, "crash-after:3s")).trace == (await change_in(5, "crash-after:3s")).trace


@pytest.mark.parametrize(
    ("mode", "then"),
    [("", "nothing"), ("crash", "nothing"), ("unhealthy-after:2s", "nothing"), ("", "supersede"), ("", "delete")],
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_death_at_any_write_changes_nothing_in_the_end(mode: str, then: str, when: str) -> None:
    expected = await outcome(await change_in(1, mode, then=then))
    died = 0
    for write in range(1, WRITES):
        world = await change_in(1, mode, write, when, then=then)
        if not any("is killed" in line for line in world.trace):
            break
        died += 1
        assert await outcome(world) == expected, f"write {write}\n" + "\n".join(world.trace)
    assert died >= 5


@pytest.mark.parametrize("name", list(objects.CASTS))
async def test_the_demo_can_be_told_in_the_simulated_world(name: str) -> None:
    told = await tell(SimStage(objects.CASTS[name], lambda at, text: None), lambda text: None)
    assert told.ok, told.chapters


async def test_an_idle_gateway_writes_nothing() -> None:
    world = await change_in(1, "")
    world.stream.rate = world.clients.rate = 0.0
    await world.run(900)  # its health signals fade away
    before = list(world.kube.writes)
    await world.run(3600)
    assert world.kube.writes == before


async def test_an_api_server_that_fails_now_and_then_only_delays() -> None:
    expected = await outcome(await change_in(1, "unhealthy-after:2s"))
    world = await change_in(2, "")
    world.plan = random_faults(random.Random(1), 0.1, (Fault.TIMEOUT, Fault.LOST, Fault.BROKEN, Fault.THROTTLED))
    await world.replace_policy(lambda d: d["pack"].update(version="1.2.0", description="mode=unhealthy-after:2s"))
    await world.run(200)
    assert (await outcome(world))["phase"] == expected["phase"]
