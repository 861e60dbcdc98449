"""Emergency passthrough in the life of a GatewayDeployment: a grant moves traffic to a revision that lets requests pass,
and its end moves it back. Who gets one, and for how long, is `grant_rules.py`; requests and their answers are here.

    Starting ──pods ready──▶ Active ──over──▶ Rearming: one flip back ──watched──▶ Ended
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from keeptrusts_operator.api.circuit_breaker import BreakerMode
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.quantities import format_time
from keeptrusts_operator.core import grant_rules, grants, target
from keeptrusts_operator.core.actions import Announce
from keeptrusts_operator.core.effects import Effect, ended, start_return
from keeptrusts_operator.core.grant_checks import Ask, Circumstances
from keeptrusts_operator.core.grant_rules import Outcome as Answered
from keeptrusts_operator.core.grant_rules import Turn
from keeptrusts_operator.core.grants import EndReason, Grant, GrantState, Spent
from keeptrusts_operator.core.judgement import BLOCK_RATE, Verdict
from keeptrusts_operator.core.look import EXPOSED, Look
from keeptrusts_operator.core.passed import words
from keeptrusts_operator.core.state import UNPROVEN, Outcome, Quarantine, State
from keeptrusts_operator.core.world import Content, Unusable

PATIENCE = timedelta(seconds=30)  # after its end a grant waits so long for all pods; from then on one is enough
BEFORE_THE_END = timedelta(minutes=5)  # when the end is announced
COUNTED_EVERY = timedelta(minutes=1)  # what has passed is written


def ask_of(look: Look, verb: Verb) -> Ask:
    """The request as its annotations have it."""
    asked, notes = look.world.requests[verb], look.world.notes
    return Ask(asked.value, asked.id, asked.by, notes.reason, notes.scope, notes.ticket)


def answer(look: Look, verb: Verb) -> Turn:
    """What the rules say to a request or an approval."""
    world, state = look.world, look.state
    at = Circumstances(look.now, world.spec.passthrough, world.attribution, _spent(look), state.active, look.command)
    turn = grant_rules.request if verb is Verb.EMERGENCY_PASSTHROUGH else grant_rules.approve
    return turn(ask_of(look, verb), state.passthrough, at)


def _spent(look: Look) -> tuple[Spent, ...] | None:
    """By the incidents, and by grants whose incidents could not be written yet."""
    told = look.world.spent
    if told is None:
        return None
    known = {s.request_id for s in told}
    return (*told, *(s for g in look.state.superseded if g.request_id not in known and (s := grants.spent_by(g))))


def taken(look: Look, turn: Turn) -> State:
    """The state with the grant of an answer. A newer grant begins with reminders of its own."""
    state, new = look.state, turn.grant
    if new is None or new == state.passthrough:
        return state
    same = state.passthrough is not None and state.passthrough.request_id == new.request_id
    told, written = (state.passthrough_told, state.passthrough_incident) if same else (0, "")
    left = None if same else state.untold  # its incident is closed, whether it was over or makes place now
    superseded = (*state.superseded, grants.replaced(left, look.now)) if left else state.superseded
    state = replace(state, passthrough_told=told, passthrough_incident=written, superseded=superseded)
    if not same and look.state.passing and new.state in (GrantState.PENDING, GrantState.STARTING):
        assert look.state.passthrough is not None  # its place is taken while its traffic is on the way back
        state = _back(look, state, look.state.passthrough)
    return _with(state, new)


def is_unanswered(look: Look, verb: Verb) -> bool:
    """A request that can be answered now: what it depends on could be read."""
    return look.asked(verb) is not None and (
        not look.state.active or answer(look, verb).outcome is not Answered.UNKNOWN
    )


# --- guards ------------------------------------------------------------------------------------------------------


def has_traffic(look: Look) -> bool:
    """The Service selects the passthrough revision already, which status does not say: a crash came in between."""
    grant, ready = look.state.passthrough, look.world.parachute
    if grant is None or grant.state is not GrantState.STARTING or not isinstance(ready, Content):
        return False
    return look.exposed_only == ready.revision


def is_over(look: Look) -> bool:
    """Its deadline has passed."""
    grant = look.state.passthrough
    return grant is not None and grants.due(grant, look.now) != grant


def can_take_over(look: Look) -> bool:
    """Granted, and all of its pods are ready."""
    grant, ready = look.state.passthrough, look.world.parachute
    if grant is None or grant.state is not GrantState.STARTING or not grant.authorises(look.now):
        return False
    if not isinstance(ready, Content):
        return False
    pods = look.world.revision(ready.revision)
    return pods.ready >= target.serving_replicas(look.world, look.state) and bool(
        pods.workload and pods.workload.settled
    )


def cannot_be_made(look: Look) -> bool:
    """What is to be bypassed cannot be."""
    grant = look.state.passthrough
    return grant is not None and grant.state is GrantState.STARTING and isinstance(look.world.parachute, Unusable)


def can_rearm(look: Look) -> bool:
    """Over, and the revision that takes the traffic back is ready: all pods, or some after a while."""
    grant, state = look.state.passthrough, look.state
    if grant is None or grant.state is not GrantState.REARMING or state.rearmed_at:
        return False
    ready = look.world.revision(grant.rearm_revision or state.active).ready
    patient = timedelta() <= look.now - (grant.ended_at or look.now) < PATIENCE  # not for a clock that went back
    return ready >= (target.serving_replicas(look.world, state) if patient else 1)


def _trips_again(look: Look) -> bool:
    said, mode = look.world.judgement, look.world.spec.circuit_breaker.mode
    ours = said is not None and said.rollout_id == look.state.rearm_id and said.verdict is Verdict.TRIP
    return ours and mode is BreakerMode.ROLL_BACK


def trips_again(look: Look) -> bool:
    """While protections are watched, they block too much, and an earlier revision can take over."""
    return look.state.rearmed_at is not None and _trips_again(look) and look.previous_good() is not None


def is_rearmed(look: Look) -> bool:
    """The watch is over."""
    since = look.state.rearmed_at
    return since is not None and look.now - since >= look.world.spec.passthrough.rearm.max_duration


def is_to_be_told(look: Look) -> bool:
    """Half of its time, or all but five minutes of it, are over."""
    return _stage_of(look) > look.state.passthrough_told


def _stage_of(look: Look) -> int:
    grant = look.state.passthrough
    if grant is None or grant.state is not GrantState.ACTIVE or not grant.granted_at or not grant.expires_at:
        return 0
    whole, left = grant.expires_at - grant.granted_at, grant.expires_at - look.now
    if left <= BEFORE_THE_END < whole / 2:
        return 2
    return 1 if left <= whole / 2 else 0


def next_times(state: State) -> list[datetime]:
    """When the clock alone changes something."""
    grant = state.passthrough
    if grant is None:
        return []
    times = [grant.expires_at] if grant.live else []
    if grant.state is GrantState.ACTIVE and grant.granted_at and grant.expires_at:
        half = grant.granted_at + (grant.expires_at - grant.granted_at) / 2
        times += [half, grant.expires_at - BEFORE_THE_END]
    if grant.state is GrantState.REARMING and grant.ended_at:
        times.append(grant.ended_at + PATIENCE)
    return [t for t in times if t]


# --- effects -----------------------------------------------------------------------------------------------------


def take_over(look: Look) -> Effect:
    """All traffic passes. A rollout that had some waits: it is begun again afterwards."""
    grant, ready = look.state.passthrough, look.world.parachute
    assert grant is not None
    assert isinstance(ready, Content)
    state = look.state
    if state.rollout and state.rollout.stage in EXPOSED:
        state = ended(look, Outcome.SUPERSEDED, "Passthrough")
    grant = grants.exposed(grant, look.now)
    state = replace(state, passthrough=grant, passthrough_revision=ready.revision, rearmed_at=None)
    bypassed = ", ".join(ready.bypassed) or "nothing: the active policy blocks nothing that may be bypassed"
    text = (
        f"Passthrough of {grant.requested_by or 'nobody known'} until {_clock(grant.expires_at)}: all traffic goes to "
        f"{ready.revision}, which bypasses {bypassed}. Reason: {grant.reason}. {state.active} comes back by itself; to end "
        f"it now: {look.command(Verb.EMERGENCY_PASSTHROUGH, 'off')}"
    )
    return state, Announce("Warning", "PassthroughActive", text)


def end(look: Look) -> Effect:
    """Its time is over."""
    grant = look.state.passthrough
    assert grant is not None
    over = grants.due(grant, look.now)
    text = (
        f"Nobody approved the passthrough that {grant.requested_by} asked for."
        if over.state is GrantState.EXPIRED
        else f"The passthrough is over ({over.end_reason}): {over.rearm_revision or look.state.active} takes the traffic back."
    )
    return _with(look.state, over), Announce("Normal", "PassthroughEnded", text)


def _with(state: State, grant: Grant) -> State:
    """One that never had traffic has nothing to move back."""
    state = replace(state, passthrough=grant)
    if grant.state is GrantState.REARMING and not state.passthrough_revision:
        return replace(state, passthrough=grants.rearmed(grant))
    return state


def give_up(look: Look) -> Effect:
    """There is no such passthrough."""
    grant, why = look.state.passthrough, look.world.parachute
    assert grant is not None
    assert isinstance(why, Unusable)
    text = f"The passthrough that {grant.requested_by} asked for cannot be made: {why.message}."
    over = grants.ended(grant, look.now, EndReason.UNAVAILABLE)
    return _with(look.state, over), Announce("Warning", "PassthroughUnavailable", text)


def rearm(look: Look) -> Effect:
    """Protections are back: one flip, and the pods that let everything pass are gone."""
    grant = look.state.passthrough
    assert grant is not None
    state = _back(look, look.state, grant)
    text = f"Protections are back: {state.active} serves, {grant.end_reason} of the passthrough by {grant.requested_by}"
    return state, Announce("Normal", "PassthroughRearmed", f"{text}; {words(look.world.passed or grant.passed)}.")


def _back(look: Look, state: State, grant: Grant) -> State:
    revision = grant.rearm_revision or state.active
    return replace(state, active=revision, last_good=revision, rearmed_at=look.now)


def leave_rearmed(look: Look) -> Effect:
    """It blocks too much again: to the revision that was good before it, never back to the passthrough."""
    left, previous = look.state.active, look.previous_good()
    assert previous is not None
    said = look.world.judgement.message if look.world.judgement else ""
    before = next((e for e in reversed(look.state.history) if e.revision == left), None)
    blamed = Quarantine(left, before.policy_hash if before else "", Outcome.ROLLED_BACK, BLOCK_RATE, said, look.now)
    state = _finished(look)
    state = start_return(look, replace(state, quarantined=(*state.quarantined, blamed)), previous)
    text = (
        f"{left} blocks too much after the passthrough ({said}): {previous} takes the traffic as soon as it is ready."
    )
    return state, Announce("Warning", "RearmTripped", text)


def finish(look: Look) -> Effect:
    """The watch is over."""
    return _finished(look), None


def _finished(look: Look) -> State:
    grant = look.state.passthrough
    assert grant is not None
    return replace(look.state, passthrough=grants.rearmed(grant), passthrough_revision="", rearmed_at=None)


def remind(look: Look) -> Effect:
    """People are told how long it lasts."""
    grant = look.state.passthrough
    assert grant is not None
    text = (
        f"The passthrough of {grant.requested_by} ends at {_clock(grant.expires_at)}; {grant.rearm_revision} comes back. "
        f"To end it now: {look.command(Verb.EMERGENCY_PASSTHROUGH, 'off')}"
    )
    return replace(look.state, passthrough_told=_stage_of(look)), Announce("Warning", "PassthroughEnding", text)


# --- after every decision ----------------------------------------------------------------------------------------


def follow(look: Look, state: State) -> State:
    """The grant with what was seen of it: where traffic goes afterwards, since when it is effective, last answers."""
    state = _counted(look, state)
    grant = state.passthrough
    if grant is None or not (grant.live or grant.state is GrantState.REARMING):
        return state
    if grant.granted_at and not state.rearmed_at:
        wanted = grant.rearm_revision or state.active
        left = [(e.revision, e.at) for e in state.history if e.outcome is Outcome.ROLLED_BACK]
        grant = grants.rearms_at(grant, grants.rearm_revision(wanted, grant.granted_at, left, _proven(state)))
    reached = look.world.endpoints
    if (
        reached is not None
        and reached <= {state.passthrough_revision}
        and look.exposed_only == state.passthrough_revision
    ):
        grant = grants.effective(grant, look.now)
    last = look.world.last_answers.get(state.active)
    if grant.effective_at and last and look.now - last > timedelta(seconds=3):
        grant = grants.answered_last(grant, max(last, grant.effective_at))
    return replace(state, passthrough=grant)


def _counted(look: Look, state: State) -> State:
    """What has passed, written once a minute and at every turn of the grant's life."""
    grant, before, passed = state.passthrough, look.state.passthrough, look.world.passed
    if grant is None or before is None or passed is None or grant.request_id != before.request_id:
        return state
    turns = (grant.state, state.rearmed_at) != (before.state, look.state.rearmed_at)
    kept = grant.passed
    if kept and (passed.answered == kept.answered or (look.now - kept.at < COUNTED_EVERY and not turns)):
        return state
    return replace(state, passthrough=replace(grant, passed=kept.renewed(passed) if kept else passed))


def _proven(state: State) -> list[str]:
    newest = {e.revision: e for e in state.history}
    return [
        e.revision
        for e in state.history
        if newest[e.revision] is e and e.outcome is Outcome.PROMOTED and e.baseline != UNPROVEN
    ]


def let_go(look: Look, after: State) -> tuple[str, ...]:
    """Revisions whose pooled clients have to be let go, since all traffic moves away from them at once."""
    if after.passing and not look.state.passing:
        rollout = look.state.rollout
        return tuple(r for r in (look.state.active, rollout.revision if rollout else "") if r)
    return (look.state.passing,) if look.state.passing and not after.passing else ()


def _clock(time: datetime | None) -> str:
    return format_time(time.replace(microsecond=0)) if time else "its end"
