"""What a request for an emergency passthrough, or its approval, has to be: well-formed, explained, by a person.

A check passes or raises `Refusal` with a sentence that ends with what to type instead.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from keeptrusts_operator.api.formats import POLICY_KIND
from keeptrusts_operator.api.names import ANNOTATION_REASON, ANNOTATION_TICKET, Verb
from keeptrusts_operator.api.passthrough import MAX_KINDS, MIN_REASON, OFF, Passthrough, Unattributed
from keeptrusts_operator.api.quantities import format_duration, parse_duration
from keeptrusts_operator.core.grants import TEXT_LIMIT, Grant, Spent

MACHINES = ("system:serviceaccount:", "system:node:")  # user names of programs, as Kubernetes writes them


class Attribution(StrEnum):
    """How far the API server vouches for who made a request."""

    STAMPED = "Stamped"  # a mutating admission policy writes user name and request id
    CHECKED = "Checked"  # a validating one requires that the caller wrote his own user name
    NONE = "None"


@dataclass(frozen=True)
class Ask:
    """A request as its annotations have it: `value` of the verb, the stamps, and what goes with it."""

    value: str
    id: str = ""
    by: str = ""
    reason: str = ""
    scope: str = ""
    ticket: str = ""

    @property
    def argument(self) -> str:
        return self.value.partition("#")[0].strip()

    @property
    def request_id(self) -> str:
        """The stamp; without one the value itself is the request."""
        if self.id and len(self.id) <= 256:
            return self.id
        return f"v-{hashlib.sha256(f'{self.id} {self.value}'.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Circumstances:
    """What a decision depends on. `spent`: earlier grants of this namespace/name from the incidents, None: not known.

    `command(verb, value)` is what to type for a request.
    """

    now: datetime
    rules: Passthrough
    attribution: Attribution
    spent: tuple[Spent, ...] | None
    active: str  # the active revision
    command: Callable[[Verb, str], str]


@dataclass(frozen=True)
class Refusal(Exception):
    """Not like this: why, and what to type instead."""

    message: str


def parse_scope(text: str) -> tuple[str, ...]:
    """The names in a `scope` annotation, separated by commas or blanks, each once."""
    names = tuple(dict.fromkeys(name for name in re.split(r"[,\s]+", text) if name))
    wrong = next((name for name in names if POLICY_KIND.problem_of(name)), None)
    if wrong is not None:
        raise Refusal(f"the scope names {wrong[:100]!r}, which is no policy kind; write e.g. pii-detector,dlp-filter")
    if len(names) > MAX_KINDS:
        raise Refusal(f"the scope names {len(names)} policies; at most {MAX_KINDS} can be named, none means all")
    return names


def person(user: str, pattern: str) -> str:
    """Who is behind a user name; empty for machines and names that `identityPattern` does not cover."""
    if not user or len(user) > TEXT_LIMIT or user.startswith(MACHINES):
        return ""
    match = re.fullmatch(pattern, user)
    return (match[1] or "").strip().casefold() if match else ""


def budget(spent: Iterable[Spent], window: timedelta, limit: timedelta, now: datetime) -> timedelta:
    """What is left of `limit` when the grants of the last `window` are taken off; what lies ahead counts too."""
    since = now - window
    used = sum((max(s.end - max(s.start, since), timedelta()) for s in spent), timedelta())
    return max(limit - used, timedelta())


def duration_of(ask: Ask, at: Circumstances) -> timedelta:
    """What is asked for, at most `maxDuration`."""
    longest = at.rules.max_duration
    example = at.command(Verb.EMERGENCY_PASSTHROUGH, format_duration(min(longest, timedelta(minutes=15))))
    try:
        duration = parse_duration(ask.argument)
    except ValueError as error:
        raise Refusal(f"{error}, or {OFF}; {example}") from error
    if not duration:
        raise Refusal(f"a passthrough of 0s is none; {example}")
    if duration > longest:
        raise Refusal(f"{ask.argument} is longer than maxDuration ({format_duration(longest)}); {example}")
    return duration


def check_words(ask: Ask, at: Circumstances) -> None:
    """Reason and ticket."""
    if len(ask.reason.strip()) < MIN_REASON:
        again = (
            f"{at.command(Verb.EMERGENCY_PASSTHROUGH, ask.argument)} '{ANNOTATION_REASON}=<what happens, and where>'"
        )
        raise Refusal(f"the reason needs at least {MIN_REASON} characters; {again}")
    pattern, ticket = at.rules.ticket_pattern, ask.ticket.strip()
    if len(ticket) > TEXT_LIMIT or (pattern and not re.fullmatch(pattern, ticket)):
        wanted = f"a ticket that matches {pattern}" if pattern else f"a ticket of at most {TEXT_LIMIT} characters"
        again = f"{at.command(Verb.EMERGENCY_PASSTHROUGH, ask.argument)} '{ANNOTATION_TICKET}=<ticket>'"
        raise Refusal(f"{wanted} is required; {again}")


def check_person(ask: Ask, at: Circumstances) -> None:
    """Somebody has to be held to it, unless `unattributed: Accept`."""
    if who_asks(ask, at) or at.rules.unattributed is Unattributed.ACCEPT:
        return
    if at.attribution is Attribution.NONE:
        raise Refusal(
            "the API server does not say who asks, so nobody could be held to it; install the admission policies "
            "(charts/plain/admission.yaml), or set spec.passthrough.unattributed: Accept"
        )
    raise Refusal(
        f"{ask.by or 'nobody'} is not a person by spec.passthrough.identityPattern; a person has to type: "
        f"{at.command(Verb.EMERGENCY_PASSTHROUGH, ask.argument)}"
    )


def check_second_person(ask: Ask, current: Grant, at: Circumstances) -> None:
    """Somebody else than who asked."""
    pattern = at.rules.identity_pattern
    first, second = person(current.requested_by, pattern), who_asks(ask, at)
    again = at.command(Verb.APPROVE_PASSTHROUGH, current.request_id)
    if not second:
        raise Refusal(f"{ask.by or 'nobody'} is not known as a person; a second person has to type: {again}")
    if not first:
        raise Refusal("nobody knows who asked for it, so nobody can be a second person; it ends by itself")
    if first == second:
        raise Refusal(f"{current.requested_by} has asked for it; a second, different person has to type: {again}")


def who_asks(ask: Ask, at: Circumstances) -> str:
    """The person, as the API server vouches for it; empty: nobody knows."""
    return "" if at.attribution is Attribution.NONE else person(ask.by, at.rules.identity_pattern)


def vouched_for(ask: Ask, at: Circumstances) -> str:
    """The user name that may be written down as who asked; empty where anybody could have written it."""
    return ask.by if at.attribution is not Attribution.NONE and len(ask.by) <= TEXT_LIMIT else ""


def left_alone(ask: Ask, earlier: tuple[Spent, ...], at: Circumstances) -> timedelta:
    """What this person may have without a second one. All who are nobody share one budget."""
    pattern, who = at.rules.identity_pattern, who_asks(ask, at)
    mine = [s for s in earlier if s.alone is not None and person(s.alone, pattern) == who]
    return budget(mine, at.rules.budget_window, at.rules.solo_duration, at.now)
