"""What becomes of the state in each transition. Nothing is done here: actions follow from the new state (`target.py`)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from keeptrusts_operator.api.names import ADOPTED_REVISION
from keeptrusts_operator.api.quantities import format_duration, format_percent
from keeptrusts_operator.core.actions import Announce
from keeptrusts_operator.core.judgement import BLOCK_RATE
from keeptrusts_operator.core.look import INCONCLUSIVE, Look
from keeptrusts_operator.core.state import (
    UNPROVEN,
    HistoryEntry,
    Outcome,
    Quarantine,
    Retry,
    Rollback,
    Rollout,
    Stage,
    State,
)
from keeptrusts_operator.core.world import Content, Pack, Service, TestVerdict

FIRST_RETRY, LAST_RETRY = timedelta(seconds=30), timedelta(minutes=30)

REQUESTED = "Requested"
THE_POLICYS_FAULT = frozenset(
    {BLOCK_RATE, INCONCLUSIVE, "BehaviourTestFailed", REQUESTED}
)  # not tried with other pods either
NOBODYS_FAULT = frozenset({"NoReadyPod"})

Effect = tuple[State, Announce | None]


def ended(look: Look, outcome: Outcome, reason: str = "", baseline: str = "") -> State:
    """The state without its rollout, which goes into the history."""
    rollout = look.rollout
    entry = HistoryEntry(rollout.revision, rollout.policy_hash, outcome, look.now, rollout.pack, reason, baseline)
    return replace(look.state, rollout=None, history=(*look.state.history, entry))


def take_back(look: Look, reason: str, message: str) -> Effect:
    """Traffic goes back to the active revision. The reason says who is to blame, so that a recovery after a crash blames
    the same: bad content is quarantined; a fault of the cluster is tried again."""
    rollout = look.rollout
    state = ended(look, Outcome.ROLLED_BACK, reason)
    state = replace(
        state, rollback=Rollback(rollout.revision, reason, message, look.now, policy_hash=rollout.policy_hash)
    )
    if reason in NOBODYS_FAULT:
        state = replace(state, retry=_next_retry(look, reason, message))
    else:
        policy_hash = rollout.policy_hash if reason in THE_POLICYS_FAULT else ""
        state = _quarantined(state, look, Outcome.ROLLED_BACK, reason, message, policy_hash)
    return state, Announce(
        "Warning", "RolledBack", f"Rolled back {rollout.revision}: {message}; {look.state.active} serves."
    )


def _quarantined(state: State, look: Look, outcome: Outcome, reason: str, message: str, policy_hash: str = "") -> State:
    entry = Quarantine(look.rollout.revision, policy_hash, outcome, reason, message, look.now)
    return replace(state, quarantined=(*state.quarantined, entry))


def _next_retry(look: Look, reason: str, message: str) -> Retry:
    before = look.state.retry
    attempts = before.attempts + 1 if before and before.revision == look.rollout.revision else 1
    wait = min(FIRST_RETRY * 2 ** (attempts - 1), LAST_RETRY)
    return Retry(look.rollout.revision, attempts, look.now + wait, reason, message)


def recover_trip(look: Look) -> Effect:
    """The Service remembers what status had no time for."""
    assert isinstance(look.world.service, Service)
    reason, _, message = look.world.service.exposure_reason.partition(": ")
    return take_back(look, reason or "RolledBack", message or "recorded on the Service before status was written")


def trip(look: Look) -> Effect:
    """The breaker's word, with its numbers."""
    said = look.judgement.message if look.judgement else ""
    return take_back(look, BLOCK_RATE, said or "the candidate blocks more than is tolerated")


def leave_inconclusive(look: Look) -> Effect:
    """Whoever wrote `onInconclusive: RollBack` wants nothing served that could not be judged."""
    return take_back(look, INCONCLUSIVE, look.no_answer)


def leave_unhealthy(look: Look) -> Effect:
    """Its pods are worse off than the active ones."""
    trouble = look.trouble
    assert trouble is not None
    return take_back(look, trouble.reason, trouble.message)


def reject(look: Look) -> Effect:
    """The candidate's own gateways refuse it."""
    failing = look.failing
    assert failing is not None
    return _rejected(look, failing.reason, failing.message)


def fail_test(look: Look) -> Effect:
    """One failing must-block is as fatal as one failing must-allow."""
    failed = look.test_result(TestVerdict.FAILED)
    assert failed is not None
    return _rejected(look, "BehaviourTestFailed", f"behaviour test {failed.name}: {failed.message}")


def _rejected(look: Look, reason: str, message: str) -> Effect:
    rollout = look.rollout
    policy_hash = rollout.policy_hash if reason in THE_POLICYS_FAULT else ""
    state = _quarantined(ended(look, Outcome.REJECTED, reason), look, Outcome.REJECTED, reason, message, policy_hash)
    return state, Announce("Warning", "Rejected", f"Rejected {rollout.revision} before it had traffic: {message}.")


def supersede(look: Look) -> Effect:
    """The user wants something else."""
    desired = look.world.desired
    by = desired.revision if isinstance(desired, Content) else "a spec that cannot be used"
    text = f"Rollout of {look.rollout.revision} ended in {look.rollout.stage}: superseded by {by}."
    return ended(look, Outcome.SUPERSEDED), Announce("Normal", "Superseded", text)


def start(look: Look) -> Effect:
    """Prepare what the user wants."""
    desired = look.world.desired
    assert isinstance(desired, Content)
    state = look.state
    proven = bool(state.active) and state.proven(desired.revision, desired.policy_hash)
    retry = state.retry if state.retry and state.retry.revision == desired.revision else None
    rollout = _rollout(look, desired.revision, desired.policy_hash, desired.pack, skip_steps=proven)
    skipped = "; it finished its soak before, so its steps are skipped" if proven else ""
    text = f"Preparing {_named(desired.revision, desired.pack)}{skipped}."
    compared = look.world.compared
    if compared and compared.less:
        text = f"{text} It enforces less than {compared.active}: {'; '.join(compared.less)}."
    kind = "Warning" if compared and compared.less else "Normal"
    return replace(state, rollout=rollout, retry=retry), Announce(kind, "RolloutStarted", text)


def start_return(look: Look, state: State, revision: str) -> State:
    """Prepare a revision of the history that a person wants back; what `spec` wants is not tried meanwhile."""
    entry = next(e for e in reversed(state.history) if e.revision == revision)
    rollout = _rollout(look, revision, entry.policy_hash, entry.pack, skip_steps=True)
    return replace(state, rollout=replace(rollout, requested=True), retry=None)


def _rollout(look: Look, revision: str, policy_hash: str, pack: Pack | None, *, skip_steps: bool) -> Rollout:
    return Rollout(
        id=f"{revision}-{int(look.now.timestamp() * 1000)}",
        revision=revision,
        policy_hash=policy_hash,
        started_at=look.now,
        stage=Stage.PREPARING,
        stage_started_at=look.now,
        pack=pack,
        deadline=look.now + look.world.spec.rollout.progress_deadline,
        skip_steps=skip_steps,
    )


def adopt(look: Look) -> Effect:
    """A gateway that already ran counts as active until the first promotion."""
    text = f"The pods of Deployment {look.world.spec.adopt_from} serve as revision {ADOPTED_REVISION}."
    state = replace(look.state, active=ADOPTED_REVISION, last_good=ADOPTED_REVISION)
    return state, Announce("Normal", "Adopted", text)


def recover_active(look: Look) -> Effect:
    """status was lost; the Service was not."""
    revision = look.serving_without_status
    assert revision is not None
    text = f"status was empty: {revision} is what the Service lets traffic reach, so it counts as active."
    return replace(look.state, active=revision, last_good=revision), Announce("Warning", "ActiveRecovered", text)


def activate_first(look: Look) -> Effect:
    """Nothing to compare with."""
    rollout = look.rollout
    state = ended(look, Outcome.PROMOTED, baseline=UNPROVEN)
    state = replace(state, active=rollout.revision, last_good=rollout.revision, retry=None)
    text = f"{rollout.revision} serves: the first revision, so there was nothing to compare it with."
    return state, Announce("Normal", "Promoted", text)


def finish_return(look: Look) -> Effect:
    """The revision that a person wanted back serves; the one that was left is not."""
    left, rollout = look.state.active, look.rollout
    blamed = next((q for q in reversed(look.state.quarantined) if q.revision == left and q.reason == BLOCK_RATE), None)
    reason, message = (
        (blamed.reason, blamed.message) if blamed else (REQUESTED, f"left by request for {rollout.revision}")
    )
    before = next((e for e in reversed(look.state.history) if e.revision == left), None)
    policy_hash, pack = (before.policy_hash, before.pack) if before else ("", None)
    state = ended(look, Outcome.PROMOTED, REQUESTED)
    entry = HistoryEntry(left, policy_hash, Outcome.ROLLED_BACK, look.now, pack, reason)
    state = replace(
        state,
        active=rollout.revision,
        last_good=rollout.revision,
        history=(*state.history, entry),
        rollback=Rollback(left, reason, message, rollout.started_at, policy_hash=policy_hash),
    )
    return state, Announce("Warning", "RolledBack", f"Rolled back {left}: {message}; {rollout.revision} serves.")


def begin_tests(look: Look) -> Effect:
    """Behaviour tests run on pods without traffic."""
    return enter(look, Stage.TESTING, deadline=look.world.spec.rollout.progress_deadline), None


def drained(look: Look) -> Effect:
    """The soak's clock starts."""
    return replace(look.state, rollout=replace(look.rollout, drained_at=look.now)), None


def enter(
    look: Look, stage: Stage, *, started: bool = False, step: int = 0, deadline: timedelta | None = None
) -> State:
    """The state in another stage; a deadline is set once and never moves."""
    rollout = replace(
        look.rollout,
        stage=stage,
        stage_started_at=look.now,
        step=step,
        step_started_at=look.now if started else None,
        ready_at=look.ready_since if started or stage is Stage.SOAKING else look.rollout.ready_at,
        deadline=look.now + deadline if deadline is not None else None,
        held_reason="",
        held_since=None,
    )
    return replace(look.state, rollout=rollout)


def expose(look: Look) -> Effect:
    """The first traffic."""
    if not look.steps or look.rollout.skip_steps:  # prepared in full size
        return soak(look)
    return enter(look, Stage.CANARY, started=True), Announce("Normal", "CanaryStarted", _step_words(look, 0))


def next_step(look: Look) -> Effect:
    """More of it, or all pods."""
    index = look.rollout.step + 1
    if index >= len(look.steps):
        return scale_up(look)
    state = enter(look, Stage.CANARY, step=index, deadline=look.world.spec.rollout.progress_deadline)
    return state, Announce("Normal", "CanaryStep", _step_words(look, index))


def step_ready(look: Look) -> Effect:
    """The step's clock starts."""
    rollout = replace(look.rollout, step_started_at=look.now, ready_at=look.ready_since, deadline=None)
    return replace(look.state, rollout=rollout), None


def scale_up(look: Look) -> Effect:
    """All pods of the candidate come up beside the active ones."""
    return enter(look, Stage.SCALE_UP, deadline=look.world.spec.rollout.progress_deadline), None


def soak(look: Look) -> Effect:
    """All new connections, the previous revision warm."""
    duration = look.world.spec.rollout.soak.duration
    text = f"All new connections go to {look.rollout.revision}; {look.state.active} stays warm for {format_duration(duration)}."
    return enter(look, Stage.SOAKING), Announce("Normal", "Soaking", text)


def promote(look: Look) -> Effect:
    """The soak is over."""
    rollout = look.rollout
    state = ended(look, Outcome.PROMOTED)
    state = replace(state, active=rollout.revision, last_good=rollout.revision, retry=None)
    return state, Announce(
        "Normal", "Promoted", f"{rollout.revision} is active; {look.state.active} stays in the history."
    )


def _named(revision: str, pack: Pack | None) -> str:
    return f"{revision} ({pack})" if pack else revision


def _step_words(look: Look, index: int) -> str:
    step = look.steps[index]
    merged = f"; {step.merged} steps need the same pods and became one" if step.merged > 1 else ""
    return (
        f"Step {index + 1} of {len(look.steps)}: {look.rollout.revision} gets {format_percent(step.real_weight)} of new "
        f"connections with {step.pods} pods ({format_percent(step.weight)} asked for{merged})."
    )
