"""Whose turn it is: hundreds of loops that begin, or look again, at once must not make each other late, nor anybody who
asks for a passthrough in the middle of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from keeptrusts_operator.core.look import EXPOSED
from keeptrusts_operator.core.state import State
from keeptrusts_operator.loop.views import requests_of

PASSES_AT_A_TIME = 24
"""More do not get more done: the API server answers as fast as it can, and what queues there runs into time-outs."""
CALM = ("", "Pending", "Stable", "Rejected")


class Turns:
    """Bounds the passes at a time of loops that have nothing exposed. Those that have never wait for anybody."""

    def __init__(self, at_a_time: int = PASSES_AT_A_TIME) -> None:
        self._places = asyncio.Semaphore(at_a_time)

    @contextlib.asynccontextmanager
    async def turn(self, hurry: asyncio.Event) -> AsyncIterator[None]:
        """One pass. Whoever is in a hurry, or comes to be while it waits, waits for nobody."""
        placed = await self._place(hurry)
        try:
            yield
        finally:
            if placed:
                self._places.release()

    async def _place(self, hurry: asyncio.Event) -> bool:
        """Whether it has taken a place."""
        if hurry.is_set():
            return False
        if not self._places.locked():
            return await self._places.acquire()
        place, hurried = asyncio.create_task(self._places.acquire()), asyncio.create_task(hurry.wait())
        try:
            await asyncio.wait((place, hurried), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if place.done():
                self._places.release()
            raise
        finally:
            hurried.cancel()
            place.cancel()  # a cancelled acquire gives back what it may have got
        return place.done()


def is_urgent(state: State) -> bool:
    """Whether traffic may have to be moved at any moment: a candidate has some, a rollback is not effective, or somebody
    has been granted a passthrough."""
    rollout, left, grant = state.rollout, state.rollback, state.passthrough
    exposed = rollout is not None and rollout.stage in EXPOSED
    leaving = left is not None and left.issued_at is not None and left.effective_at is None
    return exposed or leaving or state.frozen or (grant is not None and grant.live)


def looks_urgent(status: Mapping[str, Any]) -> bool:
    """The same at first sight, by the phase that an earlier leader wrote."""
    return (status.get("phase") or "") not in CALM


def asks(gateway: Mapping[str, Any]) -> bool:
    """Whether a person waits for an answer: a request of its annotations is not the one that was answered last."""
    answered = {r.get("verb"): r.get("value") for r in (gateway.get("status") or {}).get("requests") or ()}
    return any(answered.get(verb.value) != asked.value for verb, asked in requests_of(gateway).items())
