"""One process that answers for hundreds of gateway pods, and plays their kubelet.

Pods get loopback addresses (all of 127.0.0.0/8 is this machine's), so one listening socket owns the scraped addresses.
The controllers of Kubernetes make the pods; what is missing without a node is only their status, written here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.client import ApiServer, load_configuration
from keeptrusts_operator.kube.port import CONFIG_MAPS, PODS, ApiError, Obj
from tests.bench.watching import watch

FIRST_ADDRESS = 0x7F_0A_00_01  # 127.10.0.1
REQUESTS_PER_SECOND, BLOCKED = 5.0, 0.02  # of each pod
BOUNDS = ("0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0")
OTHERS = 40  # more series on a page, that nobody asked for
STARTERS = 16  # pods that are started at a time


@dataclass
class Fleet:
    """What is known of the pods, by address."""

    packs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    born: dict[str, float] = field(default_factory=dict)  # in seconds of traffic
    looks: list[tuple[float, str]] = field(default_factory=list)  # when the counters of which address were read
    requests: int = 0
    flowing_since: float | None = None  # None: no traffic
    flowed: float = 0.0  # seconds of traffic before that

    def traffic(self, *, on: bool) -> None:
        """Let the counters of all pods move, or stand still."""
        self.flowed, self.flowing_since = self.seconds_of_traffic(), time.time() if on else None

    def seconds_of_traffic(self) -> float:
        """How long it has flowed, in all."""
        return self.flowed + (time.time() - self.flowing_since if self.flowing_since else 0.0)

    def answer(self, address: str, path: str) -> tuple[int, str]:
        """Status and body."""
        self.requests += 1
        if address not in self.packs:
            return 503, "{}"
        match path:
            case "/health":
                return 200, json.dumps({"status": "healthy", "version": "2.3.1", "policies_loaded": 3})
            case "/keeptrusts/config":
                return 200, json.dumps({"pack": self.packs[address], "policies": {"chain": []}})
            case "/metrics":
                self.looks.append((time.time(), address))
                return 200, _page(int((self.seconds_of_traffic() - self.born[address]) * REQUESTS_PER_SECOND))
            case _:
                return 404, "{}"

    def taken(self) -> Obj:
        """What has been counted since the last call."""
        out = {"requests": self.requests, "looks": self.looks}
        self.requests, self.looks = 0, []
        return out


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as much of it as a GET needs: the bench measures its client, not this server."""

    def __init__(self, answer: Callable[[str, str], tuple[int, str]]) -> None:
        self._answer, self._data = answer, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._address = str(transport.get_extra_info("sockname")[0])

    def data_received(self, data: bytes) -> None:
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, self._data = self._data.partition(b"\r\n\r\n")
            status, body = self._answer(self._address, head.split(b" ", 2)[1].decode())
            text = body.encode()
            lines = f"HTTP/1.1 {status} -\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n"
            self._transport.write(lines.encode() + text)


def _page(requests: int) -> str:
    """The counters of a pod that has answered so many requests."""
    blocked = int(requests * BLOCKED)
    lines = [
        "# TYPE keeptrusts_decisions_total counter",
        f'keeptrusts_decisions_total{{decision="allowed"}} {requests - blocked}',
        f'keeptrusts_decisions_total{{decision="blocked"}} {blocked}',
        "# TYPE keeptrusts_request_duration_seconds histogram",
        *(f'keeptrusts_request_duration_seconds_bucket{{le="{b}"}} {requests}' for b in (*BOUNDS, "+Inf")),
        f"keeptrusts_request_duration_seconds_count {requests}",
        f"keeptrusts_request_duration_seconds_sum {requests * 0.04}",
        *(f'process_something_{i}_total{{part="{i}"}} {requests}' for i in range(OTHERS)),
    ]
    return "\n".join(lines) + "\n"


class Kubelet:
    """Gives every pod of a gateway its address and readiness."""

    def __init__(self, api: ApiServer, fleet: Fleet) -> None:
        self._api, self._fleet = api, fleet
        self._started: dict[str, str] = {}  # address by pod UID
        self._packs: dict[tuple[str, str], Mapping[str, str]] = {}
        self._queue: asyncio.Queue[Obj] = asyncio.Queue()

    async def run(self, session: aiohttp.ClientSession, server: str) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(STARTERS):
                group.create_task(self._start_pods())
            async for kind, pod in watch(session, f"{server}/api/v1/pods", names.LABEL_DEPLOYMENT):
                uid = pod["metadata"]["uid"]
                if kind == "DELETED":
                    self._forget(uid)
                elif uid not in self._started:
                    self._started[uid] = pod.get("status", {}).get("podIP") or _address(len(self._started))
                    self._queue.put_nowait(pod)

    def _forget(self, uid: str) -> None:
        address = self._started.get(uid, "")
        self._fleet.packs.pop(address, None)

    async def _start_pods(self) -> None:
        while True:
            pod = await self._queue.get()
            for _ in range(5):
                with contextlib.suppress(ApiError):
                    await self._start(pod)
                    break
                await asyncio.sleep(0.5)

    async def _start(self, pod: Obj) -> None:
        metadata, address = pod["metadata"], self._started[pod["metadata"]["uid"]]
        labels = metadata["labels"]
        child = f"{labels[names.LABEL_DEPLOYMENT]}-{labels[names.LABEL_REVISION]}"
        self._fleet.packs[address] = await self._pack(metadata["namespace"], child)
        self._fleet.born.setdefault(address, self._fleet.seconds_of_traffic())
        patch = {"status": _running(address)}
        await self._api.merge(PODS, metadata["namespace"], metadata["name"], patch, subresource="status")

    async def _pack(self, namespace: str, child: str) -> Mapping[str, str]:
        """Name and version of the document that a revision's pods mount, read off its ConfigMap."""
        if (namespace, child) not in self._packs:
            data = (await self._api.get(CONFIG_MAPS, namespace, child))["data"]
            text = next(v for k, v in data.items() if k.endswith(".yaml"))
            words = dict(
                line.strip().split(": ", 1) for line in text.splitlines() if line.startswith(("  name", "  ver"))
            )
            self._packs[namespace, child] = {k: v.strip("'\"") for k, v in words.items()}
        return self._packs[namespace, child]


def _address(number: int) -> str:
    value = FIRST_ADDRESS + number
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def _running(address: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    state = {"running": {"startedAt": now}}
    container = {"name": names.GATEWAY_CONTAINER, "ready": True, "started": True, "restartCount": 0, "state": state}
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "conditions": [{"type": k, "status": "True", "lastTransitionTime": now} for k in kinds],
        "containerStatuses": [{**container, "image": "gateway", "imageID": ""}],
    }


async def _serve(port: int, control: int) -> None:
    fleet, loop = Fleet(), asyncio.get_running_loop()
    configuration = await load_configuration()
    headers = {"Authorization": configuration.api_key["BearerToken"]}

    def controlled(_: str, path: str) -> tuple[int, str]:
        if path.startswith("/traffic/"):
            fleet.traffic(on=path.endswith("/on"))
            return 200, "{}"
        return 200, json.dumps(fleet.taken())

    await loop.create_server(lambda: Connection(fleet.answer), "0.0.0.0", port, backlog=4096)
    await loop.create_server(lambda: Connection(controlled), "127.0.0.1", control)
    async with ApiServer(configuration) as api, aiohttp.ClientSession(headers=headers) as session:
        await Kubelet(api, fleet).run(session, configuration.host)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int, help="of the gateways")
    parser.add_argument(
        "control",
        type=int,
        help="where GET / gives what was counted since the last one, and /traffic/on and /off let counters move",
    )
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(given.port, given.control))
