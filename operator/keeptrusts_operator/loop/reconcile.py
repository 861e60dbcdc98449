"""One pass over one GatewayDeployment: observe → decide → act → report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from keeptrusts_operator.api.gateway import GatewaySettings
from keeptrusts_operator.core.machine import Decision, decide
from keeptrusts_operator.core.report import status_of
from keeptrusts_operator.core.state import State, from_status
from keeptrusts_operator.gateways.watch import Sample, Target
from keeptrusts_operator.kube.port import GATEWAYS, ApiError, Conflict, Kube, NotFound, Obj
from keeptrusts_operator.loop.act import Actor, Receipt
from keeptrusts_operator.loop.mergepatch import diff
from keeptrusts_operator.loop.observe import Memory, Observation, SpecUnusable, observe
from keeptrusts_operator.loop.source import RECHECK_SECONDS, DryRuns

logger = logging.getLogger(__name__)

AGAIN = timedelta(0)
WAIT_FOR_PERSON = timedelta(minutes=5)


class Gateways(Protocol):
    """What is known of the gateways by asking them (`gateways.watch.GatewayWatch`)."""

    def known(self) -> Mapping[str, Sample]:
        """The newest sample by pod UID."""
        ...

    def aim(self, targets: tuple[Target, ...], settings: GatewaySettings, *, busy: bool) -> None:
        """Which pods to ask from now on."""
        ...


@dataclass(frozen=True)
class Pass:
    """How a pass ended: when to look again, and what it decided (None: the object is gone or cannot be decided on)."""

    look_again: timedelta
    decision: Decision | None = None
    status: Obj | None = None


class Reconciler:
    """The control loop of one GatewayDeployment, without its waiting: `once` is called whenever something may have
    changed. It keeps nothing that a restart may not lose."""

    def __init__(
        self, kube: Kube, gateways: Gateways, namespace: str, name: str, clock: Callable[[], datetime]
    ) -> None:
        self._kube, self._gateways, self._clock = kube, gateways, clock
        self._namespace, self._name = namespace, name
        self._memory = Memory(DryRuns(kube))

    async def once(self) -> Pass:
        """One pass. Raises ApiError when the API did not let it finish; what was done till then is no harm."""
        try:
            gateway = await self._kube.get(GATEWAYS, self._namespace, self._name)
        except NotFound:
            return Pass(WAIT_FOR_PERSON)
        if "deletionTimestamp" in gateway["metadata"]:
            return Pass(
                WAIT_FOR_PERSON
            )  # children go with their owner (garbage collection), or stay by --cascade=orphan
        try:
            seen = await observe(self._kube, self._memory, gateway, self._gateways.known(), self._now())
            state = from_status(gateway.get("status") or {})
        except (SpecUnusable, ValueError, KeyError) as error:
            await self._say_unusable(gateway, error)
            return Pass(WAIT_FOR_PERSON)
        decision = decide(seen.world, state)
        self._aim(seen, decision.state)
        actor = Actor(self._kube, seen, self._now)
        try:
            receipt = await actor.carry_out(decision.actions)
        except Conflict as error:
            logger.info("%s/%s: not as it was seen, looking again: %s", self._namespace, self._name, error)
            return Pass(AGAIN)
        decision = _with_receipt(decision, receipt)
        status = status_of(seen.world, decision, gateway.get("status") or {})
        if not await self._write_status(gateway, status):
            return Pass(AGAIN)
        await actor.announce(decision.actions)
        wait = decision.look_again
        if seen.reread:
            wait = min(wait, timedelta(seconds=RECHECK_SECONDS))
        return Pass(AGAIN if decision.actions else wait, decision, status)

    def _aim(self, seen: Observation, state: State) -> None:
        wanted = [n for n in (state.active, state.rollout.revision if state.rollout else "") if n]
        targets = tuple(Target(p.uid, p.ip) for name in wanted for p in seen.world.revision(name).running if p.ip)
        self._gateways.aim(targets, seen.world.spec.gateway, busy=state.rollout is not None)

    async def _write_status(self, gateway: Obj, status: Obj) -> bool:
        """Write what changed, onto the version that was read. False: the object has changed, look again."""
        patch = diff(gateway.get("status") or {}, status)
        if not patch:
            return True
        body = {"metadata": {"resourceVersion": gateway["metadata"]["resourceVersion"]}, "status": patch}
        try:
            await self._kube.merge(GATEWAYS, self._namespace, self._name, body, subresource="status")
        except (Conflict, NotFound):
            return False
        return True

    async def _say_unusable(self, gateway: Obj, error: Exception) -> None:
        """Spec or status make no sense at all: say so and leave everything as it is."""
        message = f"nothing is changed until this is corrected: {error}"
        before = gateway.get("status") or {}
        others = [c for c in before.get("conditions", ()) if c["type"] != "Stalled"]
        old = next((c for c in before.get("conditions", ()) if c["type"] == "Stalled" and c["status"] == "True"), None)
        since = old["lastTransitionTime"] if old else self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        stalled = {
            "type": "Stalled",
            "status": "True",
            "reason": "SpecInvalid" if isinstance(error, SpecUnusable) else "StatusInvalid",
            "message": message,
            "observedGeneration": gateway["metadata"].get("generation", 0),
            "lastTransitionTime": since,
        }
        try:
            await self._write_status(gateway, {**before, "message": message, "conditions": [*others, stalled]})
        except ApiError as failure:
            logger.warning(
                "%s/%s: %s (and status could not be written: %s)", self._namespace, self._name, error, failure
            )

    def _now(self) -> datetime:
        now = self._clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)  # what status keeps


def _with_receipt(decision: Decision, receipt: Receipt) -> Decision:
    """The decision with the time at which its rollback was issued."""
    rollback = decision.state.rollback
    if receipt.lowered_at is None or rollback is None or rollback.issued_at is not None:
        return decision
    state = replace(decision.state, rollback=replace(rollback, issued_at=receipt.lowered_at))
    return replace(decision, state=state)
