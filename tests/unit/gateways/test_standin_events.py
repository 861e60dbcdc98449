"""The stand-in gateway tells its control plane what it decided, and never waits for it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from tests.cluster.workloads.standin import events as module
from tests.cluster.workloads.standin.events import MAX_WAITING, Events, client_of
from tests.cluster.workloads.standin.policy import Decision, Detector, Policy
from tests.unit.gateways.plane import TOKEN, serving

POLICY = Policy(
    "support", "1.5.0", ("dlp-filter", "audit-logger"), (Detector("dlp-filter", (re.compile("x"),), "block"),), "", ""
)


@asynccontextmanager
async def posting(url: str) -> AsyncIterator[Events]:
    events = Events.of({"KEEPTRUSTS_API_URL": url, "KEEPTRUSTS_API_TOKEN": TOKEN, "KEEPTRUSTS_GATEWAY_ID": "gw-1"})
    context = events.while_serving(web.Application())
    await anext(context)
    yield events
    with suppress(StopAsyncIteration):
        await anext(context)


async def test_decisions_arrive_with_everything_that_a_trip_is_confirmed_by() -> None:
    async with serving() as (server, url), posting(url) as events:
        events.decided(POLICY.decide("x"), POLICY, "ada")
        events.decided(Decision("escalate", "human-oversight"), POLICY, "bob")
        async with asyncio.timeout(5):
            while len(server.events) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    block = server.events[0]
    assert (block["verdict"], block["user_id"], block["config_version"]) == ("block", "ada", "1.5.0")
    assert (block["gateway_id"], block["reason_code"]) == ("gw-1", "dlp_filter.detected")
    assert [p["result"] for p in block["policies_evaluated"]] == ["block", "pass"]
    assert len(server.escalations) == 1


async def test_nothing_waits_for_a_server_that_hangs_and_what_is_too_much_is_dropped() -> None:
    async with serving() as (server, url), posting(url) as events:
        server.faults[""] = "hang"
        began = time.monotonic()
        for _ in range(MAX_WAITING + 100):
            events.decided(Decision("allow"), POLICY, "ada")
        assert time.monotonic() - began < 5
        assert events._waiting.qsize() == MAX_WAITING


async def test_what_could_not_be_posted_is_posted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_AFTER_FAILURE", 0.01)
    async with serving() as (server, url), posting(url) as events:
        server.faults[""] = "500"
        events.decided(Decision("allow"), POLICY, "ada")
        async with asyncio.timeout(5):
            while len(server.calls) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert not server.events
            server.faults[""] = ""
            while not server.events:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_without_an_api_nothing_is_kept() -> None:
    events = Events.of({})
    events.decided(Decision("allow"), POLICY, "ada")
    assert events._waiting.empty()


def test_the_client_is_named_by_a_header_or_the_body() -> None:
    assert client_of({"x-user-id": "ada"}, {"user": "bob"}) == "ada"
    assert client_of({}, {"user": "bob"}) == "bob"
    assert client_of({}, {}) == ""
