"""A step of the system's clock neither skips nor prolongs a wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keeptrusts_operator.loop.clock import SteadyClock

START = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_time_goes_on_as_the_monotonic_clock_does(step: timedelta) -> None:
    system, monotonic = START, 100.0
    clock = SteadyClock(lambda: system, lambda: monotonic)
    system, monotonic = START + step, 107.5
    assert clock.now() == START + timedelta(seconds=7.5)
    clock.settle()
    assert clock.now() == START + step


def test_time_is_carried_on_from_what_another_process_wrote() -> None:
    monotonic = 100.0
    clock = SteadyClock(lambda: START, lambda: monotonic)
    clock.carry_on(START + timedelta(hours=1))
    monotonic = 101.0
    clock.carry_on(START - timedelta(hours=1))
    assert clock.now() == START + timedelta(hours=1, seconds=1)
