"""Slow looks are spread over their period and keep their moments; fast ones only follow the last one."""

from __future__ import annotations

import pytest

from keeptrusts_operator.gateways.watch import IDLE_SECONDS, next_look


@pytest.mark.parametrize("began", [0.0, 11.9, 12.0, 1e6 / 7])
@pytest.mark.parametrize("phase", [0.0, 0.4, 0.999])
def test_a_slow_look_is_never_later_than_a_period_after_the_last(began: float, phase: float) -> None:
    assert began < next_look(began, IDLE_SECONDS, phase) <= began + IDLE_SECONDS


def test_a_slow_look_that_began_late_does_not_move_the_next() -> None:
    assert next_look(12.3, 30.0, 0.4) == next_look(14.0, 30.0, 0.4) == 42.0


def test_gateways_found_at_once_are_asked_one_after_the_other() -> None:
    moments = {round(next_look(100.0, 30.0, i / 300), 3) for i in range(300)}
    assert len(moments) == 300


def test_a_fast_look_follows_the_last_one() -> None:
    assert next_look(7.25, 0.5, 0.4) == 7.75
