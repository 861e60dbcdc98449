"""The stand-in's bad pages of metrics, and what the operator's own reader makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from aiohttp.test_utils import TestServer

from keeptrusts_operator.api.gateway import Profile
from keeptrusts_operator.api.profiles import PROFILES
from keeptrusts_operator.gateways.counters import NotMetrics, Page, read_page
from tests.cluster.workloads.standin.server import Gateway
from tests.e2e.objects import document

KEEPTRUSTS = PROFILES[Profile.KEEPTRUSTS].metrics


@asynccontextmanager
async def running(folder: Path, description: str) -> AsyncIterator[httpx.AsyncClient]:
    """A stand-in gateway with a document, and a client of it."""
    path = folder / "policy-config.yaml"
    path.write_text(yaml.safe_dump(document(description=description)))
    server = TestServer(Gateway(str(path)).app(), host="127.0.0.1")
    await server.start_server()
    try:
        async with httpx.AsyncClient(base_url=str(server.make_url("")), trust_env=False) as client:
            yield client
    finally:
        await server.close()


async def ask(client: httpx.AsyncClient) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    assert (await client.post("/v1/chat/completions", json=body)).status_code == 200


async def read(client: httpx.AsyncClient) -> Page:
    answer = await client.get("/metrics")
    answer.raise_for_status()
    return read_page(answer.text, KEEPTRUSTS)


@pytest.mark.parametrize(
    ("mode", "raises", "says"),
    [
        ("gone", httpx.RemoteProtocolError, "disconnected"),
        ("503", httpx.HTTPStatusError, "503"),
        ("nan", NotMetrics, "is nan"),
        ("html", NotMetrics, "not a page of metrics"),
    ],
)
async def test_metrics_fail_from_the_first_request_on_for_a_time(
    tmp_path: Path, mode: str, raises: type[Exception], says: str
) -> None:
    async with running(tmp_path, f"mode=metrics-{mode}:300ms") as client:
        assert sum((await read(client)).decisions.values()) == 0
        await ask(client)
        with pytest.raises(raises, match=says):
            await read(client)
        await asyncio.sleep(0.35)
        page = await read(client)
        assert sum(page.decisions.values()) == 1, "what was counted meanwhile is not lost"


async def test_a_document_without_a_mode_has_good_metrics(tmp_path: Path) -> None:
    async with running(tmp_path, "support") as client:
        await ask(client)
        assert sum((await read(client)).decisions.values()) == 1
