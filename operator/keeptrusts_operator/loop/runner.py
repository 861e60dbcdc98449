"""The waiting around a control loop. No exception ends it."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib

from keeptrusts_operator.kube.fence import LeadershipLost
from keeptrusts_operator.kube.port import ApiError
from keeptrusts_operator.loop.act import namespace_ends
from keeptrusts_operator.loop.pace import Pace
from keeptrusts_operator.loop.reconcile import Pass, Reconciler
from keeptrusts_operator.loop.telemetry import Telemetry
from keeptrusts_operator.loop.turns import Turns, is_urgent

logger = logging.getLogger(__name__)

ENDING_SECONDS = 10.0
"""Between passes while the namespace is being deleted. What vanishes there wakes the loop up, and is no reason to look."""


class Runner:
    """Runs one Reconciler until cancelled."""

    def __init__(
        self, reconciler: Reconciler, telemetry: Telemetry, turns: Turns, namespace: str, name: str, *, urgent: bool
    ) -> None:
        self._reconciler, self._telemetry, self._turns = reconciler, telemetry, turns
        self._namespace, self._name = namespace, name
        self._wake, self._hurry = asyncio.Event(), asyncio.Event()
        if urgent:
            self._hurry.set()
        self._ending = False  # the namespace is
        self._pace = Pace(zlib.crc32(f"{namespace}/{name}".encode()) / 2**32)

    def wake(self, *, urgent: bool = False) -> None:
        """Something may have changed: look now; `urgent`: before all others."""
        self._wake.set()
        if urgent:
            self._hurry.set()

    def wrote(self, version: str) -> bool:
        """Whether this version of the object is what the loop itself wrote last: its own echo is no news."""
        return bool(version) and self._reconciler.written == version

    async def run(self) -> None:
        """Pass after pass, until cancelled."""
        while True:
            async with self._turns.turn(self._hurry):
                self._wake.clear()  # what happens while it waits for its turn is seen in it
                wait = await self._pass()
            if self._ending:
                await asyncio.sleep(wait)
            elif wait > 0:
                try:
                    await asyncio.wait_for(self._wake.wait(), wait)
                except TimeoutError:
                    continue
            else:
                await asyncio.sleep(0)

    async def _pass(self) -> float:
        """One pass; seconds to wait after it."""
        started = time.monotonic()
        try:
            done = await self._reconciler.once()
        except ApiError as error:
            if namespace_ends(error):
                return self._rest()
            logger.warning("%s/%s: the API server did not let this pass finish: %s", self._namespace, self._name, error)
            return self._failed("api_error")
        except LeadershipLost as error:  # the process ends if another leads; else the API server comes back
            logger.warning("%s/%s: nothing more is written: %s", self._namespace, self._name, error)
            return self._failed("not_leading")
        except Exception:
            logger.exception("%s/%s: a bug ended this pass; what serves goes on", self._namespace, self._name)
            return self._failed("bug")
        finally:
            self._telemetry.duration.observe(time.monotonic() - started)
        self._ending = False
        self._telemetry.passes.labels("done").inc()
        self._record(done)
        return self._pace.done(done.look_again)

    def _record(self, done: Pass) -> None:
        if done.decision is not None and is_urgent(done.decision.state):
            self._hurry.set()
        elif not self._wake.is_set():  # who woke it up meanwhile may be in a hurry
            self._hurry.clear()
        if done.status is not None:
            self._telemetry.record(self._namespace, self._name, done.status, time.time())
        if done.decision and done.decision.transition:
            self._telemetry.transitions.labels(self._namespace, self._name, done.decision.transition).inc()

    def _rest(self) -> float:
        if not self._ending:
            logger.info(
                "%s/%s: its namespace is being deleted; nothing is created any more", self._namespace, self._name
            )
        self._ending = True
        self._telemetry.passes.labels("done").inc()
        return ENDING_SECONDS

    def _failed(self, outcome: str) -> float:
        self._ending = False
        self._telemetry.passes.labels(outcome).inc()
        return self._pace.failed()
