"""The control-plane client against the stand-in server: every dialect understood, every failure says why."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeptrusts_operator.api.references import Token
from keeptrusts_operator.gateways import control_plane
from keeptrusts_operator.gateways.control_plane import MAX_BODY, ControlPlane, ServerClock
from keeptrusts_operator.gateways.control_plane_answers import NoAnswer
from tests.cluster.workloads.controlplane.server import ControlPlane as Server
from tests.cluster.workloads.controlplane.server import Dialect
from tests.unit.gateways.plane import TOKEN, ago, event, serving


@pytest.fixture
async def plane() -> AsyncIterator[tuple[Server, ControlPlane]]:
    async with serving() as (server, url), httpx.AsyncClient(trust_env=False) as client:
        yield server, ControlPlane(client, url, Token(TOKEN))


Pair = tuple[Server, ControlPlane]
Handler = Callable[[httpx.Request], httpx.Response]


def api(handler: Handler) -> ControlPlane:
    return ControlPlane(
        httpx.AsyncClient(transport=httpx.MockTransport(handler)), "https://api.example.com/", Token("t")
    )


def says(body: object, status: int = 200) -> ControlPlane:
    return api(lambda _: httpx.Response(status, text=body if isinstance(body, str) else json.dumps(body)))


def since(seconds: float = 60.0) -> float:
    return time.monotonic() - seconds


@pytest.mark.parametrize("waiting", ["pending", "queued"])
async def test_the_backlog_under_either_word(plane: Pair, waiting: str) -> None:
    server, client = plane
    server.dialect.waiting = waiting
    for policy, seconds in (("human-oversight", 90), ("human-oversight", 30), ("bias-monitor", 10)):
        server.escalate(policy, ago(seconds))
    server.escalate("old", ago(9000))
    server.escalations[-1]["status"] = "resolved"
    backlog = await client.backlog()
    assert (backlog.total, backlog.whole) == (3, True)
    assert backlog.by_policy == {"human-oversight": 2, "bias-monitor": 1}
    assert backlog.oldest == pytest.approx(since(90), abs=2.0)


async def test_an_empty_backlog_is_known_to_be_empty(plane: Pair) -> None:
    backlog = await plane[1].backlog()
    assert (backlog.total, backlog.oldest, backlog.whole) == (0, None, True)


async def test_the_total_is_of_more_than_a_page(plane: Pair) -> None:
    for _ in range(130):
        plane[0].escalate("human-oversight")
    backlog = await plane[1].backlog()
    assert (backlog.total, backlog.whole) == (130, False)
    assert backlog.by_policy == {"human-oversight": 100}


ITEM = {"id": "1", "created_at": ago(5), "policy_name": "p"}


@pytest.mark.parametrize(
    ("answers", "total"),
    [
        ({"pending": {"data": [ITEM], "meta": {"total": 7}}, "queued": {"data": [ITEM], "meta": {"total": 7}}}, 7),
        ({"pending": {"data": [ITEM]}, "queued": {"data": [{**ITEM, "id": "2"}]}}, 2),
        ({"pending": {"data": [], "meta": {"total": 0}}, "queued": {"data": [ITEM], "meta": {"total": 30}}}, 30),
        ({"pending": {"data": [ITEM], "new": {"field": 1}}, "queued": None}, 1),
        ({"pending": [{**ITEM, "status": "pending"}, {**ITEM, "id": "2", "status": "resolved"}], "queued": None}, 1),
        # a filter that is not applied, beside one that is
        (
            {
                "pending": {"data": [ITEM], "meta": {"total": 1}},
                "queued": {"data": [{**ITEM, "status": "resolved"}], "meta": {"total": 900}},
            },
            1,
        ),
    ],
)
async def test_words_for_the_backlog_that_disagree(answers: dict[str, object], total: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        body = answers[request.url.params["status"]]
        return httpx.Response(400) if body is None else httpx.Response(200, json=body)

    assert (await api(answer).backlog()).total == total


@pytest.mark.parametrize(
    "body",
    [
        "<html>Sign in</html>",
        "",
        "null",
        "17",
        "[" * 100_000,
        {"error": "x"},
        {"data": {"a": 1}},
        {"data": "x"},
        {"data": [], "meta": {"total": -1}},
        {"data": [], "meta": {"total": "12"}},
        {"data": [], "meta": {"total": 1.5}},
        {"data": [], "meta": {"total": True}},
        '{"data": [], "meta": {"total": NaN}}',
        {"data": [{**ITEM, "status": "resolved"}], "meta": {"total": 500}},
    ],
)
async def test_what_is_no_backlog_is_no_answer(body: object) -> None:
    with pytest.raises(NoAnswer, match="/v1/escalations"):
        await says(body).backlog()


async def test_events_are_read_in_either_form(plane: Pair) -> None:
    server, client = plane
    server.add([event("block", 3, id="a", user_id="bob"), event("escalate", 2, id="b"), event("redact", 1, id="c")])
    for decision in ("decision", "verdict"):
        server.dialect.decision = decision
        page = await client.events(since())
        assert [(e.id, e.client, e.verdict) for e in page.events] == [
            ("a", "bob", "block"),
            ("b", "ada", "escalate"),
            ("c", "ada", "redact"),
        ]
        assert page.exact
        assert {(e.gateway, e.config_version) for e in page.events} == {("gw", "1.5.0")}
        assert page.events[0].at == pytest.approx(since(3), abs=1.5)


async def test_only_events_since_a_time_are_asked_for(plane: Pair) -> None:
    plane[0].add([event(seconds=30, id="old"), event(seconds=5, id="new")])
    assert [e.id for e in (await plane[1].events(since(15))).events] == ["new"]


@pytest.mark.parametrize("word", ["outcome", "verdict"])
async def test_blocked_events_with_either_filter(plane: Pair, word: str) -> None:
    server, client = plane
    server.dialect.filter = word
    server.add([event("block", 2, id="a"), event("allow", 1, id="b")])
    for _ in range(2):
        assert [e.id for e in (await client.events(since(), blocked=True)).events] == ["a"]
    asked = [c for c in server.calls if c.startswith("GET /v1/events")]
    assert len([c for c in asked if f"{word}=block" in c]) >= 2
    assert f"{word}=block" in asked[-1]
    assert f"{word}=block" in asked[-2], "a word that was refused is not tried again"


async def test_a_filter_that_is_not_applied_is_applied_here() -> None:
    page = await says({"data": [event("block", id="a"), event("allow", id="b")]}).events(since(), blocked=True)
    assert [e.id for e in page.events] == ["a"]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("size", [30, 1000])
async def test_pages_in_either_order(plane: Pair, newest_first: bool, size: int) -> None:
    server, client = plane
    server.dialect = Dialect(page=size, newest_first=newest_first)
    server.add(event(seconds=50 - i / 4, id=f"e{i:03}") for i in range(100))
    page = await client.events(since())
    assert page.events[-1].id == "e099", "the newest is never missed"
    assert page.exact
    assert [e.id for e in page.events] == sorted(e.id for e in page.events)
    if newest_first and size == 30:
        assert (len(page.events), page.since) == (30, page.events[0].at)
    else:
        assert len(page.events) == 100


async def test_more_pages_than_are_read_are_not_exact(plane: Pair) -> None:
    server, client = plane
    server.dialect = Dialect(page=20, newest_first=False)
    server.add(event(seconds=50 - i / 10, id=f"e{i:03}") for i in range(300))
    page = await client.events(since())
    assert not page.exact
    assert len(page.events) < 300


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        ({"timestamp": ago(1), "decision": "BLOCKED", "surprise": {"a": [1]}}, ("block", "")),
        ({"timestamp": ago(1), "decision": "pondered"}, ("", "")),
        ({"timestamp": ago(1), "decision": None, "verdict": "Allow"}, ("allow", "")),
        ({"created_at": ago(1), "verdict": "block", "config_version": 1.4, "user_id": ["x"]}, ("block", "1.4")),
    ],
)
async def test_events_are_read_tolerantly(item: dict[str, object], kept: tuple[str, str]) -> None:
    (read,) = (await says([item, "no object", {"timestamp": "yesterday"}, {}]).events(since())).events
    assert (read.verdict, read.config_version) == kept
    assert read.client == ""


@pytest.mark.parametrize("body", ["<html>", {"data": 3}, [{"timestamp": "yesterday"}], {"error": "x"}])
async def test_what_is_no_list_of_events_is_no_answer(body: object) -> None:
    with pytest.raises(NoAnswer, match="/v1/events"):
        await says(body).events(since())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([ago(1), "pending"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "data",
                    "meta",
                    "total",
                    "timestamp",
                    "created_at",
                    "id",
                    "verdict",
                    "decision",
                    "status",
                    "policy_name",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
async def test_whatever_comes_is_an_answer_or_none(body: object) -> None:
    with suppress(NoAnswer):
        backlog = await says(body).backlog()
        assert backlog.total >= sum(backlog.by_policy.values()) >= 0
    with suppress(NoAnswer):
        page = await says(body).events(since())
        assert [e.at for e in page.events] == sorted(e.at for e in page.events)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("500", "HTTP 500"),
        ("html", "the answer is not JSON"),
        ("cut", "the answer is not JSON"),
        ("refuse", r"the token is refused \(HTTP 401\); see spec.controlPlane.tokenSecretRef"),
        ("hang", "no answer within"),
        ("slow:2s", "no answer within"),
    ],
)
async def test_a_server_that_fails_says_why(plane: Pair, fault: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_plane, "SECONDS", 0.3)
    server, client = plane
    server.faults[""] = fault
    for call in (client.backlog, lambda: client.events(since())):
        began = time.monotonic()
        with pytest.raises(NoAnswer, match=why):
            await call()
        assert time.monotonic() - began < 1.5
    server.faults[""] = ""
    assert (await client.backlog()).total == 0


async def test_a_wrong_token_is_said_at_once() -> None:
    async with serving() as (_, url), httpx.AsyncClient(trust_env=False) as client:
        wrong = ControlPlane(client, url, Token("wrong"))
        with pytest.raises(NoAnswer, match="the token is refused") as caught:
            await wrong.events(since())
        assert "wrong" not in str(caught.value)


async def test_a_server_that_is_not_there_says_so() -> None:
    async with serving() as (_, url):
        pass
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(NoAnswer, match="ConnectError"):
            await ControlPlane(client, url, Token(TOKEN)).backlog()


async def test_the_token_never_follows_a_redirect() -> None:
    asked: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(302, headers={"Location": "https://evil.example/"})

    client = httpx.AsyncClient(transport=httpx.MockTransport(redirect), follow_redirects=True)
    with pytest.raises(NoAnswer, match="redirected"):
        await ControlPlane(client, "https://api.example.com", Token("t")).backlog()
    assert set(asked) == {"api.example.com"}


async def test_an_answer_without_end_is_cut_off() -> None:
    with pytest.raises(NoAnswer, match="more than 2 MiB") as caught:
        await says(json.dumps({"data": ["x" * MAX_BODY]})).events(since())
    assert caught.value.too_large


async def test_an_answer_byte_by_byte_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_plane, "SECONDS", 0.3)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    began = time.monotonic()
    async with server, httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(NoAnswer, match="no answer within"):
            await ControlPlane(client, f"http://127.0.0.1:{port}", Token("t")).backlog()
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("ahead", [-7200.0, 0.0, 7200.0])
async def test_the_servers_clock_decides_on_the_servers_times(ahead: float) -> None:
    there = timedelta(seconds=ahead)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        now = datetime.now(UTC) + there
        asked.append(request.url.params.get("since", ""))
        body = {"data": [{"id": "a", "timestamp": (now - timedelta(seconds=20)).isoformat()}]}
        return httpx.Response(200, json=body, headers={"Date": format_datetime(now, usegmt=True)})

    page = await api(answer).events(since(60))
    assert page.events[0].at == pytest.approx(since(20), abs=1.5)
    expected = datetime.now(UTC) + there - timedelta(seconds=60)
    assert abs((datetime.fromisoformat(asked[-1]) - expected).total_seconds()) < 1.5


async def test_a_server_whose_clock_is_set_is_followed() -> None:
    there = timedelta(0)

    def answer(request: httpx.Request) -> httpx.Response:
        now = datetime.now(UTC) + there
        body = [{"id": "a", "timestamp": (now - timedelta(seconds=20)).isoformat()}]
        return httpx.Response(200, json=body, headers={"Date": format_datetime(now, usegmt=True)})

    client = api(answer)
    for hours in (0, 3, -1):
        there = timedelta(hours=hours)
        (read,) = (await client.events(since(60))).events
        assert read.at == pytest.approx(since(20), abs=1.5)


@given(st.floats(0, 1e6), st.lists(st.floats(0.0, 1.0), min_size=20, max_size=20), st.floats(-1e5, 1e5))
def test_a_date_cut_to_seconds_never_makes_an_event_older_than_it_is(
    start: float, steps: list[float], offset: float
) -> None:
    clock, at = ServerClock(), start
    server = datetime(2026, 11, 23, tzinfo=UTC).timestamp() + offset
    for step in steps:
        at += step
        clock.learn(datetime.fromtimestamp(int(server + at), UTC), at)
        happened = datetime.fromtimestamp(server + at - 5.0, UTC)
        assert at - 5.0 - 0.01 <= clock.ours(happened) <= at - 5.0 + 1.01


def test_a_clock_that_is_set_is_followed() -> None:
    clock, then = ServerClock(), datetime(2026, 11, 23, tzinfo=UTC)
    for shift in (0, -3600, 7200, 3, -3):
        clock.learn(then + timedelta(seconds=shift), 100.0)
        assert clock.theirs(100.0) == then + timedelta(seconds=shift)
