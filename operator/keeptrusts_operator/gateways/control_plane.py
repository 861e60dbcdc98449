"""One control-plane API: escalations that wait, and decision events.

Whatever is not an answer is `NoAnswer` and says why. Times in answers are the server's: they are told in our monotonic
seconds, by the `Date` of its answers, so that no two clocks have to agree.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from keeptrusts_operator.api.quantities import format_time
from keeptrusts_operator.api.references import Token
from keeptrusts_operator.gateways.control_plane_answers import (
    Backlog,
    Event,
    Item,
    NoAnswer,
    Page,
    Waiting,
    events_of,
    items_of,
    time_of,
    together,
    total_of,
    waiting_of,
    word_of,
)
from keeptrusts_operator.gateways.credentials import headers_of

SECONDS = 4.0  # for a whole call: a trip uses an answer that was asked for at most 5 s ago
MAX_BODY = 2 << 20  # bytes: parsing more would be felt by every loop
WORDS_FOR_WAITING = ("pending", "queued")
MAX_WAITING, MAX_POLICIES = 100, 20
MAX_PAGES = 5
MIGHT_BE_A_PAGE = 20  # items in an answer that does not tell its total: fewer, and it is taken for all there is
LIMITS: Sequence[Mapping[str, Any]] = ({"limit": 1000}, {})  # documented for escalations only
BLOCKED: Sequence[Mapping[str, Any]] = ({"outcome": "blocked"}, {"verdict": "block"})
ANY: Sequence[Mapping[str, Any]] = ({},)
DATE_LAG = 2.5  # seconds by which a `Date` may say less than the newest before: cut to whole seconds, and under way


class ServerClock:
    """The server's clock by ours. `Date` is cut to whole seconds, so the highest reading is the truest."""

    def __init__(self) -> None:
        self._offset: float | None = None  # epoch seconds − monotonic seconds

    @property
    def known(self) -> bool:
        return self._offset is not None

    def learn(self, server: datetime, at: float) -> None:
        """What it said at a monotonic time."""
        offset = server.timestamp() - at
        if self._offset is None or not 0.0 <= self._offset - offset <= DATE_LAG:
            self._offset = offset

    def theirs(self, at: float) -> datetime:
        return datetime.fromtimestamp(at + (self._offset or 0.0), UTC)

    def ours(self, at: datetime) -> float:
        return at.timestamp() - (self._offset or 0.0)


class ControlPlane:
    """Asks one API. Every call ends within `SECONDS`, and gives a whole answer or raises NoAnswer."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        token: Token,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._base, self._headers = client, url.rstrip("/"), headers_of(token)
        self._monotonic, self._wall = monotonic, wall
        self._clock = ServerClock()
        self._limits, self._blocked = LIMITS, BLOCKED

    async def backlog(self) -> Backlog:
        """Escalations that wait, under either of the words for it."""
        async with _deadline("/v1/escalations"):
            answers = await asyncio.gather(*map(self._waiting, WORDS_FOR_WAITING), return_exceptions=True)
        lists = [a for a in answers if isinstance(a, Waiting)]
        for problem in answers:
            if isinstance(problem, BaseException) and not (
                lists and isinstance(problem, NoAnswer) and problem.unknown_word
            ):
                raise problem
        waiting = together(lists)
        times = [t for i in waiting.items if (t := time_of(i.get("created_at")))]
        policies = Counter(word_of(i.get("policy_name")) for i in waiting.items)
        return Backlog(
            waiting.total,
            min(map(self._clock.ours, times), default=None),
            {name: count for name, count in policies.most_common(MAX_POLICIES) if name},
            whole=waiting.total == len(times),
        )

    async def events(self, since: float, *, blocked: bool = False) -> Page:
        """Decision events since a time in monotonic seconds; `blocked`: those only."""
        async with _deadline("/v1/events"):
            if not self._clock.known:
                await self._learn_time()
            found: dict[str, Event] = {}
            cursor, whole, newest_first = since, False, False
            for _ in range(MAX_PAGES):
                page, whole = await self._page(cursor, blocked=blocked)
                newest_first = len(page) > 1 and page[0].at > page[-1].at
                new = [e for e in page if e.id not in found]
                found.update((e.id, e) for e in new)
                if whole or newest_first or not new:
                    break
                cursor = max(e.at for e in new)
        events = sorted(found.values(), key=lambda e: e.at)
        from_then = events[0].at if newest_first and not whole else since
        # The filter may not have been applied.
        wanted = tuple(e for e in events if e.verdict == "block" or not blocked)
        return Page(wanted, from_then, exact=whole or newest_first)

    async def _learn_time(self) -> None:
        """Any answer tells the server's time; this one also says early that a token is refused."""
        try:
            await self._get("/v1/whoami", {})
        except NoAnswer as no:
            if no.status in (0, 401, 403):
                raise

    async def _waiting(self, word: str) -> Waiting:
        path = "/v1/escalations"
        return waiting_of(path, await self._get(path, {"status": word, "limit": MAX_WAITING}))

    async def _page(self, since: float, *, blocked: bool) -> tuple[Sequence[Event], bool]:
        """Events of one answer in its order, and whether those are all."""
        path = "/v1/events"
        body = await self._get_events(path, {"since": format_time(self._clock.theirs(since))}, blocked=blocked)
        items, total = items_of(path, body), total_of(path, body)
        events = self._read(path, items)
        return events, len(items) < MIGHT_BE_A_PAGE if total is None else len(items) >= total

    def _read(self, path: str, items: Sequence[Item]) -> Sequence[Event]:
        events = list(events_of(items, self._clock.ours))
        if items and not events:
            raise NoAnswer(f"{path}: no event has a readable timestamp", 200)
        return events

    async def _get_events(self, path: str, query: Mapping[str, Any], *, blocked: bool) -> Any:
        """One answer; parameters that this server refuses are not used again."""
        while True:
            filters = self._blocked if blocked else ANY
            try:
                return await self._get(path, {**query, **filters[0], **self._limits[0]})
            except NoAnswer as no:
                if no.status not in (400, 422) or len(filters) + len(self._limits) == 2:
                    raise
            if len(self._limits) > 1:
                self._limits = self._limits[1:]
            else:
                self._blocked = filters[1:]

    async def _get(self, path: str, query: Mapping[str, Any]) -> Any:
        """The JSON of one answer, bounded in size; raises NoAnswer."""
        data = bytearray()
        try:
            async with self._client.stream(
                "GET", self._base + path, params=query, headers=self._headers, timeout=SECONDS, follow_redirects=False
            ) as response:
                self._clock.learn(_date(response) or self._wall(), self._monotonic())
                if response.status_code != 200:
                    raise NoAnswer(_why(path, response.status_code), response.status_code)
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > MAX_BODY:
                        raise NoAnswer(f"{path}: the answer has more than {MAX_BODY >> 20} MiB", 200, too_large=True)
            return json.loads(data)
        except httpx.TimeoutException as error:
            raise NoAnswer(f"{path}: no answer within {SECONDS:.0f} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NoAnswer(f"{path}: no answer ({type(error).__name__})") from error
        except (ValueError, RecursionError) as error:
            raise NoAnswer(f"{path}: the answer is not JSON", 200) from error


@asynccontextmanager
async def _deadline(path: str) -> AsyncIterator[None]:
    """What is inside ends in time, even where a server sends byte by byte."""
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except TimeoutError as late:
        raise NoAnswer(f"{path}: no answer within {SECONDS:.0f} s") from late


def _date(response: httpx.Response) -> datetime | None:
    try:
        date = parsedate_to_datetime(response.headers["date"])
    except (LookupError, ValueError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _why(path: str, status: int) -> str:
    if status in (401, 403):
        return f"{path}: the token is refused (HTTP {status}); see spec.controlPlane.tokenSecretRef"
    if 300 <= status < 400:
        return f"{path}: redirected (HTTP {status}), which is not followed; correct spec.controlPlane.url"
    return f"{path}: HTTP {status}"
