"""A gateway pod as something to talk to."""

from __future__ import annotations

from dataclasses import dataclass

from keeptrusts_operator.api.gateway import GatewaySettings


@dataclass(frozen=True)
class Target:
    """One pod to ask."""

    uid: str
    ip: str
    revision: str = ""
    born_at: float = 0.0  # seconds since the epoch, by the cluster's clock


def base_url(target: Target, settings: GatewaySettings) -> str:
    """Where a pod listens."""
    host = f"[{target.ip}]" if ":" in target.ip else target.ip
    return f"http://{host}:{settings.port}"
