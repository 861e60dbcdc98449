"""The way from a trip to its effect: nothing else that goes wrong makes it longer, and no death of the leader stops it."""

from __future__ import annotations

import pytest

from keeptrusts_operator.core.machine import RESYNC_ROLLOUT
from keeptrusts_operator.kube.port import SERVICES
from tests.sim.trip import DISTURBANCES, Tripped, inherits, trip_in, trip_with_nowhere_to_go

LOOKS = 200  # more than any of these trips takes
WRITES = 40
PERIOD = RESYNC_ROLLOUT.total_seconds() + 0.5  # seconds from checkpoint to checkpoint, and a look
BUSY, QUIET = 500.0, 6.0  # requests a second


async def end(run: Tripped) -> tuple[object, ...]:
    """What must not depend on when the leader died, nor on what else went wrong."""
    status = await run.world.status()
    service = next(iter(run.world.kube.all(SERVICES, run.world.namespace, {})))
    return (
        status["phase"],
        status["activeRevision"],
        [(q["revision"], q["outcome"]) for q in status["quarantined"]],
        service["spec"]["selector"],
    )


@pytest.mark.parametrize("disturbance", list(DISTURBANCES))
async def test_whatever_else_goes_wrong_a_trip_takes_effect_as_soon(disturbance: str) -> None:
    for seed in (1, 2):
        alone, disturbed = await trip_in(seed), await trip_in(seed, disturbance=disturbance)
        assert disturbed.seconds <= 1.5 * alone.seconds + 1e-9, "\n".join(disturbed.world.trace)
        assert 0 < disturbed.calls <= 1.5 * alone.calls
        assert await end(disturbed) == await end(alone)


@pytest.mark.parametrize("rate", [BUSY, QUIET])
async def test_the_leader_may_die_at_any_look_of_a_trip(rate: float) -> None:
    """The next one finishes, and lacks at most what was learned since the last checkpoint."""
    undisturbed = await trip_in(3, rate)
    expected, looks = await end(undisturbed), 0
    for look in range(1, LOOKS):
        run = await trip_in(3, rate, dies_at_look=look)
        if run.died_at is None:
            break
        looks += 1
        trace = "\n".join(run.world.trace)
        assert await end(run) == expected, f"look {look}\n{trace}"
        inherits(run, PERIOD)
    assert looks >= 5


@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_leader_may_die_at_any_write_of_a_trip(when: str) -> None:
    expected, died = await end(await trip_in(3)), 0
    for write in range(1, WRITES):
        run = await trip_in(3, dies_at_write=write, when=when)
        if not run.world.deaths:
            break
        died += 1
        assert await end(run) == expected, f"write {write}\n" + "\n".join(run.world.trace)
    assert died >= 10


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_process_that_stood_still_while_it_was_tripped_exposes_nothing_again(seed: int) -> None:
    run = await trip_in(seed, frozen=True)
    assert any("wakes up" in line for line in run.world.trace)
    assert await end(run) == await end(await trip_in(seed))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_reads_from_before_the_exposure_expose_nothing_again(seed: int) -> None:
    run = await trip_in(seed, stale=True)
    assert any("stale answer to get services" in line for line in run.world.trace)
    assert await end(run) == await end(await trip_in(seed))


async def test_a_trip_with_nowhere_to_go_stands_until_there_is() -> None:
    run = await trip_with_nowhere_to_go(1)
    status = await run.world.status()
    trace = "\n".join(run.world.trace)
    assert run.tripped_at is not None, trace
    assert status["phase"] == "RolledBack", trace
    assert "== Tripped" in trace
    at = next(float(line.split("s ")[0]) for line in run.world.trace if line.endswith("== Tripped"))
    assert at > run.tripped_at + 60, "it had to wait"
