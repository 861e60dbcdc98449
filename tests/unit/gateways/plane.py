"""The stand-in control plane on a loopback port, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp.test_utils import TestServer

from tests.cluster.workloads.controlplane.server import ControlPlane

TOKEN = "t0ken"


@asynccontextmanager
async def serving(token: str = TOKEN) -> AsyncIterator[tuple[ControlPlane, str]]:
    """A server, and its base URL."""
    plane = ControlPlane(token)
    server = TestServer(plane.app(), host="127.0.0.1")
    await server.start_server()
    try:
        yield plane, str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


def ago(seconds: float) -> str:
    """A time as events carry it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def event(verdict: str = "allow", seconds: float = 1.0, **more: Any) -> dict[str, Any]:
    """A decision event of `seconds` ago."""
    return {"timestamp": ago(seconds), "gateway_id": "gw", "user_id": "ada", "config_version": "1.5.0"} | {
        "verdict": verdict,
        **more,
    }
