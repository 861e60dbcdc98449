"""40 clients that ask through the Service, and what became of their requests.

Half of them keep their connections, half open one for each request.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tests.e2e.cluster import Cluster
from tests.traffic.answers import Answer
from tests.traffic.generator import Load, Traffic

RATE = 100.0  # requests a second
DECIDED = (200, 409)  # what the stand-in answers


@contextlib.contextmanager
def traffic(cluster: Cluster, near_share: float = 0.0, rate: float = RATE, *, loud: bool = False) -> Iterator[Traffic]:
    """Clients that ask through the Service, in a thread of their own."""
    address = cluster.get("service", "gw")["spec"]["clusterIP"]
    clients = Traffic(Load(address, 41002, rate=rate, pooled_share=0.5, near_share=near_share, loud=loud))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    loop.call_soon_threadsafe(clients.start)
    try:
        yield clients
    finally:
        asyncio.run_coroutine_threadsafe(clients.stop(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def lost(answers: list[Answer]) -> list[Answer]:
    return [a for a in answers if a.status not in DECIDED]


def summary(answers: list[Answer]) -> str:
    """In numbers; requests that were sent once more because their connection had ended are not lost."""
    new = sum(a.retried for a in answers if a.client >= 20)
    kept = sum(a.retried for a in answers if a.client < 20)
    slowest = max(a.done - a.sent for a in answers)
    return (
        f"{len(answers)} requests, {len(lost(answers))} lost; sent again: {kept} on kept, {new} on new connections; "
        f"slowest {slowest:.2f} s"
    )
