"""GETs to pods: what is no proper answer is none, and what is asked at once is bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from keeptrusts_operator.gateways.asking import MAX_BODY, Asker


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/small")

    async def stalls(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    async def small(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("Authorization", "no token"))

    async def big(_: web.Request) -> web.Response:
        return web.Response(text="x" * (MAX_BODY + 1))

    app = web.Application()
    app.router.add_get("/small", small)
    app.router.add_get("/big", big)
    app.router.add_get("/moved", moved)
    app.router.add_get("/half", stalls)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_an_answer_is_told_with_its_status_and_the_token_was_sent(server: str) -> None:
    async with Asker() as asker:
        answer = await asker.get(f"{server}/small", {"Authorization": "Bearer t"})
        missing = await asker.get(f"{server}/missing", {})
    assert answer is not None
    assert missing is not None
    assert (answer.ok, answer.text, missing.ok, missing.status) == (True, "Bearer t", False, 404)


async def test_a_redirect_is_not_followed(server: str) -> None:
    async with Asker() as asker:
        answer = await asker.get(f"{server}/moved", {"Authorization": "Bearer t"})
    assert answer is not None
    assert answer.status == 302


@pytest.mark.parametrize("path", ["/big", "/half"])
async def test_a_page_too_big_or_cut_off_is_no_answer(server: str, path: str) -> None:
    async with Asker() as asker:
        assert await asker.get(server + path, {}) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::1", "http://127.0.0.1:99999/"])
async def test_nobody_there_or_no_address_is_no_answer(url: str) -> None:
    async with Asker() as asker:
        assert await asker.get(url, {}) is None
