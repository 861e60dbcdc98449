"""What the demo's story is told with: the stage it is played on, and what became of each chapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from keeptrusts_operator.api.quantities import parse_time
from tests.demo.objects import Cast
from tests.traffic.answers import Answer


class Stage(Protocol):
    """Where the story is played: a real cluster (`stage.py`) or the simulated world (`tests/sim/stage.py`)."""

    status: dict[str, Any]
    pods: dict[str, dict[str, Any]]

    @property
    def cast(self) -> Cast: ...
    @property
    def say(self) -> Callable[[float, str], None]: ...
    def now(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    async def apply(self, obj: dict[str, Any]) -> float: ...
    async def people(self, roles: Mapping[str, str]) -> None: ...
    async def annotate(self, who: str, notes: Mapping[str, str]) -> float: ...
    async def incidents(self) -> list[dict[str, Any]]: ...
    async def clear(self) -> None: ...
    def watch(self) -> None: ...
    async def until(self, condition: Callable[[], Any], seconds: float, what: str) -> float: ...
    async def start_traffic(self, *, rate: float = ..., pooled_share: float = ..., near_share: float = ...) -> None: ...
    async def stop_traffic(self) -> None: ...
    def answers(self) -> list[Answer]: ...
    def stop_processes(self, revision: str) -> int: ...


@dataclass(frozen=True)
class Bypass:
    """An emergency passthrough. Times: seconds after the annotation; None: it never happened."""

    by: str
    approved_by: str
    ticket: str
    revision: str
    effective: float | None  # new connections reach only the passthrough, as the operator saw it
    last_blocking_answer: float | None  # of the revision that was left
    expires: float | None  # when the grant ends, with the approval
    rearmed: float | None  # when the Service selected protected pods again
    rearmed_on: str
    last_passing_answer: float | None  # of the passthrough
    passed: int  # requests
    passed_near: int  # of these, what the policy that was bypassed blocks wrongly
    blocked: int  # requests that were blocked although they were sent after the last answer of the blocking revision
    incident: dict[str, Any] = field(default_factory=dict)  # its status, at the end


@dataclass(frozen=True)
class Chapter:
    """What happened in one part of the story. Times: seconds after the change was applied; None: it never happened."""

    title: str
    revision: str
    outcome: str
    expected: str
    exposed: float | None = None
    detected: float | None = None
    issued: float | None = None
    last_answer: float | None = None
    finished: float | None = None
    served: int = 0  # requests that the changed revision answered
    requests: int = 0
    lost: int = 0
    wrongly_blocked: int = 0  # what only a policy that is too broad blocks
    problems: tuple[str, ...] = ()
    bypass: Bypass | None = None

    @property
    def ok(self) -> bool:
        return self.outcome == self.expected and not self.problems


@dataclass
class Told:
    """The whole story."""

    gateway: str
    started: float = 0.0
    chapters: list[Chapter] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)  # for the picture
    simulated: bool = False

    @property
    def ok(self) -> bool:
        return len(self.chapters) == 6 and all(c.ok for c in self.chapters)


@dataclass(frozen=True)
class Facts:
    """What a chapter's player saw."""

    revision: str
    outcome: str
    expected: str
    finished: float
    exposed: float | None = None
    detected: float | None = None
    issued: float | None = None
    problems: tuple[str, ...] = ()
    bypass: Bypass | None = None
    marks: tuple[tuple[float, str], ...] = ()


async def candidate(stage: Stage, active: str) -> str:
    """The revision of a change, as soon as it is noticed."""
    await stage.until(lambda: stage.status.get("desiredRevision") != active, 30, "the change is noticed")
    return str(stage.status["desiredRevision"])


def at(text: str | None) -> float | None:
    """A time of a status, in seconds since the epoch."""
    return parse_time(text).timestamp() if text else None
