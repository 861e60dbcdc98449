"""Loops that begin at once take turns; those with something exposed never wait; long waits drift apart."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from keeptrusts_operator.loop.pace import Pace
from keeptrusts_operator.loop.turns import Turns, looks_urgent


async def test_calm_loops_are_bounded_and_urgent_ones_are_not() -> None:
    turns, release, inside = Turns(2), asyncio.Event(), {True: 0, False: 0}

    async def one(urgent: bool) -> None:
        async with turns.turn(urgent=urgent):
            inside[urgent] += 1
            await release.wait()

    tasks = [asyncio.create_task(one(urgent)) for urgent in [False] * 5 + [True] * 5]
    await asyncio.sleep(0.01)
    assert inside == {False: 2, True: 5}
    release.set()
    await asyncio.gather(*tasks)
    assert inside == {False: 5, True: 5}


async def test_a_turn_that_fails_is_given_back() -> None:
    turns = Turns(1)
    for _ in range(2):
        try:
            async with asyncio.timeout(1), turns.turn(urgent=False):
                raise KeyError
        except KeyError:
            continue
    async with asyncio.timeout(1), turns.turn(urgent=False):
        pass


def test_a_phase_says_at_first_sight_who_must_not_wait() -> None:
    assert not looks_urgent({})
    assert not looks_urgent({"phase": "Stable"})
    assert all(looks_urgent({"phase": phase}) for phase in ("Canary", "Soaking", "RollingBack", "Passthrough"))


def test_long_waits_differ_by_loop_and_short_ones_do_not() -> None:
    first, last = Pace(0.0), Pace(0.99)
    assert first.done(timedelta(minutes=5)) == 300
    assert 220 < last.done(timedelta(minutes=5)) < 230
    assert first.done(timedelta(seconds=15)) == last.done(timedelta(seconds=15)) == 15
