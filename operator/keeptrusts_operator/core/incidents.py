"""Evidence: which GatewayIncidents must be written, and what times belong into them.

Level-based, like everything else: the state remembers the phase that was written last, so a crash writes it again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from keeptrusts_operator.core import grants, judgement, passed
from keeptrusts_operator.core.actions import RecordIncident
from keeptrusts_operator.core.grants import Grant, GrantState
from keeptrusts_operator.core.judgement import BLOCK_RATE
from keeptrusts_operator.core.look import Look
from keeptrusts_operator.core.state import Outage, Rollback, State
from keeptrusts_operator.core.world import Content, Service, only

OUTAGE_AFTER = timedelta(seconds=30)  # without a ready pod of the active revision
PHASES = OPEN, MITIGATED, RESOLVED = ("Open", "Mitigated", "Resolved")


def follow(look: Look, state: State) -> tuple[State, tuple[RecordIncident, ...]]:
    """The state with what has become known of its last rollback and of an outage, and the incidents to write."""
    state, trip = _follow_rollback(look, state)
    state, outage = _follow_outage(look, state)
    state, bypass = _follow_passthrough(look, state)
    return state, (*trip, *outage, *bypass)


def _follow_rollback(look: Look, state: State) -> tuple[State, tuple[RecordIncident, ...]]:
    if state.rollback is None:
        return state, ()
    rollback = _with_times(look, state, state.rollback)
    phase, timeline = RESOLVED if _resolved(look, state) else MITIGATED, _timeline(rollback)
    written = f"{phase}/{len(timeline)}"
    done = rollback.incident.startswith(RESOLVED) or rollback.incident == written
    if done or rollback.issued_at is None:  # in the pass that takes traffic back nothing else is done
        return replace(state, rollback=rollback), ()
    record = RecordIncident(
        "Trip",
        phase,
        rollback.revision,
        rollback.detected_at,
        f"{rollback.reason}: {rollback.message}",
        rollback.policy_hash,
        rollback.effective_at or rollback.issued_at,
        timeline,
        _evidence(look, state, rollback),
    )
    return replace(state, rollback=replace(rollback, incident=written)), (record,)


def _evidence(look: Look, state: State, rollback: Rollback) -> dict[str, Any]:
    """The verdict with its numbers, and what it can be replayed from as long as this process remembers it."""
    judged, heard = state.judged, look.world.judgement
    if judged is None or rollback.reason != BLOCK_RATE:
        return {}
    trail = heard.trail if heard and heard.rollout_id == judged.rollout_id else {}
    return {**judgement.to_status(judged), **trail}


def _with_times(look: Look, state: State, rollback: Rollback) -> Rollback:
    """When the rollback was issued at the latest, when it was effective, and when what was left answered last."""
    world, back = look.world, only(state.active)
    seen = isinstance(world.service, Service) and world.service.exposure == back
    if rollback.issued_at is None and look.state.rollback == rollback and seen:  # decided in an earlier pass
        rollback = replace(rollback, issued_at=world.now)
    reached = world.endpoints
    if rollback.issued_at and rollback.effective_at is None and reached is not None and reached <= {state.active}:
        rollback = replace(rollback, effective_at=world.now)
    if rollback.effective_at and rollback.last_answer_at is None and not world.revision(rollback.revision).pods:
        rollback = replace(rollback, last_answer_at=world.last_answers.get(rollback.revision))
    return rollback


def _resolved(look: Look, state: State) -> bool:
    """What the user wants is active again."""
    desired = look.world.desired
    return state.rollout is None and isinstance(desired, Content) and desired.revision == state.active


def _timeline(rollback: Rollback) -> tuple[tuple[datetime, str], ...]:
    events = (
        (rollback.detected_at, f"{rollback.reason}: {rollback.message}"),
        (rollback.issued_at, f"traffic taken back from {rollback.revision}"),
        (rollback.effective_at, "effective for new connections"),
        (rollback.last_answer_at, f"last answer of {rollback.revision}"),
    )
    return tuple((at, event) for at, event in events if at)


def _follow_passthrough(look: Look, state: State) -> tuple[State, tuple[RecordIncident, ...]]:
    """Every grant leaves an incident: budgets are read from them. One whose place was taken is closed first."""
    records = [_bypass(superseded, RESOLVED) for superseded in state.superseded if superseded.granted_at]
    state, grant = replace(state, superseded=()), state.passthrough
    if grant is None or grant.granted_at is None:
        return state, tuple(records)
    kept = look.state.passthrough
    if kept is None or (kept.request_id, kept.granted_at) != (grant.request_id, grant.granted_at):
        return state, tuple(records)  # status first: an incident without a grant would say that it was had already
    over = grant.state is GrantState.ENDED
    phase = RESOLVED if over else MITIGATED if grant.state is GrantState.REARMING else OPEN
    written = (
        f"{phase}/{grant.state}/{grant.expires_at}/{grant.approved_by}/{grant.effective_at}/{grant.last_answer_at}"
    )
    if state.passthrough_incident == written:
        return state, tuple(records)
    return replace(state, passthrough_incident=written), (*records, _bypass(grant, phase))


def _bypass(grant: Grant, phase: str) -> RecordIncident:
    assert grant.granted_at is not None
    events = (
        (grant.requested_at, f"asked for by {grant.requested_by or 'nobody known'}: {grant.reason}"),
        (grant.granted_at, "granted" + (f", approved by {grant.approved_by}" if grant.approved_by else "")),
        (grant.effective_at, "effective for new connections"),
        (grant.last_answer_at, "last answer of the revision that was left"),
        (grant.ended_at, f"over: {grant.end_reason}; {passed.words(grant.passed)}"),
    )
    return RecordIncident(
        "Passthrough",
        phase,
        grant.rearm_revision,
        grant.granted_at,
        f"{grant.requested_by or 'Somebody'} let requests pass: {grant.reason}",
        ended_at=grant.ended_at,
        timeline=tuple((at, event) for at, event in events if at),
        passthrough=grants.to_status(grant),
    )


def _follow_outage(look: Look, state: State) -> tuple[State, tuple[RecordIncident, ...]]:
    outage, active = state.outage, look.world.revision(state.passing or state.active)
    down = bool(state.active) and not active.ready and look.world.spec.replicas > 0
    if not down:
        if outage is None or not outage.incident:
            return replace(state, outage=None), ()
        return replace(state, outage=None), (_outage_record(look, state, outage, RESOLVED, look.now),)
    if outage is None:
        return replace(state, outage=Outage(look.now)), ()
    if outage.incident or look.now - outage.started_at < OUTAGE_AFTER:
        return state, ()
    return replace(state, outage=replace(outage, incident=OPEN)), (_outage_record(look, state, outage, OPEN, None),)


def _outage_record(look: Look, state: State, outage: Outage, phase: str, end: datetime | None) -> RecordIncident:
    message = f"no pod of the active revision {state.active} was ready"
    timeline = [(outage.started_at, "the last ready pod was lost")]
    if end:
        timeline.append((end, "a pod is ready again"))
    return RecordIncident("Outage", phase, state.active, outage.started_at, message, "", end, tuple(timeline))
