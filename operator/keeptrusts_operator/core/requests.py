"""What people ask for by annotation, and what comes of it.

`TABLE` says for each verb and each situation which answer is given; the code below does what the table names, and
`docs/requests.md` is generated from it. A request is acted on once; its outcome is kept in `status.requests`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.core import effects, grant_rules, grants, passthrough
from keeptrusts_operator.core.actions import Announce
from keeptrusts_operator.core.effects import REQUESTED, Effect
from keeptrusts_operator.core.look import UNEXPOSED, Look
from keeptrusts_operator.core.state import Answer, HistoryEntry, Outcome, Quarantine, Request, Stage, State
from keeptrusts_operator.core.world import Content, World

PREVIOUS = "previous"
JUST_NOW = timedelta(minutes=2)  # after a rollback, `previous` may be meant for what is no longer there


class Situation(StrEnum):
    """What a GatewayDeployment is doing, as far as a request is concerned."""

    EMPTY = "nothing serves yet"
    FIRST = "first revision on its way"
    STABLE = "stable"
    UNEXPOSED = "candidate without traffic"
    CANARY = "canary"
    SCALE_UP = "scale-up"
    SOAKING = "soak"
    RETURNING = "going back by request"
    PASSTHROUGH = "passthrough, or protections just back"


class Does(StrEnum):
    """What a request leads to, in the words of the documentation."""

    REFUSE = "refused, with the values that would be valid"
    LEAVE = "leaves the candidate, or goes back to a revision of the history"
    GO_BACK = "leaves the active revision for one of the history"
    SKIP_AHEAD = "the candidate's steps will be skipped: soak as soon as its pods are ready and its tests have passed"
    SKIP = "skips the remaining steps: scale-up, then soak"
    END_SOAK = "ends the soak: promoted"
    LEVEL = "pauses or resumes; a level that losing the annotation does not change"
    RELEASE = "takes the content out of quarantine, or ends the wait for the next try"
    RESTART = "replaces the pods that run now, one by one"
    REARM_ON = "names the revision that takes the traffic when the passthrough is over"
    GRANT = "grants, refuses or ends a passthrough"
    APPROVE = "extends a passthrough, or lets it begin"


def _same(does: Does) -> dict[Situation, Does]:
    return dict.fromkeys(Situation, does)


_BEFORE_THE_FIRST = {Situation.EMPTY: Does.REFUSE, Situation.FIRST: Does.REFUSE}
TABLE: Mapping[Verb, Mapping[Situation, Does]] = {
    Verb.ROLLBACK: {
        **_same(Does.LEAVE),
        Situation.EMPTY: Does.REFUSE,
        Situation.FIRST: Does.REFUSE,
        Situation.STABLE: Does.GO_BACK,
        Situation.PASSTHROUGH: Does.REARM_ON,
    },
    Verb.PROMOTE: {
        **_same(Does.REFUSE),
        Situation.UNEXPOSED: Does.SKIP_AHEAD,
        Situation.CANARY: Does.SKIP,
        Situation.SOAKING: Does.END_SOAK,
    },
    Verb.PAUSE: _same(Does.LEVEL),
    Verb.RETRY: _same(Does.RELEASE),
    Verb.RESTART: {**_same(Does.RESTART), Situation.EMPTY: Does.REFUSE},
    Verb.EMERGENCY_PASSTHROUGH: {**_same(Does.GRANT), **_BEFORE_THE_FIRST},
    Verb.APPROVE_PASSTHROUGH: {**_same(Does.APPROVE), **_BEFORE_THE_FIRST},
}


@dataclass(frozen=True)
class Refusal(Exception):
    """The request makes no sense now: why, and what would."""

    message: str


def situation(look: Look) -> Situation:
    """Which column of the table holds."""
    rollout = look.state.rollout
    if look.state.frozen:
        return Situation.PASSTHROUGH
    if rollout is None:
        return Situation.STABLE if look.state.active else Situation.EMPTY
    if not look.state.active:
        return Situation.FIRST
    if rollout.requested:
        return Situation.RETURNING
    exposed = {Stage.CANARY: Situation.CANARY, Stage.SCALE_UP: Situation.SCALE_UP, Stage.SOAKING: Situation.SOAKING}
    return exposed.get(rollout.stage, Situation.UNEXPOSED)


def seen(world: World, state: State) -> State:
    """The state of an object that is seen for the first time: what its annotations ask for was asked of another one."""
    if state.uid == world.uid:
        return state
    message = "found at the first sight of this object (a restore or a re-creation); ask again to have it done"
    ignored = tuple(
        Request(verb, asked.value, world.now, asked.id, Answer.IGNORED, message)
        for verb, asked in world.requests.items()
    )
    return replace(state, uid=world.uid, requests=ignored)


def answer(look: Look, verb: Verb) -> Effect:
    """Act on the new request of a verb, once."""
    asked = look.asked(verb)
    assert asked is not None
    by, does = f" by {asked.by}" if asked.by else "", TABLE[verb][situation(look)]
    if does in (Does.GRANT, Does.APPROVE):
        return _granted(look, verb, f"{verb}={asked.argument}{by}")
    try:
        state, message = _HANDLERS[does](look, verb, asked.argument)
        outcome, announce = Answer.DONE, Announce("Normal", "RequestDone", f"{verb}={asked.argument}{by}: {message}.")
    except Refusal as refusal:
        state, message, outcome = look.state, refusal.message, Answer.REFUSED
        announce = Announce("Warning", "RequestRefused", f"{verb}={asked.argument}{by}: {message}.")
    return record(look, state, verb, outcome, message), announce


def _granted(look: Look, verb: Verb, what: str) -> Effect:
    turn = passthrough.answer(look, verb)
    refused = turn.outcome is grant_rules.Outcome.REFUSED
    outcome, reason = (
        (Answer.REFUSED, "RequestRefused") if refused else (Answer.DONE, f"Passthrough{turn.outcome.value}")
    )
    state = record(look, passthrough.taken(look, turn), verb, outcome, turn.message)
    return state, Announce("Warning", reason, f"{what}: {turn.message}.")


def recover(look: Look) -> Effect:
    """A rollback that the Service remembers; when a request led to it, that request is answered."""
    state, announce = effects.recover_trip(look)
    if state.rollback and state.rollback.reason == REQUESTED:
        state = record(look, state, Verb.ROLLBACK, Answer.DONE, state.rollback.message)
    return state, announce


def record(look: Look, state: State, verb: Verb, outcome: Answer, message: str) -> State:
    """The state with the newest request of a verb answered."""
    asked = look.asked(verb)
    if asked is None:
        return state
    request = Request(verb, asked.value, look.now, asked.id, outcome, message)
    others = tuple(r for r in state.requests if r.verb is not verb)
    return replace(state, requests=(*others, request))


Handled = tuple[State, str]


def _refuse(look: Look, verb: Verb, value: str) -> Handled:
    now = situation(look)
    if verb is Verb.PROMOTE and now is Situation.SCALE_UP:
        raise Refusal("it has no steps left and soaks as soon as all of its pods are ready; promote it then")
    raise Refusal(f"makes no sense now: {now}")


def _leave(look: Look, verb: Verb, value: str) -> Handled:
    """Away from the candidate. Naming anything else means a way back to it, as when nothing is under way."""
    rollout = look.rollout
    if value not in (PREVIOUS, rollout.revision):
        return _go_back(look, verb, value)
    if rollout.stage not in UNEXPOSED and not look.active.ready:
        raise Refusal(f"no pod of {look.state.active} is ready to take the traffic back")
    state, _ = effects.take_back(look, REQUESTED, "left by request")
    return state, f"{rollout.revision} is left, {look.state.active} serves"


def _go_back(look: Look, verb: Verb, value: str) -> Handled:
    """To a revision that was promoted before. What is wanted now is not tried again by itself."""
    state, target = look.state, value
    if value in (PREVIOUS, state.active):
        recent = state.rollback
        if value == PREVIOUS and recent and look.now - recent.detected_at < JUST_NOW:
            raise Refusal(
                f"{recent.revision} was left a moment ago and {state.active} serves; {_valid_rollbacks(look)}"
            )
        target = _previous(look)
    _check_return(look, target)
    if state.rollout:
        state = effects.ended(look, Outcome.SUPERSEDED, REQUESTED)
    state = _unwanted(look, state, target)
    return effects.start_return(look, state, target), f"{target} takes the traffic as soon as all of its pods are ready"


def _unwanted(look: Look, state: State, target: str) -> State:
    """What is wanted now is not tried again by itself."""
    desired = look.world.desired
    if isinstance(desired, Content) and desired.revision != target:
        entry = Quarantine(
            desired.revision, desired.policy_hash, Outcome.ROLLED_BACK, REQUESTED, "left by request", look.now
        )
        state = replace(state, quarantined=(*state.quarantined, entry))
    return state


def _rearm_on(look: Look, verb: Verb, value: str) -> Handled:
    """While a passthrough has the traffic it stays there; which revision takes it back is what a rollback names."""
    state, grant = look.state, look.state.passthrough
    if state.rollout and value == state.rollout.revision:
        return _leave(look, verb, value)
    if state.rearmed_at:
        raise Refusal("protections have just come back and are watched; ask again when it is over")
    target = _previous(look) if value in (PREVIOUS, state.active) else value
    _check_return(look, target)
    assert grant is not None
    before = next((e for e in reversed(state.history) if e.revision == state.active), None)
    left = HistoryEntry(
        state.active,
        before.policy_hash if before else "",
        Outcome.ROLLED_BACK,
        look.now,
        before.pack if before else None,
        REQUESTED,
    )
    state = replace(state, history=(*state.history, left), passthrough=grants.rearms_at(grant, target))
    return _unwanted(look, state, target), f"{target} takes the traffic when the passthrough is over"


def _previous(look: Look) -> str:
    if target := look.previous_good():
        return target
    raise Refusal("the history holds no other revision that was promoted and can start")


def _check_return(look: Look, target: str) -> None:
    if look.can_return_to(target):
        return
    if drops := look.world.revision(target).drops:
        raise Refusal(f"{target} drops what spec.protections.required names: {drops}; {_valid_rollbacks(look)}")
    raise Refusal(f"{target or 'an empty value'} is not a revision to go back to; {_valid_rollbacks(look)}")


def _valid_rollbacks(look: Look) -> str:
    valid = [look.state.rollout.revision] if look.state.rollout else []
    valid += [e.revision for e in look.state.history if look.can_return_to(e.revision)]
    return f"valid: {', '.join([*dict.fromkeys(valid), PREVIOUS])}"


def _promotable(look: Look, value: str) -> None:
    rollout = look.rollout
    if value != rollout.revision:
        raise Refusal(f"{value or 'an empty value'} is not the candidate; valid: {rollout.revision}")
    if look.paused:
        raise Refusal("the rollout is paused; resume it first")


def _skip_ahead(look: Look, verb: Verb, value: str) -> Handled:
    _promotable(look, value)
    state = replace(look.state, rollout=replace(look.rollout, skip_steps=True))
    return state, "its steps are skipped: it soaks as soon as its pods are ready and its tests have passed"


def _skip(look: Look, verb: Verb, value: str) -> Handled:
    _promotable(look, value)
    return effects.scale_up(look)[0], "its remaining steps are skipped"


def _end_soak(look: Look, verb: Verb, value: str) -> Handled:
    _promotable(look, value)
    if not look.candidate.ready:
        raise Refusal("none of its pods is ready")
    return effects.promote(look)[0], "it is active"


def _level(look: Look, verb: Verb, value: str) -> Handled:
    if value not in ("true", "false"):
        raise Refusal(f"{value or 'an empty value'} is not a level; valid: true, false")
    paused = value == "true"
    also = "; spec.rollout.paused is still true" if not paused and look.world.spec.rollout.paused else ""
    return replace(look.state, paused=paused), f"{'paused' if paused else 'resumed'}{also}"


def _release(look: Look, verb: Verb, value: str) -> Handled:
    state = look.state
    hashes = {q.policy_hash for q in state.quarantined if q.revision == value and q.policy_hash}
    kept = tuple(q for q in state.quarantined if q.revision != value and q.policy_hash not in hashes)
    waiting = state.retry if state.retry and state.retry.revision != value else None
    if kept == state.quarantined and waiting == state.retry:
        held = [q.revision for q in state.quarantined] + ([state.retry.revision] if state.retry else [])
        valid = f"valid: {', '.join(dict.fromkeys(held))}" if held else "nothing is"
        raise Refusal(f"{value or 'an empty value'} is not in quarantine and not waited for; {valid}")
    return replace(state, quarantined=kept, retry=waiting), f"{value} may be tried again"


def _restart(look: Look, verb: Verb, value: str) -> Handled:
    running = tuple(n for n in (look.state.active, look.state.rollout.revision if look.state.rollout else "") if n)
    return replace(look.state, restarted_at=look.now, restarting=running), "pods that run now are replaced one by one"


_HANDLERS: Mapping[Does, Callable[[Look, Verb, str], Handled]] = {
    Does.REFUSE: _refuse,
    Does.REARM_ON: _rearm_on,
    Does.LEAVE: _leave,
    Does.GO_BACK: _go_back,
    Does.SKIP_AHEAD: _skip_ahead,
    Does.SKIP: _skip,
    Does.END_SOAK: _end_soak,
    Does.LEVEL: _level,
    Does.RELEASE: _release,
    Does.RESTART: _restart,
}
