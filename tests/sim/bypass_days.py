"""People who ask for emergency passthroughs in a world of the campaign, rightly and wrongly, and what may never come of it.

The promises do not believe the operator: they know who asked for what, and when, by the true clock.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.core.grant_rules import APPROVE_WITHIN
from keeptrusts_operator.core.passthrough import PATIENCE
from keeptrusts_operator.kube.port import DEPLOYMENTS, GATEWAYS, INCIDENTS, PODS, SERVICES, Obj, Resource
from tests.sim.governance import govern
from tests.sim.node import serves
from tests.sim.world import SimWorld

PEOPLE = ("ada", "bob", "eve")
MACHINE = "system:serviceaccount:flux-system:kustomize-controller"
REASON = "INC-4711 the content filter blocks legitimate prompts"
SOLO, MOST, LIFE = 180.0, 600.0, 5.0  # seconds; LIFE: what an end may take a living operator
ASKED = {"1m": 60.0, "2m": 120.0, "5m": 300.0, "10m": 600.0}
MALFORMED = ("soon", "90h", "11m", "-5m", "0s", "")
RUNNING = ("Starting", "Active")
BYPASSES = 1 / 16  # of all worlds have them


class BrokenBypass(AssertionError):
    """A promise about passthroughs does not hold."""


@dataclass
class Asking:
    """One request of an identity; `valid`: it may come to a passthrough."""

    id: str
    by: str
    seconds: float
    valid: bool
    approved: bool = False  # by a second person
    granted_at: float | None = None  # when it was told, by the true clock; and as it was written
    written: str = ""
    over_at: float | None = None


@dataclass
class BypassDays:
    """The people of one world, and the promises made to them."""

    world: SimWorld
    rng: random.Random
    asks: dict[str, Asking] = field(default_factory=dict)
    two_person: str = "Afterwards"
    governed: bool = True
    passing: bool = False  # the Service selects a passthrough revision
    whole_day: bool = False  # the budget is one of the whole day
    _number: int = 0
    _may_rearm_since: float | None = None
    _replayable: list[dict[str, str]] = field(default_factory=list)

    async def begin(self, gateway: Obj) -> None:
        """Before the gateway is created: its rules, and most times the admission policies."""
        self.two_person = self.rng.choice(("Afterwards", "Afterwards", "Before", "Off"))
        self.governed = self.rng.random() < 0.9
        window = self.rng.choice(("10m", "24h"))
        self.whole_day = window == "24h"
        gateway["spec"]["passthrough"] = {
            "maxDuration": "10m",
            "soloDuration": "3m",
            "twoPerson": self.two_person,
            "standbyReplicas": self.rng.choice((0, 0, 1, "100%")),
            "budgetWindow": window,
            "rearm": {"maxDuration": self.rng.choice(("0s", "30s", "2m"))},
        }
        if self.governed:
            await govern(self.world.kube)
        self.world.on_change.append(self._changed)
        self.world.checks.append(self._after_a_pass)

    # --- people -----------------------------------------------------------------------------------------------------

    async def some(self, deeds: int) -> None:
        """Some of what they do, at their own times."""
        for _ in range(deeds):
            await self._act()
            await self.world.run(self.rng.choice((0.0, 1.0, 5.0, 20.0, 90.0)))

    async def _act(self) -> None:
        """Somebody asks, approves, ends, or a GitOps tool applies what it knows."""
        rare = self.rng.choice((self._off, self._strip, self._replay))
        await self.rng.choice((self._ask, self._ask, self._ask, self._approve, self._approve, rare))()

    async def _ask(self) -> None:
        wrong = self.rng.choice(("", "", "", "", "", "", "", "value", "machine", "nobody", "reason"))
        value = self.rng.choice(MALFORMED if wrong == "value" else tuple(ASKED))
        by = {"machine": MACHINE, "nobody": ""}.get(wrong, self.rng.choice(PEOPLE))
        asking = Asking(self._next(), by, ASKED.get(value, 0.0), not wrong and self.governed)
        self.asks[asking.id] = asking
        reason = "test" if wrong == "reason" else REASON
        await self._annotate(Verb.EMERGENCY_PASSTHROUGH, value, asking.id, by, {names.ANNOTATION_REASON: reason})

    async def _approve(self) -> None:
        """The right request by the right person, or one of many wrong ways."""
        current = (await self.world.status()).get("passthrough") or {}
        asked = self.asks.get(current.get("requestId", ""))
        value = self.rng.choice((*[asked.id] * 6, "id-0", "")) if asked else "id-1"
        by = self.rng.choice((*PEOPLE, *PEOPLE, MACHINE, ""))
        meant = self.asks.get(value)
        if meant and by in PEOPLE and by != meant.by:
            meant.approved = True
        await self._annotate(Verb.APPROVE_PASSTHROUGH, value, self._next(), by)

    async def _off(self) -> None:
        await self._annotate(Verb.EMERGENCY_PASSTHROUGH, "off", self._next(), self.rng.choice((*PEOPLE, MACHINE)))

    async def _strip(self) -> None:
        """Flux takes away what kubectl wrote; or Argo CD replaces the object by what is in Git."""
        keys = [Verb.EMERGENCY_PASSTHROUGH.annotation, names.ANNOTATION_REASON]
        if self.rng.random() < 0.5:
            keys += [Verb.APPROVE_PASSTHROUGH.annotation, Verb.EMERGENCY_PASSTHROUGH.requested_by_annotation]
        self.world.say("-- GitOps takes annotations away")
        await self._patch(dict.fromkeys(keys))

    async def _replay(self) -> None:
        """An old request is applied again: as it was, or as the API server stamps it for who applies it."""
        if not self._replayable:
            return
        notes = dict(self.rng.choice(self._replayable))
        if self.rng.random() < 0.5:
            verb = Verb.EMERGENCY_PASSTHROUGH
            number = self._next()
            notes |= {verb.requested_by_annotation: MACHINE, verb.request_id_annotation: number}
            self.asks[number] = Asking(number, MACHINE, 0.0, False)
        self.world.say(f"-- GitOps applies again: {notes.get(Verb.EMERGENCY_PASSTHROUGH.annotation)}")
        await self._patch(notes)

    async def _annotate(self, verb: Verb, value: str, number: str, by: str, more: dict[str, str] | None = None) -> None:
        stamps = {verb.requested_by_annotation: by, verb.request_id_annotation: number}
        notes = {verb.annotation: f"{value}#{number}", **stamps, **(more or {})}
        self.world.say(f"-- {by or 'nobody'} asks: {verb}={value} ({number})")
        if verb is Verb.EMERGENCY_PASSTHROUGH and value != "off":
            self._replayable.append(notes)
        await self._patch(notes)

    async def _patch(self, notes: dict[str, Any]) -> None:
        await self.world.kube.merge(
            GATEWAYS, self.world.namespace, self.world.name, {"metadata": {"annotations": notes}}
        )

    def _next(self) -> str:
        self._number += 1
        return f"id-{self._number}"

    # --- promises ---------------------------------------------------------------------------------------------------

    def _changed(self, resource: Resource, obj: Obj, mine: bool) -> None:
        if resource is GATEWAYS and mine:
            self._grant_told((obj.get("status") or {}).get("passthrough") or {})
        if resource is SERVICES:
            self._traffic_moved(obj, mine)

    def _grant_told(self, grant: dict[str, Any]) -> None:
        """Only valid requests are granted, each once; what the operator says of who approved is so."""
        if not grant.get("grantedAt"):
            return
        asked = self.asks.get(grant["requestId"])
        if asked is None or not asked.valid:
            raise BrokenBypass(f"{grant['requestId']} was granted and is no valid request: {asked}")
        if grant.get("approvedBy") and not asked.approved:
            raise BrokenBypass(f"{asked.id} was approved by {grant['approvedBy']}, who did not or may not")
        if grant["requestedBy"] != asked.by:
            raise BrokenBypass(f"{asked.id} was asked for by {asked.by}, not {grant['requestedBy']}")
        if asked.granted_at is None:
            asked.granted_at, asked.written = self.world.at, grant["grantedAt"]
        if asked.written != grant["grantedAt"]:
            raise BrokenBypass(f"{asked.id} was granted twice: at {asked.written} and at {grant['grantedAt']}")
        if grant["state"] in RUNNING and asked.over_at is not None:
            raise BrokenBypass(f"{asked.id} was over and is {grant['state']} again")
        others = [a for a in self.asks.values() if a is not asked]
        for ended in (*others, *(() if grant["state"] in RUNNING else (asked,))):
            if ended.granted_at is not None and ended.over_at is None:
                ended.over_at = self.world.at

    def _ends_at(self, asked: Asking) -> float:
        """The latest time at which it may be in force, by the true clock."""
        assert asked.granted_at is not None
        alone = asked.seconds if self.two_person == "Off" else min(asked.seconds, SOLO)
        return asked.granted_at + (asked.seconds if asked.approved else alone)

    def _in_force(self) -> Asking | None:
        """The request whose grant the status tells of as running."""
        gateway = next(iter(self.world.kube.all(GATEWAYS, self.world.namespace, {})), {})
        grant = (gateway.get("status") or {}).get("passthrough") or {}
        return self.asks.get(grant.get("requestId", "")) if grant.get("state") in RUNNING else None

    def _traffic_moved(self, service: Obj, mine: bool) -> None:
        passes = self._is_passthrough(service["spec"]["selector"].get(names.LABEL_REVISION, ""))
        if passes and not self.passing:
            granted = [a for a in self.asks.values() if a.granted_at is not None]
            if not any(self.world.at <= self._ends_at(a) + LIFE for a in granted) or not mine:
                raise BrokenBypass("traffic goes past the policies, and the time of every grant is over")
            if self._in_force() is None and not self.world.past.just_used:  # else an old status is believed
                raise BrokenBypass("traffic goes past the policies, and no grant says so")
        self.passing = passes

    def _is_passthrough(self, revision: str) -> bool:
        found = self.world.kube.all(DEPLOYMENTS, self.world.namespace, {names.LABEL_REVISION: revision})
        return any(d["metadata"]["labels"].get(names.LABEL_EXPOSURE) == names.EXPOSURE_STANDBY for d in found)

    def _after_a_pass(self, world: SimWorld) -> None:
        """A pass that is done leaves no grant in force after its end, and no traffic there once it can go elsewhere."""
        if world.past.just_used:
            self._may_rearm_since = None
            return
        asked = self._in_force()
        if asked and asked.granted_at is not None and world.at > self._ends_at(asked) + LIFE:
            raise BrokenBypass(f"{asked.id} lasts longer than granted: {world.at - self._ends_at(asked):.1f} s")
        if asked or not self.passing or not self._can_rearm():
            self._may_rearm_since = None
            return
        if self._may_rearm_since is None:
            self._may_rearm_since = world.at
        if world.at - self._may_rearm_since > PATIENCE.total_seconds() + LIFE:
            raise BrokenBypass("the passthrough is over, its revision is ready, and traffic does not go back")

    def _can_rearm(self) -> bool:
        gateway = next(iter(self.world.kube.all(GATEWAYS, self.world.namespace, {})), {})
        grant = (gateway.get("status") or {}).get("passthrough") or {}
        labels = {names.LABEL_REVISION: grant.get("rearmRevision", "")}
        return any(serves(p) for p in self.world.kube.all(PODS, self.world.namespace, labels))

    async def end(self) -> None:
        """Faults are over: most times everything ends by itself, else by `off`. Protections are back after it."""
        if self.rng.random() < 0.3:
            await self._off()
        await self.world.run(MOST + SOLO + 120.0)  # the longest grant, and its watch
        status = await self.world.status()
        if (status.get("passthrough") or {}).get("state") == "Pending":
            await self.world.run(APPROVE_WITHIN.total_seconds())
        state = (status.get("passthrough") or {}).get("state", "Ended")
        if self.passing or state in (*RUNNING, "Rearming"):
            raise BrokenBypass(f"no passthrough has an end: {state}, {status.get('message')}")
        told = [i["status"].get("passthrough") or {} for i in self.world.kube.all(INCIDENTS, self.world.namespace, {})]
        phases = {t["requestId"]: t["state"] for t in told if "requestId" in t}
        missing = [a.id for a in self.asks.values() if a.granted_at is not None and a.id not in phases]
        if missing:
            raise BrokenBypass(f"no incident tells of {', '.join(missing)}")
        used = [
            min(a.over_at or self.world.at, self._ends_at(a)) - a.granted_at for a in self.asks.values() if a.granted_at
        ]
        if self.whole_day and sum(used) > MOST + len(used):
            raise BrokenBypass(f"{sum(used):.0f} s of passthrough were had, and the budget of a day is {MOST:.0f} s")
        if still := [i for i, state in phases.items() if state != "Ended"]:
            raise BrokenBypass(f"incidents that never end: {', '.join(still)}")
