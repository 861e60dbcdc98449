"""The life of a change, as one table of named transitions.

`decide` takes what was seen and what is remembered, and gives what to do, what to remember and when to look again.
The first rule of `RULES` whose stage and guard match fires, so the order of the table is the priority:
rollback request > breaker > health > supersession > pause > advance. A rule only changes the state; what has to be done
to the children follows from the new state (`target.py`). The table in `docs/transitions.md` is generated from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from keeptrusts_operator.api.quantities import format_duration, format_percent
from keeptrusts_operator.core import judge, target
from keeptrusts_operator.core.actions import Action, Announce
from keeptrusts_operator.core.shares import PlannedStep, plan
from keeptrusts_operator.core.state import (
    HistoryEntry,
    Outcome,
    Quarantine,
    Retry,
    Rollback,
    Rollout,
    Stage,
    State,
)
from keeptrusts_operator.core.world import (
    LIVE,
    Content,
    Revision,
    Service,
    ServiceConflict,
    Unreadable,
    Unusable,
    Verdict,
    World,
)

EXPOSED = frozenset({Stage.CANARY, Stage.SCALE_UP, Stage.SOAKING})
UNDER_WAY = EXPOSED | {Stage.PREPARING}
NO_ROLLOUT: frozenset[Stage | None] = frozenset({None})

RESYNC = timedelta(minutes=5)  # wake-ups come from watches; this repairs a lost one
RESYNC_ROLLOUT = timedelta(seconds=15)
FIRST_RETRY, LAST_RETRY = timedelta(seconds=30), timedelta(minutes=30)


@dataclass(frozen=True)
class Hold:
    """Why a rollout does not go on by itself. It keeps being watched, and can still be taken back."""

    reason: str
    message: str


@dataclass(frozen=True)
class Decision:
    """What to do now (in order), what to remember, and when to look again at the latest."""

    state: State
    actions: tuple[Action, ...]
    look_again: timedelta
    transition: str = ""
    hold: Hold | None = None


class Look:
    """World and state side by side, with the few questions that rules ask of both."""

    def __init__(self, world: World, state: State) -> None:
        self.world, self.state = world, state

    @property
    def now(self) -> datetime:
        return self.world.now

    @property
    def rollout(self) -> Rollout:
        assert self.state.rollout is not None
        return self.state.rollout

    @property
    def candidate(self) -> Revision:
        return self.world.revision(self.rollout.revision)

    @property
    def active(self) -> Revision:
        return self.world.revision(self.state.active)

    @property
    def pods_wanted(self) -> int:
        return target.candidate_replicas(self.world, self.state, self.rollout)

    @property
    def all_ready(self) -> bool:
        return self.candidate.ready >= self.pods_wanted and (
            self.candidate.workload is not None and self.candidate.workload.settled
        )

    @cached_property
    def steps(self) -> tuple[PlannedStep, ...]:
        return plan(self.world.spec.rollout.steps, target.serving_replicas(self.world, self.state))

    @property
    def current_step(self) -> PlannedStep | None:
        """The canary step that runs; None when the spec has no steps (any more)."""
        return self.steps[min(self.rollout.step, len(self.steps) - 1)] if self.steps else None

    @cached_property
    def trouble(self) -> judge.Trouble | None:
        """What is wrong with an exposed candidate."""
        return judge.trouble(self.candidate, self.rollout.ready_at or self.rollout.stage_started_at)

    @cached_property
    def trouble_is_ours(self) -> bool:
        """The candidate is worse off than the active revision, which can take the traffic."""
        if self.trouble is None or not self.active.ready:
            return False
        both = judge.trouble(self.active, self.rollout.started_at)
        return both is None or both.share < self.trouble.share

    @cached_property
    def failing(self) -> judge.Trouble | None:
        """What is wrong with a candidate that has no traffic yet."""
        return judge.failing_start(self.candidate) or judge.refuted_config(self.candidate, self.rollout.pack)

    @cached_property
    def hold(self) -> Hold | None:
        """What keeps the rollout from going on although nothing is wrong enough to go back."""
        world = self.world
        if isinstance(world.service, ServiceConflict):
            return Hold("ServiceConflict", world.service.message)
        if self.state.rollout is None:
            return None
        if self.rollout.stage in EXPOSED and self.trouble:
            if not self.active.ready:
                return Hold("NoActivePod", "the candidate is in trouble, but no pod of the active revision is ready")
            return Hold(
                "BothRevisionsUnhealthy", f"candidate and active revision are both in trouble: {self.trouble.message}"
            )
        if world.spec.rollout.paused:
            return Hold("Paused", "spec.rollout.paused is true; set it to false to go on")
        if world.verdict in (Verdict.HOLD, Verdict.INCONCLUSIVE) and self.rollout.stage in EXPOSED:
            return Hold(world.verdict.value, "the block rate gives no clear answer")
        return self._too_coarse()

    def _too_coarse(self) -> Hold | None:
        steps, limit = self.steps, self.world.spec.rollout.max_share
        if self.rollout.stage is not Stage.PREPARING or not steps or not self.state.active:
            return None
        if (worst := max(s.real_weight for s in steps)) <= limit + 1e-9:
            return None
        return Hold(
            "ShareTooLarge",
            f"with {target.serving_replicas(self.world, self.state)} active pods a step would take {format_percent(worst)} "
            f"of traffic, more than spec.rollout.maxShare {format_percent(limit)}; raise spec.replicas or maxShare",
        )

    @property
    def late(self) -> Hold | None:
        """A deadline has passed without the pods becoming ready; they are still waited for."""
        if self.state.rollout is None or not self.rollout.deadline or self.now < self.rollout.deadline:
            return None
        why = judge.waiting_for(self.candidate) or "its pods are not all ready"
        return Hold(
            "ProgressDeadlineExceeded",
            f"{self.candidate.ready} of {self.pods_wanted} candidate pods ready after "
            f"{format_duration(self.world.spec.rollout.progress_deadline)}: {why}",
        )

    def elapsed(self, since: datetime | None, wanted: timedelta) -> bool:
        return since is not None and self.now - since >= wanted


Effect = tuple[State, Announce | None]


@dataclass(frozen=True)
class Rule:
    """One named transition: from which stages, when, and what becomes of the state."""

    name: str
    stages: frozenset[Stage | None]
    to: str
    when: str
    guard: Callable[[Look], bool]
    effect: Callable[[Look], Effect]
    advances: bool = False  # False: fires even while the rollout is held


# --- effects -----------------------------------------------------------------------------------------------------


def _ended(look: Look, outcome: Outcome, reason: str = "", baseline: str = "") -> State:
    """The state without its rollout, which goes into the history."""
    rollout = look.rollout
    entry = HistoryEntry(rollout.revision, rollout.policy_hash, outcome, look.now, rollout.pack, reason, baseline)
    return replace(look.state, rollout=None, history=(*look.state.history, entry))


def _taken_back(look: Look, reason: str, message: str, *, content: bool = True, policy: bool = False) -> Effect:
    """Traffic goes back to the active revision. Bad content is quarantined; a fault of the cluster is tried again."""
    rollout = look.rollout
    state = _ended(look, Outcome.ROLLED_BACK, reason)
    state = replace(state, rollback=Rollback(rollout.revision, reason, message, look.now))
    if content:
        policy_hash = rollout.policy_hash if policy else ""
        state = _quarantined(state, look, Outcome.ROLLED_BACK, reason, message, policy_hash)
    else:
        state = replace(state, retry=_next_retry(look, reason, message))
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


def _recover_trip(look: Look) -> Effect:
    assert isinstance(look.world.service, Service)
    reason, _, message = look.world.service.exposure_reason.partition(": ")
    return _taken_back(look, reason or "RolledBack", message or "recorded on the Service before status was written")


def _trip(look: Look) -> Effect:
    return _taken_back(look, "BlockRate", "the candidate blocks more than is tolerated", policy=True)


def _unhealthy(look: Look) -> Effect:
    trouble = look.trouble
    assert trouble is not None
    return _taken_back(look, trouble.reason, trouble.message, content=trouble.content)


def _reject(look: Look) -> Effect:
    failing, rollout = look.failing, look.rollout
    assert failing is not None
    state = _ended(look, Outcome.REJECTED, failing.reason)
    state = _quarantined(state, look, Outcome.REJECTED, failing.reason, failing.message)
    return state, Announce(
        "Warning", "Rejected", f"Rejected {rollout.revision} before it had traffic: {failing.message}."
    )


def _supersede(look: Look) -> Effect:
    desired = look.world.desired
    by = desired.revision if isinstance(desired, Content) else "a spec that cannot be used"
    text = f"Rollout of {look.rollout.revision} ended in {look.rollout.stage}: superseded by {by}."
    return _ended(look, Outcome.SUPERSEDED), Announce("Normal", "Superseded", text)


def _start(look: Look) -> Effect:
    desired, now = look.world.desired, look.now
    assert isinstance(desired, Content)
    rollout = Rollout(
        id=f"{desired.revision}-{int(now.timestamp() * 1000)}",
        revision=desired.revision,
        policy_hash=desired.policy_hash,
        started_at=now,
        stage=Stage.PREPARING,
        stage_started_at=now,
        pack=desired.pack,
        deadline=now + look.world.spec.rollout.progress_deadline,
    )
    retry = look.state.retry if look.state.retry and look.state.retry.revision == desired.revision else None
    text = f"Preparing {desired.revision}" + (f" ({desired.pack})" if desired.pack else "") + "."
    return replace(look.state, rollout=rollout, retry=retry), Announce("Normal", "RolloutStarted", text)


def _recover_active(look: Look) -> Effect:
    revision = _serving_without_status(look)
    assert revision is not None
    text = f"status was empty: {revision} is what the Service lets traffic reach, so it counts as active."
    return replace(look.state, active=revision, last_good=revision), Announce("Warning", "ActiveRecovered", text)


def _activate_first(look: Look) -> Effect:
    rollout = look.rollout
    state = _ended(look, Outcome.PROMOTED, baseline="Unproven")
    state = replace(state, active=rollout.revision, last_good=rollout.revision, retry=None)
    text = f"{rollout.revision} serves: the first revision, so there was nothing to compare it with."
    return state, Announce("Normal", "Promoted", text)


def _enter(
    look: Look, stage: Stage, *, started: bool = False, step: int = 0, deadline: timedelta | None = None
) -> State:
    rollout = replace(
        look.rollout,
        stage=stage,
        stage_started_at=look.now,
        step=step,
        step_started_at=look.now if started else None,
        ready_at=look.now if started or stage is Stage.SOAKING else look.rollout.ready_at,
        deadline=look.now + deadline if deadline is not None else None,
        held_reason="",
        held_since=None,
    )
    return replace(look.state, rollout=rollout)


def _expose(look: Look) -> Effect:
    if not look.steps:  # no canary steps: the soak's full size comes up next
        return _scale_up(look)
    return _enter(look, Stage.CANARY, started=True), Announce("Normal", "CanaryStarted", _step_words(look, 0))


def _next_step(look: Look) -> Effect:
    index = look.rollout.step + 1
    if index >= len(look.steps):
        return _scale_up(look)
    state = _enter(look, Stage.CANARY, step=index, deadline=look.world.spec.rollout.progress_deadline)
    return state, Announce("Normal", "CanaryStep", _step_words(look, index))


def _step_ready(look: Look) -> Effect:
    rollout = replace(look.rollout, step_started_at=look.now, ready_at=look.now, deadline=None)
    return replace(look.state, rollout=rollout), None


def _scale_up(look: Look) -> Effect:
    return _enter(look, Stage.SCALE_UP, deadline=look.world.spec.rollout.progress_deadline), None


def _soak(look: Look) -> Effect:
    duration = look.world.spec.rollout.soak.duration
    text = f"All new connections go to {look.rollout.revision}; {look.state.active} stays warm for {format_duration(duration)}."
    return _enter(look, Stage.SOAKING), Announce("Normal", "Soaking", text)


def _promote(look: Look) -> Effect:
    rollout = look.rollout
    state = _ended(look, Outcome.PROMOTED)
    state = replace(state, active=rollout.revision, last_good=rollout.revision, retry=None)
    return state, Announce(
        "Normal", "Promoted", f"{rollout.revision} is active; {look.state.active} stays in the history."
    )


def _step_words(look: Look, index: int) -> str:
    step = look.steps[index]
    merged = f"; {step.merged} steps need the same pods and became one" if step.merged > 1 else ""
    return (
        f"Step {index + 1} of {len(look.steps)}: {look.rollout.revision} gets {format_percent(step.real_weight)} of new "
        f"connections with {step.pods} pods ({format_percent(step.weight)} asked for{merged})."
    )


# --- guards ------------------------------------------------------------------------------------------------------


def _tripped_on_service(look: Look) -> bool:
    service = look.world.service
    return (
        isinstance(service, Service)
        and service.rollout_id == look.rollout.id
        and service.tripped_revision == look.rollout.revision
    )


def _no_longer_wanted(look: Look) -> bool:
    desired = look.world.desired
    if isinstance(desired, Unreadable):
        return False
    if look.rollout.stage in EXPOSED and not look.active.ready:
        return False  # nowhere to go back to
    return isinstance(desired, Unusable) or desired.revision != look.rollout.revision


def _wants_rollout(look: Look) -> bool:
    desired, state = look.world.desired, look.state
    if not isinstance(desired, Content) or desired.revision == state.active:
        return False
    if state.quarantine_of(desired.revision, desired.policy_hash):
        return False
    retry = state.retry
    return not (retry and retry.revision == desired.revision and look.now < retry.at)


def _serving_without_status(look: Look) -> str | None:
    """The revision that a Service without a status behind it lets traffic reach (a restore loses status)."""
    service = look.world.service
    if look.state.active or not isinstance(service, Service):
        return None
    if service.exposure.kind == "Only" and look.world.revision(service.exposure.revision).ready:
        return service.exposure.revision
    return None


def _prepared(look: Look) -> bool:
    live = isinstance(look.world.service, Service) and target.may_expose(
        look.world, _enter(look, Stage.CANARY, started=True), LIVE
    )
    return bool(look.state.active) and look.all_ready and live and look.active.ready > 0


def _step_passed(look: Look) -> bool:
    step = look.current_step
    done = step is None or look.elapsed(look.rollout.step_started_at, step.min_duration)
    return done and look.world.verdict in (Verdict.CLEAR, Verdict.UNJUDGED)


def _soaked(look: Look) -> bool:
    done = look.elapsed(look.rollout.stage_started_at, look.world.spec.rollout.soak.duration)
    return done and look.candidate.ready >= look.pods_wanted and look.world.verdict in (Verdict.CLEAR, Verdict.UNJUDGED)


_IN = frozenset

RULES: tuple[Rule, ...] = (
    Rule(
        "TripRecovered",
        EXPOSED,
        "RolledBack",
        "the Service's annotations say that this rollout was taken back (a crash came before status was written)",
        _tripped_on_service,
        _recover_trip,
    ),
    Rule(
        "Tripped",
        EXPOSED,
        "RolledBack",
        "the breaker trips; the policy is quarantined",
        lambda look: look.world.verdict is Verdict.TRIP and look.active.ready > 0,
        _trip,
    ),
    Rule(
        "Unhealthy",
        EXPOSED,
        "RolledBack",
        "candidate pods crash, lose readiness or report unhealthy, more of them than of the active revision; the revision "
        "is quarantined, unless the fault is the cluster's: then it is tried again later",
        lambda look: look.trouble_is_ours,
        _unhealthy,
    ),
    Rule(
        "Rejected",
        _IN({Stage.PREPARING}),
        "Rejected",
        "the candidate's process ends again and again, or says it runs another config; the revision is quarantined",
        lambda look: look.failing is not None,
        _reject,
    ),
    Rule(
        "Superseded",
        UNDER_WAY,
        "no rollout",
        "the user wants other content now, or content that cannot be used; exposure of this candidate ends first",
        _no_longer_wanted,
        _supersede,
    ),
    Rule(
        "ActiveRecovered",
        NO_ROLLOUT,
        "Stable",
        "nothing is remembered as active, but the Service lets traffic reach a ready revision",
        lambda look: _serving_without_status(look) is not None,
        _recover_active,
    ),
    Rule(
        "RolloutStarted",
        NO_ROLLOUT,
        "Preparing",
        "the user wants content that is neither active nor in quarantine, and no retry is waited for",
        _wants_rollout,
        _start,
        advances=True,
    ),
    Rule(
        "FirstActivated",
        _IN({Stage.PREPARING}),
        "Stable",
        "there is no active revision and all replicas are ready",
        lambda look: not look.state.active and look.all_ready,
        _activate_first,
        advances=True,
    ),
    Rule(
        "Prepared",
        _IN({Stage.PREPARING}),
        "Canary (ScaleUp without steps)",
        "the first step's candidate pods are ready, and no other revision has live pods",
        _prepared,
        _expose,
        advances=True,
    ),
    Rule(
        "StepReady",
        _IN({Stage.CANARY}),
        "Canary",
        "all candidate pods of the step are ready: its clock starts",
        lambda look: look.rollout.step_started_at is None and look.all_ready,
        _step_ready,
        advances=True,
    ),
    Rule(
        "StepPassed",
        _IN({Stage.CANARY}),
        "Canary (next step) or ScaleUp",
        "minDuration is over and the breaker has nothing against it",
        _step_passed,
        _next_step,
        advances=True,
    ),
    Rule(
        "ScaledUp",
        _IN({Stage.SCALE_UP}),
        "Soaking",
        "the candidate has spec.replicas ready pods",
        lambda look: look.all_ready,
        _soak,
        advances=True,
    ),
    Rule(
        "Promoted",
        _IN({Stage.SOAKING}),
        "Stable",
        "the soak is over, all candidate pods are ready and the breaker has nothing against it",
        _soaked,
        _promote,
        advances=True,
    ),
)


def decide(world: World, state: State) -> Decision:
    """What to do about one GatewayDeployment. Pure: same world and state, same decision."""
    look = Look(world, state)
    stage = state.rollout.stage if state.rollout else None
    hold = look.hold
    rule = next(
        (r for r in RULES if stage in r.stages and not (r.advances and hold) and r.guard(look)),
        None,
    )
    if rule is None:
        hold = hold or look.late
        after = _with_hold(state, hold, world.now)
        return Decision(after, target.actions(world, after, _shift(look, after)), _look_again(look, after), hold=hold)
    after, announce = rule.effect(look)
    actions = target.actions(world, after, _shift(look, after))
    return Decision(after, (*actions, announce) if announce else actions, timedelta(0), rule.name)


def _with_hold(state: State, hold: Hold | None, now: datetime) -> State:
    rollout = state.rollout
    reason = hold.reason if hold else ""
    if rollout is None or rollout.held_reason == reason:
        return state
    return replace(state, rollout=replace(rollout, held_reason=reason, held_since=now if hold else None))


def _shift(look: Look, after: State) -> target.Shift:
    """What the Service's annotations say if exposure changes on the way to `after`."""
    service = look.world.service
    current = service.rollout_id if isinstance(service, Service) else ""
    rollout = after.rollout or look.state.rollout
    if rollout is None:
        return target.Shift(current, "Repaired: traffic goes to the active revision")
    ended = after.history[-1] if look.state.rollout and not after.rollout else None
    if ended and ended.outcome is Outcome.ROLLED_BACK and after.rollback:
        return target.Shift(rollout.id, f"{ended.reason}: {after.rollback.message}"[:1000], rollout.revision)
    return target.Shift(rollout.id, ended.outcome.value if ended else rollout.stage.value)


def _look_again(look: Look, after: State) -> timedelta:
    """Until the next clock-driven transition, bounded by the resync that repairs a lost wake-up."""
    spec, now, rollout = look.world.spec, look.now, after.rollout
    times: list[datetime] = []
    longest = RESYNC
    if rollout:
        longest = RESYNC_ROLLOUT
        times.extend(t for t in (rollout.deadline,) if t)
        if rollout.stage is Stage.CANARY and rollout.step_started_at and look.current_step:
            times.append(rollout.step_started_at + look.current_step.min_duration)
        if rollout.stage is Stage.SOAKING:
            times.append(rollout.stage_started_at + spec.rollout.soak.duration)
    elif after.retry:
        times.append(after.retry.at)
    ahead = [t - now for t in times if t > now]
    return min([longest, *ahead])
