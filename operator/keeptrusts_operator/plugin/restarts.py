"""Whether a restart went well: every pod that ran is gone, and as many new ones are ready and healthy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.port import GATEWAYS, PODS, Obj
from keeptrusts_operator.plugin.ask import Clock
from keeptrusts_operator.plugin.cluster import Cluster
from keeptrusts_operator.plugin.failure import Exit, Failure
from keeptrusts_operator.plugin.words import condition, status_of

LOOK_EVERY = 1.0  # seconds


def pods(cluster: Cluster, namespace: str, name: str) -> tuple[Obj, ...]:
    """The pods that a restart replaces: of the active revision and the candidate, without those on their way out."""
    status = status_of(cluster.get(GATEWAYS, namespace, name))
    revisions = {status.get("activeRevision"), status.get("candidateRevision")}
    found = cluster.list(PODS, namespace, {names.LABEL_DEPLOYMENT: name})
    return tuple(
        p
        for p in found
        if "deletionTimestamp" not in p["metadata"] and p["metadata"]["labels"].get(names.LABEL_REVISION) in revisions
    )


def verify(
    cluster: Cluster,
    namespace: str,
    name: str,
    before: tuple[Obj, ...],
    seconds: float,
    clock: Clock,
    say: Callable[[str], None],
) -> int:
    """Wait until the pods of `before` are replaced and the gateway is healthy; gives how many new ones there are. Raises
    Failure."""
    old = {str(p["metadata"]["uid"]) for p in before}
    deadline, told = clock.monotonic() + seconds, ""
    while True:
        try:
            gateway, running = cluster.get(GATEWAYS, namespace, name), pods(cluster, namespace, name)
            missing = unfinished(gateway, running, old)
        except Failure as failure:
            if not failure.passing:
                raise
            missing = failure.message
        if not missing:
            return len(running)
        if missing != told:
            say(missing)
            told = missing
        if clock.monotonic() >= deadline:
            step = f"The restart goes on. See: kubectl keeptrusts status {name} -n {namespace}"
            raise Failure(f"Not healthy within {seconds:g}s: {missing}", step, Exit.TIMEOUT)
        clock.sleep(LOOK_EVERY)


def unfinished(gateway: Mapping[str, Any], running: tuple[Obj, ...], old: set[str]) -> str:
    """What a restart still waits for, in words; empty when it is over and everything is well."""
    left = sum(p["metadata"]["uid"] in old for p in running)
    if left:
        return f"{len(old) - left} of {len(old)} pods are replaced{_trouble(running)}"
    ready = sum(_ready(p) for p in running)
    if not running or ready < len(running):
        return f"{ready} of {len(running)} new pods are ready{_trouble(running)}"
    status = status_of(gateway)
    for type_ in ("Available", "Healthy"):
        found = condition(status, type_)
        if found.get("status") == "False":
            return f"{found.get('reason')}: {found.get('message')}"
    wanted = gateway.get("spec", {}).get("replicas", 1)
    if (seen := status.get("readyReplicas", 0)) < wanted:
        return f"{seen} of {wanted} serving pods are ready"
    return ""


def _ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _trouble(running: tuple[Obj, ...]) -> str:
    """Why a pod does not become ready, where it says so."""
    for pod in running:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                return f" ({pod['metadata']['name']}: {waiting['reason']} {waiting.get('message', '')})".replace(
                    " )", ")"
                )
    return ""
