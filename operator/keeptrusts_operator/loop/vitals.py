"""What the six health signals of one GatewayDeployment are made of, from all that was heard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.core import signals, target
from keeptrusts_operator.core.measured import Backlog, Measured, NotKnown, Pods
from keeptrusts_operator.core.signals import Signals
from keeptrusts_operator.core.state import State
from keeptrusts_operator.core.world import GatewayHealth, Revision, World
from keeptrusts_operator.gateways.control_plane_poller import Ingestion, Known, Pending, PlaneHeard
from keeptrusts_operator.gateways.watch import Heard

OLDEST = 60.0  # seconds: an older answer of a control plane says nothing of now
K = TypeVar("K")


class Vitals:
    """The signals from look to look. Nothing here must survive a restart: an alarm then only stays a little longer."""

    def __init__(self) -> None:
        self.signals: Signals = {}  # of the last pass
        self._of: tuple[GatewayDeploymentSpec, Revision | None, int] | None = None
        self._told_at: datetime | None = None

    def take(self, world: World, state: State, heard: Heard, plane: PlaneHeard, status: Mapping[str, Any]) -> Signals:
        """The signals of this pass."""
        active = world.revision(state.active) if state.active else None
        wanted = target.replicas(world, state).get(state.active, len(active.running) if active else 0)
        self._of, self._told_at = (world.spec, active, wanted), world.now
        before = self.signals or signals.from_status((status.get("health") or {}).get("signals"))
        self.signals = self._assess(heard, plane, before, world.now)
        return self.signals

    def stirred(self, heard: Heard, plane: PlaneHeard, now: datetime) -> bool:
        """Whether people should be told: of another state at once, of other values after a while."""
        if self._of is None or self._told_at is None:
            return False
        new = self._assess(heard, plane, self.signals, now)
        if [s.state for s in new.values()] != [s.state for s in self.signals.values()]:
            return True
        changed = [s.value for s in new.values()] != [s.value for s in self.signals.values()]
        return changed and now - self._told_at >= signals.REWRITE

    def _assess(self, heard: Heard, plane: PlaneHeard, before: Signals, now: datetime) -> Signals:
        assert self._of is not None
        spec, active, wanted = self._of
        return signals.assess(measured(spec, active, wanted, heard, plane, now), spec.health, before, now)


def measured(
    spec: GatewayDeploymentSpec, active: Revision | None, wanted: int, heard: Heard, plane: PlaneHeard, now: datetime
) -> Measured:
    """Now. `active` None: nothing has been activated yet; `wanted`: pods it should have."""
    return Measured(
        _pods(active, wanted) if active else NotKnown("no revision has been activated yet"),
        heard.traffic or NotKnown("no gateway has been asked yet"),
        spec.gateway.metrics,
        _backlog(plane.pending),
        _newest_event(plane.ingestion, now),
        heard.moving_since,
        heard.asked,
    )


def _pods(active: Revision, wanted: int) -> Pods:
    said = [p.health for p in active.running]
    return Pods(active.ready, wanted, said.count(GatewayHealth.DEGRADED), said.count(GatewayHealth.UNHEALTHY))


def _backlog(known: Known[Pending]) -> Backlog | NotKnown:
    value = _fresh(known)
    if isinstance(value, NotKnown):
        return value
    oldest = timedelta(seconds=value.oldest + known.age) if value.oldest is not None else None
    return Backlog(value.total, oldest, dict(value.by_policy))


def _newest_event(known: Known[Ingestion], now: datetime) -> datetime | NotKnown:
    value = _fresh(known)
    if isinstance(value, NotKnown):
        return value
    lag = value.lag if value.lag is not None else value.looked_back  # none for at least so long
    return now - timedelta(seconds=lag + known.age)


def _fresh(known: Known[K]) -> K | NotKnown:
    if known.value is None or known.age > OLDEST:
        return NotKnown(known.why or f"the control plane's newest answer is {known.age:.0f} s old")
    return known.value
