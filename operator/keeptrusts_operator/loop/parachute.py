"""The passthrough revision, packed before anybody needs it: derived from the active revision, linted, dry-run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keeptrusts_operator.api import names
from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.core.state import State
from keeptrusts_operator.core.world import Content, Pack, Unreadable, Unusable
from keeptrusts_operator.kube.port import Obj
from keeptrusts_operator.loop import views
from keeptrusts_operator.loop.source import DryRuns
from keeptrusts_operator.policy.passthrough import CannotDerive, derive
from keeptrusts_operator.render.passthrough import passthrough_children, passthrough_revision

Parachute = Content | Unusable | Unreadable
REASON = "PassthroughUnavailable"


class Parachutes:
    """Packs what the state may need next; packs nothing twice."""

    def __init__(self, dry_runs: DryRuns) -> None:
        self._dry_runs = dry_runs
        self._of: tuple[object, ...] = ()
        self._packed: Content | Unusable | None = None

    async def pack(
        self,
        gateway: Obj,
        spec: GatewayDeploymentSpec,
        state: State,
        config_maps: Mapping[str, Obj],
        exists: Callable[[str], bool],
    ) -> Parachute | None:
        """For the scope of the grant that is live, else for the empty one. None: nothing has been activated yet."""
        if not state.active:
            return None
        config_map = config_maps.get(state.active)
        if config_map is None:
            return Unusable(REASON, _no_document(state.active))
        grant = state.passthrough
        scope = grant.scope if grant and (grant.live or state.passthrough_revision) else ()
        rules = spec.passthrough
        made_of = (config_map["metadata"]["uid"], spec.gateway.profile, rules.never_bypass, scope, rules.document)
        if self._packed is None or made_of != self._of:
            self._packed, self._of = _packed(gateway, spec, state.active, config_map, scope), made_of
        packed = self._packed
        if isinstance(packed, Unusable) or exists(packed.revision):
            return packed
        refusal = await self._dry_runs.refusal(dict(packed.deployment))
        if isinstance(refusal, Unreadable):
            return refusal
        return Unusable(REASON, f"the API server refuses its pod template: {refusal}") if refusal else packed


def _no_document(active: str) -> str:
    if active == names.ADOPTED_REVISION:
        return (
            "the operator does not know the document of adopted pods; the first promotion makes a passthrough possible"
        )
    return f"the ConfigMap of the active revision {active} is gone; apply its policy again"


def _packed(
    gateway: Obj, spec: GatewayDeploymentSpec, active: str, config_map: Obj, scope: tuple[str, ...]
) -> Content | Unusable:
    rendering = views.rendering(config_map)
    key, document = views.document(config_map)
    if rendering is None or document is None:
        return Unusable(REASON, f"the ConfigMap of {active} cannot be read")
    rules = spec.passthrough
    derived = derive(document, spec.gateway.profile, rules.never_bypass, scope, rules.document)
    if isinstance(derived, CannotDerive):
        return Unusable(REASON, str(derived).rstrip("."))
    pack = derived.document.get("pack") if isinstance(derived.document, Mapping) else None
    map_, deployment = passthrough_children(gateway, active, rendering, derived.document, key)
    return Content(
        revision=passthrough_revision(active, derived.document),
        policy_hash="",
        pack=Pack(str(pack["name"]), str(pack.get("version", ""))) if isinstance(pack, Mapping) and pack else None,
        bypassed=derived.bypassed,
        config_map=map_,
        deployment=deployment,
    )
