"""What `passthrough` plays: gateways whose policy blocks too much, and one bypass after another."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.quantities import parse_time
from keeptrusts_operator.kube.client import ApiServer
from keeptrusts_operator.kube.port import PODS
from tests.bench.breaker_scenes import LATENCIES, clients, under_traffic
from tests.bench.rollout import OPERATOR
from tests.cluster.world import World
from tests.demo import objects
from tests.demo.objects import NAMESPACE, STANDIN, Obj
from tests.demo.stage import Stage, is_ready
from tests.traffic.answers import Answer, attributed, last_answer_of, last_new_connection_of, outcome

RATE, NEAR, REPLICAS = 100.0, 0.43, 3
ON_CALL = "ada"
Row = dict[str, float]


@dataclass(frozen=True)
class Setting:
    """How many passthrough pods are kept warm, and how long an allowed answer takes."""

    standby: str
    latency: str

    @property
    def seconds(self) -> float:
        return LATENCIES[self.latency]

    @property
    def granted(self) -> float:
        """Seconds, so many that requests which are sent again are answered before the end."""
        return 25.0 + 3 * self.seconds

    @property
    def load(self) -> dict[str, Any]:
        """Half of the clients keep their connections."""
        count = clients(self.seconds)
        return {"rate": RATE, "near_share": NEAR, "timeout": 60.0, "clients": count, "pooled_share": 0.5}

    @property
    def passthrough(self) -> Obj:
        standby = self.standby if self.standby.endswith("%") else int(self.standby)
        return {"standbyReplicas": standby, "twoPerson": "Off", "rearm": {"maxDuration": "0s"}}


@asynccontextmanager
async def serving(api: ApiServer, setting: Setting) -> AsyncIterator[Scene]:
    """An over-broad policy serves everybody; nothing is left of it afterwards."""
    cast = replace(STANDIN, name="bench")
    stage = Stage(api, cast)
    await stage.clear()
    await stage.people({ON_CALL: "gateway-breakglass"})
    gateway = objects.deployment(cast)
    gateway["spec"].update(replicas=REPLICAS, passthrough=setting.passthrough)
    gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5
    async with under_traffic(stage, objects.policy(cast, cast.over_broad), gateway, setting.latency, setting.load):
        yield Scene(stage, setting)


class AuditLog:
    """What the API server has taken, from a position of its log on."""

    def __init__(self) -> None:
        self._path: Path = World(os.environ["KEEPTRUSTS_WORLD"]).folder / "log" / "audit.log"
        self.since = 0

    def size(self) -> int:
        return self._path.stat().st_size

    def read(self, expires: float) -> tuple[float, float, float, float]:
        """When it took the annotation, the operator's write that let requests pass, the one after the end, and the first
        pod that was created in between (0: none). LookupError: it did not."""
        found: dict[str, list[float]] = {"annotation": [], "flips": [], "pods": []}
        with self._path.open() as log:
            log.seek(self.since)
            for line in log:
                if not line.endswith("\n"):
                    break  # being written
                entry = json.loads(line)
                kind = _kind(entry)
                if kind:
                    found[kind].append(parse_time(entry["requestReceivedTimestamp"]).timestamp())
        asked = found["annotation"][0]
        flips = [at for at in found["flips"] if at >= asked]
        issued = flips[0]
        back = next(at for at in [*flips, float("inf")] if at >= expires)
        if back == float("inf"):
            raise LookupError("the audit log knows of no write of the Service after the end")
        return asked, issued, back, next((at for at in found["pods"] if asked <= at <= issued), 0.0)


@dataclass
class Scene:
    """Gateways under traffic that block too much."""

    stage: Stage
    setting: Setting
    log: AuditLog = field(default_factory=AuditLog)

    async def run(self, number: int) -> Row:
        """One bypass, from its annotation to after its end. Raises TimeoutError when something does not happen."""
        stage, seconds = self.stage, self.setting.seconds
        await self._settled()
        await asyncio.sleep(2.0 + 1.2 * seconds)  # answers as ever before it begins
        before, self.log.since = self._grant().get("requestId", ""), self.log.size()
        typed = await stage.annotate(
            ON_CALL,
            {
                "emergency-passthrough": f"{self.setting.granted:.0f}s#{time.time_ns()}",
                "reason": f"INC-4711 the content filter blocks legitimate prompts, run {number}",
            },
        )
        await stage.until(lambda: self._grant().get("requestId", before) != before, 30, "it is answered")
        await stage.until(lambda: "effectiveAt" in self._grant(), 20 + self.setting.granted, "it is effective")
        passing = str(stage.status["passthroughRevision"])
        await stage.until(lambda: self._grant().get("state") == "Ended", 60 + self.setting.granted, "it has ended")
        grant = self._grant()
        await self._settled()
        await asyncio.sleep(2.0 + 1.2 * seconds)  # answers to requests that are sent again
        return self._row(typed, grant, passing)

    async def _settled(self) -> None:
        """Nothing is bypassed, the blocking pods serve, and as many others are ready as are to be kept warm."""
        stage = self.stage
        warm = REPLICAS if self.setting.standby.endswith("%") else 0

        async def settled() -> bool:
            if stage.status.get("phase") != "Stable" or self._grant().get("state", "Ended") != "Ended":
                return False
            pods = await stage.api.list(PODS, NAMESPACE, {names.LABEL_DEPLOYMENT: stage.cast.name})
            active = stage.status["activeRevision"]
            mine = [p for p in pods if p["metadata"]["labels"][names.LABEL_REVISION] == active]
            ready = [sum(map(is_ready, group)) for group in (mine, [p for p in pods if p not in mine])]
            return ready == [REPLICAS, warm] and len(pods) == REPLICAS + warm

        await stage.until(settled, 180, "the next run can begin")

    def _grant(self) -> Obj:
        return dict(self.stage.status.get("passthrough") or {})

    def _row(self, typed: float, grant: Obj, passing: str) -> Row:
        assert self.stage.traffic is not None
        expires = parse_time(grant["expiresAt"]).timestamp()
        asked, issued, back, created = self.log.read(expires)
        active = self.stage.status["activeRevision"]
        sent = [a for a in self.stage.traffic.answers if a.sent >= asked - 1.5 * self.setting.seconds]
        answers = attributed(sent, self.stage.revisions)
        during = [a for a in answers if a.done < back]
        effective = max(issued, last_new_connection_of(during, active) or issued)
        last = max(asked, last_answer_of(during, active) or effective)
        half = (issued + back) / 2  # what broke before broke at the start
        row = {
            "annotate_to_granted": parse_time(grant["grantedAt"]).timestamp() - asked,
            "annotate_to_issued": issued - asked,
            "annotate_to_effective": effective - asked,
            "annotate_to_effective_by_status": parse_time(grant["effectiveAt"]).timestamp() - asked,
            "annotate_to_last_answer": last - asked,
            "kubectl": asked - typed,
            "blocked_until_last_answer": _blocked(a for a in during if asked <= a.sent and a.done <= last),
            "blocked_afterwards": _blocked(a for a in during if a.done > last),
            "passed": sum(a.revision == passing and not a.lost for a in answers),
            **self._broken([a for a in answers if a.sent < half], "start"),
            "expiry_to_issued": back - expires,
            "expiry_to_protected": max(back, last_new_connection_of(answers, passing) or back) - expires,
            "expiry_to_last_answer": max(back, last_answer_of(answers, passing) or back) - expires,
            **self._broken([a for a in answers if a.sent >= half], "end"),
        }
        if created and not self.setting.standby.endswith("%"):
            ready = max(
                at
                for name, at in self.stage.pod_ready.items()
                if asked < at and self.stage.pods[name]["metadata"]["labels"][names.LABEL_REVISION] == passing
            )
            ready = min(ready, issued)  # the operator may have seen it before us
            row |= {
                "annotate_to_pod_created": created - asked,
                "pods_start": ready - created,
                "ready_to_issued": issued - ready,
            }
        return {k: round(v, 3) for k, v in row.items()}

    def _broken(self, answers: list[Answer], when: str) -> Row:
        """Of the requests that were sent again those took longer than one answer which were cut off on their way; the others
        found that their idle connection was closed. (Answers of 50 ms are over before a pod goes.)"""
        seconds, again = self.setting.seconds, [a for a in answers if a.retried and not a.lost]
        out: Row = {f"sent_again_at_{when}": len(again), f"lost_at_{when}": sum(a.lost for a in answers)}
        if seconds > 1.0:
            out[f"cut_off_at_{when}"] = sum(a.done - a.sent > 1.02 * seconds + 0.3 for a in again)
        return out


def _kind(entry: Obj) -> str:
    target, verb = entry.get("objectRef", {}), entry["verb"]
    if target.get("namespace") != NAMESPACE or entry["responseStatus"]["code"] >= 300:
        return ""
    if target["resource"] == "gatewaydeployments" and entry.get("impersonatedUser", {}).get("username") == ON_CALL:
        return "annotation"
    if target["resource"] == "services" and verb == "patch" and entry["user"]["username"] == OPERATOR:
        return "flips"
    return "pods" if target["resource"] == "pods" and verb == "create" and "subresource" not in target else ""


def _blocked(answers: Iterable[Answer]) -> int:
    return sum(outcome(a) == "blocked" for a in answers)
