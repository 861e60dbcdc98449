"""Takes decision events from gateways, tells them and the escalations they lead to; misbehaves when it is told to.

`POST /faults` (no token) with `{"fault": "hang" | "500" | "html" | "slow:2s" | "refuse" | "cut" | ""}` changes every
answer under `/v1`; with `"path": "/v1/events"` of that path only. `POST /dialect` with `{"decision": "decision" |
"verdict", "filter": "outcome" | "verdict", "waiting": "pending" | "queued", "page": 100, "newest_first": true}` chooses
among the words that its documentation has for one thing.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

MAX_EVENTS = 100_000
WORDS = {"allow": "allowed", "block": "blocked", "redact": "redacted", "escalate": "escalated"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Dialect:
    """Which of the documented words this server speaks."""

    decision: str = "decision"  # or verdict
    filter: str = "outcome"  # or verdict
    waiting: str = "pending"  # or queued
    page: int = 1000
    newest_first: bool = True


@dataclass
class ControlPlane:
    """One server with its memory."""

    token: str = ""
    dialect: Dialect = field(default_factory=Dialect)
    faults: dict[str, str] = field(default_factory=dict)  # by path, "" for all
    calls: list[str] = field(default_factory=list)  # what was asked, newest last
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    escalations: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._under_fault, self._authorised], client_max_size=16 << 20)
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/v1/whoami", self._whoami),
                web.post("/v1/events", self._ingest),
                web.get("/v1/events", self._list_events),
                web.get("/v1/escalations", self._list_escalations),
                web.post("/v1/escalations/{id}", self._answer_escalation),
                web.post("/faults", self._set_fault),
                web.post("/dialect", self._set_dialect),
            ]
        )
        return app

    def add(self, events: Iterable[dict[str, Any]]) -> int:
        """Take events in; one that escalates waits for a person."""
        count = 0
        for event in events:
            event.setdefault("id", secrets.token_hex(8))
            event.setdefault("timestamp", now())
            self.events.append(event)
            if verdict_of(event) == "escalate":
                policy = next(
                    (p["name"] for p in event.get("policies_evaluated") or () if p.get("result") != "pass"), ""
                )
                self.escalate(policy, event["timestamp"], event["id"])
            count += 1
        return count

    def escalate(self, policy: str, created_at: str = "", event_id: str = "") -> None:
        """One more that waits."""
        self.escalations.append(
            {
                "id": secrets.token_hex(8),
                "event_id": event_id,
                "created_at": created_at or now(),
                "policy_name": policy,
                "status": "waiting",
            }
        )

    @web.middleware
    async def _under_fault(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self.faults.get(request.path, self.faults.get("", ""))
        if not request.path.startswith("/v1/"):
            return await handler(request)
        self.calls.append(f"{request.method} {request.path_qs}")
        del self.calls[:-1000]
        kind, _, seconds = fault.partition(":")
        if kind == "hang":
            await asyncio.sleep(3600)
        if kind == "slow":
            await asyncio.sleep(float(seconds.removesuffix("s")))
        if kind == "500":
            return web.json_response({"error": "internal"}, status=500)
        if kind == "refuse":
            return web.json_response({"error": "no such token"}, status=401)
        if kind == "html":
            return web.Response(text="<html><body>Sign in</body></html>", content_type="text/html")
        if kind == "cut":
            return web.Response(text='{"data": [{"id": ', content_type="application/json")
        return await handler(request)

    @web.middleware
    async def _authorised(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        wanted = f"Bearer {self.token}"
        if request.path.startswith("/v1/") and self.token and request.headers.get("Authorization") != wanted:
            return web.json_response({"error": "no such token"}, status=401)
        return await handler(request)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _whoami(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {"id": "token-1", "organisation": "demo"}})

    async def _ingest(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
            events = body["events"] if isinstance(body, dict) and "events" in body else body
            count = self.add(events if isinstance(events, list) else [events])
        except (ValueError, TypeError, AttributeError):
            return web.json_response({"error": "malformed"}, status=422)
        return web.json_response({"data": {"accepted": count}}, status=202)

    async def _list_events(self, request: web.Request) -> web.Response:
        query, events = request.query, list(self.events)
        unknown = set(query) - {"since", "limit", self.dialect.filter}
        if unknown:
            return web.json_response({"error": f"unknown parameter {min(unknown)}"}, status=400)
        if wanted := query.get(self.dialect.filter):
            events = [e for e in events if wanted in (verdict_of(e), WORDS.get(verdict_of(e)))]
        if since := query.get("since"):
            start = datetime.fromisoformat(since)
            events = [e for e in events if datetime.fromisoformat(e["timestamp"]) >= start]
        events.sort(key=lambda e: str(e["timestamp"]), reverse=self.dialect.newest_first)
        page = events[: min(self.dialect.page, int(query.get("limit", self.dialect.page)))]
        return web.json_response({"data": [self._spoken(e) for e in page], "meta": {"total": len(events)}})

    async def _list_escalations(self, request: web.Request) -> web.Response:
        status = request.query.get("status", "")
        if status and status not in (self.dialect.waiting, "resolved", "claimed", "expired"):
            return web.json_response({"error": f"unknown status {status}"}, status=422)
        told = [
            {**e, "status": self.dialect.waiting if e["status"] == "waiting" else e["status"]} for e in self.escalations
        ]
        wanted = [e for e in told if not status or e["status"] == status]
        page = wanted[: int(request.query.get("limit", "50"))]
        return web.json_response({"data": page, "meta": {"total": len(wanted)}})

    async def _answer_escalation(self, request: web.Request) -> web.Response:
        """`{"status": "resolved"}`."""
        status = (await request.json())["status"]
        for each in self.escalations:
            if each["id"] == request.match_info["id"]:
                each["status"] = status
        return web.json_response({"data": {"status": status}})

    async def _set_fault(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        self.faults[wanted.get("path", "")] = str(wanted["fault"])
        return web.json_response(wanted)

    async def _set_dialect(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        self.dialect = Dialect(**{**vars(self.dialect), **wanted})
        return web.json_response(vars(self.dialect))

    def _spoken(self, event: dict[str, Any]) -> dict[str, Any]:
        """An event with its decision in this server's word."""
        verdict = verdict_of(event)
        said = {k: v for k, v in event.items() if k not in ("decision", "verdict")}
        return {
            **said,
            self.dialect.decision: WORDS.get(verdict, verdict) if self.dialect.decision == "decision" else verdict,
        }


def verdict_of(event: dict[str, Any]) -> str:
    """The decision of an event, in the short form."""
    word = str(event.get("verdict") or event.get("decision") or "")
    return next((short for short, long in WORDS.items() if word in (short, long)), word)


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
