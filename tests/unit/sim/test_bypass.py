"""Emergency passthrough by the real loop in the simulated world: no grant outlasts its time, whatever happens."""

from __future__ import annotations

import random

import pytest

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.kube.port import INCIDENTS
from tests.sim.bypass import GRANTED, Bypass, bypass
from tests.sim.faults import Fault, random_faults

WRITES = 60  # more than a passthrough needs
OPERATOR_LIFE = 5.0  # seconds that an end may take a living operator


async def test_a_passthrough_comes_and_goes_by_itself() -> None:
    told = await bypass(1)
    end = await told.end()
    assert end["phase"] == "Stable", "\n".join(told.world.trace)
    assert end["grant"] == {"state": "Ended", "endReason": "Expired", "requestedBy": "ada"}
    assert end["incidents"] == [("Passthrough", "Resolved", "id-1")]
    ((since, until),) = told.spans
    assert GRANTED - 15 <= until - since <= GRANTED + OPERATOR_LIFE
    told.world.stream.rate = 0.0


@pytest.mark.parametrize("when", ["before", "after"])
async def test_death_at_any_write_neither_prolongs_nor_repeats_it(when: str) -> None:
    expected = await (await bypass(1)).end()
    died = 0
    for write in range(1, WRITES):
        told = await bypass(1, write, when)
        if not any("is killed" in line for line in told.world.trace):
            break
        died += 1
        trace = f"write {write}\n" + "\n".join(told.world.trace)
        assert await told.end() == expected, trace
        assert sum(until - since for since, until in told.spans) <= GRANTED + OPERATOR_LIFE, trace
    assert died >= 10


@pytest.mark.parametrize("seed", range(12))
async def test_an_api_that_fails_now_and_then_never_makes_it_longer_than_granted(seed: int) -> None:
    told = Bypass(seed)
    await told.begin()
    faults = (Fault.TIMEOUT, Fault.LOST, Fault.BROKEN, Fault.THROTTLED, Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
    told.world.plan = random_faults(random.Random(seed), 0.05, faults)
    await told.ask("2m")
    await told.world.run(GRANTED + 600.0)
    assert told.passing_since is None
    total = sum(until - since for since, until in told.spans)
    assert total <= GRANTED + 60.0, "its end waits for an API that answers, with back-off, and for nothing else"


async def test_a_request_without_a_name_or_twice_moves_nothing() -> None:
    told = Bypass()
    await told.begin()
    await told.ask("2m", by="system:serviceaccount:argocd:argocd-application-controller")
    await told.world.run(60.0)
    assert not told.spans
    assert told.passing_since is None
    await told.ask("2m", number=2)
    await told.world.run(300.0)
    await told.ask("2m", number=2)  # re-applied, as it was
    await told.world.run(300.0)
    assert len(told.spans) == 1


async def test_off_by_anybody_who_may_ends_it_within_seconds() -> None:
    told = Bypass()
    await told.begin()
    await told.ask("15m")
    await told.world.run(60.0)
    assert told.passing_since is not None
    asked = told.world.at
    await told.ask("off", number=2, by="bob")
    await told.world.run(60.0)
    assert told.spans[0][1] - asked <= OPERATOR_LIFE


async def test_a_second_person_makes_it_last_as_long_as_was_asked() -> None:
    told = Bypass()
    await told.begin()
    await told.ask("30m")
    await told.world.run(60.0)
    await told.ask("id-1", number=2, by="bob", verb=Verb.APPROVE_PASSTHROUGH)
    await told.world.run(1200.0)
    assert told.passing_since is not None, "15 minutes alone would be over"
    await told.world.run(700.0)
    ((since, until),) = told.spans
    assert until - since <= 1800.0 + OPERATOR_LIFE


async def test_what_passed_is_counted_and_what_would_have_been_blocked_is_an_estimate() -> None:
    told = Bypass()
    await told.begin()
    await told.world.run(120.0)
    served = dict(told.world.stream.served)
    await told.ask("5m")
    await told.world.run(120.0)
    passed = (await told.world.status())["passthrough"]["passed"]
    assert 0.4 * 500 * 120 < passed["requests"] < 500 * 120
    await told.world.run(500.0)
    ((since, until),) = told.spans
    passed = (await told.world.status())["passthrough"]["passed"]
    assert passed["requests"] == pytest.approx(500 * (until - since), rel=0.02)
    assert "flagged" not in passed, "the simulated gateway does not tell"
    assert served, "there was a block rate before"
    rate = float(passed["before"]["blockRate"].rstrip("%")) / 100
    assert rate == pytest.approx(0.02, abs=0.01)
    expected = max(0.0, rate * passed["requests"] - passed["blocked"])
    assert passed["estimatedBlocked"] == pytest.approx(expected, abs=0.001 * passed["requests"])
    (incident,) = [i["status"] for i in told.world.kube.all(INCIDENTS, told.world.namespace, {})]
    assert incident["passthrough"]["passed"] == passed
    over = incident["timeline"][-1]["event"]
    assert f"at least {passed['requests'] - passed['blocked']:,} requests passed" in over
    assert "is Unknown, since the gateway does not tell" in over


async def test_a_new_leader_counts_on_and_says_no_more_than_passed() -> None:
    told = Bypass()
    await told.begin()
    await told.ask("5m")
    await told.world.run(150.0)
    before = (await told.world.status())["passthrough"]["passed"]["requests"]
    told.world.kill()
    await told.world.run(500.0)
    ((since, until),) = told.spans
    after = (await told.world.status())["passthrough"]["passed"]["requests"]
    assert before < after <= 500 * (until - since) * 1.02
    assert after >= 500 * (until - since - 90.0) * 0.98, "at most what came since the last write is lost"
