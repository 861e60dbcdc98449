"""A real Prometheus server as the source: it scrapes two pages, and is asked as the operator asks it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from keeptrusts_operator.api.circuit_breaker import PrometheusSource
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.prometheus import Evaluated, Evaluation, NotEvaluated, PrometheusCounters
from keeptrusts_operator.gateways.promql import Value, ask
from tests.tools.needed import tool

REVISION = "9b1e0c4d2a"
CONFIG = """\
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs:
- job_name: gateways
  static_configs: [{{targets: ["127.0.0.1:{a}", "127.0.0.1:{b}"], labels: {{revision: {revision}}}}}]
"""


@dataclass
class Page:
    """One gateway's page, which can go away and come back at its port."""

    port: int
    allowed: int = 100
    blocked: int = 2
    _runner: web.AppRunner | None = field(default=None)

    async def start(self) -> None:
        async def metrics(_: web.Request) -> web.Response:
            counts = (("allowed", self.allowed), ("blocked", self.blocked))
            lines = [f'keeptrusts_decisions_total{{decision="{word}"}} {n}\n' for word, n in counts]
            return web.Response(text="".join(lines), headers={"content-type": "text/plain; version=0.0.4"})

        app = web.Application()
        app.router.add_get("/metrics", metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        self._runner = None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
async def pages() -> AsyncIterator[tuple[Page, Page]]:
    both = Page(free_port()), Page(free_port())
    for page in both:
        await page.start()
    yield both
    for page in both:
        await page.stop()


@pytest.fixture
def server(tmp_path: Path, pages: tuple[Page, Page]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process, and its URL."""
    binary = tool("prometheus")
    config, port = tmp_path / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(a=pages[0].port, b=pages[1].port, revision=REVISION))
    flags = [
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = subprocess.Popen([binary, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield process, f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


async def ready(client: httpx.AsyncClient, url: str) -> None:
    for _ in range(200):
        try:
            if (await client.get(f"{url}/-/ready")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("Prometheus did not become ready")


async def test_sums_of_a_real_server(pages: tuple[Page, Page], server: tuple[subprocess.Popen[bytes], str]) -> None:
    (process, url), (first, second) = server, pages
    selector = 'revision="$revision"'
    source = PrometheusSource(
        url,
        f"sum(keeptrusts_decisions_total{{{selector}}})",
        f'sum(keeptrusts_decisions_total{{{selector},decision="blocked"}})',
    )
    async with httpx.AsyncClient(timeout=5) as client:
        counters = PrometheusCounters(client, source)

        async def scraped(requests: float | None) -> Evaluation:
            """Once the server has this sum (None: no series), as the operator sees it."""
            for _ in range(300):
                answer = await ask(client, url, source.requests_query.replace("$revision", REVISION))
                if (answer.value if isinstance(answer, Value) else answer) == requests:
                    return (await counters.evaluate([REVISION]))[REVISION]
                await asyncio.sleep(0.1)
            raise AssertionError(f"the sum is not {requests} but {answer}")

        def why(evaluation: Evaluation) -> str:
            assert isinstance(evaluation, NotEvaluated), evaluation
            return evaluation.why

        await ready(client, url)
        assert "this is the first look" in why(await scraped(204))
        first.allowed, first.blocked = first.allowed + 50, first.blocked + 20
        grown = await scraped(274)
        assert isinstance(grown, Evaluated)
        assert grown.increment == Increment(requests=70, blocked=20)
        assert grown.age is not None
        await second.stop()
        assert "a sum fell" in why(await scraped(172))
        await second.start()
        assert "a sum jumped after it had fallen" in why(await scraped(274))
        first.allowed += 10
        grown = await scraped(284)
        assert isinstance(grown, Evaluated)
        assert grown.increment == Increment(requests=10)
        await first.stop()
        await second.stop()
        assert "no series" in why(await scraped(None))
        process.kill()
        process.wait()
        assert "requestsQuery: " in why((await counters.evaluate([REVISION]))[REVISION])
