"""The HTTP side of the stand-in gateway."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from .events import Events, client_of
from .metrics import Metrics
from .modes import Modes
from .policy import ConfigError, Decision, Policy, load

STARTED = time.monotonic()
LOGIN_PAGE = "<!DOCTYPE html>\n<html><title>Sign in</title><body>Your session has ended.</body></html>\n"
ERROR_CODES = {"block": "input_blocked", "escalate": "escalation_required"}


def read(path: str) -> Policy:
    """The document in a file; raises ConfigError."""
    try:
        return load(yaml.safe_load(Path(path).read_text()))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}".replace("\n", " ")) from error


class Gateway:
    """One running gateway. Reads its config at start or on reload, never because the file changed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.policy = read(path)
        self.modes = Modes(self.policy.description)
        self.metrics = Metrics(os.environ.get("STANDIN_METRICS", "decisions"))
        self._latency = _seconds(os.environ.get("STANDIN_LATENCY", "0ms"))
        self._upstream = os.environ.get("STANDIN_UPSTREAM", "")
        self._session: aiohttp.ClientSession | None = None
        self._events = Events.of(os.environ)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_who_answered], client_max_size=8 << 20)
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/healthz", self.alive),
                web.get("/readyz", self.ready),
                web.get("/metrics", self.scrape),
                web.get("/keeptrusts/config", self.config),
                web.post("/keeptrusts/config/reload", self.reload),
                web.get("/keeptrusts/providers/metrics", self.providers),
                web.get("/v1/models", self.models),
                web.post("/v1/chat/completions", self.chat),
            ]
        )
        app.cleanup_ctx.extend((self._connect, self._events.while_serving))
        return app

    async def health(self, _: web.Request) -> web.Response:
        status = self.modes.health()
        body = {
            "status": status,
            "uptime_seconds": round(time.monotonic() - STARTED),
            "version": "2.3.1",
            "policies_loaded": len(self.policy.chain),
        }
        return web.json_response(body, status=503 if status == "unhealthy" else 200)

    async def alive(self, _: web.Request) -> web.Response:
        self.modes.maybe_crash()
        return web.json_response({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        unhealthy = self.modes.health() == "unhealthy"
        return web.json_response({"ready": not unhealthy}, status=503 if unhealthy else 200)

    async def scrape(self, request: web.Request) -> web.Response:
        body = generate_latest(self.metrics.registry)
        match self.modes.metrics_fault():
            case "gone":
                if request.transport:
                    request.transport.abort()
            case "503":
                return web.Response(status=503, text="upstream connect error or disconnect/reset before headers")
            case "nan":
                body = re.sub(rb"(?m)^(\w+_total\{.*\}) \S+$", rb"\1 NaN", body)
            case "html":
                return web.Response(text=LOGIN_PAGE, content_type="text/html")
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def config(self, _: web.Request) -> web.Response:
        policy = self.policy
        pack = {"name": policy.name, "version": policy.version}
        return web.json_response({"pack": pack, "policies": {"chain": list(policy.chain)}})

    async def reload(self, _: web.Request) -> web.Response:
        try:
            self.policy = read(self._path)
        except ConfigError as error:  # the old config stays
            return web.json_response({"error": {"type": "validation_error", "message": str(error)}}, status=422)
        return web.json_response({"reloaded": True})

    async def providers(self, _: web.Request) -> web.Response:
        return web.json_response({"providers": {"openai": {"healthy": True}}})

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        try:
            body = json.loads(await request.read())
            text = "\n".join(str(m.get("content", "")) for m in body["messages"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return _error(422, "validation_error", "malformed request", "", "malformed_request")
        delay = self.modes.on_request()
        self.modes.maybe_crash()
        policy, client = self.policy, client_of(request.headers, body)
        decision, count = policy.decide(text), len(policy.chain)
        if decision.verdict in ("block", "escalate"):
            self.metrics.decided(decision.verdict, count)  # at once, unlike what is allowed
            self.metrics.answered(409, time.monotonic() - started)
            self._events.decided(decision, policy, client)
            return _error(409, "policy_violation", _words(decision), decision.policy, ERROR_CODES[decision.verdict])
        await asyncio.sleep(delay)
        response = await self._answer(request, body)
        self.metrics.decided(decision.verdict, count)
        self.metrics.answered(response.status, time.monotonic() - started)
        self._events.decided(decision, policy, client)
        return response

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        upstream = self._upstream or self.policy.upstream
        if upstream.startswith("http://") and self._session:
            try:
                async with self._session.post(f"{upstream}/v1/chat/completions", json=body) as answer:
                    data = await answer.read()
                    return web.Response(body=data, status=answer.status, content_type=answer.content_type)
            except aiohttp.ClientError as error:
                return _error(502, "upstream_error", str(error), "", "upstream_error")
        await asyncio.sleep(self._latency)
        if body.get("stream"):
            return await _stream(request)
        return web.json_response(_completion("All is well."))

    async def _connect(self, _: web.Application) -> Any:
        connector = aiohttp.TCPConnector(limit=0)  # the default, 100, would make slow answers wait for each other
        async with aiohttp.ClientSession(connector=connector) as self._session:
            yield


@web.middleware
async def _who_answered(request: web.Request, handler: Any) -> web.StreamResponse:
    response: web.StreamResponse = await handler(request)
    if not response.prepared:
        _sign(response)
    return response


def _sign(response: web.StreamResponse) -> None:
    response.headers["x-gateway-pod"] = os.environ.get("HOSTNAME", "")
    if revision := os.environ.get("GATEWAY_REVISION"):
        response.headers["x-gateway-revision"] = revision


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    _sign(response)
    await response.prepare(request)
    for word in ("All ", "is ", "well."):
        chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": word}}]}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _completion(text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini", "choices": [choice]}


def _error(status: int, kind: str, message: str, policy: str, code: str) -> web.Response:
    error = {"type": kind, "message": message, "policy": policy, "code": code}
    return web.json_response({"error": error}, status=status)


def _words(decision: Decision) -> str:
    return f"request was {'blocked' if decision.verdict == 'block' else 'held for a person'} by {decision.policy}"


def _seconds(text: str) -> float:
    return float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))
