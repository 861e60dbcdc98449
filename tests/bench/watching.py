"""A watch on a collection, for benches: without types, without end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

Obj = dict[str, Any]


async def watch(session: aiohttp.ClientSession, url: str, labels: str) -> AsyncIterator[tuple[str, Obj]]:
    """(ADDED | MODIFIED | DELETED, object), beginning with everything that is there; anew from the beginning when the
    server ends it."""
    while True:
        query = {"watch": "true", "labelSelector": labels, "timeoutSeconds": "3600"}
        async with session.get(url, params=query, ssl=False, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            buffer = b""
            async for chunk in answer.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                        yield event["type"], event["object"]
        await asyncio.sleep(1)
