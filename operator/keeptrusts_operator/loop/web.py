"""/metrics, /healthz and /readyz."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from keeptrusts_operator.loop.telemetry import Telemetry


class Web:
    """A small server in the loop it reports on: that it answers at all proves that the loop runs."""

    def __init__(self, telemetry: Telemetry, readiness: Callable[[], str]) -> None:
        self._telemetry, self._readiness = telemetry, readiness
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> None:
        """Listen on all addresses."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, None, port).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        # In a thread: a page of hundreds of gateways takes a tenth of a second, in which no rollback would be issued.
        body = await asyncio.to_thread(generate_latest, self._telemetry.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        problem = self._readiness()
        return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)
