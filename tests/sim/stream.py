"""Requests too many to be told one by one: what pods count between two moments, drawn from the seed.

Clients without a connection of their own: each request goes to any pod that the Service reaches.
"""

from __future__ import annotations

import math
import random

from tests.sim.api import SimKube
from tests.sim.clients import reachable
from tests.sim.node import Node


class Stream:
    """`rate` requests per second; what a gateway blocks of them is written in its document (`blocks=45%`)."""

    def __init__(self, kube: SimKube, node: Node, rng: random.Random) -> None:
        self._kube, self._node, self._rng = kube, node, rng
        self._at = 0.0
        self.rate = 0.0
        self.service = ("", "")
        self.served: dict[str, tuple[int, int]] = {}  # description of a document → requests, blocked

    def flow(self, at: float) -> None:
        """Let the time until `at` go by, in which nothing else changed."""
        seconds, self._at = at - self._at, at
        if not self.rate or seconds <= 0:
            return
        pods = [p["metadata"]["uid"] for p in reachable(self._kube, self.service)]
        up = [c for c in (self._node.containers[u] for u in pods) if c.answers]
        for container in up:
            requests = _poisson(self._rng, self.rate * seconds / len(up))
            if not requests:
                continue
            if container.first_request is None:
                container.first_request = at
            blocked = _binomial(self._rng, requests, container.block_rate)
            container.count(requests, blocked)
            before = self.served.get(container.description, (0, 0))
            self.served[container.description] = (before[0] + requests, before[1] + blocked)


def _poisson(rng: random.Random, mean: float) -> int:
    """Knuth's method for few, the normal approximation for many."""
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def _binomial(rng: random.Random, n: int, p: float) -> int:
    if n * p > 30 and n * (1 - p) > 30:
        return min(n, max(0, round(rng.gauss(n * p, math.sqrt(n * p * (1 - p))))))
    if n > 200:
        return min(n, _poisson(rng, n * p))
    return sum(rng.random() < p for _ in range(n))
