"""What a decision asks to be done, in order. Each action is idempotent: a crash between any two is repaired by the
next look."""

from __future__ import annotations

from dataclasses import dataclass

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
    grace_seconds: int


@dataclass(frozen=True)
class DeleteRevision:
    """Remove what is left of a revision that fell out of the history."""

    revision: str


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
    | DeleteRevision
    | Announce
)
