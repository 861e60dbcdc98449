"""`python3 -m upstream`: port from PORT, latency from UPSTREAM_LATENCY, `POST /latency` or a request's `x-latency`.

The `id` of an answer names the address that asked: gateways pass it on, so that a client behind one learns which pod
forwarded its request.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from aiohttp import web

LATENCY = web.AppKey("latency", list)


async def chat(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    await asyncio.sleep(_seconds(request.headers.get("x-latency", request.app[LATENCY][0])))
    mark = {"id": f"from-{request.remote}", "model": body.get("model", "gpt-4o-mini")}
    if not body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": "All is well."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
        return web.json_response({**mark, "object": "chat.completion", "choices": [choice], "usage": usage})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for delta, reason in (({"role": "assistant", "content": "All is "}, None), ({"content": "well."}, "stop")):
        chunk = {
            **mark,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response


async def models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model"}]})


async def healthz(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def latency(request: web.Request) -> web.Response:
    wanted: dict[str, Any] = await request.json()
    _seconds(wanted["latency"])
    request.app[LATENCY][0] = wanted["latency"]
    return web.json_response(wanted)


def _seconds(text: str) -> float:
    return float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


def main() -> None:
    app = web.Application()
    app[LATENCY] = [os.environ.get("UPSTREAM_LATENCY", "50ms")]
    app.add_routes(
        [
            web.post("/v1/chat/completions", chat),
            web.get("/v1/models", models),
            web.get("/healthz", healthz),
            web.post("/latency", latency),
        ]
    )
    web.run_app(app, port=int(os.environ.get("PORT", "8080")), access_log=None, print=None)


main()
