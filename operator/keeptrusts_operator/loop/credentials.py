"""The tokens that one GatewayDeployment names, as far as they are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.api.references import Credential
from keeptrusts_operator.kube.secrets import Secrets

GATEWAY, CONTROL_PLANE = "spec.gateway.authorization.secretKeyRef", "spec.controlPlane.tokenSecretRef"


@dataclass(frozen=True)
class Credentials:
    """None: the spec names no Secret there. `gateway` may go to the gateway's own pods only."""

    gateway: Credential | None = None
    control_plane: Credential | None = None

    @property
    def named(self) -> bool:
        """Whether there is any: then they have to be asked for every `kube.secrets.AGAIN` seconds."""
        return self.gateway is not None or self.control_plane is not None


def credentials_of(
    secrets: Secrets, namespace: str, spec: GatewayDeploymentSpec, wake: Callable[[], None]
) -> Credentials:
    """What is known of them now; `wake` is called when there is something else to know."""
    gateway, plane = spec.gateway.authorization, spec.control_plane
    return Credentials(
        secrets.known(namespace, gateway, GATEWAY, wake) if gateway else None,
        secrets.known(namespace, plane.token_secret_ref, CONTROL_PLANE, wake) if plane else None,
    )
