"""What became of requests, and the sums over them that the demo and the benches publish. Times: seconds since the epoch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """One request. `status` 0: it is lost, no complete answer came even after one retry of a connection that was reset
    before its first byte."""

    sent: float
    done: float
    status: int
    revision: str = ""
    pod: str = ""  # name or address of the pod that answered, where the answer tells
    client: int = 0
    connection: int = 0
    retried: bool = False
    error: str = ""
    near: bool = False  # only a policy that is too broad blocks it

    @property
    def lost(self) -> bool:
        return self.status == 0

    @property
    def wrongly_blocked(self) -> bool:
        return self.near and outcome(self) == "blocked"


def attributed(answers: Iterable[Answer], revision_of: Mapping[str, str]) -> list[Answer]:
    """Answers with their revision filled in where the gateway does not name it.

    First by the pod that the answer tells of. Then, for answers that tell of no pod (rejections): by the other answers
    of their connection, since a connection through a Service stays with one pod.
    """
    known = [replace(a, revision=a.revision or revision_of.get(a.pod, "")) for a in answers]
    by_connection = {(a.client, a.connection): a.revision for a in known if a.revision}
    return [
        a if a.revision or a.lost else replace(a, revision=by_connection.get((a.client, a.connection), ""))
        for a in known
    ]


def last_answer_of(answers: Iterable[Answer], revision: str) -> float | None:
    """When a revision gave its last answer."""
    return max((a.done for a in answers if a.revision == revision and not a.lost), default=None)


def last_new_connection_of(answers: Sequence[Answer], revision: str) -> float | None:
    """When the last connection that reached a revision was first used."""
    first: dict[tuple[int, int], Answer] = {}
    for answer in sorted((a for a in answers if not a.lost), key=lambda a: a.sent):
        first.setdefault((answer.client, answer.connection), answer)
    return max((a.sent for a in first.values() if a.revision == revision), default=None)


def outcomes_over_time(
    answers: Iterable[Answer], start: float, bucket: float = 1.0
) -> dict[tuple[str, str], Counter[int]]:
    """Number of answers by (revision, outcome) and bucket since `start`; outcomes: answered, blocked, failed, lost."""
    out: dict[tuple[str, str], Counter[int]] = {}
    for answer in answers:
        key = (answer.revision, outcome(answer))
        out.setdefault(key, Counter())[int((answer.done - start) // bucket)] += 1
    return out


def outcome(answer: Answer) -> str:
    """In one word."""
    if answer.lost:
        return "lost"
    if answer.status in (400, 409):
        return "blocked"
    return "answered" if answer.status == 200 else "failed"


def write(path: Path, answers: Iterable[Answer]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(asdict(a)) + "\n" for a in answers))
