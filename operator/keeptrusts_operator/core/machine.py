"""The life of a change, as one table of named transitions.

`decide` takes what was seen and what is remembered, and gives what to do, what to remember and when to look again.
The first rule of `RULES` whose stage and guard match fires, so the order of the table is the priority:
passthrough > rollback request > breaker > health > supersession > pause > promote > advance. A rule only changes the state
(`effects.py`, requests of people in `requests.py`); what has to be done to the children follows from the new state
(`target.py`). The tables in `docs/` are generated from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keeptrusts_operator.api.names import ADOPTED_REVISION, Verb
from keeptrusts_operator.api.rollout import OnInconclusive
from keeptrusts_operator.core import effects, incidents, judging, passthrough, requests, target
from keeptrusts_operator.core.actions import Action
from keeptrusts_operator.core.effects import Effect
from keeptrusts_operator.core.judgement import Verdict
from keeptrusts_operator.core.look import EXPOSED, UNDER_WAY, UNEXPOSED, Hold, Look
from keeptrusts_operator.core.state import Outcome, Stage, State
from keeptrusts_operator.core.world import LIVE, Content, Service, TestVerdict, Unreadable, Unusable, World

NO_ROLLOUT: frozenset[Stage | None] = frozenset({None})
ANYTIME: frozenset[Stage | None] = NO_ROLLOUT | UNDER_WAY

RESYNC = timedelta(minutes=5)  # wake-ups come from watches; this repairs a lost one
RESYNC_ROLLOUT = timedelta(seconds=15)
MEASURING = timedelta(seconds=1)


@dataclass(frozen=True)
class Decision:
    """What to do now (in order), what to remember, and when to look again at the latest."""

    state: State
    actions: tuple[Action, ...]
    look_again: timedelta
    transition: str = ""
    hold: Hold | None = None


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


# --- guards ------------------------------------------------------------------------------------------------------


def _written_last(look: Look) -> Service | None:
    """The Service, when this rollout wrote its exposure last."""
    service = look.world.service
    return service if isinstance(service, Service) and service.rollout_id == look.rollout.id else None


def _tripped_on_service(look: Look) -> bool:
    service = _written_last(look)
    return service is not None and service.tripped_revision == look.rollout.revision


def _returned_on_service(look: Look) -> bool:
    return _written_last(look) is not None and look.exposed_only == look.rollout.revision


def _no_longer_wanted(look: Look) -> bool:
    if look.rollout.requested:
        return look.wanted_again
    desired = look.world.desired
    if isinstance(desired, Unreadable):
        return False
    if look.rollout.stage in EXPOSED and not look.active.ready:
        return False  # nowhere to go back to
    return isinstance(desired, Unusable) or look.content is None


def _wants_rollout(look: Look) -> bool:
    desired, retry = look.world.desired, look.state.retry
    if not isinstance(desired, Content) or not look.wanted_again:
        return False
    return not (retry and retry.revision == desired.revision and look.now < retry.at)


def _adoptable(look: Look) -> bool:
    first = not look.state.active and not look.state.history
    return first and look.world.spec.adopt_from is not None and look.world.revision(ADOPTED_REVISION).ready > 0


def _exposable(look: Look) -> bool:
    """Tested, ready, and nobody else would get a share of the canary's traffic."""
    live = isinstance(look.world.service, Service) and target.may_expose(
        look.world, effects.enter(look, Stage.CANARY, started=True), LIVE
    )
    return bool(look.state.active) and look.all_ready and live and look.active.ready > 0 and not look.rollout.requested


def _step_passed(look: Look) -> bool:
    step = look.current_step
    done = step is None or look.elapsed(look.rollout.step_started_at, step.min_duration)
    return done and _nothing_against_it(look)


def _nothing_against_it(look: Look) -> bool:
    promotes = look.world.spec.rollout.on_inconclusive is OnInconclusive.PROMOTE
    return look.verdict in (Verdict.CLEAR, Verdict.UNJUDGED) or (look.inconclusive and promotes)


def _left_inconclusive(look: Look) -> bool:
    leaves = look.world.spec.rollout.on_inconclusive is OnInconclusive.ROLL_BACK
    return leaves and look.inconclusive and look.active.ready > 0


def _soaked(look: Look) -> bool:
    done = look.elapsed(look.rollout.drained_at, look.world.spec.rollout.soak.duration)
    return done and look.candidate.ready >= look.pods_wanted and _nothing_against_it(look)


def _request(verb: Verb, when: str) -> Rule:
    """People may ask at any time; `requests.TABLE` says what comes of it."""
    return Rule(
        f"{''.join(word.capitalize() for word in verb.split('-'))}Requested",
        ANYTIME,
        "see [requests](requests.md)",
        when,
        lambda look: look.asked(verb) is not None,
        lambda look: requests.answer(look, verb),
    )


_IN = frozenset

PASSTHROUGH_RULES: tuple[Rule, ...] = (
    Rule(
        "PassthroughFound",
        ANYTIME,
        "Passthrough",
        "the Service selects the passthrough revision of a grant (a crash came before status was written)",
        passthrough.has_traffic,
        passthrough.take_over,
    ),
    Rule(
        "PassthroughEnded",
        ANYTIME,
        "Rearming, when it had traffic",
        "the time of a grant, or of a request that nobody approved, is over",
        passthrough.is_over,
        passthrough.end,
    ),
    Rule(
        "EmergencyPassthroughRequested",
        ANYTIME,
        "see [requests](requests.md)",
        "a person asks for the emergency passthrough, or ends it",
        lambda look: passthrough.is_unanswered(look, Verb.EMERGENCY_PASSTHROUGH),
        lambda look: requests.answer(look, Verb.EMERGENCY_PASSTHROUGH),
    ),
    Rule(
        "ApprovePassthroughRequested",
        ANYTIME,
        "see [requests](requests.md)",
        "a second person approves it",
        lambda look: passthrough.is_unanswered(look, Verb.APPROVE_PASSTHROUGH),
        lambda look: requests.answer(look, Verb.APPROVE_PASSTHROUGH),
    ),
    Rule(
        "PassthroughBegan",
        ANYTIME,
        "Passthrough",
        "a grant is in force and all pods of its revision are ready; a rollout with traffic ends and begins again later",
        passthrough.can_take_over,
        passthrough.take_over,
    ),
    Rule(
        "PassthroughImpossible",
        ANYTIME,
        "as before",
        "there is no such passthrough of the active revision",
        passthrough.cannot_be_made,
        passthrough.give_up,
    ),
    Rule(
        "Rearmed",
        ANYTIME,
        "Rearming",
        "a grant is over and the revision that takes the traffic back is ready: one flip",
        passthrough.can_rearm,
        passthrough.rearm,
    ),
    Rule(
        "RearmTripped",
        NO_ROLLOUT,
        "RollingBack",
        "protections that have come back block too much: an earlier good revision is prepared, never a passthrough",
        passthrough.trips_again,
        passthrough.leave_rearmed,
    ),
    Rule(
        "RearmWatched",
        ANYTIME,
        "Stable",
        "rearm.maxDuration has passed since protections came back",
        passthrough.is_rearmed,
        passthrough.finish,
    ),
    Rule(
        "PassthroughReminder",
        ANYTIME,
        "Passthrough",
        "half of its time, or all but five minutes of it, are over",
        passthrough.is_to_be_told,
        passthrough.remind,
    ),
)

RULES: tuple[Rule, ...] = (
    Rule(
        "TripRecovered",
        EXPOSED,
        "RolledBack",
        "the Service's annotations say that this rollout was taken back (a crash came before status was written)",
        _tripped_on_service,
        requests.recover,
    ),  # comes first: it was decided before, and any other rule would expose the candidate again
    *PASSTHROUGH_RULES,
    _request(Verb.ROLLBACK, "a person asks to leave a revision, or to go back to one"),
    Rule(
        "Tripped",
        EXPOSED,
        "RolledBack",
        "the breaker trips; the policy is quarantined",
        lambda look: look.verdict is Verdict.TRIP and look.active.ready > 0,
        effects.trip,
    ),
    Rule(
        "LeftInconclusive",
        _IN({Stage.CANARY, Stage.SOAKING}),
        "RolledBack",
        "the breaker has no answer at the step's deadline and onInconclusive is RollBack; the policy is quarantined",
        _left_inconclusive,
        effects.leave_inconclusive,
    ),
    Rule(
        "Unhealthy",
        EXPOSED,
        "RolledBack",
        "candidate pods crash, lose readiness or report unhealthy, more of them than of the active revision; the revision "
        "is quarantined, unless the fault is the cluster's: then it is tried again later",
        lambda look: look.trouble_is_ours,
        effects.leave_unhealthy,
    ),
    Rule(
        "Rejected",
        UNEXPOSED,
        "Rejected",
        "the candidate's process ends again and again, or says it runs another config; the revision is quarantined",
        lambda look: look.failing is not None,
        effects.reject,
    ),
    Rule(
        "TestFailed",
        _IN({Stage.TESTING}),
        "Rejected",
        "a behaviour test got another decision than it expects; the policy is quarantined",
        lambda look: look.test_result(TestVerdict.FAILED) is not None,
        effects.fail_test,
    ),
    Rule(
        "Superseded",
        UNDER_WAY,
        "no rollout",
        "the user wants other content now, or content that cannot be used; exposure of this candidate ends first",
        _no_longer_wanted,
        effects.supersede,
    ),
    _request(Verb.PAUSE, "a person pauses or resumes"),
    _request(Verb.RETRY, "a person wants content of the quarantine tried again"),
    _request(Verb.RESTART, "a person wants the pods replaced"),
    _request(Verb.PROMOTE, "a person wants the rest of the rollout skipped"),
    Rule(
        "ActiveRecovered",
        NO_ROLLOUT,
        "Stable",
        "nothing is remembered as active, but the Service lets traffic reach a ready revision",
        lambda look: look.serving_without_status is not None,
        effects.recover_active,
    ),
    Rule(
        "Adopted",
        NO_ROLLOUT,
        "Stable",
        "nothing has ever been active, and a pod of the Deployment that spec.adoptFrom names is ready",
        _adoptable,
        effects.adopt,
    ),
    Rule(
        "RolloutStarted",
        NO_ROLLOUT,
        "Preparing",
        "the user wants content that is neither active nor in quarantine, and no retry is waited for",
        _wants_rollout,
        effects.start,
        advances=True,
    ),
    Rule(
        "Returned",
        _IN({Stage.PREPARING}),
        "Stable",
        "all pods of the revision that a person wanted back are ready: it takes the traffic and is active; or it took the "
        "traffic, and a crash came before status was written",
        lambda look: look.rollout.requested and (look.all_ready or _returned_on_service(look)),
        effects.finish_return,
        advances=True,
    ),
    Rule(
        "Prepared",
        _IN({Stage.PREPARING}),
        "Testing",
        "the candidate's pods are ready; content that was proven before needs no test",
        lambda look: not look.rollout.requested and look.all_ready,
        effects.begin_tests,
        advances=True,
    ),
    Rule(
        "FirstActivated",
        _IN({Stage.TESTING}),
        "Stable",
        "there is no active revision, all replicas are ready and every behaviour test has passed",
        lambda look: not look.state.active and look.all_ready and look.tests_passed,
        effects.activate_first,
        advances=True,
    ),
    Rule(
        "TestsPassed",
        _IN({Stage.TESTING}),
        "Canary (Soaking without steps)",
        "every behaviour test has passed, the candidate's pods are ready, and no other revision has live pods",
        lambda look: look.tests_passed and _exposable(look),
        effects.expose,
        advances=True,
    ),
    Rule(
        "StepReady",
        _IN({Stage.CANARY}),
        "Canary",
        "all candidate pods of the step are ready: its clock starts",
        lambda look: look.rollout.step_started_at is None and look.all_ready,
        effects.step_ready,
        advances=True,
    ),
    Rule(
        "StepPassed",
        _IN({Stage.CANARY}),
        "Canary (next step) or ScaleUp",
        "minDuration is over and the breaker has nothing against it",
        _step_passed,
        effects.next_step,
        advances=True,
    ),
    Rule(
        "ScaledUp",
        _IN({Stage.SCALE_UP}),
        "Soaking",
        "the candidate has spec.replicas ready pods",
        lambda look: look.all_ready,
        effects.soak,
        advances=True,
    ),
    Rule(
        "Drained",
        _IN({Stage.SOAKING}),
        "Soaking",
        "the previous revision serves less than 1 % of the requests, or all of its pods were replaced: the soak's clock "
        "starts",
        lambda look: look.rollout.drained_at is None and look.drained,
        effects.drained,
        advances=True,
    ),
    Rule(
        "Promoted",
        _IN({Stage.SOAKING}),
        "Stable",
        "the soak is over, all candidate pods are ready and the breaker has nothing against it",
        _soaked,
        effects.promote,
        advances=True,
    ),
)


def decide(world: World, state: State) -> Decision:
    """What to do about one GatewayDeployment. Pure: same world and state, same decision."""
    look = Look(world, requests.seen(world, state))
    stage = look.state.rollout.stage if look.state.rollout else None
    hold = look.hold
    rule = next(
        (r for r in RULES if stage in r.stages and not (r.advances and hold) and r.guard(look)),
        None,
    )
    if rule:
        after, announce = rule.effect(look)
        announced = (announce,) if announce else ()
    else:
        hold = hold or look.late
        after, announced = _with_hold(look.state, hold, world.now), ()
    after = passthrough.follow(look, after)
    after, told = judging.follow(look, after)
    after, records = incidents.follow(look, after)
    announced = (*announced, *((told,) if told and not rule else ()))
    actions = (*target.actions(world, after, _shift(look, after)), *records, *announced)
    if rule:
        return Decision(after, actions, timedelta(0), rule.name)
    return Decision(after, actions, _look_again(look, after), hold=hold)


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
    if after.passthrough and (lets_go := passthrough.let_go(look, after)):
        if after.passing:
            reason = f"Passthrough: {after.passthrough.reason}"[:1000]
            return target.Shift(f"passthrough-{after.passthrough.request_id}", reason, lets_go=lets_go)
        return target.Shift(current, "Rearmed", lets_go=lets_go)
    rollout = look.state.rollout or after.rollout
    if rollout is None:
        return target.Shift(current, "Repaired: traffic goes to the active revision")
    ended = after.history[-1] if len(after.history) > len(look.state.history) else None
    if ended and ended.outcome is Outcome.ROLLED_BACK and after.rollback:
        return target.Shift(rollout.id, f"{ended.reason}: {after.rollback.message}"[:1000], ended.revision)
    if ended and ended.outcome is Outcome.PROMOTED:
        return target.Shift(f"{rollout.id}-promoted", ended.outcome.value, seals=True)
    return target.Shift(rollout.id, ended.outcome.value if ended else rollout.stage.value)


def _is_draining(look: Look, after: State) -> bool:
    """A rollback whose last effects are still to be seen."""
    left = after.rollback
    unseen = left is not None and left.issued_at is not None and not (left.effective_at and left.last_answer_at)
    return unseen and left is not None and bool(look.world.revision(left.revision).pods)


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
            times.append(rollout.step_started_at + spec.rollout.step_deadline)
        if rollout.stage is Stage.SOAKING:
            begun = rollout.drained_at or rollout.stage_started_at
            times += [begun + spec.rollout.soak.duration, begun + spec.rollout.connection_drain_timeout]
    elif after.retry:
        times.append(after.retry.at)
    times += passthrough.next_times(after)
    if after.rearmed_at:
        times.append(after.rearmed_at + spec.passthrough.rearm.max_duration)
    grant = after.passthrough
    unseen = grant is not None and bool(after.passing) and not (grant.effective_at and grant.last_answer_at)
    if (rollout and rollout.stage is Stage.SOAKING and not rollout.drained_at) or unseen or _is_draining(look, after):
        longest = MEASURING  # what counters tell wakes nobody up
    elif look.world.spent is None and any(
        look.asked(v) for v in (Verb.EMERGENCY_PASSTHROUGH, Verb.APPROVE_PASSTHROUGH)
    ):
        longest = MEASURING  # earlier grants could not be read, and somebody waits for an answer
    elif after.passing:
        longest = min(longest, passthrough.COUNTED_EVERY)
    if after.outage and not after.outage.incident:
        times.append(after.outage.started_at + incidents.OUTAGE_AFTER)
    ahead = [t - now for t in times if t > now]
    return min([longest, *ahead])
