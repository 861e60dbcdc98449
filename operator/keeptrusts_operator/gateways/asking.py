"""GETs to gateway pods: bounded in time, in size and in number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

MAX_BODY = 1 << 20
TIMEOUT_SECONDS = 1.0
PODS_AT_A_TIME = 48
"""Of all gateways together. More at once would run into their time-outs by our own doing; a pod that hangs holds its
place for no longer than the time-out."""
KEPT_SECONDS = 2.5  # that an idle connection is kept: long enough for pods that are judged, too short for all others


@dataclass(frozen=True)
class Answer:
    """What a pod answered."""

    status: int
    text: str

    @property
    def ok(self) -> bool:
        """A 2xx."""
        return 200 <= self.status < 300

    @property
    def body(self) -> Any:
        """The parsed JSON; None when it is not JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


class Asker:
    """Asks the pods of all gateways. Use as an async context manager.

    Not over httpx, which asks everybody else: its pool looks at every connection for every request, and with 900 pods
    that made 6 ms of CPU of each (`python -m tests.bench scale`); this is 0.2 ms.
    """

    def __init__(self, pods_at_a_time: int = PODS_AT_A_TIME) -> None:
        self.places = asyncio.Semaphore(pods_at_a_time)

    async def __aenter__(self) -> Asker:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS),
            timeout=aiohttp.ClientTimeout(
                total=2 * TIMEOUT_SECONDS, connect=TIMEOUT_SECONDS, sock_read=TIMEOUT_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer | None:
        """One bounded request; None for anything that is not an answer."""
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                data = bytearray()
                async for chunk in response.content.iter_any():
                    data += chunk
                    if len(data) > MAX_BODY:
                        return None
                return Answer(response.status, data.decode(errors="replace"))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None
