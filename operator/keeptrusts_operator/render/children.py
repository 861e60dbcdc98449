"""The objects of one GatewayDeployment: Service, and ConfigMap and Deployment of each revision.

A revision's ConfigMap is immutable and carries the rendered Deployment beside the document, so that a Deployment that
somebody deleted or edited can be put back as it was: by any later operator, whatever `spec` says by then.
"""

from __future__ import annotations

import copy
import json
import posixpath
from collections.abc import Mapping
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.api.gateway import GatewaySettings
from keeptrusts_operator.core.world import Exposure
from keeptrusts_operator.policy.document import dump_yaml

RENDERING_KEY = "deployment.json"  # in the revision's ConfigMap; not mounted
VOLUME = "keeptrusts-config"
PORT_NAME = "http"
PRE_STOP_SECONDS = 10
DEFAULT_GRACE_SECONDS = 30  # of Kubernetes
NO_REVISION = "none"  # selects nothing: a Service before its first revision is ready

Obj = dict[str, Any]


class TemplateError(ValueError):
    """The pod template contradicts what the operator puts into it; `args[0]` is the field's path and what to do."""


def child_name(owner: str, revision: str) -> str:
    """Name of a revision's ConfigMap and Deployment."""
    return f"{owner}-{revision}"


def labels(owner: str, revision: str = "") -> dict[str, str]:
    """Labels of every child; with a revision, of what belongs to it."""
    out = {
        names.LABEL_DEPLOYMENT: owner,
        "app.kubernetes.io/name": "ai-gateway",
        "app.kubernetes.io/instance": owner,
        "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
    }
    return {**out, names.LABEL_REVISION: revision} if revision else out


def owner_reference(gateway: Mapping[str, Any]) -> Obj:
    """Reference that makes garbage collection delete a child with its GatewayDeployment."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.GATEWAY_DEPLOYMENT.kind,
        "name": gateway["metadata"]["name"],
        "uid": gateway["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def selector(owner: str, exposure: Exposure) -> dict[str, str]:
    """What a Service selects so that traffic reaches `exposure`."""
    base = {names.LABEL_DEPLOYMENT: owner}
    if exposure.kind == "Live":
        return {**base, names.LABEL_EXPOSURE: names.EXPOSURE_LIVE}
    return {**base, names.LABEL_REVISION: exposure.revision or NO_REVISION}


def exposure_of(owner: str, selected: Mapping[str, str]) -> Exposure:
    """What traffic reaches by a selector: the reverse of `selector`."""
    if selected == selector(owner, Exposure("Live")):
        return Exposure("Live")
    revision = selected.get(names.LABEL_REVISION, "")
    if selected == selector(owner, Exposure("Only", revision)):
        return Exposure("Nothing") if revision == NO_REVISION else Exposure("Only", revision)
    return Exposure("Foreign")


def service(gateway: Mapping[str, Any], spec: GatewayDeploymentSpec, selected: Mapping[str, str]) -> Obj:
    """The Service as it should be, exposing what `selected` selects; the annotations of exposure are added by writes."""
    name = gateway["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": gateway["metadata"]["namespace"],
            "labels": labels(name),
            "annotations": dict(spec.service.annotations),
            "ownerReferences": [owner_reference(gateway)],
        },
        "spec": {
            "type": spec.service.type,
            "selector": dict(selected),
            "ports": [
                {
                    "name": PORT_NAME,
                    "port": spec.gateway.port,
                    "targetPort": spec.gateway.port,
                    "protocol": "TCP",
                }
            ],
        },
    }


def budget(gateway: Mapping[str, Any], spec: GatewayDeploymentSpec, revision: str) -> Obj:
    """The PodDisruptionBudget of a revision: one over all of them would let warm pods stand in for serving ones."""
    name = gateway["metadata"]["name"]
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": child_name(name, revision),
            "namespace": gateway["metadata"]["namespace"],
            "labels": labels(name, revision),
            "ownerReferences": [owner_reference(gateway)],
        },
        "spec": {
            "minAvailable": spec.pod_disruption_budget.min_available.to_json(),
            "selector": {"matchLabels": {names.LABEL_DEPLOYMENT: name, names.LABEL_REVISION: revision}},
        },
    }


def config_map(gateway: Mapping[str, Any], revision: str, document: Any, deployment: Obj, config_file: str) -> Obj:
    """The immutable ConfigMap of a revision: the document, and how its Deployment was rendered."""
    name = gateway["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": child_name(name, revision),
            "namespace": gateway["metadata"]["namespace"],
            "labels": labels(name, revision),
            "ownerReferences": [owner_reference(gateway)],
        },
        "immutable": True,
        "data": {
            posixpath.basename(config_file): dump_yaml(document),
            RENDERING_KEY: json.dumps(deployment, sort_keys=True),
        },
    }


def deployment(gateway: Mapping[str, Any], spec: GatewayDeploymentSpec, revision: str) -> Obj:
    """The Deployment of a revision, without replicas (they are not part of it)."""
    name = gateway["metadata"]["name"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": child_name(name, revision),
            "namespace": gateway["metadata"]["namespace"],
            "labels": labels(name, revision),
            "ownerReferences": [owner_reference(gateway)],
        },
        "spec": {
            "selector": {"matchLabels": {names.LABEL_DEPLOYMENT: name, names.LABEL_REVISION: revision}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": _template(spec, name, revision),
        },
    }


def _template(spec: GatewayDeploymentSpec, owner: str, revision: str) -> Obj:
    template: Obj = copy.deepcopy(dict(spec.template))
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {
        **metadata.get("labels", {}),
        **labels(owner, revision),
        names.LABEL_EXPOSURE: names.EXPOSURE_LIVE,
    }
    pod = template.setdefault("spec", {})
    volumes = pod.setdefault("volumes", [])
    if any(v.get("name") == VOLUME for v in volumes):
        raise TemplateError(f"spec.template.spec.volumes: the name {VOLUME} is the operator's; call yours otherwise")
    key = posixpath.basename(spec.gateway.config_file)
    items = [{"key": key, "path": key}]
    volumes.append({"name": VOLUME, "configMap": {"name": child_name(owner, revision), "items": items}})
    containers = pod.get("containers", [])
    index = next((i for i, c in enumerate(containers) if c.get("name") == names.GATEWAY_CONTAINER), None)
    if index is None:
        raise TemplateError("spec.template.spec.containers: call the container that runs the gateway `gateway`")
    _equip(containers[index], spec.gateway, index)
    _linger(containers[index], pod.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))
    return template


def _equip(container: Obj, gateway: GatewaySettings, index: int) -> None:
    """Give the gateway's container config mount, args, environment, port, probes and preStop unless it sets them."""
    path = f"spec.template.spec.containers[{index}]"
    mounts = container.setdefault("volumeMounts", [])
    if any(m.get("mountPath") == gateway.config_file for m in mounts):
        raise TemplateError(f"{path}.volumeMounts: {gateway.config_file} is where the operator mounts the policy")
    key = posixpath.basename(gateway.config_file)
    mounts.append({"name": VOLUME, "mountPath": gateway.config_file, "subPath": key, "readOnly": True})
    if gateway.args and not container.get("args") and not container.get("command"):
        container["args"] = [_substituted(a, gateway) for a in gateway.args]
    environment = container.setdefault("env", [])
    own = {e.get("name") for e in environment}
    environment.extend({"name": k, "value": _substituted(v, gateway)} for k, v in gateway.env.items() if k not in own)
    if not environment:
        del container["env"]
    if not container.get("ports"):
        container["ports"] = [{"name": PORT_NAME, "containerPort": gateway.port, "protocol": "TCP"}]
    for probe, handler, settings in (
        (
            "readinessProbe",
            _http_or_tcp(gateway, gateway.health.readiness),
            {"periodSeconds": 2, "failureThreshold": 3},
        ),
        ("livenessProbe", _http_or_tcp(gateway, gateway.health.liveness), {"periodSeconds": 10, "failureThreshold": 6}),
    ):
        container.setdefault(probe, {**handler, "timeoutSeconds": 2, **settings})
    container.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")  # why it ended, where people look


def _linger(container: Obj, grace_seconds: int) -> None:
    """Stay until no Service sends new connections: nothing says that a gateway drains on SIGTERM. At most half of the
    grace period, so that a gateway that does drain has the other half."""
    seconds = min(PRE_STOP_SECONDS, grace_seconds // 2)
    if seconds:
        container.setdefault("lifecycle", {}).setdefault("preStop", {"sleep": {"seconds": seconds}})


def _http_or_tcp(gateway: GatewaySettings, path: str) -> Obj:
    if not path:
        return {"tcpSocket": {"port": gateway.port}}
    return {"httpGet": {"path": path, "port": gateway.port, "scheme": gateway.scheme.upper()}}


def _substituted(text: str, gateway: GatewaySettings) -> str:
    return text.replace("$(CONFIG_FILE)", gateway.config_file).replace("$(PORT)", str(gateway.port))
