"""Gateway pods asked over loopback: nobody who is silent, hung or too talkative delays what the others say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import httpx
import pytest
from aiohttp import web

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.api.profiles import KEEPTRUSTS
from keeptrusts_operator.core.judgement import Verdict
from keeptrusts_operator.core.world import GatewayHealth, Pack
from keeptrusts_operator.gateways.asking import MAX_BODY, Asker
from keeptrusts_operator.gateways.judging import Case
from keeptrusts_operator.gateways.pods import Target
from keeptrusts_operator.gateways.watch import Aim, GatewayWatch, Heard

A, B = "aaaaaaaaaa", "bbbbbbbbbb"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Gateway:
    """One pod; `answers` replaces what it says by path."""

    allowed: int = 0
    blocked: int = 0
    health: str = "healthy"
    version: str = "1.0.0"
    asked: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path in self.answers:
            return await self.answers[request.path](request)
        if request.path == "/metrics":
            lines = [f'keeptrusts_decisions_total{{decision="allowed"}} {self.allowed}']
            lines += [f'keeptrusts_decisions_total{{decision="blocked"}} {self.blocked}'] if self.blocked else []
            return web.Response(text="\n".join(lines) + "\n")
        if request.path == "/keeptrusts/config":
            return web.json_response({"pack": {"name": "support", "version": self.version}})
        return web.json_response({"status": self.health})

    def pages(self) -> int:
        return self.asked.count("/metrics")


async def never(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def trickle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"# still there\n")
        await asyncio.sleep(0.1)


class Pods:
    """Gateways on 127.0.0.1, 127.0.0.2 …, all on one port as pods of one Deployment are, and the watch on them."""

    def __init__(self, asker: Asker, client: httpx.AsyncClient, port: int, gateways: dict[str, Gateway]) -> None:
        self.gateways, self._settings, self.woken = gateways, replace(KEEPTRUSTS, port=port), 0
        self.watch = GatewayWatch(asker, client, self._wake)
        self.targets: tuple[Target, ...] = ()

    def _wake(self) -> None:
        self.woken += 1

    def aim(self, case: Case | None = None, period: float = 0.1, path: str = "/metrics") -> None:
        settings = replace(self._settings, metrics=replace(self._settings.metrics, path=path))
        self.watch.aim(Aim(self.targets, settings, A, period, case=case))

    @property
    def heard(self) -> Heard:
        return self.watch.heard(datetime.now(UTC))

    async def until(self, what: Callable[[], bool], seconds: float = 15.0) -> float:
        """How long it took."""
        begun = time.monotonic()
        while not what():
            assert time.monotonic() < begun + seconds, "it never came"
            await asyncio.sleep(0.01)
        return time.monotonic() - begun


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    gateways = {f"127.0.0.{n}": Gateway() for n in (1, 2, 3)}

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        return await gateways[request.transport.get_extra_info("sockname")[0]].handle(request)

    app = web.Application()
    app.router.add_get("/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = int(runner.addresses[0][1])
    for ip in ("127.0.0.2", "127.0.0.3"):
        await web.TCPSite(runner, ip, port).start()
    async with Asker() as asker, httpx.AsyncClient(trust_env=False) as client:
        made = Pods(asker, client, port, gateways)
        made.targets = (Target("a1", "127.0.0.1", A), Target("b1", "127.0.0.2", B), Target("b2", "127.0.0.3", B))
        task = asyncio.create_task(made.watch.run())
        yield made
        assert not task.done(), "it ended by itself"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await runner.cleanup()


async def test_what_pods_say_is_known_after_two_looks_and_wakes_the_loop(pods: Pods) -> None:
    pods.gateways["127.0.0.3"].health = "unhealthy"
    pods.aim()
    await pods.until(
        lambda: (
            all(s.health is not GatewayHealth.UNKNOWN for s in pods.heard.samples.values())
            and len(pods.heard.samples) == 3
        )
    )
    samples = pods.heard.samples
    assert [samples[u].health for u in ("a1", "b1", "b2")] == [GatewayHealth.HEALTHY] * 2 + [GatewayHealth.UNHEALTHY]
    assert samples["b1"].loaded == Pack("support", "1.0.0")
    woken = pods.woken
    assert woken > 0
    await pods.until(lambda: pods.gateways["127.0.0.1"].pages() >= 6)
    assert pods.woken == woken, "nothing new"
    pods.gateways["127.0.0.1"].version = "2.0.0"
    await pods.until(lambda: pods.woken > woken)
    assert pods.heard.samples["a1"].loaded == Pack("support", "2.0.0")


@pytest.mark.parametrize("silence", [never, trickle])
async def test_a_silent_pod_delays_nobody_and_is_asked_again(
    pods: Pods, silence: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, other = pods.gateways["127.0.0.2"], pods.gateways["127.0.0.1"]
    silent.answers["/metrics"] = silence
    pods.aim()
    await pods.until(lambda: silent.pages() == 1)
    before = other.pages()
    took = await pods.until(lambda: other.pages() >= before + 3)
    assert took < 2.5, "three times the silence would be three seconds and more"
    assert silent.pages() <= 3, "one question at a time"
    await pods.until(lambda: pods.heard.scrape is not None and "no answer from /metrics" in pods.heard.scrape.why)
    silent.answers.clear()
    await pods.until(lambda: pods.heard.scrape is not None and pods.heard.scrape.read == 3)


async def test_pages_that_say_nothing_are_told_and_count_nothing(pods: Pods) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text=texts[0], status=statuses[0])

    pods.gateways["127.0.0.2"].answers["/metrics"] = page
    texts, statuses = ["<html>Sign in</html>"], [200]
    pods.aim()
    for text, status, why in (
        ("<html>Sign in</html>", 200, "not a page of metrics"),
        ("", 403, "HTTP 403"),
        ("x" * (MAX_BODY + 1), 200, "no answer"),
        ('keeptrusts_decisions_total{decision="allowed"} NaN\n', 200, "is nan"),
    ):
        texts[0], statuses[0] = text, status
        await pods.until(lambda why=why: pods.heard.scrape is not None and why in pods.heard.scrape.why)  # type: ignore[misc]
        scrape = pods.heard.scrape
        assert scrape is not None
        assert (scrape.read, scrape.of) == (2, 3)


async def test_a_page_cut_short_by_the_connection_is_no_page(pods: Pods) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'keeptrusts_decisions_total{decision="blocked"} 9\n')
        assert request.transport is not None
        request.transport.abort()
        return response

    pods.gateways["127.0.0.2"].answers["/metrics"] = cut
    pods.aim()
    await pods.until(lambda: pods.heard.scrape is not None and "no answer" in pods.heard.scrape.why)


async def test_a_trip_wakes_the_loop_within_a_look(pods: Pods) -> None:
    case = Case("r1", A, B, "Canary/0/running", 0.5, CircuitBreaker(), counted_late=False)
    stable, bad = pods.gateways["127.0.0.1"], pods.gateways["127.0.0.2"]
    stable.allowed, stable.blocked = 100_000, 2_000
    targets = pods.targets
    pods.targets = targets[:1]
    pods.aim(case)
    await pods.until(lambda: stable.pages() >= 2)
    pods.targets = targets[:2]
    pods.aim(case)
    await pods.until(lambda: bad.pages() >= 3)
    woken = pods.woken
    for _ in range(40):
        stable.allowed, stable.blocked = stable.allowed + 49, stable.blocked + 1
        bad.allowed, bad.blocked = bad.allowed + 30, bad.blocked + 20
        await asyncio.sleep(0.05)
    await pods.until(lambda: pods.heard.judgement is not None and pods.heard.judgement.verdict is Verdict.TRIP)
    assert pods.woken > woken
    assert pods.heard.judgement is not None
    assert pods.heard.judgement.checkpoint


async def test_other_settings_are_another_question(pods: Pods) -> None:
    """An answer to the old one does not enter the new books, and its pod is asked at once."""
    slow = pods.gateways["127.0.0.2"]
    slow.answers["/metrics"] = never
    pods.aim(period=30.0)
    await pods.until(lambda: slow.pages() == 1)

    async def other(request: web.Request) -> web.StreamResponse:
        return web.Response(text='keeptrusts_decisions_total{decision="allowed"} 3\n')

    for gateway in pods.gateways.values():
        gateway.answers["/other"] = other
    pods.aim(period=30.0, path="/other")
    took = await pods.until(lambda: pods.heard.scrape is not None and pods.heard.scrape.read == 3)
    assert took < 1.0


async def test_an_old_sample_is_none(pods: Pods) -> None:
    now = [100.0]
    async with Asker() as asker, httpx.AsyncClient(trust_env=False) as client:
        watch = GatewayWatch(asker, client, lambda: None, monotonic=lambda: now[0])
        settings = replace(KEEPTRUSTS, port=pods._settings.port)
        watch.aim(Aim(pods.targets, settings, A, 1.0))
        task = asyncio.create_task(watch.run())
        await pods.until(lambda: len(watch.heard(datetime.now(UTC)).samples) == 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        now[0] += 10.0
        assert watch.heard(datetime.now(UTC)).samples == {}
