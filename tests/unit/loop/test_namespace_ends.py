"""While a namespace is being deleted nothing is created there: no reason to try again and again, nor to complain."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from keeptrusts_operator.core.actions import Action, Announce, RecordIncident
from keeptrusts_operator.kube.port import ApiError, Forbidden, Obj, Resource
from keeptrusts_operator.loop.act import Actor
from keeptrusts_operator.loop.runner import Runner
from keeptrusts_operator.loop.telemetry import Telemetry
from keeptrusts_operator.loop.turns import Turns

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ENDS = Forbidden(
    'gatewayincidents "gw-1" is forbidden: unable to create new content in namespace t because it is being terminated',
    403,
)
NOT_ALLOWED = Forbidden('gatewayincidents "gw-1" is forbidden: User "operator" cannot create resource', 403)
ACTIONS: list[Action] = [
    RecordIncident("Outage", "Open", "0123456789", NOW, "no pod is ready"),
    Announce("Warning", "NoReadyPod", "no pod is ready"),
]
HERE = {"name": "gw", "namespace": "t", "uid": "1"}
SEEN: Any = SimpleNamespace(
    gateway={"apiVersion": "v1", "kind": "GatewayDeployment", "metadata": HERE},
    world=SimpleNamespace(namespace="t", name="gw"),
)


class Refusing:
    """Creates nothing."""

    def __init__(self, error: ApiError) -> None:
        self.error = error

    async def create(self, resource: Resource, obj: Obj, *, dry_run: bool = False) -> Obj:
        raise self.error


class Failing:
    """A reconciler whose passes end like this."""

    def __init__(self, error: ApiError) -> None:
        self.error, self.passes = error, 0

    async def once(self) -> None:
        self.passes += 1
        raise self.error


@pytest.mark.parametrize(("error", "unrecorded"), [(ENDS, False), (NOT_ALLOWED, True)], ids=["ends", "not-allowed"])
async def test_an_incident_that_would_go_with_its_namespace_is_not_missed(
    error: ApiError, unrecorded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    kube: Any = Refusing(error)
    actor = Actor(kube, SEEN, lambda: NOW)
    assert (await actor.carry_out(ACTIONS)).unrecorded is unrecorded
    await actor.announce(ACTIONS)
    warned = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warned) == (2 if unrecorded else 0)


@pytest.mark.parametrize(("error", "again"), [(ENDS, False), (NOT_ALLOWED, True)], ids=["ends", "not-allowed"])
async def test_what_vanishes_from_it_is_no_reason_to_look(error: ApiError, again: bool) -> None:
    reconciler: Any = Failing(error)
    runner = Runner(reconciler, Telemetry(), Turns(), "t", "gw", urgent=False)
    running = asyncio.create_task(runner.run())
    for _ in range(20):
        runner.wake()
        await asyncio.sleep(0.001)
    running.cancel()
    assert (reconciler.passes > 1) is again
