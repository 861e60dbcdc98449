"""GatewayDeployment: gateways that run a policy, and how changes reach them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from keeptrusts_operator.api.circuit_breaker import BreakerMode, CircuitBreaker, SourceType, parse_circuit_breaker
from keeptrusts_operator.api.fields import Fields, Problems
from keeptrusts_operator.api.formats import (
    ANNOTATION,
    CONTAINER_NAME,
    IDENTIFIER,
    NAME,
    POD_ANNOTATION,
    POD_LABEL,
    POLICY_KIND,
    URL,
)
from keeptrusts_operator.api.gateway import GatewaySettings, Profile
from keeptrusts_operator.api.gateway_parsing import parse_gateway
from keeptrusts_operator.api.health import HealthSettings, parse_health
from keeptrusts_operator.api.names import GATEWAY_CONTAINER, MAX_NAME, PREFIX
from keeptrusts_operator.api.passthrough import MAX_KINDS, Passthrough, parse_passthrough
from keeptrusts_operator.api.profiles import KEEPTRUSTS
from keeptrusts_operator.api.quantities import IntOrPercent
from keeptrusts_operator.api.references import SecretKeyRef, parse_secret_key_ref
from keeptrusts_operator.api.rollout import Rollout, Step, parse_rollout

__all__ = [
    "CircuitBreaker",
    "ControlPlane",
    "GatewayDeploymentSpec",
    "GatewaySettings",
    "HealthSettings",
    "IntOrPercent",
    "Passthrough",
    "PodDisruptionBudget",
    "Profile",
    "Protections",
    "Rollout",
    "SecretKeyRef",
    "ServiceSettings",
    "ServiceType",
    "Step",
    "parse_deployment",
]

MAX_REPLICAS = 1000
MAX_CONTAINERS = 30
MAX_ENTRIES = 64


class ServiceType(StrEnum):
    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


@dataclass(frozen=True)
class ControlPlane:
    url: str
    token_secret_ref: SecretKeyRef
    configuration_id: str | None = None
    gateway_id: str | None = None


@dataclass(frozen=True)
class ServiceSettings:
    """`adopt`: take over a Service of this name that somebody else made."""

    adopt: bool = False
    type: ServiceType = ServiceType.CLUSTER_IP
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PodDisruptionBudget:
    min_available: IntOrPercent = field(default_factory=lambda: IntOrPercent(50, is_percent=True))


@dataclass(frozen=True)
class Protections:
    """Policy kinds that every policy must keep enforcing."""

    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class GatewayDeploymentSpec:
    """`template` and `raw_gateway` are what the user wrote, without defaults and nulls: revisions are hashed from them.

    `adopt_from` is the name of a Deployment.
    """

    policy_ref: str
    template: Mapping[str, Any]
    raw_gateway: Mapping[str, Any] = field(default_factory=dict)
    replicas: int = 2
    gateway: GatewaySettings = KEEPTRUSTS
    rollout: Rollout = field(default_factory=Rollout)
    circuit_breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    health: HealthSettings = field(default_factory=HealthSettings)
    passthrough: Passthrough = field(default_factory=Passthrough)
    control_plane: ControlPlane | None = None
    service: ServiceSettings = field(default_factory=ServiceSettings)
    adopt_from: str | None = None
    pod_disruption_budget: PodDisruptionBudget = PodDisruptionBudget()
    protections: Protections = Protections()
    revision_history_limit: int = 10


def parse_deployment(obj: Mapping[str, Any]) -> GatewayDeploymentSpec:
    """The spec of a GatewayDeployment (the whole object is given) with its defaults; raises InvalidSpec.

    Repeats what the CRD's rules check: the API server may serve an older CRD than this operator's.
    """
    problems = Problems()
    root = Fields.of(obj, "", problems)
    _check_name(Fields.of(root.value.get("metadata"), "metadata", problems))
    fields = Fields.of(root.value.get("spec"), "spec", problems)
    template = fields.required_child("template", f"write a pod template with a container named {GATEWAY_CONTAINER}")
    _check_template(template)
    spec = GatewayDeploymentSpec(
        policy_ref=fields.required_child("policyRef", "name a GatewayPolicy").required("name", NAME),
        replicas=fields.integer("replicas", 2, 1, MAX_REPLICAS),
        gateway=parse_gateway(fields.child("gateway")),
        raw_gateway=fields.written("gateway"),
        template=fields.written("template"),
        rollout=parse_rollout(fields.child("rollout")),
        circuit_breaker=parse_circuit_breaker(fields.child("circuitBreaker")),
        health=parse_health(fields.child("health")),
        passthrough=parse_passthrough(fields.child("passthrough")),
        control_plane=_parse_control_plane(fields.child("controlPlane")) if fields.has("controlPlane") else None,
        service=_parse_service(fields.child("service")),
        adopt_from=_parse_adopt_from(fields.child("adoptFrom")) if fields.has("adoptFrom") else None,
        pod_disruption_budget=PodDisruptionBudget(
            fields.child("podDisruptionBudget").count_or_percent("minAvailable", PodDisruptionBudget().min_available)
        ),
        protections=Protections(fields.child("protections").strings("required", (), MAX_KINDS, POLICY_KIND)),
        revision_history_limit=fields.integer("revisionHistoryLimit", 10, 1, 25),
    )
    _check_together(fields, spec)
    problems.raise_if_any()
    return spec


def _check_name(metadata: Fields) -> None:
    name = metadata.value.get("name")
    if not isinstance(name, str) or len(name) > MAX_NAME:
        metadata.fail(f"must have at most {MAX_NAME} characters: children add a revision to it", "name")
    elif not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name, re.ASCII):
        metadata.fail("must begin with a letter and have no dots: it becomes the name of a Service", "name")


def _check_template(template: Fields) -> None:
    metadata = template.child("metadata")
    for part, rule in (("labels", POD_LABEL), ("annotations", POD_ANNOTATION)):
        _refuse_ours(metadata, part, metadata.string_map(part, MAX_ENTRIES, rule))
    pod = template.required_child("spec", "write containers")
    containers = pod.objects("containers", MAX_CONTAINERS)
    names = [container.required("name", CONTAINER_NAME) for container in containers or ()]
    if len(set(names)) < len(names):
        pod.fail("must not have two containers of the same name", "containers")
    if GATEWAY_CONTAINER not in names:
        pod.fail(
            f"must name one container {GATEWAY_CONTAINER}: it receives the config, args, port and probes", "containers"
        )


def _refuse_ours(fields: Fields, name: str, entries: Mapping[str, str]) -> None:
    for key in entries:
        if key.startswith(PREFIX):
            fields.fail(f"must not be set: {PREFIX}* belongs to the operator; remove it", f"{name}[{key}]")


def _parse_control_plane(fields: Fields) -> ControlPlane:
    return ControlPlane(
        url=fields.required("url", URL),
        token_secret_ref=parse_secret_key_ref(fields.required_child("tokenSecretRef", "write {name: …, key: …}")),
        configuration_id=fields.string("configurationId", None, IDENTIFIER),
        gateway_id=fields.string("gatewayId", None, IDENTIFIER),
    )


def _parse_service(fields: Fields) -> ServiceSettings:
    default = ServiceSettings()
    service = ServiceSettings(
        adopt=fields.boolean("adopt", default.adopt),
        type=fields.choice("type", default.type),
        annotations=fields.string_map("annotations", MAX_ENTRIES, ANNOTATION),
    )
    _refuse_ours(fields, "annotations", service.annotations)
    return service


def _parse_adopt_from(fields: Fields) -> str:
    return fields.required_child("deploymentRef", "name the Deployment whose pods serve now").required("name", NAME)


def _check_together(fields: Fields, spec: GatewayDeploymentSpec) -> None:
    custom = spec.gateway.profile is Profile.CUSTOM
    if spec.passthrough.document is not None and not custom:
        fields.fail(
            f"is read with profile: Custom only; with {spec.gateway.profile} it is derived from the policy: remove it",
            "passthrough.document",
        )
    breaker = spec.circuit_breaker
    reads_pods = breaker.mode is not BreakerMode.OFF and breaker.source.type is SourceType.PODS
    if custom and reads_pods and spec.gateway.metrics.decisions is None:
        fields.fail(
            "is required with profile: Custom, since the breaker counts decisions; write counter, label, blocked and "
            "allowed, or take circuitBreaker.source Prometheus, or circuitBreaker.mode: Off",
            "gateway.metrics.decisions",
        )
