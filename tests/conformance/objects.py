"""Small legal objects for the script."""

from __future__ import annotations

from typing import Any

from keeptrusts_operator.kube.port import (
    BUDGETS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    GATEWAYS,
    INCIDENTS,
    LEASES,
    PODS,
    SERVICES,
    Obj,
    Resource,
)

NAME = "x"


def named(resource: Resource, namespace: str, name: str = NAME, **metadata: Any) -> Obj:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
    }


def config_map(namespace: str, data: Obj, name: str = NAME, **more: Any) -> Obj:
    metadata = {k: v for k, v in more.items() if k != "immutable"}
    immutable = {"immutable": more["immutable"]} if "immutable" in more else {}
    return {**named(CONFIG_MAPS, namespace, name, **metadata), "data": data, **immutable}


def port(number: int, name: str = "http", target: int = 0) -> Obj:
    return {"name": name, "port": number, "targetPort": target or number, "protocol": "TCP"}


def service(namespace: str, *ports: Obj, selector: Obj | None = None, **metadata: Any) -> Obj:
    spec = {"type": "ClusterIP", "selector": selector or {"app": NAME}, "ports": list(ports) or [port(80)]}
    return {**named(SERVICES, namespace, **metadata), "spec": spec}


def budget(namespace: str, minimum: int | str, **labels: str) -> Obj:
    spec = {"minAvailable": minimum, "selector": {"matchLabels": labels or {"app": NAME}}}
    return {**named(BUDGETS, namespace), "spec": spec}


def container(name: str = "main", **more: Any) -> Obj:
    return {"name": name, "image": "registry.invalid/image:1", **more}


def deployment(namespace: str, *containers: Obj, **metadata: Any) -> Obj:
    """It is paused and wants no replicas, so that no controller touches more than its status."""
    labels = {"app": NAME}
    template = {"metadata": {"labels": labels}, "spec": {"containers": list(containers) or [container()]}}
    spec = {"replicas": 0, "paused": True, "selector": {"matchLabels": labels}, "template": template}
    return {**named(DEPLOYMENTS, namespace, **metadata), "spec": spec}


def pod(namespace: str, node: str = "", **spec: Any) -> Obj:
    """No scheduler takes it; with a node it is bound to one that nobody runs."""
    where = {"nodeName": node} if node else {}
    whole = {"schedulerName": "nobody", "containers": [container()], **where, **spec}
    return {**named(PODS, namespace), "spec": whole}


def gateway(namespace: str, **spec: Any) -> Obj:
    template = {"spec": {"containers": [container("gateway")]}}
    return {**named(GATEWAYS, namespace), "spec": {"policyRef": {"name": "nobody"}, "template": template, **spec}}


def incident(namespace: str, **spec: Any) -> Obj:
    return {**named(INCIDENTS, namespace), "spec": spec}


def lease(namespace: str, holder: str) -> Obj:
    return {**named(LEASES, namespace), "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}}
