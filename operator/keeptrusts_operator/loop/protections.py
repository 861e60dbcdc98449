"""What policies have to enforce, what they do, and what a candidate enforces less than the revision that is active."""

from __future__ import annotations

from collections.abc import Container, Mapping

from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.api.gateway import Profile
from keeptrusts_operator.core.state import State
from keeptrusts_operator.core.world import Compared, Content, Desired, Unusable
from keeptrusts_operator.kube.port import Obj
from keeptrusts_operator.loop import views
from keeptrusts_operator.policy.protections import Enforced, dropped, enforced, reduced

ROLE = "gateway-protections"
UNKNOWN = "what it enforces cannot be told from its document"


def unprotected(gateway: Obj, spec: GatewayDeploymentSpec, document: object) -> Unusable | None:
    """Why a policy's document cannot be run with `spec.protections.required`; None when it keeps all of that."""
    required = spec.protections.required
    if not required:
        return None
    names, policy = ", ".join(required), f"GatewayPolicy {spec.policy_ref}"
    now = enforced(document, spec.gateway.profile)
    if now is None:
        why = f"with profile {spec.gateway.profile} nobody can tell whether {policy} enforces {names}"
        return Unusable("ProtectionsUnknown", f"{why} (spec.protections.required); {_change(gateway, spec, ())}")
    missing = dropped(now, required)
    if not missing:
        return None
    why = "; ".join(f"{kind} {what}" for kind, what in missing.items())
    rest = tuple(kind for kind in required if kind not in missing)
    message = f"{policy} drops what spec.protections.required names: {why}. Put it back into the policy, or "
    return Unusable("ProtectionDropped", message + _change(gateway, spec, rest))


def _change(gateway: Obj, spec: GatewayDeploymentSpec, rest: tuple[str, ...]) -> str:
    name, namespace = gateway["metadata"]["name"], gateway["metadata"]["namespace"]
    value = "[" + ",".join(f'"{kind}"' for kind in rest) + "]"
    patch = f'{{"spec":{{"protections":{{"required":{value}}}}}}}'
    return (
        f"have the list changed by somebody with ClusterRole {ROLE} (verb update on gatewaydeployments/protections): "
        f"kubectl patch gwd {name} -n {namespace} --type=merge -p '{patch}'"
    )


class Enforcements:
    """What stored revisions enforce. Their ConfigMaps are immutable, so each is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Profile], Enforced | None] = {}  # by UID

    def of(self, config_map: Obj, profile: Profile) -> Enforced | None:
        """None: that cannot be told."""
        key = (config_map["metadata"]["uid"], profile)
        if key not in self._known:
            self._known[key] = enforced(views.document(config_map)[1], profile)
        return self._known[key]

    def keep(self, uids: Container[str]) -> None:
        """Forget what is gone."""
        self._known = {key: found for key, found in self._known.items() if key[0] in uids}

    def dropped(self, spec: GatewayDeploymentSpec, config_maps: Mapping[str, Obj]) -> dict[str, str]:
        """By revision: what it drops of `spec.protections.required`, in words."""
        required, found = spec.protections.required, {}
        for revision, config_map in config_maps.items() if required else ():
            now = self.of(config_map, spec.gateway.profile)
            missing = dropped(now, required) if now is not None else dict.fromkeys(required, "cannot be told")
            if missing:
                found[revision] = "; ".join(f"{kind} {what}" for kind, what in missing.items())
        return found

    def compared(
        self, spec: GatewayDeploymentSpec, state: State, desired: Desired, config_maps: Mapping[str, Obj]
    ) -> Compared | None:
        """The candidate, or what is to be the next one, beside the active revision; None: there is no such pair."""
        wanted = desired.revision if isinstance(desired, Content) else ""
        candidate = state.rollout.revision if state.rollout else wanted
        if not state.active or candidate in ("", state.active):
            return None
        profile, ours, theirs = spec.gateway.profile, config_maps.get(candidate), config_maps.get(state.active)
        before = self.of(theirs, profile) if theirs else None
        now = self.of(ours, profile) if ours else None
        if ours is None and isinstance(desired, Content) and candidate == wanted:
            now = enforced(views.document(desired.config_map)[1], profile)
        unknown = next((n for n, e in ((state.active, before), (candidate, now)) if e is None), "")
        if before is None or now is None:
            return Compared(candidate, state.active, None, f"{unknown}: {UNKNOWN}")
        return Compared(candidate, state.active, reduced(before, now))
