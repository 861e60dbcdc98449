"""Loops that begin at once take turns; those with something exposed never wait; long waits drift apart."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.core.grants import Grant, GrantState
from keeptrusts_operator.core.state import Rollback, State
from keeptrusts_operator.loop.pace import Pace
from keeptrusts_operator.loop.reconcile import Pass, Reconciler
from keeptrusts_operator.loop.runner import Runner
from keeptrusts_operator.loop.telemetry import Telemetry
from keeptrusts_operator.loop.turns import Turns, asks, is_urgent, looks_urgent

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


def hurry(now: bool) -> asyncio.Event:
    event = asyncio.Event()
    if now:
        event.set()
    return event


async def test_calm_loops_are_bounded_and_urgent_ones_are_not() -> None:
    turns, release, inside = Turns(2), asyncio.Event(), {True: 0, False: 0}

    async def one(urgent: bool) -> None:
        async with turns.turn(hurry(urgent)):
            inside[urgent] += 1
            await release.wait()

    tasks = [asyncio.create_task(one(urgent)) for urgent in [False] * 5 + [True] * 5]
    await asyncio.sleep(0.01)
    assert inside == {False: 2, True: 5}
    release.set()
    await asyncio.gather(*tasks)
    assert inside == {False: 5, True: 5}


@pytest.mark.parametrize("steps", range(6))
async def test_a_place_is_not_lost_to_who_is_cancelled_as_it_gets_one(steps: int) -> None:
    turns, release = Turns(1), asyncio.Event()

    async def one() -> None:
        async with turns.turn(hurry(False)):
            await release.wait()

    first, second = asyncio.create_task(one()), asyncio.create_task(one())
    await asyncio.sleep(0.01)
    release.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    async with asyncio.timeout(1), turns.turn(hurry(False)):
        pass


async def test_a_turn_that_fails_is_given_back() -> None:
    turns = Turns(1)
    for _ in range(2):
        try:
            async with asyncio.timeout(1), turns.turn(hurry(False)):
                raise KeyError
        except KeyError:
            continue
    async with asyncio.timeout(1), turns.turn(hurry(False)):
        pass


async def test_whoever_comes_to_be_in_a_hurry_leaves_the_queue_and_takes_nobody_s_place() -> None:
    turns, release, entered = Turns(1), asyncio.Event(), list[str]()

    async def one(name: str, hurried: asyncio.Event) -> None:
        async with turns.turn(hurried):
            entered.append(name)
            await release.wait()

    hurries = {name: asyncio.Event() for name in ("first", "second", "asked", "gone", "last")}
    tasks = {name: asyncio.create_task(one(name, hurried)) for name, hurried in hurries.items()}
    await asyncio.sleep(0.01)
    assert entered == ["first"]
    hurries["asked"].set()
    tasks["gone"].cancel()
    await asyncio.sleep(0.01)
    assert entered == ["first", "asked"]
    release.set()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert entered == ["first", "asked", "second", "last"]
    async with asyncio.timeout(1), turns.turn(hurry(False)):
        assert len(entered) == 4, "the only place is free again"


class Slow:
    """A Reconciler whose passes last until they are let go."""

    written = ""

    def __init__(self) -> None:
        self.passes, self.go = 0, asyncio.Event()

    async def once(self) -> Pass:
        self.passes += 1
        await self.go.wait()
        return Pass(timedelta(minutes=5))


async def test_a_request_on_a_calm_gateway_does_not_wait_for_the_passes_of_others() -> None:
    turns, telemetry = Turns(2), Telemetry()
    slow = [Slow() for _ in range(6)]
    runners = [Runner(cast("Reconciler", s), telemetry, turns, "ns", f"g{i}", urgent=False) for i, s in enumerate(slow)]
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    await asyncio.sleep(0.01)
    assert [s.passes for s in slow] == [1, 1, 0, 0, 0, 0]
    runners[5].wake()
    await asyncio.sleep(0.01)
    assert slow[5].passes == 0, "any other news waits for its turn"
    runners[5].wake(urgent=True)
    await asyncio.sleep(0.01)
    assert [s.passes for s in slow] == [1, 1, 0, 0, 0, 1]
    runners[5].wake(urgent=True)  # while it looks: what it does not see is looked at at once
    slow[5].go.set()
    await asyncio.sleep(0.01)
    assert slow[5].passes == 2
    slow[5].go.clear()
    runners[5].wake()
    await asyncio.sleep(0.01)
    assert slow[5].passes == 2, "calm again"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_request_is_in_a_hurry_until_it_is_answered() -> None:
    notes = {Verb.EMERGENCY_PASSTHROUGH.annotation: "15m#2"}
    gateway = {"metadata": {"annotations": notes}}
    assert asks(gateway)
    assert not asks({"metadata": {"annotations": {"other": "x"}}})
    answered = {"verb": "emergency-passthrough", "value": "15m#1"}
    assert asks({**gateway, "status": {"requests": [answered]}})
    assert not asks({**gateway, "status": {"requests": [{**answered, "value": "15m#2"}]}})


def test_a_phase_says_at_first_sight_who_must_not_wait() -> None:
    assert not looks_urgent({})
    assert not looks_urgent({"phase": "Stable"})
    assert all(looks_urgent({"phase": phase}) for phase in ("Canary", "Soaking", "RollingBack", "Passthrough"))


def test_long_waits_differ_by_loop_and_short_ones_do_not() -> None:
    first, last = Pace(0.0), Pace(0.99)
    assert first.done(timedelta(minutes=5)) == 300
    assert 220 < last.done(timedelta(minutes=5)) < 230
    assert first.done(timedelta(seconds=15)) == last.done(timedelta(seconds=15)) == 15


def test_whoever_may_have_to_move_traffic_at_any_moment_is_urgent() -> None:
    grant = Grant(GrantState.ACTIVE, "1", "ann", NOW, timedelta(minutes=15), "filter blocks all")
    rollback = Rollback("b", "BlockRate", "", NOW, issued_at=NOW)
    assert not is_urgent(State())
    assert is_urgent(State(passthrough=grant))
    assert is_urgent(State(rearmed_at=NOW))
    assert is_urgent(State(rollback=rollback))
    assert not is_urgent(State(rollback=replace(rollback, effective_at=NOW)))
    assert not is_urgent(State(rollback=replace(rollback, issued_at=None)))  # refused before it had traffic
    assert not is_urgent(State(passthrough=replace(grant, state=GrantState.ENDED)))
