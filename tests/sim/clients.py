"""Clients behind the simulated Service: some keep their connection as long as its pod lives, some open one each time."""

from __future__ import annotations

import random
from collections.abc import Callable

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.port import PODS, SERVICES, Obj
from tests.sim.api import SimKube
from tests.sim.node import Node, serves
from tests.traffic.answers import Answer

LATENCY = 0.05


class Clients:
    """`tick` sends what is due. Answers carry virtual times."""

    def __init__(self, kube: SimKube, node: Node, rng: random.Random, epoch: Callable[[float], float]) -> None:
        self._kube, self._node, self._rng, self._epoch = kube, node, rng, epoch
        self._pinned: dict[int, tuple[str, int]] = {}  # client → pod UID, connection
        self._due = 0.0
        self._sent = 0
        self.rate, self.clients, self.pooled_share = 0.0, 40, 0.5
        self.near_share = 0.0  # of the prompts, only an over-broad policy blocks; asked for where all may pass
        self.service = ("", "")
        self.answers: list[Answer] = []

    def tick(self, at: float, seconds: float) -> None:
        self._due += self.rate * seconds
        if self._due < 1:
            return
        pods = {p["metadata"]["uid"]: p for p in self._kube.all(PODS, self.service[0], {})}
        reached = reachable(self._kube, self.service)
        while self._due >= 1:
            self._due -= 1
            self._sent += 1
            self.answers.append(self._ask(self._sent % self.clients, pods, reached, at))

    def _ask(self, client: int, pods: dict[str, Obj], reached: list[Obj], at: float) -> Answer:
        pooled = client < self.pooled_share * self.clients
        uid, connection = self._pinned.get(client, ("", 0))
        retried = False
        if not (pooled and uid in pods and self._up(uid)):
            retried = pooled and bool(uid)  # its connection was reset
            connection += 1
            up = [p for p in reached if self._up(p["metadata"]["uid"])]
            uid = self._rng.choice(up)["metadata"]["uid"] if up else ""
            self._pinned[client] = (uid, connection)
        sent = self._epoch(at)
        if not uid:
            return Answer(sent, sent, 0, client=client, connection=connection, retried=True, error="connection refused")
        container = self._node.containers[uid]
        if container.first_request is None:
            container.first_request = at
        blocked = self._rng.random() < container.block_rate
        container.count(1, blocked)
        revision = pods[uid]["metadata"]["labels"][names.LABEL_REVISION]
        near = blocked and container.broad  # all but a few: what any policy blocks is not told apart here
        if container.passes and self.near_share:
            near = self._rng.random() < self.near_share
        return Answer(
            sent,
            sent + LATENCY,
            409 if blocked else 200,
            revision,
            pods[uid]["metadata"]["name"],
            client,
            connection,
            retried=retried,
            near=near,
        )

    def _up(self, uid: str) -> bool:
        """A frozen gateway's client times out and goes elsewhere; a crashed one's connection is reset."""
        return self._node.containers[uid].answers


def reachable(kube: SimKube, service: tuple[str, str]) -> list[Obj]:
    """Pods to which a Service (namespace, name) sends new connections."""
    namespace, name = service
    for obj in kube.all(SERVICES, namespace, {}):
        if obj["metadata"]["name"] == name:
            wanted = obj["spec"]["selector"].items()
            return [p for p in kube.all(PODS, namespace, {}) if serves(p) and wanted <= p["metadata"]["labels"].items()]
    return []
