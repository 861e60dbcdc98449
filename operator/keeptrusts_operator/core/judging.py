"""How the state follows the judge: what of a verdict is kept in `status`, and what people are told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from keeptrusts_operator.api.circuit_breaker import BreakerMode
from keeptrusts_operator.core.actions import Announce
from keeptrusts_operator.core.judgement import Judgement, Verdict
from keeptrusts_operator.core.look import Look
from keeptrusts_operator.core.state import Outcome, State

CHECKPOINT = timedelta(seconds=12)  # evidence that a new leader may lack


def follow(look: Look, state: State) -> tuple[State, Announce | None]:
    """The state with the judge's word of now: on a change at once, else every 15 s."""
    rollout, kept = state.rollout, state.judged
    if rollout is None:
        return replace(state, judged=_ended(look, state)), None
    if kept and kept.rollout_id != rollout.id:
        kept = None
    fresh = look.world.judgement
    if fresh is None or fresh.rollout_id != rollout.id:
        return replace(state, judged=kept), None
    before = look.state.rollout
    moved = before is None or (before.stage, before.step) != (rollout.stage, rollout.step)
    if kept and not moved and not _due(fresh, kept):
        return replace(state, judged=kept), None
    told = kept is not None and kept.says_as(fresh)
    return replace(state, judged=fresh), None if told else _announced(look, fresh)


def _ended(look: Look, state: State) -> Judgement | None:
    """After a rollback its numbers stay to be read, without what only a judge needs."""
    last = state.history[-1] if state.history else None
    if last is None or last.outcome is not Outcome.ROLLED_BACK:
        return None
    judged = look.judgement if look.state.rollout else state.judged
    return replace(judged, checkpoint={}) if judged else None


def _due(fresh: Judgement, kept: Judgement) -> bool:
    if not kept.says_as(fresh):
        return True
    if fresh.sampled_at is None or (fresh.canary, fresh.stable) == (kept.canary, kept.stable):
        return False
    return kept.sampled_at is None or fresh.sampled_at - kept.sampled_at >= CHECKPOINT


def _announced(look: Look, fresh: Judgement) -> Announce | None:
    if fresh.verdict not in (Verdict.TRIP, Verdict.HOLD):
        return None
    only_told = look.world.spec.circuit_breaker.mode is BreakerMode.NOTIFY
    done = "The rollout goes on, as spec.circuitBreaker.mode is Notify" if only_told else "The candidate is held"
    return Announce("Warning", fresh.reason, f"{done}: {fresh.message}.")
