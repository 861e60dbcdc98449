"""Whose turn it is: hundreds of loops that begin, or look again, at once must not make each other late."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from keeptrusts_operator.core.look import EXPOSED
from keeptrusts_operator.core.state import State

PASSES_AT_A_TIME = 24
"""More do not get more done: the API server answers as fast as it can, and what queues there runs into time-outs."""
CALM = ("", "Pending", "Stable", "Rejected")


class Turns:
    """Bounds the passes at a time of loops that have nothing exposed. Those that have never wait for anybody."""

    def __init__(self, at_a_time: int = PASSES_AT_A_TIME) -> None:
        self._places = asyncio.Semaphore(at_a_time)

    @contextlib.asynccontextmanager
    async def turn(self, *, urgent: bool) -> AsyncIterator[None]:
        """One pass."""
        if urgent:
            yield
            return
        async with self._places:
            yield


def is_urgent(state: State) -> bool:
    """Whether traffic may have to be moved at any moment: a candidate has some, or a rollback is not effective."""
    rollout, left = state.rollout, state.rollback
    return (rollout is not None and rollout.stage in EXPOSED) or (left is not None and left.effective_at is None)


def looks_urgent(status: Mapping[str, Any]) -> bool:
    """The same at first sight, by the phase that an earlier leader wrote."""
    return (status.get("phase") or "") not in CALM
