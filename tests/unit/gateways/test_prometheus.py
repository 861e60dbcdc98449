"""Prometheus as a source, over loopback: nothing but a number is ever taken for one."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest
from aiohttp import web

from keeptrusts_operator.api.circuit_breaker import PrometheusSource
from keeptrusts_operator.gateways import promql
from keeptrusts_operator.gateways.counters import Increment
from keeptrusts_operator.gateways.prometheus import STALE, Evaluated, Evaluation, NotEvaluated, PrometheusCounters
from keeptrusts_operator.gateways.promql import NoAnswer, Value, ask, newest_sample

REQUESTS = 'sum(decisions_total{revision="$revision"})'
BLOCKED = 'sum(decisions_total{revision="$revision",decision="blocked"})'
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers instant queries with sums of series that a test sets; `answer` replaces all of that."""

    def __init__(self) -> None:
        self.now, self.scraped = 1_000.0, 1_000.0
        self.sums: dict[str, float | None] = {}
        self.answer: Answer | None = None
        self.queries: list[str] = []
        self.path = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.path = request.path
        query = request.query["query"]
        self.queries.append(query)
        if self.answer:
            return await self.answer(request)
        if query.startswith("max(timestamp("):
            return answered([[self.now, f"{self.scraped}"]])
        value = self.sums.get(query)
        return answered([] if value is None else [[self.now, f"{value:g}"]])

    def scrape(self, requests: float, blocked: float | None, revision: str = "a", seconds: float = 5.0) -> None:
        self.now += seconds
        self.scraped = self.now - 2.0
        self.sums[REQUESTS.replace("$revision", revision)] = requests
        self.sums[BLOCKED.replace("$revision", revision)] = blocked


def answered(values: list[Any], **envelope: Any) -> web.Response:
    result = [{"metric": {}, "value": v} for v in values]
    return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}, **envelope})


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    made = Server()
    app = web.Application()
    app.router.add_get("/{tail:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield made, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as made:
        yield made


Counters = Callable[[], Awaitable[Evaluation]]


@pytest.fixture
def evaluate(server: tuple[Server, str], client: httpx.AsyncClient) -> Counters:
    counters = PrometheusCounters(client, PrometheusSource(server[1], REQUESTS, BLOCKED))

    async def once() -> Evaluation:
        return (await counters.evaluate(["a"]))["a"]

    return once


async def test_growth_between_two_evaluations(server: tuple[Server, str], evaluate: Counters) -> None:
    prometheus, _ = server
    prometheus.scrape(1000, 20)
    assert isinstance(await evaluate(), NotEvaluated)  # nothing to compare with: 1000 is a lifetime
    prometheus.scrape(1040, 38)
    assert await evaluate() == Evaluated(Increment(40, 18), 5.0, 2.0)
    prometheus.scrape(1040, 38, seconds=15.0)
    assert await evaluate() == Evaluated(Increment(0, 0), 15.0, 2.0)


async def test_revisions_are_asked_apart_and_forgotten_when_they_are_not_asked_for(
    server: tuple[Server, str], client: httpx.AsyncClient
) -> None:
    prometheus, url = server
    counters = PrometheusCounters(client, PrometheusSource(f"{url}/prom/?tenant=t", REQUESTS, BLOCKED))
    for step in (1.0, 2.0):
        prometheus.scrape(100 * step, step, "a")
        prometheus.scrape(10 * step, 5 * step, "b", seconds=0.0)
        found = await counters.evaluate(["a", "b"])
    assert found["a"] == Evaluated(Increment(100, 1), 5.0, 2.0)
    assert found["b"] == Evaluated(Increment(10, 5), 5.0, 2.0)
    assert prometheus.path == "/prom/api/v1/query"
    assert set(await counters.evaluate(["b"])) == {"b"}
    prometheus.scrape(300, 3)
    assert isinstance((await counters.evaluate(["a"]))["a"], NotEvaluated)


async def test_a_failed_evaluation_is_covered_by_the_next(server: tuple[Server, str], evaluate: Counters) -> None:
    prometheus, _ = server
    prometheus.scrape(100, 1)
    await evaluate()
    prometheus.answer = lambda _: _respond(web.Response(status=503))
    assert isinstance(await evaluate(), NotEvaluated)
    prometheus.answer = None
    prometheus.scrape(160, 4, seconds=30.0)
    assert await evaluate() == Evaluated(Increment(60, 3), 30.0, 2.0)


async def test_blocked_series_that_do_not_exist_yet_are_nothing_blocked_but_they_may_not_go(
    server: tuple[Server, str], evaluate: Counters
) -> None:
    prometheus, _ = server
    prometheus.scrape(100, None)
    await evaluate()
    prometheus.scrape(110, None)
    none = await evaluate()
    assert isinstance(none, Evaluated)
    assert (none.increment, bool(none.note)) == (Increment(10, 0), True)
    prometheus.scrape(120, 3)
    assert await evaluate() == Evaluated(Increment(10, 3), 5.0, 2.0)
    prometheus.scrape(130, None)
    assert await evaluate() == NotEvaluated("blockedQuery: its series have gone")
    prometheus.scrape(140, 4)
    assert await evaluate() == Evaluated(Increment(20, 1), 10.0, 2.0)


async def test_requests_without_series_are_not_zero(server: tuple[Server, str], evaluate: Counters) -> None:
    server[0].sums = {}
    said = await evaluate()
    assert isinstance(said, NotEvaluated)
    assert said.why.startswith("requestsQuery: no series")


async def test_a_pod_that_goes_and_comes_back_is_no_traffic(server: tuple[Server, str], evaluate: Counters) -> None:
    prometheus, _ = server
    story = [(10_000, 200), (10_050, 201), (6_700, 134), (6_750, 135), (10_150, 203), (10_200, 204)]
    said = []
    for requests, blocked in story:
        prometheus.scrape(requests, blocked)
        said.append(await evaluate())
    counted = [e.increment.requests if isinstance(e, Evaluated) else None for e in said]
    assert counted == [None, 50, None, 50, None, 50]


@pytest.mark.parametrize(
    ("story", "counted"),
    [
        # two pods come back one by one
        ([(3000, 60), (1000, 20), (2010, 41), (3020, 62), (3120, 64)], [None, None, None, None, 100]),
        # a pod with a few requests goes, hidden by the requests of others; its blocked ones tell
        ([(3000, 60), (3010, 20), (3020, 60), (3030, 61)], [None, None, None, 10]),
    ],
)
async def test_pods_that_come_back_by_parts_and_ones_that_hide(
    server: tuple[Server, str], evaluate: Counters, story: list[tuple[int, int]], counted: list[float | None]
) -> None:
    said = []
    for requests, blocked in story:
        server[0].scrape(requests, blocked)
        said.append(await evaluate())
    assert [e.increment.requests if isinstance(e, Evaluated) else None for e in said] == counted


async def test_a_restart_costs_one_evaluation(server: tuple[Server, str], evaluate: Counters) -> None:
    prometheus, _ = server
    story = [(10_000, 200), (5_000, 100), (5_050, 101), (5_100, 102), (5_150, 103)]
    said = []
    for requests, blocked in story:
        prometheus.scrape(requests, blocked)
        said.append(isinstance(await evaluate(), Evaluated))
    assert said == [False, False, True, True, True]


async def test_what_fell_long_ago_does_not_hide_traffic(server: tuple[Server, str], evaluate: Counters) -> None:
    prometheus, _ = server
    for requests, blocked, seconds in ((100, 1, 5), (40, 1, 5), (41, 1, 301)):
        prometheus.scrape(requests, blocked, seconds=seconds)
        await evaluate()
    prometheus.scrape(141, 1)
    assert await evaluate() == Evaluated(Increment(100, 0), 5.0, 2.0)


async def test_old_samples_and_cached_answers_say_nothing(server: tuple[Server, str], evaluate: Counters) -> None:
    prometheus, _ = server
    prometheus.scrape(100, 1)
    await evaluate()
    said = await evaluate()  # the same evaluation again
    assert isinstance(said, NotEvaluated)
    assert "cache" in said.why
    prometheus.scrape(110, 1)
    prometheus.scraped = prometheus.now - STALE - 1
    said = await evaluate()
    assert isinstance(said, NotEvaluated)
    assert "91 s old" in said.why


def always(body: str) -> Answer:
    return lambda _: _respond(text(body))


async def _respond(response: web.StreamResponse) -> web.StreamResponse:
    return response


def text(body: str | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=body.encode() if isinstance(body, str) else body,
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
    )


def vector(value: Any, at: Any = 1000.5) -> str:
    return json.dumps(
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [at, value]}]}}
    )


NOT_A_NUMBER = {
    "NaN": text(vector("NaN")),
    "infinity": text(vector("+Inf")),
    "negative": text(vector("-1")),
    "a number that only Python reads": text(vector("1_000")),
    "too large": text(vector("1e999")),
    "a number, not a string": text(vector(12)),
    "null": text(vector(None)),
    "a time that is none": text(vector("1", at="now")),
    "a time that is true": text(vector("1", at=True)),
    "a time beyond all times": text(vector("1").replace("1000.5", "1" + "0" * 400)),
    "bare NaN": text(vector("1").replace("1000.5", "NaN")),
    "several series": answered([[1.0, "1"], [1.0, "2"]]),
    "a native histogram": text(vector("1").replace('"value"', '"histogram"')),
    "a matrix": text('{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}'),
    "a scalar": text('{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}'),
    "no data": text('{"status":"success"}'),
    "no result": text('{"status":"success","data":{"resultType":"vector"}}'),
    "an error with 200": text('{"status":"error","errorType":"bad_data","error":"parse error","data":{}}'),
    "an error with 422": text('{"status":"error","errorType":"execution","error":"many-to-many"}', status=422),
    "success with 500": text(vector("12"), status=500),
    "success with 206": text(vector("12"), status=206),
    "a part": answered([[1.0, "1"]], warnings=["store b did not answer"]),
    "HTML": web.Response(text="<html>Sign in</html>", content_type="text/html"),
    "a list": text("[1]"),
    "half": text(vector("12")[:-4]),
    "nothing": text(""),
    "not UTF-8": text(b"\xff\xfe"),
    "deep": text("[" * 100_000),
    "redirect": text("", status=302, headers={"Location": "/elsewhere"}),
    "too long": text(vector("1") + " " * (1 << 19)),
    "compressed unasked": text(gzip.compress(vector("1").encode()), headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", NOT_A_NUMBER)
async def test_what_is_no_number_is_none(server: tuple[Server, str], client: httpx.AsyncClient, name: str) -> None:
    prometheus, url = server
    prometheus.answer = lambda _: _respond(NOT_A_NUMBER[name])
    said = await ask(client, url, "q")
    assert isinstance(said, NoAnswer)
    assert said.why
    assert len(said.why) <= 300


async def test_numbers_and_no_series(server: tuple[Server, str], client: httpx.AsyncClient) -> None:
    prometheus, url = server
    for written, value in (("12", 12.0), ("1.5e+06", 1.5e6), ("0", 0.0)):
        prometheus.answer = always(vector(written))
        assert await ask(client, url, "q") == Value(value, 1000.5)
    prometheus.answer = lambda _: _respond(answered([], infos=["metric might not be a counter"]))
    assert await ask(client, url, "q") is None


async def test_a_server_that_never_ends_is_given_up(
    server: tuple[Server, str], client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    prometheus, url = server

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b" ")
            await asyncio.sleep(0.02)
        return response

    prometheus.answer = trickle
    monkeypatch.setattr(promql, "TIMEOUT", 0.2)
    said = await asyncio.wait_for(ask(client, url, "q"), 2)
    assert isinstance(said, NoAnswer)
    assert said.why.startswith("no answer within")


async def test_a_server_that_is_not_there_and_a_url_that_is_none(client: httpx.AsyncClient) -> None:
    for url in ("http://user:secret@127.0.0.1:1/", "http://[", "https://\u2028"):
        said = await ask(client, url, "q")
        assert isinstance(said, NoAnswer)
        assert "secret" not in said.why


@pytest.mark.parametrize(
    ("query", "newest"),
    [
        ('sum(a_total{r="x"})', 'max(timestamp(a_total{r="x"}))'),
        (" sum ( a:b ) ", "max(timestamp(a:b))"),
        ('sum(a{r=~"x|}y", s=\'"\'})', 'max(timestamp(a{r=~"x|}y", s=\'"\'}))'),
        ("sum(a) + sum(b)", ""),
        ('sum(a{r="x"}) or vector(0)', ""),
        ('sum(increase(a{r="x"}[5m]))', ""),
        ('sum by (x) (a{r="x"})', ""),
        ('sum(a{r="x})', ""),
    ],
)
def test_the_newest_sample_is_asked_for_where_the_query_allows(query: str, newest: str) -> None:
    assert newest_sample(query) == newest
