"""Answers of a control-plane API as values. Unknown fields are passed over, what cannot be read is never guessed.

Its documentation disagrees with itself in places (`decision` or `verdict`, pending or queued): both are understood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keeptrusts_operator.api.quantities import parse_time

VERDICTS = {
    "allow": "allow", "allowed": "allow", "block": "block", "blocked": "block", "escalate": "escalate",
    "escalated": "escalate", "redact": "redact", "redacted": "redact",
}  # fmt: skip
NOT_WAITING = {"claimed", "resolved", "approved", "denied", "expired", "closed", "rejected"}
MAX_WORD = 200

Item = Mapping[str, Any]


class NoAnswer(Exception):
    """Nothing is known; `args[0]` says what came instead. `status`: of HTTP, 0 without an answer."""

    def __init__(self, why: str, status: int = 0, *, too_large: bool = False, unknown_word: bool = False) -> None:
        super().__init__(why)
        self.status, self.too_large = status, too_large
        self.unknown_word = unknown_word or status in (400, 404, 422)


@dataclass(frozen=True)
class Backlog:
    """Escalations that wait for a person. `oldest` in monotonic seconds; `whole`: oldest and policies are of all."""

    total: int
    oldest: float | None = None
    by_policy: Mapping[str, int] = field(default_factory=dict)
    whole: bool = True


@dataclass(frozen=True)
class Event:
    """A decision event. `at` in monotonic seconds; `verdict` allow, block, redact, escalate, or empty: another word."""

    id: str
    at: float
    gateway: str = ""
    client: str = ""
    verdict: str = ""
    config_version: str = ""


@dataclass(frozen=True)
class Page:
    """Events, oldest first. `since`: from when on all are here; `exact`: no newer one was left out."""

    events: tuple[Event, ...]
    since: float
    exact: bool = True


@dataclass(frozen=True)
class Waiting:
    """Escalations under one of the words for those that wait."""

    total: int
    items: Sequence[Item]

    @property
    def keys(self) -> set[str]:
        """What tells them apart."""
        return {str(i.get("id") or (i.get("created_at"), i.get("policy_name"))) for i in self.items}


def items_of(path: str, body: Any) -> Sequence[Item]:
    """The list of an answer, in an envelope or not; what is no object in it is passed over."""
    items = body.get("data", body.get("events", body.get("items"))) if isinstance(body, Mapping) else body
    if not isinstance(items, list):
        raise NoAnswer(f"{path}: the answer has no list in `data`", 200)
    return [i for i in items if isinstance(i, Mapping)]


def total_of(path: str, body: Any) -> int | None:
    """`meta.total`; None where there is none."""
    meta = body.get("meta") if isinstance(body, Mapping) else None
    total = meta.get("total") if isinstance(meta, Mapping) else None
    if total is None:
        return None
    if isinstance(total, bool) or not isinstance(total, int) or total < 0:
        raise NoAnswer(f"{path}: `meta.total` is no count", 200)
    return total


def waiting_of(path: str, body: Any) -> Waiting:
    """Those that wait, of an answer to a filter that may not have been applied."""
    items, total = items_of(path, body), total_of(path, body)
    waiting = [i for i in items if str(i.get("status") or i.get("state") or "").lower() not in NOT_WAITING]
    if len(waiting) == len(items):
        return Waiting(len(items) if total is None else max(total, len(items)), items)
    if total is not None and total > len(items):
        why = f"{path}: does not filter by status, and shows {len(items)} of {total}"
        raise NoAnswer(why, 200, unknown_word=True)
    return Waiting(len(waiting), waiting)


def together(lists: Sequence[Waiting]) -> Waiting:
    """Two words may be two states, or two names of one."""
    if len(lists) == 2 and not lists[0].keys & lists[1].keys:
        return Waiting(sum(w.total for w in lists), [*lists[0].items, *lists[1].items])
    return max(lists, key=lambda w: (w.total, len(w.items)))


def events_of(items: Iterable[Item], ours: Callable[[datetime], float]) -> Iterator[Event]:
    """Those with a readable time, which `ours` makes monotonic seconds of."""
    for item in items:
        at = time_of(item.get("timestamp") or item.get("created_at"))
        if at is None:
            continue
        verdict = VERDICTS.get(str(item.get("verdict") or item.get("decision") or "").lower(), "")
        gateway, client = word_of(item.get("gateway_id")), word_of(item.get("user_id"))
        version = word_of(item.get("config_version"))
        key = word_of(item.get("id")) or f"{at} {gateway} {client} {verdict} {version}"
        yield Event(key, ours(at), gateway, client, verdict, version)


def word_of(value: Any) -> str:
    """A field that names something; empty for what names nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)[:MAX_WORD]


def time_of(value: Any) -> datetime | None:
    """A time as RFC 3339 writes it, else None."""
    try:
        return parse_time(value) if isinstance(value, str) else None
    except ValueError:
        return None
