"""Decision events to a control plane, in the background: an answer never waits for them, and a full queue drops them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from .policy import Decision, Policy

MAX_WAITING, BATCH = 10_000, 500
TIMEOUT = aiohttp.ClientTimeout(total=5)
PAUSE, PAUSE_AFTER_FAILURE = 0.2, 1.0  # seconds


class Events:
    """Posts to `url`; does nothing without one."""

    def __init__(self, url: str, token: str, gateway_id: str) -> None:
        self._url, self._token, self._gateway_id = url.rstrip("/"), token, gateway_id
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_WAITING)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Events:
        """From the variables of the vendor's gateway; nothing is posted without an API URL."""
        name = environment.get("KEEPTRUSTS_GATEWAY_ID") or environment.get("HOSTNAME", "standin")
        return cls(environment.get("KEEPTRUSTS_API_URL", ""), environment.get("KEEPTRUSTS_API_TOKEN", ""), name)

    def decided(self, decision: Decision, policy: Policy, client: str) -> None:
        """Queue one decision; never waits, never fails."""
        if not self._url:
            return
        verdict, by = decision.verdict, decision.policy
        evaluated = [{"name": p, "result": verdict if p == by else "pass", "latency_ms": 1} for p in policy.chain]
        event = {
            "id": secrets.token_hex(8),
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "gateway_id": self._gateway_id,
            "user_id": client,
            "verdict": verdict,
            "reason_code": f"{by.replace('-', '_')}.detected" if by else "",
            "config_version": policy.version,
            "policies_evaluated": evaluated,
        }
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait(event)

    async def while_serving(self, _: web.Application) -> AsyncIterator[None]:
        """For `Application.cleanup_ctx`."""
        posting = asyncio.create_task(self._post_all()) if self._url else None
        yield
        if posting:
            posting.cancel()

    async def _post_all(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with aiohttp.ClientSession(headers=headers, timeout=TIMEOUT) as session:
            batch: list[dict[str, Any]] = []
            while True:
                if not batch:
                    batch.append(await self._waiting.get())
                while len(batch) < BATCH and not self._waiting.empty():
                    batch.append(self._waiting.get_nowait())
                posted = await self._post(session, batch)
                if posted:
                    batch = []
                await asyncio.sleep(PAUSE if posted else PAUSE_AFTER_FAILURE)

    async def _post(self, session: aiohttp.ClientSession, batch: list[dict[str, Any]]) -> bool:
        try:
            async with session.post(f"{self._url}/v1/events", json={"events": batch}) as answer:
                return answer.status < 500  # what is refused once is refused again
        except (aiohttp.ClientError, TimeoutError):
            return False


def client_of(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """Who asked: a header of the caller's, or `user` of the OpenAI API."""
    return str(headers.get("x-user-id") or body.get("user") or "")
