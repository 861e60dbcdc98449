"""Who gets an emergency passthrough, for how long: requests and approvals of people against `spec.passthrough`.

The API server's admission policies have checked most of this; everything is checked again here, because they may be
missing. Every answer has a name and a sentence that ends with what to type next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.passthrough import OFF, TwoPerson
from keeptrusts_operator.api.quantities import format_duration, format_time
from keeptrusts_operator.core.grant_checks import (
    Ask,
    Circumstances,
    Refusal,
    budget,
    check_person,
    check_second_person,
    check_words,
    duration_of,
    left_alone,
    parse_scope,
    vouched_for,
)
from keeptrusts_operator.core.grants import (
    RUNNING,
    TEXT_LIMIT,
    EndReason,
    Grant,
    GrantState,
    Spent,
    due,
    ended,
    replaced,
    spent_by,
)

APPROVE_WITHIN = timedelta(minutes=30)
SHORTEST = timedelta(minutes=1)  # with less than this left of a budget there is nothing to grant


class Outcome(StrEnum):
    """What became of a request or an approval."""

    GRANTED = "Granted"
    PENDING = "Pending"
    APPROVED = "Approved"
    ENDED = "Ended"
    REFUSED = "Refused"
    ANSWERED = "Answered"  # before: nothing to do
    UNKNOWN = "Unknown"  # what it depends on could not be read: ask again in the next pass, record nothing


@dataclass(frozen=True)
class Turn:
    """The answer: the grant as it is now (unchanged with Answered and Unknown) and a sentence for who asked.

    `superseded`: the grant whose place it took, as it ended; its incident is to be closed.
    """

    outcome: Outcome
    grant: Grant | None
    message: str
    superseded: Grant | None = None


def request(ask: Ask, current: Grant | None, at: Circumstances) -> Turn:
    """Answer an `emergency-passthrough` annotation, once per request id."""
    current = due(current, at.now) if current else None
    if ask.argument == OFF:
        return _off(ask, current, at)
    if ask.request_id in _seen(current, at):
        return Turn(Outcome.ANSWERED, current, "this request was answered before")
    if at.spent is None:
        return Turn(Outcome.UNKNOWN, current, "earlier grants could not be read; nothing is granted until they can be")
    try:
        duration, scope = duration_of(ask, at), parse_scope(ask.scope)
        check_words(ask, at)
        check_person(ask, at)
        _check_current(current, scope, at)
        return _grant(ask, duration, scope, current, at)
    except Refusal as refusal:
        return Turn(Outcome.REFUSED, _refused(ask, current, at), refusal.message)


def approve(ask: Ask, current: Grant | None, at: Circumstances) -> Turn:
    """Answer an `approve-passthrough` annotation: a second, different person agrees to what was asked."""
    current = due(current, at.now) if current else None
    try:
        if current is None or not current.live:
            raise Refusal("there is no passthrough to approve" + (f"; the last one {_how(current)}" if current else ""))
        if ask.argument != current.request_id:
            valid = at.command(Verb.APPROVE_PASSTHROUGH, current.request_id)
            raise Refusal(f"{ask.argument or 'an empty value'} is not the request that is waiting; {valid}")
        if current.approved_by:
            return Turn(Outcome.ANSWERED, current, f"{current.approved_by} has approved it already")
        check_second_person(ask, current, at)
        if at.spent is None:
            return Turn(
                Outcome.UNKNOWN, current, "earlier grants could not be read; nothing is approved until they can"
            )
        return _approved(ask, current, at)
    except Refusal as refusal:
        return Turn(Outcome.REFUSED, current, refusal.message)


def _seen(current: Grant | None, at: Circumstances) -> set[str]:
    """Requests that were answered before, as far as they were granted, and the newest one."""
    return {s.request_id for s in at.spent or ()} | ({current.request_id} if current else set())


def _check_current(current: Grant | None, scope: tuple[str, ...], at: Circumstances) -> None:
    """A newer request takes the place of a running one only where no traffic has to move for it."""
    if current and current.state in RUNNING and frozenset(scope) != frozenset(current.scope):
        had = ", ".join(current.scope) or "all that may be bypassed"
        raise Refusal(
            f"a passthrough of {had} runs until {_until(current)}; to change the scope end it first: "
            f"{at.command(Verb.EMERGENCY_PASSTHROUGH, OFF)}"
        )


def _grant(ask: Ask, asked: timedelta, scope: tuple[str, ...], current: Grant | None, at: Circumstances) -> Turn:
    running = current if current and current.state in RUNNING else None
    earlier = _earlier(replaced(running, at.now) if running else current, at)
    left = budget(earlier, at.rules.budget_window, at.rules.max_duration, at.now)
    if left < SHORTEST:
        raise Refusal(_exhausted(at))
    alone = asked if at.rules.two_person is TwoPerson.OFF else left_alone(ask, earlier, at)
    new = Grant(
        GrantState.PENDING,
        ask.request_id,
        vouched_for(ask, at),
        at.now,
        asked,
        ask.reason.strip(),
        ask.ticket.strip(),
        scope,
    )
    waits = alone < asked and (at.rules.two_person is TwoPerson.BEFORE or alone < SHORTEST)
    if not waits:
        return _started(new, min(asked, left, alone), current, at)
    if running:
        raise Refusal(
            f"it would have to wait for a second person, and a passthrough runs until {_until(running)}; "
            f"have that one approved: {at.command(Verb.APPROVE_PASSTHROUGH, running.request_id)}"
        )
    new = replace(new, expires_at=at.now + APPROVE_WITHIN)
    message = (
        f"waits until {_until(new)} for a second person, who types: "
        f"{at.command(Verb.APPROVE_PASSTHROUGH, new.request_id)}"
    )
    return Turn(Outcome.PENDING, new, message, _place_taken(current, at))


def _started(new: Grant, granted: timedelta, current: Grant | None, at: Circumstances) -> Turn:
    new = replace(
        new, state=GrantState.STARTING, granted_at=at.now, expires_at=at.now + granted, rearm_revision=at.active
    )
    if current and current.state in RUNNING:  # traffic is where it is to be, and goes back to where it came from
        new = replace(
            new, state=current.state, effective_at=current.effective_at, last_answer_at=current.last_answer_at
        )
    if current and current.state in RUNNING | {GrantState.REARMING}:
        new = replace(new, rearm_revision=current.rearm_revision or at.active)
    short = "" if granted == new.requested_duration else f" of the {format_duration(new.requested_duration)} asked for"
    more = f"; a second person extends it: {at.command(Verb.APPROVE_PASSTHROUGH, new.request_id)}" if short else ""
    message = f"granted for {format_duration(granted)}{short}, until {_until(new)}{more}"
    message = f"{message}; to end it: {at.command(Verb.EMERGENCY_PASSTHROUGH, OFF)}"
    return Turn(Outcome.GRANTED, new, message, _place_taken(current, at))


def _place_taken(current: Grant | None, at: Circumstances) -> Grant | None:
    """The grant that makes place for a new one, if its life goes on."""
    return replaced(current, at.now) if current and current.state in RUNNING | {GrantState.REARMING} else None


def _approved(ask: Ask, current: Grant, at: Circumstances) -> Turn:
    left = budget(_others(current, at), at.rules.budget_window, at.rules.max_duration, at.now)
    granted = min(current.requested_duration, left)
    start = current.granted_at or at.now
    if current.granted_at is None and granted < SHORTEST:
        raise Refusal(_exhausted(at))
    grant = replace(
        current,
        state=GrantState.STARTING if current.state is GrantState.PENDING else current.state,
        approved_by=ask.by,
        granted_at=start,
        # Counted from the first minute, not from now; what was promised is not taken back.
        expires_at=max(start + granted, current.expires_at)
        if current.granted_at and current.expires_at
        else start + granted,
        rearm_revision=current.rearm_revision or at.active,
    )
    short = "" if granted == grant.requested_duration else ", which is all that maxDuration leaves in budgetWindow"
    message = f"approved by {ask.by}: until {_until(grant)}{short}"
    return Turn(Outcome.APPROVED, grant, f"{message}; to end it: {at.command(Verb.EMERGENCY_PASSTHROUGH, OFF)}")


def _off(ask: Ask, current: Grant | None, at: Circumstances) -> Turn:
    """Less bypass needs no reason and no second person."""
    if current is None or not current.live:
        return Turn(
            Outcome.REFUSED,
            current,
            "there is no passthrough to end" + (f"; the last one {_how(current)}" if current else ""),
        )
    what = "withdrawn" if current.state is GrantState.PENDING else "ended"
    by = f" by {ask.by}" if ask.by else ""
    return Turn(Outcome.ENDED, ended(current, at.now, EndReason.OFF), f"the passthrough is {what}{by}")


def _refused(ask: Ask, current: Grant | None, at: Circumstances) -> Grant:
    """A refusal is remembered in the place of a grant that is over; one that is not goes on."""
    if current and (current.live or current.state is GrantState.REARMING):
        return current
    by, ticket = ask.by[:TEXT_LIMIT], ask.ticket.strip()[:TEXT_LIMIT]
    new = Grant(GrantState.REFUSED, ask.request_id, by, at.now, timedelta(), ask.reason.strip(), ticket)
    return replace(new, ended_at=at.now, end_reason=EndReason.REFUSED)


def _earlier(current: Grant | None, at: Circumstances) -> tuple[Spent, ...]:
    own = spent_by(current) if current else None
    others = _others(current, at) if current else at.spent or ()
    return (*others, own) if own else others


def _others(current: Grant, at: Circumstances) -> tuple[Spent, ...]:
    return tuple(s for s in at.spent or () if s.request_id != current.request_id)


def _exhausted(at: Circumstances) -> str:
    longest, window = format_duration(at.rules.max_duration), format_duration(at.rules.budget_window)
    return (
        f"the budget of {longest} within {window} is used up; take the policy back instead "
        f"({at.command(Verb.ROLLBACK, 'previous')}), or raise spec.passthrough.maxDuration"
    )


def _until(grant: Grant) -> str:
    return format_time(grant.expires_at.replace(microsecond=0)) if grant.expires_at else "its end"


def _how(grant: Grant) -> str:
    since = f" since {format_time(grant.ended_at.replace(microsecond=0))}" if grant.ended_at else ""
    return f"is over{since} ({grant.end_reason})"
