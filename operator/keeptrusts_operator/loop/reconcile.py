"""One pass over one GatewayDeployment: observe → decide → act → report."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from keeptrusts_operator.api.circuit_breaker import BreakerMode
from keeptrusts_operator.api.gateway import CountedAt
from keeptrusts_operator.api.references import Credential
from keeptrusts_operator.core import grants, target
from keeptrusts_operator.core.confirmation import Confirmation, Question, confirm
from keeptrusts_operator.core.look import EXPOSED
from keeptrusts_operator.core.machine import Decision, decide
from keeptrusts_operator.core.report import status_of
from keeptrusts_operator.core.signals import Signals
from keeptrusts_operator.core.state import Stage, State, from_status
from keeptrusts_operator.core.world import Content, World
from keeptrusts_operator.gateways.behaviour import Plan
from keeptrusts_operator.gateways.control_plane_poller import Follow
from keeptrusts_operator.gateways.judging import Case, Confirm
from keeptrusts_operator.gateways.pods import Target
from keeptrusts_operator.gateways.trial import OF_ALL
from keeptrusts_operator.gateways.watch import IDLE_SECONDS, Aim, Heard
from keeptrusts_operator.kube.port import GATEWAYS, ApiError, Conflict, Kube, NotFound, Obj
from keeptrusts_operator.loop.act import Actor, Receipt
from keeptrusts_operator.loop.clock import SteadyClock
from keeptrusts_operator.loop.credentials import Credentials
from keeptrusts_operator.loop.mergepatch import diff
from keeptrusts_operator.loop.observe import Memory, Observation, PredecessorLeft, Shared, SpecUnusable, observe
from keeptrusts_operator.loop.outside import Outside
from keeptrusts_operator.loop.parachute import Parachutes
from keeptrusts_operator.loop.passing import Passing
from keeptrusts_operator.loop.source import RECHECK_SECONDS, DryRuns
from keeptrusts_operator.loop.vitals import Vitals

logger = logging.getLogger(__name__)

AGAIN = timedelta(0)
WAIT_FOR_PERSON = timedelta(minutes=5)
PREDECESSOR_GOES = timedelta(seconds=1)
FAST = 0.5  # seconds from look to look while a canary is judged
FEW_PODS = 20  # of a candidate that are asked so often


class Gateways(Protocol):
    """What is known of the gateways by asking them (`gateways.watch.GatewayWatch`)."""

    def heard(self, now: datetime) -> Heard:
        """Everything that is known now, in the loop's own time."""
        ...

    def aim(self, aim: Aim) -> None:
        """What to ask from now on."""
        ...


@dataclass(frozen=True)
class Pass:
    """How a pass ended: when to look again, and what it decided (None: the object is gone or cannot be decided on)."""

    look_again: timedelta
    decision: Decision | None = None
    status: Obj | None = None


class Reconciler:
    """The control loop of one GatewayDeployment, without its waiting: `once` is called whenever something may have
    changed. It keeps nothing that a restart may not lose."""

    def __init__(
        self,
        kube: Kube,
        gateways: Gateways,
        outside: Outside,
        shared: Shared,
        namespace: str,
        name: str,
        clock: SteadyClock,
    ) -> None:
        self._kube, self._gateways, self._outside, self._clock = kube, gateways, outside, clock
        self._namespace, self._name = namespace, name
        dry_runs = DryRuns(kube)
        self._memory = Memory(dry_runs, Parachutes(dry_runs), shared)
        self._vitals, self._passing = Vitals(), Passing()
        self.written = ""  # the version of the object that this loop wrote last

    async def once(self) -> Pass:
        """One pass. Raises ApiError when the API did not let it finish; what was done till then is no harm."""
        try:
            gateway = await self._kube.get(GATEWAYS, self._namespace, self._name)
        except NotFound:
            return Pass(WAIT_FOR_PERSON)
        if "deletionTimestamp" in gateway["metadata"]:
            return Pass(
                WAIT_FOR_PERSON
            )  # children go with their owner (garbage collection), or stay by --cascade=orphan
        try:
            state = from_status(gateway.get("status") or {})
            if not _waits(state):
                self._clock.settle()
            elif since := state.waits_since:
                self._clock.carry_on(since)
            now = self._clock.now()
            heard, plane = self._gateways.heard(now), self._outside.heard()
            seen = await observe(self._kube, self._memory, gateway, state, heard, now)
            signals = self._vitals.take(seen.world, state, heard, plane, gateway.get("status") or {})
            passed = self._passing.take(state, heard, now)
            seen = replace(seen, world=replace(seen.world, signals=signals, passed=passed))
        except PredecessorLeft as error:
            await self._say(gateway, "Reconciling", "PredecessorLeft", str(error))
            return Pass(PREDECESSOR_GOES)
        except (SpecUnusable, ValueError, KeyError) as error:
            reason = "SpecInvalid" if isinstance(error, SpecUnusable) else "StatusInvalid"
            await self._say(gateway, "Stalled", reason, f"nothing is changed until this is corrected: {error}")
            return Pass(WAIT_FOR_PERSON)
        decision = decide(seen.world, state)
        credentials = self._aim(seen, decision.state)
        actor = Actor(self._kube, seen, self._clock.now)
        try:
            receipt = await actor.carry_out(decision.actions)
        except Conflict as error:
            logger.info("%s/%s: not as it was seen, looking again: %s", self._namespace, self._name, error)
            return Pass(AGAIN)
        decision = _with_receipt(decision, receipt, state)
        status = status_of(seen.world, decision, gateway.get("status") or {})
        if not await self._write_status(gateway, status):
            return Pass(AGAIN)
        await actor.announce(decision.actions)
        wait = decision.look_again
        if seen.reread or credentials.named:
            wait = min(wait, timedelta(seconds=RECHECK_SECONDS))
        return Pass(AGAIN if decision.actions and not receipt.unrecorded else wait, decision, status)

    @property
    def signals(self) -> Signals:
        """The health signals of the last pass."""
        return self._vitals.signals

    @property
    def stirred(self) -> bool:
        """Whether a health signal has changed since the last pass, by what was heard since then."""
        now = self._clock.now()
        return self._vitals.stirred(self._gateways.heard(now), self._outside.heard(), now)

    def _aim(self, seen: Observation, state: State) -> Credentials:
        """Ask every pod that may serve or may still answer, and test the candidate when its tests are due."""
        world, rollout = seen.world, state.rollout
        left = state.rollback if state.rollback and not state.rollback.last_answer_at else None
        candidate, leaving = rollout.revision if rollout else "", left.revision if left else ""
        starting = target.starting_passthrough(world, state)  # read before it has traffic: all of its counts are known
        wanted = (state.active, candidate, leaving, state.passthrough_revision, starting)
        targets = tuple(
            Target(p.uid, p.ip, name, p.created_at.timestamp())
            for name in dict.fromkeys(n for n in wanted if n)
            for p in world.revision(name).pods
            if p.ip
        )
        moving = state.frozen or (bool(leaving) and bool(world.revision(leaving).pods))
        period = _period(seen.world, state) if rollout else FAST if moving else IDLE_SECONDS
        credentials = self._outside.credentials(world.spec)
        plan, case = _plan(seen, state, targets, credentials.gateway), self._case(world, state)
        self._gateways.aim(
            Aim(
                targets,
                world.spec.gateway,
                state.active,
                period,
                plan,
                case,
                credentials.gateway,
                world.spec.circuit_breaker.source.prometheus,
            )
        )
        follow = Follow(rollout.pack.version, rollout.started_at) if case and rollout and rollout.pack else None
        self._outside.aim(world.spec, credentials, follow, world.now)
        return credentials

    def _case(self, world: World, state: State) -> Case | None:
        """Whom to judge: a candidate with traffic, beside an active revision."""
        if state.rearmed_at:
            return _rearm_case(world, state)
        rollout, content, metrics = state.rollout, world.desired, world.spec.gateway.metrics
        if rollout is None or rollout.stage not in EXPOSED or not state.active or rollout.requested:
            return None
        if metrics.decisions is None or world.spec.circuit_breaker.mode is BreakerMode.OFF:
            return None
        arms = [world.revision(r).ready for r in (rollout.revision, state.active)]
        ours = isinstance(content, Content) and content.policy_hash == rollout.policy_hash
        step = f"/{rollout.step}/{'running' if rollout.step_started_at else 'coming'}"
        return Case(
            rollout.id,
            state.active,
            rollout.revision,
            rollout.stage.value + (step if rollout.stage is Stage.CANARY else ""),
            1.0 if rollout.stage is Stage.SOAKING else arms[0] / max(1, sum(arms)),
            world.spec.circuit_breaker,
            content.expected_increase if ours and isinstance(content, Content) else None,
            content.expected_decrease if ours and isinstance(content, Content) else None,
            metrics.decisions.counted_at is CountedAt.COMPLETION,
            state.judged,
            self._confirmation(world, state) if world.spec.control_plane else None,
        )

    def _confirmation(self, world: World, state: State) -> Confirm:
        """Would a trip stand without the loudest client, by the control plane's decision events?"""
        assert state.rollout is not None
        active = next((e.pack for e in reversed(state.history) if e.revision == state.active and e.pack), None)
        versions = [pack.version if pack else "" for pack in (state.rollout.pack, active)]
        since = state.rollout.started_at

        def confirm_now(limit: float, burst: float, blocked: float) -> Confirmation:
            question = Question(versions[0], versions[1], limit, burst, since, blocked)
            return confirm(question, self._outside.heard().decisions)

        return confirm_now

    async def _write_status(self, gateway: Obj, status: Obj) -> bool:
        """Write what changed, onto the version that was read. False: the object has changed, look again."""
        patch = diff(gateway.get("status") or {}, status)
        if not patch:
            return True
        body = {"metadata": {"resourceVersion": gateway["metadata"]["resourceVersion"]}, "status": patch}
        try:
            after = await self._kube.merge(GATEWAYS, self._namespace, self._name, body, subresource="status")
        except (Conflict, NotFound):
            return False
        self.written = str(after["metadata"]["resourceVersion"])
        return True

    async def _say(self, gateway: Obj, condition: str, reason: str, message: str) -> None:
        """Why nothing can be decided now: in a condition that is True, and everything is left as it is."""
        before = gateway.get("status") or {}
        others = [c for c in before.get("conditions", ()) if c["type"] != condition]
        old = next((c for c in before.get("conditions", ()) if c["type"] == condition and c["status"] == "True"), None)
        since = old["lastTransitionTime"] if old else self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        said = {
            "type": condition,
            "status": "True",
            "reason": reason,
            "message": message,
            "observedGeneration": gateway["metadata"].get("generation", 0),
            "lastTransitionTime": since,
        }
        after = {"observedGeneration": said["observedGeneration"], "message": message, "conditions": [*others, said]}
        try:
            await self._write_status(gateway, {**before, **after})
        except ApiError as failure:
            logger.warning(
                "%s/%s: %s (and status could not be written: %s)", self._namespace, self._name, message, failure
            )


def _period(world: World, state: State) -> float:
    """Seconds between looks: often while a canary is judged, less often the more pods it has and the longer it lasts."""
    rollout = state.rollout
    assert rollout is not None
    if rollout.stage in (Stage.CANARY, Stage.SCALE_UP):
        return FAST if len(world.revision(rollout.revision).pods) <= FEW_PODS else 2 * FAST
    return 2 * FAST if rollout.stage in EXPOSED and not rollout.drained_at else 4 * FAST


def _waits(state: State) -> bool:
    """Something is waited for: then time goes on by the steady clock alone."""
    return bool(state.rollout or state.retry or state.outage or state.granted)


def _rearm_case(world: World, state: State) -> Case | None:
    """Protections that have come back, against what they blocked when they served last."""
    if world.spec.gateway.metrics.decisions is None or world.spec.circuit_breaker.mode is BreakerMode.OFF:
        return None
    given = world.spec.circuit_breaker
    return Case(state.rearm_id, state.active, state.active, OF_ALL, 1.0, given, kept=state.judged)


def _plan(seen: Observation, state: State, targets: tuple[Target, ...], credential: Credential | None) -> Plan | None:
    """The behaviour tests that are due: against one ready pod of the candidate, none of which has traffic."""
    world, rollout = seen.world, state.rollout
    if rollout is None or rollout.stage is not Stage.TESTING or not isinstance(world.desired, Content):
        return None
    ready = {p.uid for p in world.revision(rollout.revision).running if p.ready}
    pod = next((t for t in targets if t.uid in ready), None)
    if pod is None or not world.desired.tests or world.desired.revision != rollout.revision:
        return None
    return Plan(rollout.id, pod, world.desired.tests, world.desired.model, world.spec.gateway, credential)


def _with_receipt(decision: Decision, receipt: Receipt, before: State) -> Decision:
    """The decision with the time at which its rollback was issued, and without what could not be recorded."""
    state = decision.state
    if receipt.lowered_at and state.rollback and state.rollback.issued_at is None:
        state = replace(state, rollback=replace(state.rollback, issued_at=receipt.lowered_at))
    if receipt.unrecorded:
        if state.rollback and before.rollback and state.rollback.detected_at == before.rollback.detected_at:
            state = replace(state, rollback=replace(state.rollback, incident=before.rollback.incident))
        state = replace(state, outage=before.outage)
        state = _with_unrecorded_passthrough(state, before)
    return replace(decision, state=state)


def _with_unrecorded_passthrough(state: State, before: State) -> State:
    """Grants whose incident could not be written: it is tried again in the next pass."""
    old, new = before.passthrough, state.passthrough
    same = old is not None and new is not None and old.request_id == new.request_id
    state = replace(state, passthrough_incident=before.passthrough_incident if same else "")
    if same or new is None or before.untold is None:
        return replace(state, superseded=before.superseded)
    closed = grants.replaced(before.untold, new.granted_at or new.requested_at)
    return replace(state, superseded=(*before.superseded, closed))
