"""What the children should look like in a state, and the ordered actions that get them there.

The children are a function of state and spec, not of the way that led here: the same state always wants the same
exposure and the same replicas. The order of the actions is what makes a crash between any two of them harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keeptrusts_operator.api.names import ADOPTED_REVISION
from keeptrusts_operator.core.actions import (
    Action,
    CreateRevision,
    CutPods,
    DeleteRevision,
    EnsureBudget,
    EnsureService,
    LabelPods,
    RemoveBudget,
    ReplacePod,
    RestartRevision,
    RestoreWorkload,
    ScaleRevision,
    ShiftTraffic,
)
from keeptrusts_operator.core.grants import GrantState
from keeptrusts_operator.core.shares import plan
from keeptrusts_operator.core.state import Outcome, Rollout, Stage, State
from keeptrusts_operator.core.world import (
    LIVE,
    NOTHING,
    Budget,
    Content,
    Exposure,
    Revision,
    Service,
    World,
    only,
)


@dataclass(frozen=True)
class Shift:
    """Why and for which rollout exposure changes in this pass; goes into the Service's annotations."""

    rollout_id: str
    reason: str
    tripped_revision: str = ""
    seals: bool = (
        False  # the rollout is over for good: a rollback of it that was issued before and comes late must fail
    )
    lets_go: tuple[str, ...] = ()  # revisions whose pods are cut right after the write: their pooled clients would stay


def serving_replicas(world: World, state: State) -> int:
    """N: what `spec.replicas` asks for; during a rollout a scale-down waits."""
    if not state.rollout or not state.active:
        return world.spec.replicas
    active = world.revision(state.active)
    serving = len(active.running) if state.active == ADOPTED_REVISION else _replicas(active)
    return max(world.spec.replicas, serving)


def candidate_replicas(world: World, state: State, rollout: Rollout) -> int:
    """Pods the candidate has in its stage."""
    replicas = serving_replicas(world, state)
    if not state.active or rollout.skip_steps or rollout.stage in (Stage.SCALE_UP, Stage.SOAKING):
        return replicas
    steps = plan(world.spec.rollout.steps, replicas)
    return steps[min(rollout.step, len(steps) - 1)].pods if steps else replicas


def exposure(state: State) -> Exposure:
    """What the Service should let traffic reach."""
    rollout = state.rollout
    if state.passing:
        return only(state.passing)
    if rollout and state.active:
        if rollout.stage in (Stage.CANARY, Stage.SCALE_UP):
            return LIVE
        if rollout.stage is Stage.SOAKING:
            return only(rollout.revision)
    return only(state.active) if state.active else NOTHING


def replicas(world: World, state: State) -> dict[str, int]:
    """Pods that each revision should have; a revision not named should have none."""
    wanted: dict[str, int] = {}
    if state.active and state.active != ADOPTED_REVISION:  # adopted pods are somebody else's to scale
        full = serving_replicas(world, state)
        soaking = state.rollout is not None and state.rollout.stage is Stage.SOAKING
        standby = max(1, world.spec.rollout.soak.standby_replicas.of(full)) if full else 0
        wanted[state.active] = standby if soaking else full
    if state.rollout:
        wanted[state.rollout.revision] = candidate_replicas(world, state, state.rollout)
    return {**wanted, **_passthrough_replicas(world, state)}


def _passthrough_replicas(world: World, state: State) -> dict[str, int]:
    """The passthrough revision in full from the request on; otherwise what `standbyReplicas` keeps warm of it. And the
    revision that takes the traffic back."""
    full, grant = serving_replicas(world, state), state.passthrough
    ready = _packed(world)
    standby = world.spec.passthrough.standby_replicas.of(full)
    if state.passing:
        assert grant is not None
        return {state.passing: full, **({grant.rearm_revision: full} if grant.rearm_revision else {})}
    if not ready:
        return {}
    count = full if starting_passthrough(world, state) else standby
    return {ready: count} if count else {}


def starting_passthrough(world: World, state: State) -> str:
    """The passthrough revision that is about to have the traffic; empty: none is."""
    grant = state.passthrough
    return _packed(world) if grant is not None and grant.state is GrantState.STARTING else ""


def _packed(world: World) -> str:
    return world.parachute.revision if isinstance(world.parachute, Content) else ""


def may_expose(world: World, state: State, wanted: Exposure) -> bool:
    """Enough ready pods behind the new selector, and none behind it that should not have traffic."""
    if wanted == LIVE:
        strangers = [
            r
            for r in world.revisions.values()
            if r.name not in (state.active, _candidate(state)) and any(p.live for p in r.running)
        ]
        return not strangers
    if wanted.kind == "Only":
        pods = world.revision(wanted.revision)
        moves = wanted.revision in (_candidate(state), state.passing) and not _goes_back(state)
        return pods.ready >= (serving_replicas(world, state) if moves else 1)
    return True


def _goes_back(state: State) -> bool:
    return state.passthrough is not None and state.passthrough.state is GrantState.REARMING


def actions(world: World, state: State, shift: Shift) -> tuple[Action, ...]:
    """Everything that separates the world from what `state` wants, in the order in which it is safe."""
    return tuple(_ordered(world, state, shift))


def _ordered(world: World, state: State, shift: Shift) -> Iterator[Action]:
    service = world.service if isinstance(world.service, Service) else None
    if world.service is None or (service and not service.in_shape):
        yield EnsureService()
    wanted_exposure, wanted = exposure(state), replicas(world, state)
    if _goes_back(state) and service is not None and service.exposure != wanted_exposure:
        wanted_exposure = only(state.active)  # a passthrough that is over keeps its traffic, and gets none
    settled = service is not None and wanted_exposure in (service.exposure, NOTHING)
    shifts = service is not None and not settled and may_expose(world, state, wanted_exposure)
    lowers = (
        wanted_exposure == only(state.active)
        and service is not None
        and bool(shift.rollout_id)
        and service.rollout_id == shift.rollout_id
    )
    write = ShiftTraffic(wanted_exposure, shift.reason, shift.rollout_id, shift.tripped_revision, lowering=lowers)
    left = [r for r in world.revisions.values() if not wanted.get(r.name) and _replicas(r)]
    in_haste = [r for r in left if state.outcome_of(r.name) is not Outcome.PROMOTED]
    let_go = [world.revision(name) for name in shift.lets_go if all(r.name != name for r in in_haste)]
    if shifts and lowers:
        yield write
        yield from _cut(world, let_go)
    if settled or (shifts and lowers):
        for revision in in_haste:
            yield from _empty(world, revision)
    for name, count in wanted.items():
        yield from _bring(world, world.revision(name), count)
    if shifts and not lowers:
        yield write
        yield from _cut(world, let_go)
        for revision in in_haste:
            yield from _empty(world, revision)
    if settled and shift.seals:
        yield write
    if settled or shifts:
        yield from (ScaleRevision(r.name, 0) for r in left if r not in in_haste)
        yield from (ScaleRevision(n, c) for n, c in wanted.items() if 0 < c < _replicas(world.revision(n)))
        yield from (DeleteRevision(name) for name in _forgotten(world, state))
    yield from _keep(world, state, wanted)


def _cut(world: World, revisions: Iterable[Revision]) -> Iterator[Action]:
    """Pods whose clients are to be let go. A Deployment that stays makes new ones at once, which get no traffic."""
    for revision in revisions:
        if pods := tuple(p.uid for p in revision.running):
            yield CutPods(revision.name, pods, world.spec.rollout.drain_seconds)


def _empty(world: World, revision: Revision) -> Iterator[Action]:
    """Pods first: a kubelet never shortens a preStop that has begun. Then the scale."""
    yield from _cut(world, [revision])
    yield ScaleRevision(revision.name, 0)


def _keep(world: World, state: State, wanted: dict[str, int]) -> Iterator[Action]:
    """What keeps pods as they should be while nothing about traffic changes: labels, restarts, drains, budgets."""
    adopting = state.active == ADOPTED_REVISION or (not state.active and not state.history)
    if relabel := tuple(
        p.name for p in world.adopted if (not p.labelled or not p.live if adopting else p.labelled and p.live)
    ):
        yield LabelPods(relabel, adopting)
    for name in wanted:
        revision = world.revision(name)
        marked = revision.workload.restarted_at if revision.workload else None
        at = state.restarted_at
        if at and name in state.restarting and revision.workload and marked != at.replace(microsecond=0):
            yield RestartRevision(name, at)
    if pod := _still_held(world, state, wanted):
        yield ReplacePod(state.active, pod)
    for revision in world.revisions.values():
        apart = wanted.get(revision.name, 0) >= 2 and not world.foreign_budget  # of one pod it would block every drain
        if apart and revision.budget is not Budget.IN_SHAPE:
            yield EnsureBudget(revision.name)
        elif not apart and revision.budget is not Budget.ABSENT:
            yield RemoveBudget(revision.name)


def _still_held(world: World, state: State, wanted: dict[str, int]) -> str:
    """The next pod of the revision left in a soak whose clients stay: replaced one at a time, so that it stays warm."""
    rollout = state.rollout
    if rollout is None or rollout.stage is not Stage.SOAKING or rollout.drained_at:
        return ""
    since = rollout.stage_started_at
    left = world.revision(state.active)
    if world.now - since < world.spec.rollout.connection_drain_timeout or not _is_whole(left, wanted):
        return ""
    return next((p.uid for p in left.running if p.created_at <= (rollout.ready_at or since)), "")


def _is_whole(left: Revision, wanted: dict[str, int]) -> bool:
    """As many pods are ready as there should be. How many that are of adopted ones only their owner knows: they are whole
    when all are ready and none is on its way out."""
    if left.name == ADOPTED_REVISION:
        return left.ready == len(left.running) and not any(p.terminating for p in left.pods)
    return left.ready >= wanted.get(left.name, 0)


def _bring(world: World, revision: Revision, count: int) -> Iterator[Action]:
    """What is missing of a revision that should run: its objects, its true template, its pods."""
    workload = revision.workload
    if workload is None or not revision.config_map:
        known = [c for c in (world.desired, world.parachute) if isinstance(c, Content) and c.revision == revision.name]
        if known:
            yield CreateRevision(known[0], count)
        elif workload is None and revision.restorable:
            yield RestoreWorkload(revision.name, count)
    elif workload.drifted and revision.restorable:
        yield RestoreWorkload(revision.name, count)
    elif workload.replicas < count:
        yield ScaleRevision(revision.name, count)


def _forgotten(world: World, state: State) -> list[str]:
    """Revisions beyond `revisionHistoryLimit`, oldest first, that nothing may want any more."""
    keep = {state.active, _candidate(state), state.last_good, state.passthrough_revision}
    keep |= {c.revision for c in (world.desired, world.parachute) if isinstance(c, Content)}
    if state.passthrough:
        keep.add(state.passthrough.rearm_revision)
    past = [r for r in world.revisions.values() if r.name not in keep and not r.pods and not _replicas(r)]
    outdated = [r.name for r in past if r.standby]  # a passthrough of what is active no more
    past = [r for r in past if not r.standby]
    past.sort(key=lambda r: (r.created_at is not None, r.created_at, r.name))
    return outdated + [r.name for r in past[: max(0, len(past) - world.spec.revision_history_limit)]]


def _replicas(revision: Revision) -> int:
    return revision.workload.replicas if revision.workload else 0


def _candidate(state: State) -> str:
    return state.rollout.revision if state.rollout else ""
