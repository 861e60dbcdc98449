"""Kubernetes objects as the decision core sees them. Pure functions, tolerant of what is not there yet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.quantities import parse_time
from keeptrusts_operator.core.world import (
    AdoptedPod,
    Asked,
    Budget,
    Crash,
    GatewayHealth,
    Notes,
    Pod,
    Revision,
    Service,
    ServiceConflict,
    Workload,
)
from keeptrusts_operator.gateways.watch import Sample
from keeptrusts_operator.kube.port import DEPLOYMENTS, Obj
from keeptrusts_operator.policy.document import parse_yaml
from keeptrusts_operator.policy.finding import DocumentError
from keeptrusts_operator.render import children
from keeptrusts_operator.render.revision import content_hash

MAX_VALUE = 1024  # characters of a request that are kept
MAX_NOTE = 4096  # characters of what is written beside it
STARTING = ("ContainerCreating", "PodInitializing", "CrashLoopBackOff")  # the last is told by the exit that led to it
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"  # `kubectl rollout restart` may change this and nothing else


def service_view(obj: Obj, gateway: Mapping[str, Any], wanted: Obj, *, adopt: bool) -> Service | ServiceConflict:
    """The Service named like the gateway; `wanted` is how it should look with the selector it has."""
    name = gateway["metadata"]["name"]
    owned = controlled_by(obj, gateway["metadata"]["uid"])
    if not owned and not adopt:
        return ServiceConflict(
            f"Service {name} exists and is not controlled by this GatewayDeployment; delete it, choose another name, "
            "or set spec.service.adopt to true"
        )
    if obj["spec"].get("sessionAffinity") == "ClientIP":
        return ServiceConflict(
            f"Service {name} has sessionAffinity ClientIP, which keeps clients on the revision that is left; set it to None"
        )
    notes = obj["metadata"].get("annotations") or {}
    shape = {**wanted, "metadata": {k: v for k, v in wanted["metadata"].items() if k != "ownerReferences"}}
    return Service(
        resource_version=obj["metadata"]["resourceVersion"],
        exposure=children.exposure_of(name, obj["spec"].get("selector") or {}),
        rollout_id=notes.get(names.ANNOTATION_ROLLOUT_ID, ""),
        exposure_reason=notes.get(names.ANNOTATION_EXPOSURE_REASON, ""),
        tripped_revision=notes.get(names.ANNOTATION_TRIPPED_REVISION, ""),
        in_shape=owned and _contains(obj, shape),
    )


def requests_of(gateway: Mapping[str, Any]) -> dict[Verb, Asked]:
    """What people ask for by annotation."""
    notes = gateway["metadata"].get("annotations") or {}
    return {
        verb: Asked(
            str(notes[verb.annotation])[:MAX_VALUE],
            notes.get(verb.request_id_annotation, ""),
            notes.get(verb.requested_by_annotation, ""),
        )
        for verb in Verb
        if verb.annotation in notes
    }


def notes_of(gateway: Mapping[str, Any]) -> Notes:
    """What people wrote beside their requests."""
    notes = gateway["metadata"].get("annotations") or {}
    keys = (names.ANNOTATION_REASON, names.ANNOTATION_SCOPE, names.ANNOTATION_TICKET)
    return Notes(*(str(notes.get(key, ""))[:MAX_NOTE] for key in keys))


def endpoints_of(slices: Iterable[Obj], pods: Iterable[Obj]) -> frozenset[str]:
    """The revisions that new connections to a Service reach, by its EndpointSlices."""
    revisions = {o["metadata"]["name"]: revision_of(o) for o in pods}
    reached = set()
    for endpoint in (e for s in slices for e in s.get("endpoints") or ()):
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            reached.add(revisions.get((endpoint.get("targetRef") or {}).get("name", ""), ""))
    return frozenset(reached - {""})


def adopted_pods(pods: Iterable[Obj], owner: str) -> tuple[AdoptedPod, ...]:
    """The pods of an adopted Deployment, and whether they carry our labels."""
    out = []
    for obj in pods:
        labels = obj["metadata"].get("labels") or {}
        ours = (labels.get(names.LABEL_DEPLOYMENT), revision_of(obj)) == (owner, names.ADOPTED_REVISION)
        live = labels.get(names.LABEL_EXPOSURE) == names.EXPOSURE_LIVE
        if "deletionTimestamp" not in obj["metadata"]:
            out.append(AdoptedPod(obj["metadata"]["name"], ours, live))
    return tuple(sorted(out, key=lambda p: p.name))


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector (`matchLabels`, `matchExpressions`) matches; an empty one matches everything."""
    if selector is None:
        return False
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(e, labels) for e in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


def controlled_by(obj: Obj, uid: str) -> bool:
    """Whether the object's controlling owner has this UID."""
    return bool(_controller(obj).get("uid") == uid)


def _controller(obj: Obj) -> Obj:
    """The owner reference of the one who controls an object; empty: nobody does."""
    owners: list[Obj] = obj["metadata"].get("ownerReferences") or []
    return next((o for o in owners if o.get("controller")), {})


def predecessors(gateway: Obj, kept: Iterable[Obj], pods: Iterable[Obj]) -> list[str]:
    """What a GatewayDeployment of the same name, deleted a moment ago, left to be collected: children that another one
    controls, and pods from before this one whose Deployment is gone already."""
    uid, born = gateway["metadata"]["uid"], parse_time(gateway["metadata"]["creationTimestamp"])
    kept = list(kept)
    others = [o for o in kept if _controller(o).get("kind") == gateway["kind"] and not controlled_by(o, uid)]
    left = [f"{o['kind']} {o['metadata']['name']}" for o in others]
    revisions = {revision_of(o) for o in kept if o["kind"] == DEPLOYMENTS.kind} | {names.ADOPTED_REVISION}
    for obj in (p["metadata"] for p in pods if revision_of(p) not in revisions):
        if "deletionTimestamp" not in obj and parse_time(obj["creationTimestamp"]) < born:
            left.append(f"Pod {obj['name']}")
    return left


def revision_views(
    owner: str,
    config_maps: Iterable[Obj],
    deployments: Iterable[Obj],
    pods: Iterable[Obj],
    samples: Mapping[str, Sample],
    drifted: frozenset[str],
    budgets: Mapping[str, Budget],
    drops: Mapping[str, str],
) -> dict[str, Revision]:
    """Everything that exists of each revision, by its name."""
    maps = {revision_of(o): o for o in config_maps}
    workloads = {revision_of(o): o for o in deployments}
    by_revision: dict[str, list[Pod]] = {}
    for obj in pods:
        by_revision.setdefault(revision_of(obj), []).append(pod_view(obj, samples.get(obj["metadata"]["uid"])))
    views = {}
    for name in {*maps, *workloads, *by_revision, *budgets} - {""}:
        first = maps.get(name) or workloads.get(name)
        views[name] = Revision(
            name,
            created_at=parse_time(first["metadata"]["creationTimestamp"]) if first else None,
            config_map=name in maps,
            restorable=rendering(maps.get(name)) is not None,
            workload=workload_view(workloads[name], drifted=name in drifted) if name in workloads else None,
            pods=tuple(sorted(by_revision.get(name, ()), key=lambda p: p.name)),
            budget=budgets.get(name, Budget.ABSENT),
            standby=first is not None and _is_standby(first),
            drops=drops.get(name, ""),
        )
    return views


def _is_standby(obj: Obj) -> bool:
    return (obj["metadata"].get("labels") or {}).get(names.LABEL_EXPOSURE) == names.EXPOSURE_STANDBY


def rendering(config_map: Obj | None) -> Obj | None:
    """The rendered Deployment that a revision's ConfigMap carries."""
    text = (config_map or {}).get("data", {}).get(children.RENDERING_KEY)
    return json.loads(text) if text else None


def document(config_map: Mapping[str, Any]) -> tuple[str, Any]:
    """Under which key a revision's ConfigMap carries its policy document, and the document; None: it cannot be read."""
    data = config_map.get("data") or {}
    key = next((k for k in data if k != children.RENDERING_KEY), "")
    try:
        return key, parse_yaml(data[key])
    except (DocumentError, KeyError):
        return key, None


def template_hash(deployment: Obj) -> str:
    """Hash of a Deployment's pod template as the API server holds it, but for the mark of a restart."""
    template = deployment["spec"]["template"]
    metadata = template.get("metadata") or {}
    notes = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != RESTARTED_AT}
    metadata = {k: v for k, v in metadata.items() if k not in ("annotations", "creationTimestamp")}
    return content_hash({**template, "metadata": {**metadata, **({"annotations": notes} if notes else {})}})


def workload_view(obj: Obj, *, drifted: bool) -> Workload:
    """A Deployment."""
    status = obj.get("status") or {}
    failure = next(
        (
            c.get("message", "")
            for c in status.get("conditions", ())
            if c["type"] == "ReplicaFailure" and c["status"] == "True"
        ),
        "",
    )
    seen = status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 0)
    return Workload(
        replicas=obj["spec"].get("replicas", 0),
        drifted=drifted,
        failure=failure,
        restarted_at=_restarted_at(obj),
        settled=seen and status.get("updatedReplicas", 0) == status.get("replicas", 0),
    )


def budget_view(obj: Obj, wanted: Obj) -> Budget:
    """A PodDisruptionBudget of ours; `wanted` is how it should look."""
    return Budget.IN_SHAPE if _contains(obj, wanted) else Budget.OUTDATED


def _restarted_at(deployment: Obj) -> datetime | None:
    notes = (deployment["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    try:
        return datetime.fromisoformat(notes[RESTARTED_AT]).astimezone(UTC)
    except (KeyError, ValueError):
        return None


def pod_view(obj: Obj, sample: Sample | None) -> Pod:
    """A gateway pod; what its sidecars do is theirs."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    statuses: list[Obj] = status.get("containerStatuses") or []
    container = next((c for c in statuses if c["name"] == names.GATEWAY_CONTAINER), {})
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=parse_time(metadata["creationTimestamp"]),
        ip=status.get("podIP", ""),
        ready=conditions.get("Ready", {}).get("status") == "True",
        ready_since=_ready_since(conditions.get("Ready", {})),
        terminating="deletionTimestamp" in metadata,
        evicted=status.get("phase") == "Failed",
        live=(metadata.get("labels") or {}).get(names.LABEL_EXPOSURE) == names.EXPOSURE_LIVE,
        crash=_crash(container),
        waiting=_waiting(conditions, container),
        health=sample.health if sample else GatewayHealth.UNKNOWN,
        loaded=sample.loaded if sample else None,
    )


def _ready_since(condition: Mapping[str, Any]) -> datetime | None:
    if condition.get("status") != "True" or not condition.get("lastTransitionTime"):
        return None
    return parse_time(condition["lastTransitionTime"])


def _crash(container: Mapping[str, Any]) -> Crash | None:
    now = (container.get("state") or {}).get("terminated")
    last = now or (container.get("lastState") or {}).get("terminated")
    if not last or not last.get("exitCode") or not last.get("finishedAt"):  # without: the kubelet lost sight of it
        return None
    return Crash(
        count=container.get("restartCount", 0) + (1 if now else 0),
        at=parse_time(last["finishedAt"]),
        exit_code=last["exitCode"],
        reason=last.get("reason", "Error"),
        message=" ".join((last.get("message") or "").split())[-300:],
    )


def _waiting(conditions: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}"
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    return f"{reason}: {waiting.get('message', '')}" if reason and reason not in STARTING else ""


def revision_of(obj: Obj) -> str:
    """The revision that a child is labelled with."""
    return str((obj["metadata"].get("labels") or {}).get(names.LABEL_REVISION, ""))


def _contains(actual: Any, wanted: Any) -> bool:
    """Whether everything that we set is as we set it; what others added is theirs."""
    if isinstance(wanted, Mapping):
        return isinstance(actual, Mapping) and all(_contains(actual.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(wanted)
            and all(_contains(a, w) for a, w in zip(actual, wanted, strict=True))
        )
    return bool(actual == wanted)
