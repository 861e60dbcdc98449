"""One look at the cluster: fresh reads of everything a decision may depend on, put together as a `World`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from keeptrusts_operator.api import names
from keeptrusts_operator.api.deployment import GatewayDeploymentSpec, parse_deployment
from keeptrusts_operator.api.errors import InvalidSpec
from keeptrusts_operator.core.world import Service, ServiceConflict, Unusable, World
from keeptrusts_operator.gateways.watch import Sample
from keeptrusts_operator.kube.port import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    ApiError,
    Kube,
    NotFound,
    Obj,
)
from keeptrusts_operator.loop import views
from keeptrusts_operator.loop.source import DryRuns, read_desired
from keeptrusts_operator.render import children


@dataclass
class Memory:
    """What one loop keeps between looks. Nothing here must survive a restart: it only saves calls."""

    dry_runs: DryRuns
    last_spec: GatewayDeploymentSpec | None = None
    true_templates: dict[str, str] = field(default_factory=dict)  # revision → hash of its template as rendered


@dataclass(frozen=True)
class Observation:
    """A World, and the objects behind it that acting needs."""

    world: World
    gateway: Obj
    service: Obj | None
    deployments: Mapping[str, Obj]
    config_maps: Mapping[str, Obj]
    reread: bool  # the document comes from a ConfigMap that no watch tells of


class SpecUnusable(Exception):
    """The spec cannot be parsed and no earlier one is known: nothing can be decided, only said."""


async def observe(
    kube: Kube, memory: Memory, gateway: Obj, samples: Mapping[str, Sample], now: datetime
) -> Observation:
    """Look at everything that belongs to a GatewayDeployment. Raises ApiError when the look is not whole."""
    metadata = gateway["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    invalid: InvalidSpec | None = None
    try:
        spec = memory.last_spec = parse_deployment(gateway)
    except InvalidSpec as error:
        if memory.last_spec is None:
            raise SpecUnusable(str(error)) from error
        spec, invalid = memory.last_spec, error
    ours = {names.LABEL_DEPLOYMENT: name}
    service_object, config_maps, deployments, pods = await asyncio.gather(
        _service(kube, namespace, name),
        kube.list(CONFIG_MAPS, namespace, ours),
        kube.list(DEPLOYMENTS, namespace, ours),
        kube.list(PODS, namespace, ours),
    )
    by_revision = {views.revision_of(o): o for o in deployments}
    maps = {views.revision_of(o): o for o in config_maps}
    if invalid is None:
        desired, reread = await read_desired(kube, memory.dry_runs, gateway, spec, lambda r: r in by_revision)
    else:
        desired, reread = Unusable("SpecInvalid", str(invalid)), False
    drifted = frozenset(
        [r for r, deployment in by_revision.items() if await _has_drifted(kube, memory, r, deployment, maps.get(r))]
    )
    world = World(
        now=now,
        name=name,
        namespace=namespace,
        generation=metadata.get("generation", 0),
        spec=spec,
        desired=desired,
        service=_service_view(service_object, gateway, spec),
        revisions=views.revision_views(name, config_maps, deployments, pods, samples, drifted),
    )
    return Observation(world, gateway, service_object, by_revision, maps, reread)


async def _service(kube: Kube, namespace: str, name: str) -> Obj | None:
    try:
        return await kube.get(SERVICES, namespace, name)
    except NotFound:
        return None


def _service_view(obj: Obj | None, gateway: Obj, spec: GatewayDeploymentSpec) -> Service | ServiceConflict | None:
    if obj is None:
        return None
    wanted = children.service(gateway, spec, obj["spec"].get("selector") or {})
    return views.service_view(obj, gateway, wanted, adopt=spec.service.adopt)


async def _has_drifted(kube: Kube, memory: Memory, revision: str, deployment: Obj, config_map: Obj | None) -> bool:
    """Whether a Deployment's template is not what its stored rendering amounts to on this API server.

    Asked of the API server itself (a dry run), and only when the hash is not the one it amounted to before: defaults
    that a newer server adds are not drift. When it cannot be asked, nothing is known and nothing is done.
    """
    actual = views.template_hash(deployment)
    if memory.true_templates.get(revision) == actual:
        return False
    stored = views.rendering(config_map)
    if stored is None:
        return False
    stored["spec"]["replicas"] = deployment["spec"].get("replicas", 0)
    try:
        rendered = await kube.replace(DEPLOYMENTS, stored, dry_run=True)
    except ApiError:
        return False
    memory.true_templates[revision] = views.template_hash(rendered)
    return memory.true_templates[revision] != actual
