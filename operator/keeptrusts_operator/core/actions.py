"""What a decision asks to be done, in order. Each action is idempotent: a crash between any two is repaired by the
next look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keeptrusts_operator.core.world import Content, Exposure


@dataclass(frozen=True)
class EnsureService:
    """Create the Service, or put its ports, type, labels and owner right. Never changes what it exposes."""


@dataclass(frozen=True)
class ShiftTraffic:
    """The single write that changes exposure: selector and annotations of the Service together.

    One that lowers exposure is conditional on the rollout only, so it wins over every other change of the Service;
    one that raises it is conditional on the Service being exactly as it was seen.
    """

    exposure: Exposure
    reason: str
    rollout_id: str
    tripped_revision: str = ""
    lowering: bool = False


@dataclass(frozen=True)
class CreateRevision:
    """Create ConfigMap and Deployment of new content."""

    content: Content
    replicas: int


@dataclass(frozen=True)
class RestoreWorkload:
    """Put back a Deployment that was edited or deleted by hand, from the revision's stored rendering."""

    revision: str
    replicas: int


@dataclass(frozen=True)
class ScaleRevision:
    """Set the replicas of a revision's Deployment."""

    revision: str
    replicas: int


@dataclass(frozen=True)
class CutPods:
    """Delete the pods of a revision that was left in haste, with a short grace: pooled clients would stay with it.

    Comes before its ScaleRevision: the first delete decides, a kubelet never shortens a preStop that has begun.
    """

    revision: str
    pods: tuple[str, ...]  # UIDs
    grace_seconds: int


@dataclass(frozen=True)
class ReplacePod:
    """Delete one warm pod that pooled clients still hold on to; its replacement gets no traffic."""

    revision: str
    pod: str  # UID


@dataclass(frozen=True)
class RestartRevision:
    """Mark the pod template of a revision so that its pods are replaced one by one, as `kubectl rollout restart`."""

    revision: str
    at: datetime


@dataclass(frozen=True)
class EnsureBudget:
    """Create or correct the PodDisruptionBudget of a revision."""

    revision: str


@dataclass(frozen=True)
class RemoveBudget:
    """Remove the PodDisruptionBudget of a revision."""

    revision: str


@dataclass(frozen=True)
class LabelPods:
    """Label pods of the Deployment that `spec.adoptFrom` names; `live`: whether a Service may select them."""

    pods: tuple[str, ...]  # names
    live: bool


@dataclass(frozen=True)
class DeleteRevision:
    """Remove what is left of a revision that fell out of the history."""

    revision: str


@dataclass(frozen=True)
class RecordIncident:
    """Write what is known of a rollback or an outage into its GatewayIncident, which is created when it is missing.

    Comes last: evidence never delays traffic.
    """

    type: str  # Trip | Passthrough | Outage
    phase: str  # Open | Mitigated | Resolved
    revision: str
    started_at: datetime
    message: str
    policy_hash: str = ""
    ended_at: datetime | None = None
    timeline: tuple[tuple[datetime, str], ...] = ()  # when, what
    evidence: Mapping[str, Any] = field(default_factory=dict)
    passthrough: Mapping[str, Any] = field(default_factory=dict)  # the grant


@dataclass(frozen=True)
class Announce:
    """An Event for people, posted after everything else."""

    type: str  # Normal | Warning
    reason: str
    message: str


Action = (
    EnsureService
    | ShiftTraffic
    | CreateRevision
    | RestoreWorkload
    | ScaleRevision
    | CutPods
    | ReplacePod
    | RestartRevision
    | EnsureBudget
    | RemoveBudget
    | LabelPods
    | DeleteRevision
    | RecordIncident
    | Announce
)
