"""Tests of the simulation itself: a planted bug of each family breaks a promise; without it the same worlds hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keeptrusts_operator.core import grant_rules, grants, machine
from keeptrusts_operator.core.judgement import Verdict
from keeptrusts_operator.core.look import Look
from keeptrusts_operator.core.machine import Decision, decide
from keeptrusts_operator.core.report import status_of
from keeptrusts_operator.core.state import State
from keeptrusts_operator.core.world import World
from keeptrusts_operator.gateways.counters import PodCounters
from keeptrusts_operator.gateways.trial import Case, Trial
from keeptrusts_operator.kube.port import SERVICES, Obj
from keeptrusts_operator.loop import reconcile
from keeptrusts_operator.loop.act import Actor, Receipt
from keeptrusts_operator.loop.reconcile import Reconciler
from tests.sim.campaign import Broken, live
from tests.sim.faults import FaultyKube
from tests.sim.page_days import page_day
from tests.sim.pages import PageFault
from tests.sim.trip import inherits, trip_in, trip_with_nowhere_to_go

SEED = 3000


async def caught(promise: str) -> None:
    """The bug is found, and by the promise that it breaks."""
    with pytest.raises(Broken) as broken:
        await live(SEED)
    assert promise in str(broken.value).splitlines()[0]


DAYS = 12  # of bad pages, in which a planted bug is found


async def broken_on(days: Iterable[int], kinds: Sequence[PageFault] | None = None) -> str:
    """How the first of these days of bad pages ends on which a promise breaks."""
    for day in days:
        try:
            await page_day(day, kinds)
        except Broken as broken:
            return str(broken).splitlines()[0]
    return ""


async def test_without_a_planted_bug_the_same_world_holds() -> None:
    await live(SEED)


async def test_a_write_that_is_not_idempotent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat in the status."""

    def beating(world: World, decision: Decision, before: Obj) -> Obj:
        status = status_of(world, decision, before)
        status["message"] = f"{status.get('message', '')} (seen at {world.now:%H:%M})"
        return status

    monkeypatch.setattr(reconcile, "status_of", beating)
    await caught("a world at rest is written to")


async def test_status_before_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status is written first, and then what it says is done."""
    original = Reconciler._write_status

    async def carry_out(self: Actor, actions: Any) -> Receipt:
        put_off.append((self, actions))
        return Receipt()

    async def write_status(self: Reconciler, gateway: Obj, status: Obj) -> bool:
        done = await original(self, gateway, status)
        for actor, actions in put_off:
            await real(actor, actions)
        put_off.clear()
        return done

    put_off: list[tuple[Actor, Any]] = []
    real = Actor.carry_out
    monkeypatch.setattr(Actor, "carry_out", carry_out)
    monkeypatch.setattr(Reconciler, "_write_status", write_status)
    await caught("the Service selects")


async def test_a_deadline_that_flapping_readiness_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress anew: as long as a pod comes and goes, the rollout never times out."""

    def decided(world: World, state: State) -> Decision:
        decision = decide(world, state)
        rollout = decision.state.rollout
        if rollout and rollout == state.rollout and rollout.deadline and rollout.ready_at:
            pods = world.revision(rollout.revision).running
            if pods and not all(p.ready for p in pods):
                later = replace(rollout, deadline=rollout.deadline + timedelta(seconds=5))
                return replace(decision, state=replace(decision.state, rollout=later))
        return decision

    monkeypatch.setattr(reconcile, "decide", decided)
    await caught("the deadline of")


async def test_trust_in_a_stale_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Service is written whatever its version is by now."""
    await trip_in(3, stale=True)
    monkeypatch.setattr(FaultyKube, "apply", _without_version)
    with pytest.raises(Broken, match="is exposed again"):
        await trip_in(3, stale=True)


async def test_exposure_raised_by_an_old_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was deposed goes on where it stood, and nothing fences its writes."""
    await trip_in(3, frozen=True)
    monkeypatch.setattr(FaultyKube, "apply", _without_version)
    monkeypatch.setattr(FaultyKube, "leading", property(lambda self: True, lambda self, value: None), raising=False)
    with pytest.raises(Broken, match="is exposed again"):
        await trip_in(3, frozen=True)


async def test_a_judge_that_takes_no_data_for_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is not consent: a candidate that nobody could read goes on."""

    def word(self: Trial, at: float) -> tuple[Verdict, str]:
        said = judged(self, at)
        return (Verdict.CLEAR, said[1]) if said[0] is Verdict.UNDECIDED else said

    judged = Trial._word
    monkeypatch.setattr(Trial, "_word", word)
    found = await broken_on(range(DAYS))
    assert re.search("a bad config was promoted|promoted although nothing|without a single page", found)


async def test_a_judge_that_takes_half_a_page_for_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a page without its allowed decisions looks like a gateway that blocks everything."""
    monkeypatch.setattr(PodCounters, "_lost", lambda self, before, now: "")
    found = await broken_on(range(60), (PageFault.MISSING,))
    assert re.search("a good config was taken back|it ends Held", found)


async def test_a_trip_that_is_not_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest word counts, and the judge goes on counting after a trip."""

    def go_on(self: Trial, sums: Any, pods: Any, seconds: float, at: float) -> None:
        self.word = (Verdict.UNDECIDED, self.word[1])
        feed(self, sums, pods, seconds, at)

    feed = Trial.feed
    monkeypatch.setattr(Trial, "feed", go_on)
    monkeypatch.setattr(Look, "judgement", property(lambda self: self.world.judgement))
    with pytest.raises(Broken, match="had tripped and is"):
        await trip_with_nowhere_to_go(1)


async def test_evidence_that_a_new_leader_does_not_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leader begins with nothing: where leaders die often, nothing ever trips."""
    alone, period = await trip_in(3, rate=6.0), 15.5
    look = next(n for n, (at, _) in enumerate(alone.evidence, 1) if alone.evidence_at(at - period) > 1.0)
    inherits(await trip_in(3, rate=6.0, dies_at_look=look), period)
    monkeypatch.setattr(Case, "checkpoint", property(lambda self: {}))
    with pytest.raises(Broken, match="evidence is lost"):
        inherits(await trip_in(3, rate=6.0, dies_at_look=look), period)


_apply = FaultyKube.apply


async def _without_version(self: FaultyKube, resource: Any, obj: Obj, *, force: bool = True) -> Obj:
    if resource is SERVICES:
        obj["metadata"].pop("resourceVersion", None)
    return await _apply(self, resource, obj, force=force)


BYPASSED = range(90550, 90556)  # worlds with passthroughs, in which a planted bug is found


async def broken_by(promise: str) -> None:
    """One of these worlds breaks, by this promise."""
    told = []
    for seed in BYPASSED:
        try:
            await live(seed, bypasses=True)
        except Broken as broken:
            told.append(str(broken).splitlines()[0])
            if promise in told[-1]:
                return
    raise AssertionError(f"nobody found it: {told}")


async def test_a_passthrough_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "due", lambda grant, now: grant)
    await broken_by("lasts longer than granted")


async def test_a_request_of_a_machine_that_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grant_rules, "check_person", lambda ask, at: None)
    await broken_by("is no valid request")


async def test_an_approval_by_whoever_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grant_rules, "check_second_person", lambda ask, current, at: None)
    await broken_by("who did not or may not")


async def test_a_request_that_is_granted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old requests are not remembered."""
    monkeypatch.setattr(grant_rules, "_seen", lambda current, at: set())
    await broken_by("was granted twice")


async def test_traffic_that_stays_when_a_passthrough_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = tuple(r for r in machine.RULES if r.name != "Rearmed")
    monkeypatch.setattr(machine, "RULES", rules)
    await broken_by("traffic does not go back")
