"""What has passed in the passthrough that is in force: what was written of it last, and what was counted since."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from keeptrusts_operator.core.grants import Grant, GrantState
from keeptrusts_operator.core.passed import Answered, Passed
from keeptrusts_operator.core.state import State
from keeptrusts_operator.gateways.watch import Heard

IN_FORCE = (GrantState.ACTIVE, GrantState.REARMING)


class Passing:
    """From pass to pass. A process that begins in the middle of a passthrough goes on from status: what was counted
    between the last write and its first look is lost, so a number is always one of at least."""

    def __init__(self) -> None:
        self._of = ""  # request id of the grant that is counted
        self._written: Passed | None = None  # when the counting began here
        self._newest: Passed | None = None
        self._since: Mapping[str, Answered] | None = None  # counters at its beginning; None: before the first look
        self._before: Answered | None = None

    def take(self, state: State, heard: Heard, now: datetime) -> Passed | None:
        """Now; None: no passthrough is in force, or nothing is counted."""
        grant = state.passthrough
        if grant is None or grant.state not in IN_FORCE or not state.passthrough_revision:
            self._of, self._since = "", dict(heard.answered)
            self._before = heard.rates.get(state.active)
            return None
        if grant.request_id != self._of:
            self._begin(grant, heard)
        assert self._since is not None
        counted = heard.answered.get(state.passthrough_revision)
        if counted is None:  # not read yet, or gone
            return self._newest
        grown = _grown(self._since.get(state.passthrough_revision), counted)
        self._newest = Passed(grown, now, self._before)
        if self._written:
            self._newest = self._written.renewed(Passed(self._written.answered.and_more(grown), now, self._before))
        return self._newest

    def _begin(self, grant: Grant, heard: Heard) -> None:
        taken_over = bool(self._of)  # a newer grant took the place of one in force
        if self._since is None or taken_over:
            self._since = dict(heard.answered)
        self._of, self._written, self._newest = grant.request_id, grant.passed, grant.passed


def _grown(since: Answered | None, now: Answered) -> Answered:
    if since is None:
        return now
    flagged = None if now.flagged is None else max(0.0, now.flagged - (since.flagged or 0.0))
    return Answered(max(0.0, now.requests - since.requests), max(0.0, now.blocked - since.blocked), flagged)
