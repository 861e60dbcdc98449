"""Budgets of others: one list for all loops of a namespace, again after 15 s."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.port import Kube, Obj, Resource
from keeptrusts_operator.loop.budgets import ForeignBudgets

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


class Api:
    """Lists what it was given."""

    def __init__(self) -> None:
        self.lists = 0
        self.labels: dict[str, dict[str, str]] = {"own": {names.LABEL_DEPLOYMENT: "g"}, "foreign": {}}

    async def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        self.lists += 1
        await asyncio.sleep(0)
        return [{"metadata": {"name": name, "labels": labels}} for name, labels in self.labels.items()]


async def _names(budgets: ForeignBudgets, now: datetime) -> list[Any]:
    return [b["metadata"]["name"] for b in await budgets.of("platform", now)]


async def test_loops_that_look_at_once_share_one_list() -> None:
    api = Api()
    budgets = ForeignBudgets(cast(Kube, api))
    found = await asyncio.gather(*(_names(budgets, NOW) for _ in range(20)))
    assert found == [["foreign"]] * 20
    assert api.lists == 1


async def test_a_new_one_is_seen_after_fifteen_seconds_and_a_clock_that_went_back_does_not_matter() -> None:
    api = Api()
    budgets = ForeignBudgets(cast(Kube, api))
    await _names(budgets, NOW)
    api.labels["new"] = {}
    assert await _names(budgets, NOW + timedelta(seconds=14)) == ["foreign"]
    assert await _names(budgets, NOW + timedelta(seconds=15)) == ["foreign", "new"]
    del api.labels["new"]
    assert await _names(budgets, NOW) == ["foreign"]
