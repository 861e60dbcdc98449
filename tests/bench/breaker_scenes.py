"""What `breaker_live` plays: over-broad changes again and again, and good ones that are hard to judge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.quantities import parse_time
from keeptrusts_operator.kube.client import ApiServer
from keeptrusts_operator.kube.port import PODS, ApiError
from tests.cluster.servers import wish
from tests.demo import objects
from tests.demo.objects import CASTS, NAMESPACE, UPSTREAM, Cast, Obj
from tests.demo.stage import Stage
from tests.traffic.answers import Answer, last_answer_of, last_new_connection_of
from tests.traffic.generator import BROAD_TERM

RATE, NEAR = 100.0, 0.43
BEFORE_RESTART, AFTER_RESTART = 120.0, 60.0  # seconds of traffic
LATENCIES = {"50ms": 0.05, "10s": 10.0}
UNREADABLE = 60.0  # seconds without metrics
OPERATOR = "keeptrusts-system"  # its namespace
QUARTER = 900.0  # seconds of 1 request/s


@dataclass(frozen=True)
class Setting:
    """Gateways, and how long an allowed answer takes them."""

    gateway: str
    latency: str

    @property
    def seconds(self) -> float:
        return LATENCIES[self.latency]

    @property
    def load(self) -> dict[str, Any]:
        """So many clients that none is busy when its next request is due. Half of them keep their connections, but not
        where it would take a quarter of a minute until all of them came by."""
        kept = {"clients": clients(self.seconds), "pooled_share": 0.0 if self.seconds > 1.0 else 0.5}
        told_apart_by_connections = {"per_connection": 4} if self.gateway == "ferro" else {}
        return {"rate": RATE, "near_share": NEAR, "timeout": 60.0, **kept, **told_apart_by_connections}


@dataclass(frozen=True)
class Bad:
    """One over-broad change. Times: seconds from the first request that reached the bad revision."""

    detected: float
    issued: float
    effective: float
    last_answer: float
    reached_until_effective: int
    answered_until_effective: int
    wrongly_blocked: int
    answered: int
    lost: int
    sentence: str


@dataclass(frozen=True)
class Good:
    """One change that is hard to judge. `seconds`: from its exposure to the outcome."""

    what: str
    expected: str
    outcome: str
    seconds: float
    ok: bool
    message: str
    lost: int


async def bad_changes(api: ApiServer, setting: Setting, runs: int) -> tuple[list[Bad], list[str]]:
    """So many in a row, each from the same good revision; and why others gave no numbers."""
    async with serving(api, CASTS[setting.gateway], setting) as scene:
        await scene.grow_old()
        return await scene.bad_in_a_row(runs, f"{setting.gateway} {setting.latency}")


async def good_changes(api: ApiServer) -> list[Good]:
    """Without metrics for a time; next to no traffic; and that blindness at first does not hide a bad one."""
    rare = asyncio.create_task(_rare(api))
    out: list[Good] = []
    async with serving(api, CASTS["standin"], Setting("standin", "50ms"), pooled_share=0.0) as scene:
        await scene.grow_old()
        for fault, words in (("gone", "closes the connection"), ("nan", "says NaN")):
            what = f"good; its /metrics {words} for {UNREADABLE:g} s"
            out.append(await scene.unreadable(what, f"mode=metrics-{fault}:{UNREADABLE:g}s"))
            print(out[-1], flush=True)
        bad = await scene.bad(0, "mode=metrics-nan:20s")
        what = "45 % bad; its /metrics says NaN for its first 20 s"
        out.append(Good(what, "RolledBack", "RolledBack", bad.detected, bad.detected < 40.0, bad.sentence, bad.lost))
        print(out[-1], flush=True)
    out.append(await rare)
    print(out[-1], flush=True)
    return out


async def _rare(api: ApiServer) -> Good:
    """A good change at 1 request/s, of which it gets every fifth, beside everything else."""
    cast = replace(CASTS["standin"], name="rare")
    async with serving(api, cast, Setting("standin", "50ms"), replicas=4, rate=1.0, pooled_share=0.0) as scene:
        await asyncio.sleep(BEFORE_RESTART + 3 * AFTER_RESTART)  # the others restart the operator meanwhile
        return await scene.rare(f"good; 1 request/s for {QUARTER / 60:g} minutes, a fifth of them for the candidate")


@asynccontextmanager
async def serving(
    api: ApiServer, cast: Cast, setting: Setting, replicas: int = 9, spec: Obj | None = None, **load: Any
) -> AsyncIterator[Scene]:
    """Gateways that serve their first revision under traffic; nothing is left of them afterwards. `spec`: more of it."""
    stage = Stage(api, cast, poll=0.1)
    await stage.clear()
    gateway = objects.deployment(cast)
    gateway["spec"].update(spec or {})
    gateway["spec"]["replicas"] = replicas
    del gateway["spec"]["circuitBreaker"]  # the defaults
    gateway["spec"]["rollout"]["steps"] = [{"weight": "10%", "minDuration": "30s"}]
    gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5
    scene = Scene(stage, setting, policy(cast))
    async with under_traffic(stage, scene.wanted, gateway, setting.latency, {**setting.load, **load}):
        yield scene


@asynccontextmanager
async def under_traffic(
    stage: Stage, wanted: Obj, gateway: Obj, latency: str, load: Mapping[str, Any]
) -> AsyncIterator[None]:
    """A gateway of this policy serves, and is asked; nothing is left of it afterwards."""
    await stage.apply(wanted)
    await stage.apply(gateway)
    stage.watch()
    try:
        await stage.until(lambda: stage.status.get("phase") == "Stable", 120, "the first revision serves")
        await asyncio.sleep(2)  # the node has heard of both Services
        await asyncio.to_thread(wish, f"{UPSTREAM}/latency", latency=latency)
        await stage.start_traffic(**load)
        yield
    finally:
        await stage.stop_traffic()
        await stage.close()
        await stage.clear()


def clients(seconds: float) -> int:
    """So many that none is busy when its next request is due, if an answer takes `seconds`."""
    return 1600 if seconds > 1.0 else 40


def policy(cast: Cast, version: str = "1.0.0", description: str = "", *, broad: bool = False) -> Obj:
    """The document, in a version of its own; too broad if asked for."""

    def change(document: Obj) -> None:
        if "pack" in document:
            document["pack"].update(version=version, description=description)
            terms = document["policy"]["dlp-filter"]["blocked_terms"]
        else:
            terms = document["plugins"][0]["config"]["blocked_words"]
            terms.append(f"codeword {version}")  # what makes it another document
        if broad:
            terms.append(BROAD_TERM)

    return objects.policy(cast, change)


@dataclass
class Scene:
    """Gateways under traffic, and the good document that they run."""

    stage: Stage
    setting: Setting
    wanted: Obj

    async def grow_old(self) -> None:
        """Traffic, then another operator, as after an upgrade: it knows the block rate from what the pods have counted.

        Else its view of the active revision is that of the first minute of a new Service, in which blocks are counted at
        once and the first allowed answers still under way: a rate that seems to be higher, and to scatter.
        """
        await asyncio.sleep(BEFORE_RESTART)
        for pod in await self.stage.api.list(PODS, OPERATOR, {"app.kubernetes.io/name": "keeptrusts-operator"}):
            await self.stage.api.delete(PODS, OPERATOR, pod["metadata"]["name"])
        await asyncio.sleep(AFTER_RESTART)

    async def bad_in_a_row(self, runs: int, what: str) -> tuple[list[Bad], list[str]]:
        """So many over-broad changes; and why others gave no numbers: a run that an API call fails is not the end."""
        out: list[Bad] = []
        failed: list[str] = []
        for number in range(runs):
            said = f"{what} {number + 1}/{runs}"
            try:
                out.append(await self.bad(number))
                print(f"{said}: {out[-1]}", flush=True)
            except (ApiError, TimeoutError) as error:
                failed.append(f"run {number + 1}: {error}")
                print(f"{said}: failed: {error}", flush=True)
                await self.good_again(120)
        return out, failed

    async def bad(self, number: int, description: str = "") -> Bad:
        """An over-broad change: exposed, judged, taken back; then the good document again."""
        stage, setting = self.stage, self.setting
        assert stage.traffic is not None
        applied, revision = await self._change(policy(stage.cast, f"2.{number}.0", description, broad=True))
        await stage.until(lambda: stage.status.get("phase") in ("Canary", "RolledBack"), 60, "it is exposed")
        stage.traffic.reconnect()  # so that clients that keep their connections reach the candidate as well
        await stage.until(lambda: stage.status.get("phase") == "RolledBack", 120, "it is rolled back")
        await stage.until(lambda: self._gone(revision), 60, "its pods are gone")
        await asyncio.sleep(2.0 + 1.2 * setting.seconds)  # answers to requests that are sent again
        row = _row(stage.status["rollback"], revision, [a for a in stage.answers() if a.sent >= applied])
        await self.good_again()
        return row

    async def good_again(self, seconds: float = 30) -> None:
        """The good document again."""
        await self.stage.apply(self.wanted)
        await self.stage.until(
            lambda: self.stage.status.get("phase") == "Stable", seconds, "the good document is in force again"
        )

    async def unreadable(self, what: str, description: str) -> Good:
        """A good change whose counters cannot be read at first: it must neither be promoted nor taken back by that."""
        stage = self.stage
        good = policy(stage.cast, f"1.{int(time.time())}.0", description)
        applied, revision = await self._change(good)
        exposed = await stage.until(lambda: stage.status.get("phase") == "Canary", 60, "it is exposed")
        await stage.until(lambda: self._condition("Scrapeable") == "False", 15, "its counters cannot be read")
        left = await stage.until(lambda: stage.status.get("phase") != "Canary", 300, "the canary ends")
        with suppress(TimeoutError):
            await stage.until(lambda: stage.status.get("phase") in ("Stable", "RolledBack"), 240, "the change ends")
        phase = str(stage.status.get("phase"))
        outcome = "Promoted" if phase == "Stable" and stage.status["activeRevision"] == revision else phase
        self.wanted = good
        await stage.until(lambda: self._condition("Scrapeable") == "True", 120, "all counters are read again")
        lost = sum(a.lost for a in stage.answers() if a.sent >= applied)
        ok = outcome == "Promoted" and left - exposed >= UNREADABLE - 2.0
        words = f"left its first step {left - exposed:.0f} s after its exposure"
        return Good(what, "Promoted", outcome, round(time.time() - exposed, 1), ok, words, lost)

    async def rare(self, what: str) -> Good:
        """A good change with next to no traffic: no false alarm, and no promotion without an answer."""
        stage = self.stage
        applied, _ = await self._change(policy(stage.cast, "1.1.0"))
        exposed = await stage.until(lambda: stage.status.get("phase") == "Canary", 60, "it is exposed")
        ends = ("Held", "RolledBack", "Stable")
        await stage.until(lambda: stage.status.get("phase") in ends, QUARTER + 120, "it ends, or is held")
        status, lost = stage.status, sum(a.lost for a in stage.answers() if a.sent >= applied)
        reason = status.get("rollout", {}).get("held", {}).get("reason", "")
        outcome = f"Held: {reason}" if status["phase"] == "Held" else str(status["phase"])
        ok = outcome in ("Held: Inconclusive", "Stable")
        return Good(what, "Held: Inconclusive", outcome, round(time.time() - exposed, 1), ok, status["message"], lost)

    async def _change(self, wanted: Obj) -> tuple[float, str]:
        """When it was applied, and its revision."""
        stage = self.stage
        before = stage.status["desiredRevision"]
        applied = await stage.apply(wanted)
        await stage.until(lambda: stage.status.get("desiredRevision") != before, 30, "the change is noticed")
        return applied, str(stage.status["desiredRevision"])

    async def _gone(self, revision: str) -> bool:
        return not await self.stage.api.list(PODS, NAMESPACE, {names.LABEL_REVISION: revision})

    def _condition(self, type_: str) -> str:
        conditions = self.stage.status.get("conditions", ())
        return next((str(c["status"]) for c in conditions if c["type"] == type_), "")


def _row(record: Obj, revision: str, answers: list[Answer]) -> Bad:
    """What became of the requests since the change was applied.

    What blocks a prompt that only an over-broad policy blocks is the bad revision, whether the gateway says so or not.
    A request that was sent again because its connection broke had reached it too: no other pod ended meanwhile.
    """
    answers = [replace(a, revision=revision) if a.wrongly_blocked else a for a in answers]
    mine = [a for a in answers if a.revision == revision and not a.lost]
    detected, issued = (parse_time(record[key]).timestamp() for key in ("detectedAt", "issuedAt"))
    effective = max(issued, last_new_connection_of(answers, revision) or issued)
    cut = [a for a in answers if a.retried and a.revision != revision and a.sent <= effective]
    first = min(a.sent for a in (*mine, *cut))
    last = last_answer_of(mine, revision) or effective
    return Bad(
        detected=round(detected - first, 3),
        issued=round(issued - first, 3),
        effective=round(effective - first, 3),
        last_answer=round(last - first, 3),
        reached_until_effective=sum(a.sent <= effective for a in (*mine, *cut)),
        answered_until_effective=sum(a.done <= effective for a in mine),
        wrongly_blocked=sum(a.wrongly_blocked for a in mine),
        answered=len(mine),
        lost=sum(a.lost for a in answers),
        sentence=str(record["message"]),
    )
