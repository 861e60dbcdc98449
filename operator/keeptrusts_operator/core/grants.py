"""The life of an emergency passthrough: a request becomes a grant that the operator owns, with absolute times.

A grant is a value, kept in `status.passthrough`; `core/grant_rules.py` turns requests and approvals of people into
grants, this module moves them on. A deadline never moves but by an approval, so a restart never lengthens a grant, and
losing the annotation does not end one: nothing here looks at annotations. Unknown never means passthrough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from keeptrusts_operator.api.quantities import format_duration, format_time, parse_duration, parse_time
from keeptrusts_operator.core import passed
from keeptrusts_operator.core.passed import Passed

CLOCK_TOLERANCE = timedelta(minutes=1)
"""A clock that shows a time earlier than the grant by more than this is wrong, so nobody knows when the grant ends."""
REASON_LIMIT, TEXT_LIMIT = 2048, 512  # characters, as the CRD allows


class GrantState(StrEnum):
    """Where a request for a passthrough stands."""

    PENDING = "Pending"  # a second person has to approve first
    STARTING = "Starting"  # granted; its pods are not all ready, or the Service does not select them yet
    ACTIVE = "Active"  # the Service selects the passthrough revision
    REARMING = "Rearming"  # over; traffic is on its way back to `rearm_revision`, or watched there
    ENDED = "Ended"
    REFUSED = "Refused"
    EXPIRED = "Expired"  # nobody approved in time


class EndReason(StrEnum):
    """Why a grant is over."""

    EXPIRED = "Expired"
    OFF = "Off"
    SUPERSEDED = "Superseded"  # by a newer request
    NOT_APPROVED = "NotApproved"
    REFUSED = "Refused"
    UNAVAILABLE = "Unavailable"  # its revision could not be made or did not come up
    CLOCK = "ClockWentBack"


RUNNING = frozenset({GrantState.STARTING, GrantState.ACTIVE})
LIVE = RUNNING | {GrantState.PENDING}
"""What an approval, `off` or its deadline can still change."""


@dataclass(frozen=True)
class Grant:
    """One request for a passthrough and what came of it.

    `request_id` is never granted twice. `expires_at` is when it ends by itself: while Pending, unless it is approved.
    `requested_duration` is what was asked for; `expires_at` may be earlier until a second person approves.
    """

    state: GrantState
    request_id: str
    requested_by: str  # empty only with `unattributed: Accept`
    requested_at: datetime
    requested_duration: timedelta
    reason: str
    ticket: str = ""
    scope: tuple[str, ...] = ()  # names of policies; empty: all that may be bypassed
    approved_by: str = ""
    granted_at: datetime | None = None
    effective_at: datetime | None = None  # new connections reach only the passthrough revision
    last_answer_at: datetime | None = None  # of the revision that was left
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str = ""
    rearm_revision: str = ""
    passed: Passed | None = None  # None: nothing is known of it

    @property
    def live(self) -> bool:
        """It may still come to a passthrough, or is one."""
        return self.state in LIVE

    def authorises(self, now: datetime) -> bool:
        """Whether traffic may be on the passthrough revision. In doubt not."""
        return (
            self.state in RUNNING
            and self.granted_at is not None
            and self.expires_at is not None
            and self.granted_at - CLOCK_TOLERANCE <= now < self.expires_at
        )


def due(grant: Grant, now: datetime) -> Grant:
    """The grant after its deadline, or unchanged. To be asked for before anything else is decided."""
    if not grant.live:
        return grant
    since = grant.granted_at or grant.requested_at
    if now < since - CLOCK_TOLERANCE:
        return ended(grant, grant.expires_at or since, EndReason.CLOCK)  # nobody knows: all of it counts as used
    if grant.expires_at is not None and now < grant.expires_at:
        return grant
    if grant.state is GrantState.PENDING:
        return replace(grant, state=GrantState.EXPIRED, ended_at=grant.expires_at, end_reason=EndReason.NOT_APPROVED)
    return ended(grant, grant.expires_at or now, EndReason.EXPIRED)


def ended(grant: Grant, at: datetime, reason: EndReason) -> Grant:
    """A live grant, over. A running one re-arms, also when it was Starting: a crash may have hidden that it had traffic."""
    if not grant.live:
        return grant
    state = GrantState.REARMING if grant.state in RUNNING else GrantState.ENDED
    return replace(grant, state=state, ended_at=at, end_reason=reason)


def replaced(grant: Grant, at: datetime) -> Grant:
    """A grant whose place a newer one takes: there is nothing left to re-arm, or the newer one does."""
    return replace(ended(grant, at, EndReason.SUPERSEDED), state=GrantState.ENDED)


def exposed(grant: Grant, now: datetime) -> Grant:
    """The Service selects the passthrough revision. One that is over by now goes straight to Rearming."""
    if grant.state is not GrantState.STARTING:
        return grant
    return due(replace(grant, state=GrantState.ACTIVE), now)


def effective(grant: Grant, at: datetime) -> Grant:
    """New connections reach only the passthrough revision since `at`; the first time counts."""
    return replace(grant, effective_at=at) if grant.state is GrantState.ACTIVE and not grant.effective_at else grant


def answered_last(grant: Grant, at: datetime) -> Grant:
    """The revision that was left gave its last answer at `at`."""
    return replace(grant, last_answer_at=at) if grant.effective_at and not grant.last_answer_at else grant


def rearmed(grant: Grant) -> Grant:
    """Traffic is back and the watch is over. The grant itself ended when Rearming began: `ended_at` stays."""
    return replace(grant, state=GrantState.ENDED) if grant.state is GrantState.REARMING else grant


def rearms_at(grant: Grant, revision: str) -> Grant:
    """With the revision that takes the traffic when it ends, as `rearm_revision` has it now."""
    return replace(grant, rearm_revision=revision) if grant.live or grant.state is GrantState.REARMING else grant


def rearm_revision(
    active: str, granted_at: datetime, left: Iterable[tuple[str, datetime]], proven: Sequence[str]
) -> str:
    """Where traffic goes when a grant ends: the revision active at grant time, unless it was left since.

    `left`: revisions that were tripped, rolled back or named by a rollback request, with when. `proven`: revisions that
    finished their soak and were not left for cause after it, oldest first. Where nothing is proven it is the active one
    after all: a policy that somebody doubts is still the policy.
    """
    doubted = {revision for revision, at in left if at >= granted_at}
    if active not in doubted:
        return active
    return next((r for r in reversed(proven) if r not in doubted and r != active), active)


@dataclass(frozen=True)
class Spent:
    """A passthrough that was: from grant to end, planned or real. `alone`: who had it without a second person.

    None: two had it. Empty: somebody whom nobody knows.
    """

    request_id: str
    start: datetime
    end: datetime
    alone: str | None = None


def spent_by(grant: Grant) -> Spent | None:
    """What a grant has used of the budgets, or will; None for one that was never granted."""
    end = grant.ended_at or grant.expires_at
    if grant.granted_at is None or end is None:
        return None
    alone = None if grant.approved_by else grant.requested_by
    return Spent(grant.request_id, grant.granted_at, max(end, grant.granted_at), alone)


def spent_of(statuses: Iterable[Mapping[str, Any]]) -> tuple[Spent, ...]:
    """The same for `status.passthrough` of GatewayIncidents; raises as `from_status`: then nothing can be granted."""
    return tuple(s for s in (spent_by(from_status(status)) for status in statuses) if s)


def to_status(grant: Grant) -> dict[str, Any]:
    """`status.passthrough`; keys without a value are left out."""
    status: dict[str, Any] = {
        "requestId": grant.request_id,
        "state": grant.state.value,
        "requestedBy": grant.requested_by,
        "approvedBy": grant.approved_by,
        "reason": grant.reason[:REASON_LIMIT],
        "ticket": grant.ticket,
        "scope": list(grant.scope),
        "requestedDuration": format_duration(grant.requested_duration),
        "endReason": str(grant.end_reason),
        "rearmRevision": grant.rearm_revision,
    }
    times = {
        "requestedAt": grant.requested_at,
        "grantedAt": grant.granted_at,
        "effectiveAt": grant.effective_at,
        "lastAnswerAt": grant.last_answer_at,
        "expiresAt": grant.expires_at,
        "endedAt": grant.ended_at,
    }
    status |= {key: format_time(time) for key, time in times.items() if time}
    if grant.passed:
        status["passed"] = passed.to_status(grant.passed)
    return {key: value for key, value in status.items() if value not in ("", [])}


def from_status(status: Mapping[str, Any]) -> Grant:
    """The grant kept in `status.passthrough`.

    Raises `ValueError` or `KeyError` when somebody else wrote it and it makes no sense.
    """

    def time(key: str) -> datetime | None:
        return parse_time(status[key]) if status.get(key) else None

    return Grant(
        state=GrantState(status["state"]),
        request_id=status["requestId"],
        requested_by=status.get("requestedBy", ""),
        requested_at=parse_time(status["requestedAt"]),
        requested_duration=parse_duration(status.get("requestedDuration", "0s")),
        reason=status.get("reason", ""),
        ticket=status.get("ticket", ""),
        scope=tuple(status.get("scope", ())),
        approved_by=status.get("approvedBy", ""),
        granted_at=time("grantedAt"),
        effective_at=time("effectiveAt"),
        last_answer_at=time("lastAnswerAt"),
        expires_at=time("expiresAt"),
        ended_at=time("endedAt"),
        end_reason=status.get("endReason", ""),
        rearm_revision=status.get("rearmRevision", ""),
        passed=passed.from_status(status["passed"]) if status.get("passed") else None,
    )
