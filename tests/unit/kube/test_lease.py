"""Leader election: nobody leads twice, and nobody writes without being sure."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from keeptrusts_operator.kube.fence import FencedKube, LeadershipLost
from keeptrusts_operator.kube.lease import CLEANUP_HOLDER, Lease, LeaseTimes
from keeptrusts_operator.kube.port import LEASES, Kube
from tests.sim.api import SimKube
from tests.sim.faults import Call, Fault, FaultyKube, no_faults

TIMES = LeaseTimes()


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def lease(kube: Kube, identity: str, clock: Clock) -> Lease:
    return Lease(kube, "ns", "lease", identity, TIMES, clock)


def down(call: Call) -> Fault:
    return Fault.TIMEOUT


@pytest.fixture
def kube() -> SimKube:
    return SimKube(lambda: datetime(2026, 11, 24, tzinfo=UTC))


async def test_the_second_waits_until_the_first_has_not_renewed_for_its_whole_duration(kube: SimKube) -> None:
    clock = Clock()
    first, second = lease(kube, "a", clock), lease(kube, "b", clock)
    assert await first._try()
    assert not await second._try()
    clock.at += TIMES.duration - 1
    assert await first._try()
    clock.at += TIMES.duration - 1
    assert not await second._try()
    clock.at += TIMES.duration + 1
    assert await second._try()
    assert not await first._try()
    with pytest.raises(LeadershipLost):
        first.check()


async def test_the_fence_falls_before_another_may_lead(kube: SimKube) -> None:
    clock = Clock()
    first = lease(kube, "a", clock)
    fenced = FencedKube(kube, first)
    with pytest.raises(LeadershipLost):
        await fenced.merge(LEASES, "ns", "lease", {})
    assert await first._try()
    await fenced.merge(LEASES, "ns", "lease", {})
    clock.at += TIMES.duration - TIMES.margin
    with pytest.raises(LeadershipLost):
        await fenced.merge(LEASES, "ns", "lease", {})
    assert first.held


async def test_a_renewal_counts_from_when_it_was_sent(kube: SimKube) -> None:
    clock = Clock()
    faulty = FaultyKube(kube, no_faults, lambda text: None)
    first = lease(faulty, "a", clock)
    assert await first._try()

    def slow(call: Call) -> None:
        if call.writes:
            clock.at += 4

    faulty.plan = slow
    sent = clock.at
    assert await first._try()
    clock.at = sent + TIMES.duration - TIMES.margin
    with pytest.raises(LeadershipLost):
        first.check()


async def test_an_api_server_that_does_not_answer_is_no_leadership(kube: SimKube) -> None:
    assert not await lease(FaultyKube(kube, down, lambda text: None), "a", Clock())._try()


async def test_a_leader_waits_for_a_broken_api_server_and_leaves_for_another_leader(kube: SimKube) -> None:
    clock = Clock()
    quick = LeaseTimes(renew_every=0.001)
    faulty = FaultyKube(kube, no_faults, lambda text: None)
    first = Lease(faulty, "ns", "lease", "a", quick, clock)
    await first.acquire()
    faulty.plan = down
    clock.at += 2 * quick.duration
    keeping = asyncio.create_task(first.keep())
    await asyncio.sleep(0.05)
    assert not keeping.done()
    assert not first.held
    faulty.plan = no_faults
    await asyncio.sleep(0.05)
    assert first.held
    await lease(kube, CLEANUP_HOLDER, clock).take(600)
    await asyncio.wait_for(keeping, 1)


async def test_cleanup_takes_the_lease_and_nobody_follows_it(kube: SimKube) -> None:
    clock = Clock()
    leader, standby = lease(kube, "a", clock), lease(kube, "b", clock)
    assert await leader._try()
    await lease(kube, CLEANUP_HOLDER, clock).take(600)
    assert not await leader._try()
    clock.at += 599
    assert not await standby._try()


async def test_a_released_lease_is_taken_at_once(kube: SimKube) -> None:
    clock = Clock()
    first, second = lease(kube, "a", clock), lease(kube, "b", clock)
    assert await first._try()
    await first.release()
    assert await second._try()
