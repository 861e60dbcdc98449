"""What passed in a passthrough: a count where there is one, else Unknown with an estimate that is called one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from keeptrusts_operator.api.quantities import parse_duration
from keeptrusts_operator.core import passed
from keeptrusts_operator.core.grants import Grant, GrantState
from keeptrusts_operator.core.passed import Answered, Passed, words
from keeptrusts_operator.core.state import State
from keeptrusts_operator.gateways.watch import Heard
from keeptrusts_operator.loop.passing import Passing
from keeptrusts_operator.loop.telemetry import Telemetry
from tests.unit.core.build import T0

P, A = "pass", "active"
GRANT = Grant(GrantState.ACTIVE, "id-1", "ada", T0, parse_duration("15m"), "why", granted_at=T0)
IN_FORCE = State(active=A, passthrough=GRANT, passthrough_revision=P)
BEFORE = State(active=A, passthrough=replace(GRANT, state=GrantState.STARTING))
RATE = {A: Answered(1000, 450)}


def heard(requests: float, blocked: float = 0.0, flagged: float | None = None) -> Heard:
    return Heard(answered={P: Answered(requests, blocked, flagged)}, rates=RATE)


def test_a_gateway_that_flags_tells_how_many_and_one_that_does_not_is_unknown() -> None:
    told = Passed(Answered(12_345, 0, 5_600), T0, Answered(1000, 450))
    assert words(told) == "at least 12,345 requests passed; the gateway says that policies flagged 5,600 of them"
    not_told = Passed(Answered(12_345, 45), T0, Answered(1000, 450))
    assert "at least 12,300 requests passed" in words(not_told)
    assert "is Unknown" in words(not_told)
    assert "(estimate by the block rate of before: about 5,500)" in words(not_told), "two digits: it is no count"
    assert "estimate" not in words(Passed(Answered(12_345), T0, Answered(10, 4))), "ten requests are no rate"
    assert "Unknown" in words(None)


@pytest.mark.parametrize("flagged", [None, 0.0, 7.0])
def test_it_comes_back_from_status(flagged: float | None) -> None:
    there = Passed(Answered(100, 3, flagged), T0, Answered(1000, 450))
    assert passed.from_status(passed.to_status(there)) == there
    assert ("flagged" in passed.to_status(there)) == (flagged is not None)


def test_only_what_is_counted_in_force_counts() -> None:
    passing = Passing()
    assert passing.take(BEFORE, heard(40.0), T0) is None
    first = passing.take(IN_FORCE, heard(140.0, 10.0), T0)
    assert first == Passed(Answered(100, 10), T0, RATE[A])
    later = T0 + timedelta(minutes=1)
    assert passing.take(IN_FORCE, heard(540.0, 10.0), later) == Passed(Answered(500, 10), later, RATE[A])


def test_a_new_leader_goes_on_from_status_and_never_below_it() -> None:
    written = Passed(Answered(500, 0, 5), T0, RATE[A])
    state = replace(IN_FORCE, passthrough=replace(GRANT, passed=written))
    passing = Passing()
    later = T0 + timedelta(seconds=30)
    assert passing.take(state, Heard(), later) == written, "its pods have not been read yet"
    passing = Passing()
    assert passing.take(state, heard(9000, 0, 90), later) == replace(written, at=later)
    seen = passing.take(state, heard(9100, 0, 91), later)
    assert seen == Passed(Answered(600, 0, 6), later, RATE[A]), "only what grew since its first look is added"


def test_a_newer_grant_that_takes_its_place_begins_with_nothing() -> None:
    passing = Passing()
    passing.take(BEFORE, Heard(rates=RATE), T0)
    passing.take(IN_FORCE, heard(500), T0)
    newer = replace(IN_FORCE, passthrough=replace(GRANT, request_id="id-2"))
    assert passing.take(newer, heard(600), T0) == Passed(Answered(0), T0, RATE[A])
    assert passing.take(newer, heard(650), T0) == Passed(Answered(50), T0, RATE[A])


def test_metrics_say_only_what_is_known() -> None:
    telemetry = Telemetry()

    def value(name: str) -> float | None:
        labels = {"namespace": "ns", "name": "kt"}
        return telemetry.registry.get_sample_value(f"keeptrusts_operator_passthrough_{name}_requests", labels)

    there = passed.to_status(Passed(Answered(1000, 10), T0, Answered(1000, 450)))
    telemetry.record("ns", "kt", {"passthrough": {"state": "Active", "passed": there}}, 0.0)
    assert (value("passed"), value("flagged"), value("estimated_blocked")) == (990.0, None, 440.0)
    telemetry.record("ns", "kt", {"passthrough": {"state": "Active", "passed": {**there, "flagged": 7}}}, 0.0)
    assert value("flagged") == 7.0
