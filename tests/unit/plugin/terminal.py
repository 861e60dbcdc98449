"""A terminal before a simulated cluster: commands run as they ship, against the operator's real loop on virtual time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console

from keeptrusts_operator.kube.port import GATEWAYS, POLICIES, ApiError, Obj, Resource
from keeptrusts_operator.plugin import app
from keeptrusts_operator.plugin.ask import Clock
from keeptrusts_operator.plugin.cluster import Connection, Explaining
from keeptrusts_operator.plugin.options import Session
from tests.demo import objects
from tests.sim.world import SimWorld


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


class Terminal:
    """`run` runs a command; what it sleeps goes by in the simulated world. `before_call` may raise an `ApiError`."""

    def __init__(self, seed: int = 3) -> None:
        self._loop = asyncio.new_event_loop()
        self.world = SimWorld(seed)
        self.world.stirs = True
        self.before_call: Callable[[str, Resource], None] = lambda verb, resource: None
        self.before_sleep: Callable[[], None] = lambda: None
        self.width = 160
        self._nonces = 0

    def close(self) -> None:
        self._loop.close()

    def run(self, *arguments: str) -> Ran:
        """One command as people type it."""
        out, err = io.StringIO(), io.StringIO()
        code = app.run(
            arguments, self.session(Console(file=out, width=self.width), Console(file=err, width=self.width))
        )
        return Ran(code, out.getvalue(), err.getvalue())

    def session(self, out: Console, errors: Console) -> Session:
        clock = Clock(self.now, lambda: self.world.at, self._sleep)
        return Session(lambda file, context: Connection(Explaining(self), "demo"), clock, out, errors, self._nonce)

    def now(self) -> datetime:
        return self.world.now()

    def serve(self) -> str:
        """A gateway that serves its first revision; gives the revision."""
        self._do(self.world.kube.create(POLICIES, objects.policy(objects.STANDIN)))
        self._do(self.world.kube.create(GATEWAYS, objects.deployment(objects.STANDIN)))
        self.pass_time(10)
        self.world.clients.rate, self.world.stream.rate = 20.0, 500.0
        return str(self.status()["activeRevision"])

    def change(self, seconds: float, *, mode: str = "", version: str = "1.1.0") -> None:
        """Change the policy, and let time go by."""

        def edit(document: dict[str, Any]) -> None:
            document["pack"].update(version=version, description=f"mode={mode}" if mode else "")

        self._do(self.world.replace_policy(edit))
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self._do(self.world.run(seconds))

    def status(self) -> Obj:
        return dict(self._do(self.world.status()))

    def gateway(self) -> Obj:
        return dict(self._do(self.world.kube.get(GATEWAYS, "demo", "kt-gateway")))

    # --- the plugin's `Cluster`

    def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        self.before_call("get", resource)
        return dict(self._do(self.world.kube.get(resource, namespace, name)))

    def list(self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None) -> Sequence[Obj]:
        self.before_call("list", resource)
        return tuple(self._do(self.world.kube.list(resource, namespace, labels)))

    def merge(self, resource: Resource, namespace: str, name: str, patch: Obj) -> Obj:
        self.before_call("patch", resource)
        return dict(self._do(self.world.kube.merge(resource, namespace, name, patch)))

    def _do(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)

    def _sleep(self, seconds: float) -> None:
        self.before_sleep()
        self.pass_time(seconds)

    def _nonce(self) -> str:
        self._nonces += 1
        return f"test-{self._nonces}"


def failing(error: ApiError, verb: str, resource: Resource) -> Callable[[str, Resource], None]:
    """For `Terminal.before_call`: one verb on one kind fails."""

    def call(asked: str, of: Resource) -> None:
        if (asked, of) == (verb, resource):
            raise error

    return call
