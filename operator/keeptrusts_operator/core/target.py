"""What the children should look like in a state, and the ordered actions that get them there.

The children are a function of state and spec, not of the way that led here: the same state always wants the same
exposure and the same replicas. The order of the actions is what makes a crash between any two of them harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keeptrusts_operator.core.actions import (
    Action,
    CreateRevision,
    CutPods,
    DeleteRevision,
    EnsureService,
    RestoreWorkload,
    ScaleRevision,
    ShiftTraffic,
)
from keeptrusts_operator.core.shares import plan
from keeptrusts_operator.core.state import Outcome, Rollout, Stage, State
from keeptrusts_operator.core.world import (
    LIVE,
    NOTHING,
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


def serving_replicas(world: World, state: State) -> int:
    """N: what `spec.replicas` asks for; during a rollout a scale-down waits."""
    if state.rollout and state.active and (workload := world.revision(state.active).workload):
        return max(world.spec.replicas, workload.replicas)
    return world.spec.replicas


def candidate_replicas(world: World, state: State, rollout: Rollout) -> int:
    """Pods the candidate has in its stage."""
    replicas = serving_replicas(world, state)
    if not state.active or rollout.stage in (Stage.SCALE_UP, Stage.SOAKING):
        return replicas
    steps = plan(world.spec.rollout.steps, replicas)
    return steps[min(rollout.step, len(steps) - 1)].pods if steps else replicas


def exposure(state: State) -> Exposure:
    """What the Service should let traffic reach."""
    rollout = state.rollout
    if rollout and state.active:
        if rollout.stage in (Stage.CANARY, Stage.SCALE_UP):
            return LIVE
        if rollout.stage is Stage.SOAKING:
            return only(rollout.revision)
    return only(state.active) if state.active else NOTHING


def replicas(world: World, state: State) -> dict[str, int]:
    """Pods that each revision should have; a revision not named should have none."""
    wanted: dict[str, int] = {}
    if state.active:
        full = serving_replicas(world, state)
        soaking = state.rollout is not None and state.rollout.stage is Stage.SOAKING
        standby = max(1, world.spec.rollout.soak.standby_replicas.of(full)) if full else 0
        wanted[state.active] = standby if soaking else full
    if state.rollout:
        wanted[state.rollout.revision] = candidate_replicas(world, state, state.rollout)
    return wanted


def may_expose(world: World, state: State, wanted: Exposure) -> bool:
    """Enough ready pods behind the new selector, and none behind it that should not have traffic."""
    if wanted == LIVE:
        strangers = [
            r for r in world.revisions.values() if r.running and r.name not in (state.active, _candidate(state))
        ]
        return not strangers
    if wanted.kind == "Only":
        pods = world.revision(wanted.revision)
        candidate = wanted.revision == _candidate(state)
        return pods.ready >= (serving_replicas(world, state) if candidate else 1)
    return True


def actions(world: World, state: State, shift: Shift) -> tuple[Action, ...]:
    """Everything that separates the world from what `state` wants, in the order in which it is safe."""
    return tuple(_ordered(world, state, shift))


def _ordered(world: World, state: State, shift: Shift) -> Iterator[Action]:
    service = world.service if isinstance(world.service, Service) else None
    if world.service is None or (service and not service.in_shape):
        yield EnsureService()
    wanted_exposure, wanted = exposure(state), replicas(world, state)
    settled = service is not None and wanted_exposure in (service.exposure, NOTHING)
    shifts = service is not None and not settled and may_expose(world, state, wanted_exposure)
    lowers = (
        wanted_exposure == only(state.active)
        and service is not None
        and bool(shift.rollout_id)
        and service.rollout_id == shift.rollout_id
    )
    write = ShiftTraffic(wanted_exposure, shift.reason, shift.rollout_id, shift.tripped_revision, lowering=lowers)
    if shifts and lowers:
        yield write
    left = [r for r in world.revisions.values() if not wanted.get(r.name) and _replicas(r)]
    for revision in left if settled or shifts else ():
        if state.outcome_of(revision.name) is not Outcome.PROMOTED:
            yield CutPods(revision.name, world.spec.rollout.drain_seconds)
            yield ScaleRevision(revision.name, 0)
    for name, count in wanted.items():
        yield from _bring(world, world.revision(name), count)
    if shifts and not lowers:
        yield write
    if settled or shifts:
        yield from (ScaleRevision(r.name, 0) for r in left if state.outcome_of(r.name) is Outcome.PROMOTED)
        yield from (ScaleRevision(n, c) for n, c in wanted.items() if 0 < c < _replicas(world.revision(n)))
        yield from (DeleteRevision(name) for name in _forgotten(world, state))


def _bring(world: World, revision: Revision, count: int) -> Iterator[Action]:
    """What is missing of a revision that should run: its objects, its true template, its pods."""
    workload = revision.workload
    if workload is None or not revision.config_map:
        if isinstance(world.desired, Content) and world.desired.revision == revision.name:
            yield CreateRevision(world.desired, count)
        elif workload is None and revision.restorable:
            yield RestoreWorkload(revision.name, count)
    elif workload.drifted and revision.restorable:
        yield RestoreWorkload(revision.name, count)
    elif workload.replicas < count:
        yield ScaleRevision(revision.name, count)


def _forgotten(world: World, state: State) -> list[str]:
    """Revisions beyond `revisionHistoryLimit`, oldest first, that nothing may want any more."""
    keep = {state.active, _candidate(state), state.last_good}
    if isinstance(world.desired, Content):
        keep.add(world.desired.revision)
    past = [r for r in world.revisions.values() if r.name not in keep and not r.pods and not _replicas(r)]
    past.sort(key=lambda r: (r.created_at is not None, r.created_at, r.name))
    return [r.name for r in past[: max(0, len(past) - world.spec.revision_history_limit)]]


def _replicas(revision: Revision) -> int:
    return revision.workload.replicas if revision.workload else 0


def _candidate(state: State) -> str:
    return state.rollout.revision if state.rollout else ""
