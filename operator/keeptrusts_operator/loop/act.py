"""Carrying out actions, one after the other, and telling people about them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.quantities import parse_time
from keeptrusts_operator.core.actions import (
    Action,
    Announce,
    CreateRevision,
    CutPods,
    DeleteRevision,
    EnsureBudget,
    EnsureService,
    LabelPods,
    RecordIncident,
    RemoveBudget,
    ReplacePod,
    RestartRevision,
    RestoreWorkload,
    ScaleRevision,
    ShiftTraffic,
)
from keeptrusts_operator.core.incidents import PHASES, RESOLVED
from keeptrusts_operator.core.world import NOTHING, Service
from keeptrusts_operator.kube.port import (
    BUDGETS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    INCIDENTS,
    PODS,
    SERVICES,
    ApiError,
    Conflict,
    Forbidden,
    Kube,
    NotFound,
    Obj,
)
from keeptrusts_operator.loop import views
from keeptrusts_operator.loop.observe import Observation
from keeptrusts_operator.render import children, incidents

logger = logging.getLogger(__name__)

MAX_NOTE = 1000  # characters; the Events API refuses more than 1024


@dataclass(frozen=True)
class Receipt:
    """What became of the actions. `lowered_at`: when the API server had taken a write that lowers exposure."""

    lowered_at: datetime | None = None
    unrecorded: bool = False  # an incident could not be written


class Actor:
    """Carries out the actions of one decision on what was observed. Raises ApiError at the first that fails.

    A Conflict means that the world is not as it was seen: what follows in the list must not be done.
    """

    def __init__(self, kube: Kube, seen: Observation, clock: Callable[[], datetime]) -> None:
        self._kube, self._seen, self._clock = kube, seen, clock
        self._namespace, self._name = seen.world.namespace, seen.world.name

    async def carry_out(self, actions: Iterable[Action]) -> Receipt:
        """All actions but announcements, in order."""
        lowered_at, unrecorded = None, False
        for action in actions:
            if isinstance(action, Announce):
                continue
            logger.info("%s/%s: %s", self._namespace, self._name, _words(action))
            if isinstance(action, RecordIncident):
                unrecorded |= not await self._record(action)
                continue
            await self._do(action)
            if isinstance(action, ShiftTraffic) and action.lowering:
                lowered_at = self._clock()
        return Receipt(lowered_at, unrecorded)

    async def _do(self, action: Action) -> None:
        match action:
            case EnsureService():
                await self._ensure_service()
            case ShiftTraffic():
                await self._shift(action)
            case CreateRevision():
                await self._create(action)
            case RestoreWorkload():
                await self._restore(action)
            case ScaleRevision():
                await self._patch_deployment(action.revision, {"replicas": action.replicas})
            case RestartRevision():
                mark = {views.RESTARTED_AT: action.at.strftime("%Y-%m-%dT%H:%M:%SZ")}
                await self._patch_deployment(action.revision, {"template": {"metadata": {"annotations": mark}}})
            case CutPods() | ReplacePod():
                await self._delete_pods(action)
            case LabelPods():
                await self._label(action)
            case EnsureBudget():
                budget = children.budget(self._seen.gateway, self._seen.world.spec, action.revision)
                await self._kube.apply(BUDGETS, budget)
            case RemoveBudget():
                await self._kube.delete(BUDGETS, self._namespace, self._child(action.revision))
            case DeleteRevision():
                await self._kube.delete(DEPLOYMENTS, self._namespace, self._child(action.revision))
                await self._kube.delete(CONFIG_MAPS, self._namespace, self._child(action.revision))

    async def _patch_deployment(self, revision: str, spec: Obj) -> None:
        await self._kube.merge(DEPLOYMENTS, self._namespace, self._child(revision), {"spec": spec})

    async def announce(self, actions: Iterable[Action]) -> None:
        """Events for people. One that cannot be posted is logged: it delays and fails nothing."""
        for action in actions:
            if isinstance(action, Announce):
                logger.info("%s/%s: %s: %s", self._namespace, self._name, action.reason, action.message)
                try:
                    await self._kube.create(EVENTS, self._event(action))
                except ApiError as error:
                    if not namespace_ends(error):
                        logger.warning("an Event could not be posted: %s", error)

    async def _ensure_service(self) -> None:
        seen = self._seen
        if seen.service is None:
            selector = children.selector(self._name, NOTHING)
            notes = _exposure_notes("", "no revision is ready yet", "")
        else:
            selector = seen.service["spec"].get("selector") or {}
            notes = _notes_of(seen.service)
        await self._apply_service(selector, notes)

    async def _shift(self, shift: ShiftTraffic) -> None:
        selector = children.selector(self._name, shift.exposure)
        notes = _exposure_notes(shift.rollout_id, shift.reason, shift.tripped_revision)
        if not shift.lowering:
            await self._apply_service(selector, notes)
            return
        base = "/metadata/annotations/"
        patch: list[Obj] = [
            {"op": "test", "path": base + _escaped(names.ANNOTATION_ROLLOUT_ID), "value": shift.rollout_id},
            {"op": "replace", "path": "/spec/selector", "value": selector},
            *({"op": "add", "path": base + _escaped(key), "value": value} for key, value in notes.items()),
        ]
        await self._kube.json_patch(SERVICES, self._namespace, self._name, patch)

    async def _apply_service(self, selector: dict[str, str], notes: dict[str, str]) -> None:
        """The whole Service in one write, onto exactly the version that was seen, or onto none.

        Applied from its first day on: fields of an object that was created otherwise never go with what is applied (its
        old port would stay beside a new one). A stranger's Service of this name, made a moment ago, is a Conflict."""
        wanted = children.service(self._seen.gateway, self._seen.world.spec, selector)
        wanted["metadata"]["annotations"].update(notes)
        if self._seen.service is None:
            await self._kube.apply(SERVICES, wanted, force=False)
            return
        service = self._seen.world.service
        assert isinstance(service, Service)
        wanted["metadata"]["resourceVersion"] = service.resource_version
        await self._kube.apply(SERVICES, wanted)

    async def _create(self, action: CreateRevision) -> None:
        """ConfigMap first: a Deployment without it would start pods that cannot mount."""
        content = action.content
        if content.revision not in self._seen.config_maps:
            await _created(self._kube.create(CONFIG_MAPS, dict(content.config_map)))
        if content.revision not in self._seen.deployments:
            deployment = dict(content.deployment)
            deployment["spec"] = {**deployment["spec"], "replicas": action.replicas}
            await _created(self._kube.create(DEPLOYMENTS, deployment))

    async def _restore(self, action: RestoreWorkload) -> None:
        stored = views.rendering(self._seen.config_maps.get(action.revision))
        assert stored is not None, "the core asks only for what is restorable"
        stored["spec"]["replicas"] = action.replicas
        live = self._seen.deployments.get(action.revision)
        if live is None:
            await _created(self._kube.create(DEPLOYMENTS, stored))
            return
        restarted = (live["spec"]["template"]["metadata"].get("annotations") or {}).get(views.RESTARTED_AT)
        if restarted:
            stored["spec"]["template"]["metadata"].setdefault("annotations", {})[views.RESTARTED_AT] = restarted
        stored["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
        await self._kube.replace(DEPLOYMENTS, stored)

    async def _delete_pods(self, action: CutPods | ReplacePod) -> None:
        """In haste with a short grace, else with the pod's own."""
        uids = action.pods if isinstance(action, CutPods) else (action.pod,)
        grace = max(1, action.grace_seconds) if isinstance(action, CutPods) else None
        pods = [p for p in self._seen.world.revision(action.revision).running if p.uid in uids]
        await asyncio.gather(
            *(self._kube.delete(PODS, self._namespace, p.name, uid=p.uid, grace_seconds=grace) for p in pods)
        )

    async def _label(self, action: LabelPods) -> None:
        labels = {
            names.LABEL_DEPLOYMENT: self._name,
            names.LABEL_REVISION: names.ADOPTED_REVISION,
            names.LABEL_EXPOSURE: names.EXPOSURE_LIVE if action.live else names.EXPOSURE_STANDBY,
        }
        for pod in action.pods:
            try:
                await self._kube.merge(PODS, self._namespace, pod, {"metadata": {"labels": labels}})
            except NotFound:
                continue  # gone meanwhile

    async def _record(self, incident: RecordIncident) -> bool:
        """Create and fill a GatewayIncident. One that cannot be written delays and fails nothing: it is tried again.

        What was told of it is not taken back: a process that has stood still, or believes an old status, comes late.
        """
        obj = incidents.incident(self._seen.gateway, incident)
        metadata = obj["metadata"]
        try:
            try:
                there = await self._kube.create(INCIDENTS, {k: v for k, v in obj.items() if k != "status"})
                await self._prune()
            except Conflict:  # it exists
                ours = await self._kube.list(INCIDENTS, self._namespace, {names.LABEL_DEPLOYMENT: self._name})
                there = next((o for o in ours if o["metadata"]["name"] == metadata["name"]), obj)
            told = (there.get("status") or {}).get("phase")
            if told in PHASES[PHASES.index(incident.phase) + 1 :]:
                return True
            version = {k: v for k, v in there["metadata"].items() if k == "resourceVersion"}
            patch = {"metadata": version, "status": obj["status"]}
            await self._kube.merge(INCIDENTS, metadata["namespace"], metadata["name"], patch, subresource="status")
        except ApiError as error:
            if namespace_ends(error):
                return True  # it would go with the namespace
            logger.warning("%s/%s: incident %s: %s", self._namespace, self._name, metadata["name"], error)
            return False
        return True

    async def _prune(self) -> None:
        """Incidents that are over for longer than `incidentRetention`. A new one is the occasion to look."""
        oldest = self._clock() - self._seen.world.spec.passthrough.incident_retention
        for obj in await self._kube.list(INCIDENTS, self._namespace, {names.LABEL_DEPLOYMENT: self._name}):
            status = obj.get("status") or {}
            ended = status.get("endedAt")
            if status.get("phase") == RESOLVED and ended and parse_time(ended) < oldest:
                await self._kube.delete(INCIDENTS, self._namespace, obj["metadata"]["name"])

    def _event(self, action: Announce) -> Obj:
        return event(self._seen.gateway, action.type, action.reason, action.message, self._clock())

    def _child(self, revision: str) -> str:
        return children.child_name(self._name, revision)


def namespace_ends(error: ApiError) -> bool:
    """Whether a write was refused because its namespace is being deleted: nothing can be created there, and nothing has
    to be. https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/namespace/lifecycle/admission.go"""
    return isinstance(error, Forbidden) and "because it is being terminated" in str(error)


def event(regarding: Obj, type_: str, reason: str, note: str, now: datetime) -> Obj:
    """An `events.k8s.io/v1` Event about an object."""
    metadata = regarding["metadata"]
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "name": f"{metadata['name']}.{int(now.timestamp() * 1e6):x}",
            "namespace": metadata["namespace"],
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": type_,
        "reason": reason,
        "action": reason,
        "note": note if len(note) <= MAX_NOTE else note[: MAX_NOTE - 1] + "…",
        "reportingController": names.FIELD_MANAGER,
        "reportingInstance": names.FIELD_MANAGER,
        "regarding": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
    }


async def _created(call: Any) -> None:
    """A create whose object exists already was done by an earlier pass: its answer got lost, or a crash came after it."""
    try:
        await call
    except Conflict:
        return


def _exposure_notes(rollout_id: str, reason: str, tripped_revision: str) -> dict[str, str]:
    return {
        names.ANNOTATION_ROLLOUT_ID: rollout_id,
        names.ANNOTATION_EXPOSURE_REASON: reason,
        names.ANNOTATION_TRIPPED_REVISION: tripped_revision,
    }


def _notes_of(service: Obj) -> dict[str, str]:
    notes = service["metadata"].get("annotations") or {}
    keys = (names.ANNOTATION_ROLLOUT_ID, names.ANNOTATION_EXPOSURE_REASON, names.ANNOTATION_TRIPPED_REVISION)
    return {key: notes.get(key, "") for key in keys}


def _escaped(key: str) -> str:
    """A key in a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _words(action: Action) -> str:
    match action:
        case CreateRevision():
            return f"CreateRevision {action.content.revision} with {action.replicas} replicas"
        case _:
            return str(action)
