"""PodDisruptionBudgets of others, read once for all loops of a namespace."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.port import BUDGETS, Kube, Obj

KEPT = timedelta(seconds=15)


class ForeignBudgets:
    """Those that no gateway owns. No watch tells of them, and which of them cover our pods cannot be asked for: a
    namespace with a hundred gateways has a hundred budgets, which each look of each loop would read."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._read: dict[str, tuple[datetime, Sequence[Obj]]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, namespace: str, now: datetime) -> Sequence[Obj]:
        """As they were at most 15 s ago. Raises ApiError."""
        async with self._locks[namespace]:
            known = self._read.get(namespace)
            if known is None or not timedelta() <= now - known[0] < KEPT:
                ours = {names.LABEL_DEPLOYMENT}
                found = await self._kube.list(BUDGETS, namespace)
                strangers = [b for b in found if ours.isdisjoint(b["metadata"].get("labels") or {})]
                known = self._read[namespace] = (now, strangers)
            return known[1]
