"""Who else is asked about one GatewayDeployment beside its own pods: Secrets that it names, and its control plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.gateways.control_plane_poller import Follow, PlaneHeard
from keeptrusts_operator.gateways.control_planes import ControlPlanes
from keeptrusts_operator.kube.secrets import Secrets
from keeptrusts_operator.loop.credentials import Credentials, credentials_of


class Outside(Protocol):
    """Nothing in it waits for anybody."""

    def credentials(self, spec: GatewayDeploymentSpec) -> Credentials:
        """The tokens that the spec names, as far as they are known."""
        ...

    def aim(self, spec: GatewayDeploymentSpec, credentials: Credentials, follow: Follow | None, now: datetime) -> None:
        """What to ask the control plane from now on."""
        ...

    def heard(self) -> PlaneHeard:
        """What it has said."""
        ...


@dataclass(frozen=True)
class Asking:
    """`Outside` for real."""

    secrets: Secrets
    planes: ControlPlanes
    namespace: str
    name: str
    wake: Callable[[], None]

    def credentials(self, spec: GatewayDeploymentSpec) -> Credentials:
        return credentials_of(self.secrets, self.namespace, spec, self.wake)

    def aim(self, spec: GatewayDeploymentSpec, credentials: Credentials, follow: Follow | None, now: datetime) -> None:
        self.planes.aim((self.namespace, self.name), spec.control_plane, credentials.control_plane, follow, now)

    def heard(self) -> PlaneHeard:
        return self.planes.heard((self.namespace, self.name))

    def forget(self) -> None:
        """The object is gone."""
        self.planes.forget((self.namespace, self.name))
