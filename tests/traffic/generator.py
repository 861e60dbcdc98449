"""The traffic generator: an open-loop schedule over many clients, each with a connection of its own."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field, replace

from tests.traffic.answers import Answer
from tests.traffic.connection import Broken, BrokenBeforeFirstByte, Connection, Response

HARMLESS = ("How do I reset my password?", "Write a haiku about rain.", "What is the capital of France?")
BLOCKED = ("Tell me about project phoenix.",)
NEAR = ("When is the next project review?", "Summarise this project plan.", "Who leads the billing project?")
GOOD_TERM, BROAD_TERM = "project phoenix", "project"  # the second blocks what is near as well


@dataclass(frozen=True)
class Load:
    """What is asked: `rate` requests a second from `clients` clients; `blocked_share` of the prompts are for blocking, and
    `near_share` of them are blocked only by a policy that is too broad."""

    host: str
    port: int
    rate: float = 100.0
    clients: int = 40
    pooled_share: float = 1.0  # share of the clients that keep their connection; the others open one
    per_connection: int = 1  # for so many requests
    blocked_share: float = 0.02
    near_share: float = 0.0
    loud: bool = False  # all that is near is asked by one user
    timeout: float = 30.0
    path: str = "/v1/chat/completions"
    headers: dict[str, str] = field(default_factory=dict)
    seed: int = 1


@dataclass(frozen=True)
class _Prompt:
    body: bytes
    near: bool
    user: str


class Traffic:
    """Runs a load in the background; `answers` grows while it runs.

    The schedule does not wait for answers. A client that is still busy when its next request is due sends it late.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._random = random.Random(load.seed)
        self._queues: list[asyncio.Queue[_Prompt | None]] = [asyncio.Queue() for _ in range(load.clients)]
        self._tasks: list[asyncio.Task[None]] = []
        self._connections = [Connection(load.host, load.port) for _ in range(load.clients)]
        self._stale = [False] * load.clients
        self.answers: list[Answer] = []

    def reconnect(self) -> None:
        """Every client opens a new connection for its next request, as clients of a real service do now and then."""
        self._stale = [True] * self._load.clients

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._schedule())]
        self._tasks += [asyncio.create_task(self._client(n)) for n in range(self._load.clients)]

    async def stop(self) -> list[Answer]:
        """No more requests; the ones under way are waited for."""
        self._tasks[0].cancel()
        for queue in self._queues:
            queue.put_nowait(None)
        await asyncio.gather(*self._tasks[1:])
        for connection in self._connections:
            connection.close()
        return self.answers

    async def _schedule(self) -> None:
        started, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - started) * self._load.rate)
            while sent < due:
                self._queues[sent % self._load.clients].put_nowait(self._prompt())
                sent += 1
            await asyncio.sleep(1 / self._load.rate)

    def _prompt(self) -> _Prompt:
        load, dice = self._load, self._random.random()
        words = (
            BLOCKED if dice < load.blocked_share else NEAR if dice < load.blocked_share + load.near_share else HARMLESS
        )
        message = {"role": "user", "content": self._random.choice(words)}
        user = "loud" if load.loud and words is NEAR else ""
        return _Prompt(json.dumps({"model": "gpt-4o-mini", "messages": [message]}).encode(), words is NEAR, user)

    async def _client(self, number: int) -> None:
        load, count = self._load, number % self._load.per_connection  # not all at the same time
        while (prompt := await self._queues[number].get()) is not None:
            self.answers.append(replace(await self._ask(number, prompt), near=prompt.near))
            count += 1
            if number >= load.pooled_share * load.clients and count % load.per_connection == 0:
                self._connections[number].close()

    async def _ask(self, number: int, prompt: _Prompt) -> Answer:
        """One request, retried once if its connection broke before the first byte of an answer."""
        connection, sent, retried, error = self._connections[number], time.time(), False, ""
        user = prompt.user or f"client-{number}"
        headers = {"content-type": "application/json", "x-user-id": user, **self._load.headers}
        if self._stale[number]:
            self._stale[number] = False
            connection.close()
        for attempt in (0, 1):
            retried = attempt > 0
            try:
                async with asyncio.timeout(self._load.timeout):
                    response = await connection.post(self._load.path, headers, prompt.body)
            except BrokenBeforeFirstByte as broken:
                error = str(broken)
                continue
            except (Broken, TimeoutError) as broken:
                error = str(broken) or f"no answer within {self._load.timeout} s"
                break
            return self._answer(number, sent, response, retried)
        return Answer(sent, time.time(), 0, client=number, connection=connection.number, retried=retried, error=error)

    def _answer(self, number: int, sent: float, response: Response, retried: bool) -> Answer:
        pod = response.headers.get("x-gateway-pod", "")
        if not pod and response.status == 200:  # the test cluster's upstream tells who asked it
            body = response.json()
            pod = str(body.get("id", "")).removeprefix("from-") if isinstance(body, dict) else ""
        return Answer(
            sent,
            time.time(),
            response.status,
            revision=response.headers.get("x-gateway-revision", ""),
            pod=pod,
            client=number,
            connection=self._connections[number].number,
            retried=retried,
        )
