"""One look at the cluster: fresh reads of everything a decision may depend on, put together as a `World`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from keeptrusts_operator.api import names
from keeptrusts_operator.api.deployment import GatewayDeploymentSpec, parse_deployment
from keeptrusts_operator.api.errors import InvalidSpec
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.core.grants import Spent, spent_of
from keeptrusts_operator.core.state import State
from keeptrusts_operator.core.world import Asked, Budget, Service, ServiceConflict, Unusable, World
from keeptrusts_operator.gateways.watch import Heard
from keeptrusts_operator.kube.port import (
    BUDGETS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    INCIDENTS,
    PODS,
    SERVICES,
    ApiError,
    Kube,
    NotFound,
    Obj,
)
from keeptrusts_operator.loop import views
from keeptrusts_operator.loop.budgets import ForeignBudgets
from keeptrusts_operator.loop.governance import Governance
from keeptrusts_operator.loop.parachute import Parachutes
from keeptrusts_operator.loop.protections import Enforcements
from keeptrusts_operator.loop.source import DryRuns, Renderings, read_desired
from keeptrusts_operator.render import children

logger = logging.getLogger(__name__)

LABEL_SERVICE = "kubernetes.io/service-name"  # on EndpointSlices


@dataclass(frozen=True)
class Shared:
    """What all loops look at together."""

    governance: Governance
    foreign_budgets: ForeignBudgets

    @classmethod
    def over(cls, kube: Kube) -> Shared:
        """By way of one API."""
        return cls(Governance(kube), ForeignBudgets(kube))


@dataclass
class Memory:
    """What one loop keeps between looks. Nothing here must survive a restart: it only saves calls."""

    dry_runs: DryRuns
    parachutes: Parachutes
    shared: Shared
    renderings: Renderings = field(default_factory=Renderings)
    enforcements: Enforcements = field(default_factory=Enforcements)
    last_spec: GatewayDeploymentSpec | None = None
    true_templates: dict[str, str] = field(default_factory=dict)  # revision → hash of its template as rendered
    templates: dict[str, tuple[str, int, str]] = field(default_factory=dict)  # revision → UID, generation, actual hash

    def template_hash(self, revision: str, deployment: Obj) -> str:
        """The hash of a Deployment's template, which only a new generation changes."""
        uid, generation = deployment["metadata"]["uid"], deployment["metadata"]["generation"]
        known = self.templates.get(revision)
        if known is None or known[:2] != (uid, generation):
            known = self.templates[revision] = (uid, generation, views.template_hash(deployment))
        return known[2]

    def keep(self, revisions: Container[str]) -> None:
        """Forget what is gone."""
        self.true_templates = {r: v for r, v in self.true_templates.items() if r in revisions}
        self.templates = {r: v for r, v in self.templates.items() if r in revisions}


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


class PredecessorLeft(Exception):
    """What a deleted GatewayDeployment of this name left is not collected yet: it is nothing to begin with."""


async def observe(kube: Kube, memory: Memory, gateway: Obj, state: State, heard: Heard, now: datetime) -> Observation:
    """Look at everything that belongs to a GatewayDeployment. Raises ApiError when the look is not whole, PredecessorLeft
    before the first rollout."""
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
    (service_object, config_maps, deployments, pods), (budgets, slices, adopted) = await asyncio.gather(
        asyncio.gather(
            _service(kube, namespace, name),
            kube.list(CONFIG_MAPS, namespace, ours),
            kube.list(DEPLOYMENTS, namespace, ours),
            kube.list(PODS, namespace, ours),
        ),
        asyncio.gather(
            _budget_objects(kube, memory, namespace, name, now),
            _slices(kube, namespace, name, state),
            _adopted(kube, namespace, spec),
        ),
    )
    if not state.active and not state.rollout:
        kept = [*config_maps, *deployments, *([service_object] if service_object else [])]
        if left := views.predecessors(gateway, kept, pods):
            raise PredecessorLeft(f"a deleted GatewayDeployment of this name is not gone yet: {', '.join(left)}")
    by_revision = {views.revision_of(o): o for o in deployments}
    maps = {views.revision_of(o): o for o in config_maps}
    if invalid is None:
        desired, reread = await read_desired(
            kube, memory.dry_runs, memory.renderings, gateway, spec, lambda r: r in by_revision
        )
    else:
        desired, reread = Unusable("SpecInvalid", str(invalid)), False
    drifted = frozenset(
        [r for r, deployment in by_revision.items() if await _has_drifted(kube, memory, r, deployment, maps.get(r))]
    )
    memory.keep(by_revision)
    memory.enforcements.keep({o["metadata"]["uid"] for o in config_maps})
    drops = memory.enforcements.dropped(spec, maps)
    parachute = await memory.parachutes.pack(gateway, spec, state, maps, lambda r: r in by_revision)
    requests = views.requests_of(gateway)
    own_budgets, foreign = _budgets(budgets, pods, gateway, spec)
    world = World(
        now=now,
        name=name,
        namespace=namespace,
        generation=metadata.get("generation", 0),
        spec=spec,
        desired=desired,
        service=_service_view(service_object, gateway, spec),
        revisions=views.revision_views(
            name, config_maps, deployments, pods, heard.samples, drifted, own_budgets, drops
        ),
        uid=metadata["uid"],
        requests=requests,
        notes=views.notes_of(gateway),
        parachute=parachute,
        attribution=await memory.shared.governance.attribution(),
        spent=await _spent(kube, namespace, name, state, requests),
        tests=heard.tests,
        judgement=heard.judgement,
        scrape=heard.scrape,
        flows=heard.flows,
        last_answers=heard.last_answers,
        endpoints=None if slices is None else views.endpoints_of(slices, pods),
        adopted=views.adopted_pods(adopted, name),
        compared=memory.enforcements.compared(spec, state, desired, maps),
        foreign_budget=foreign,
    )
    return Observation(world, gateway, service_object, by_revision, maps, reread)


async def _spent(
    kube: Kube, namespace: str, name: str, state: State, requests: Mapping[Verb, Asked]
) -> tuple[Spent, ...] | None:
    """What earlier grants have used, from the incidents that they left; read only for a request that depends on it.
    What cannot be read, or makes no sense, is not known: nothing is granted then."""
    new = [
        verb
        for verb in (Verb.EMERGENCY_PASSTHROUGH, Verb.APPROVE_PASSTHROUGH)
        if verb in requests and not ((old := state.request(verb)) and old.value == requests[verb].value)
    ]
    if not new:
        return None
    try:
        incidents = await kube.list(INCIDENTS, namespace, {names.LABEL_DEPLOYMENT: name})
        kept = [(i.get("status") or {}).get("passthrough") for i in incidents]
        return spent_of(k for k in kept if k)
    except (ApiError, ValueError, KeyError) as error:
        logger.warning("%s/%s: earlier grants cannot be read: %s", namespace, name, error)
        return None


async def _slices(kube: Kube, namespace: str, name: str, state: State) -> Sequence[Obj] | None:
    """EndpointSlices are read only while it is not known whether a rollback, or a passthrough, is effective."""
    grant, left = state.passthrough, state.rollback
    bypass = grant is not None and grant.live and grant.granted_at is not None and grant.effective_at is None
    if not bypass and (left is None or left.issued_at is None or left.effective_at):
        return None
    return await kube.list(ENDPOINT_SLICES, namespace, {LABEL_SERVICE: name})


async def _adopted(kube: Kube, namespace: str, spec: GatewayDeploymentSpec) -> Sequence[Obj]:
    """The pods of the Deployment that is adopted."""
    if spec.adopt_from is None:
        return ()
    try:
        deployment = await kube.get(DEPLOYMENTS, namespace, spec.adopt_from)
    except NotFound:
        return ()
    selector = deployment["spec"]["selector"]
    pods = await kube.list(PODS, namespace, selector.get("matchLabels") or {})
    return [p for p in pods if views.selects(selector, p["metadata"].get("labels") or {})]


async def _budget_objects(kube: Kube, memory: Memory, namespace: str, name: str, now: datetime) -> Sequence[Obj]:
    """Ours, and those of no gateway."""
    own = await kube.list(BUDGETS, namespace, {names.LABEL_DEPLOYMENT: name})
    return [*own, *await memory.shared.foreign_budgets.of(namespace, now)]


def _budgets(
    budgets: Sequence[Obj], pods: Sequence[Obj], gateway: Obj, spec: GatewayDeploymentSpec
) -> tuple[dict[str, Budget], str]:
    """Our PodDisruptionBudgets by revision, and the name of somebody else's that covers one of our pods."""
    own, foreign = {}, ""
    for budget in budgets:
        if views.controlled_by(budget, gateway["metadata"]["uid"]):
            revision = views.revision_of(budget)
            own[revision] = views.budget_view(budget, children.budget(gateway, spec, revision))
        elif any(views.selects(budget["spec"].get("selector"), p["metadata"].get("labels") or {}) for p in pods):
            foreign = budget["metadata"]["name"]
    return own, foreign


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
    actual = memory.template_hash(revision, deployment)
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
