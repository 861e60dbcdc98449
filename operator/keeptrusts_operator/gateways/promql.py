"""One instant query of Prometheus' HTTP API, and nothing but a number taken for one.

https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import httpx

TIMEOUT = 5.0  # seconds for everything: connect, send, wait, read
MAX_BODY = 1 << 18  # bytes; an answer with one number has some hundred
_LATEST = 1e11  # seconds since the epoch: the year 5138
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_STRING = r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'" + r"|`[^`]*`"
_SUM = re.compile(rf"\s*sum\s*\(\s*([a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:\{{(?:[^\"'`{{}}]|{_STRING})*\}})?)\s*\)\s*")


@dataclass(frozen=True)
class Value:
    """A number, evaluated at a time: seconds since the epoch, by the server's clock."""

    value: float
    at: float


@dataclass(frozen=True)
class NoAnswer:
    """Not a number; `why` for people. It holds nothing of the URL, which may have a password in it."""

    why: str


def newest_sample(query: str) -> str:
    """The query for when the newest sample of `sum(metric{…})` was taken; empty for a query of another form.

    The time in an answer is that of the evaluation: only `timestamp()` of plain series tells that of the samples.
    """
    found = _SUM.fullmatch(query)
    return f"max(timestamp({found.group(1).strip()}))" if found else ""


async def ask(client: httpx.AsyncClient, url: str, query: str) -> Value | NoAnswer | None:
    """A query that must give one number; None if it gives no series at all. Never raises."""
    try:
        target = _target(url).copy_merge_params({"query": query, "timeout": f"{TIMEOUT:.0f}s"})
        async with asyncio.timeout(TIMEOUT):
            return await _request(client, target)
    except TimeoutError:
        return NoAnswer(f"no answer within {TIMEOUT:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return NoAnswer(f"no answer ({type(error).__name__})")


def _target(url: str) -> httpx.URL:
    """The API below a base URL, which may have a path and parameters of its own."""
    base = httpx.URL(url)
    path, mark, parameters = base.raw_path.partition(b"?")
    return base.copy_with(raw_path=path.rstrip(b"/") + b"/api/v1/query" + mark + parameters)


async def _request(client: httpx.AsyncClient, target: httpx.URL) -> Value | NoAnswer | None:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream("GET", target, headers=headers, timeout=TIMEOUT, follow_redirects=False) as response:
        if response.is_redirect:
            return NoAnswer(f"HTTP {response.status_code}: it redirects; write the URL that it leads to")
        data = bytearray()
        async for chunk in response.aiter_raw():  # not decompressed: a small answer stays small
            data += chunk
            if len(data) > MAX_BODY:
                return NoAnswer(f"more than {MAX_BODY // 1024} KiB, where one number was asked for")
    return _read(response.status_code, response.headers.get("Content-Type", "no content type"), bytes(data))


def _read(status: int, kind: str, data: bytes) -> Value | NoAnswer | None:
    try:
        body = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NoAnswer(f"HTTP {status} without JSON ({kind[:60]})")
    if not isinstance(body, Mapping):
        return NoAnswer(f"HTTP {status} without Prometheus' envelope")
    if body.get("status") != "success" or status != httpx.codes.OK:
        error = f"{body.get('errorType', '')} {body.get('error', '')}".strip()
        return NoAnswer(f"HTTP {status} {error}".strip()[:300])
    if warnings := body.get("warnings"):  # e.g. one of several stores did not answer: the sum is a part
        return NoAnswer(f"an incomplete answer: {warnings}"[:300])
    return _one_number(body.get("data"))


def _one_number(data: Any) -> Value | NoAnswer | None:
    kind = data.get("resultType") if isinstance(data, Mapping) else None
    series = data.get("result") if isinstance(data, Mapping) else None
    if kind != "vector" or not isinstance(series, list):
        return NoAnswer(f"a result of type {str(kind)[:40]}, not a vector")
    if not series:
        return None
    if len(series) > 1:
        return NoAnswer(f"{len(series)} series where one is needed; write sum(…)")
    pair = series[0].get("value") if isinstance(series[0], Mapping) else None
    if not isinstance(pair, list) or len(pair) != 2:
        return NoAnswer("a series without a value (a native histogram?)")
    at, text = pair
    if isinstance(at, bool) or not isinstance(at, int | float) or not isinstance(text, str):
        return NoAnswer("a value that is not a time and a number")
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0.0 <= value < math.inf or not 0.0 < at < _LATEST:
        return NoAnswer(f"{text[:40]} is no count")
    return Value(value, float(at))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
