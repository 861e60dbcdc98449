"""What the operator remembers of one GatewayDeployment, and how it is kept in `status`.

The state is explicit: at most one rollout, in exactly one stage. Everything else in `status` is derived from it and
from the world (`report.py`) and is never read back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.quantities import format_time, parse_time
from keeptrusts_operator.core import grants, judgement
from keeptrusts_operator.core.grants import Grant, GrantState
from keeptrusts_operator.core.judgement import Judgement
from keeptrusts_operator.core.world import Pack

HISTORY_LIMIT = 50
QUARANTINE_LIMIT = 50
UNPROVEN = "Unproven"  # baseline of a first revision: there was nothing to compare it with
MOST_SUPERSEDED = 16  # grants whose incidents cannot be written, as the CRD allows
MESSAGE_LIMIT = 4096  # characters, as the CRD allows


class Stage(StrEnum):
    """Where a rollout stands."""

    PREPARING = "Preparing"
    TESTING = "Testing"
    CANARY = "Canary"
    SCALE_UP = "ScaleUp"
    SOAKING = "Soaking"


class Outcome(StrEnum):
    """How a rollout ended."""

    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    REJECTED = "Rejected"
    SUPERSEDED = "Superseded"


@dataclass(frozen=True)
class Rollout:
    """The one change that is under way."""

    id: str
    revision: str
    policy_hash: str
    started_at: datetime
    stage: Stage
    stage_started_at: datetime
    pack: Pack | None = None
    step: int = 0
    step_started_at: datetime | None = None  # when all pods of the step were ready; None: still coming up
    ready_at: datetime | None = (
        None  # when all pods wanted were ready the last time: those lose readiness, others gain it
    )
    deadline: datetime | None = None  # of the stage or step; never moves once set
    drained_at: datetime | None = None  # when the revision that was left served next to nothing: the soak's clock
    skip_steps: bool = False  # proven before, or promoted by a person before it had traffic
    requested: bool = False  # a person's way back to a revision of the history; `spec` wants something else
    held_reason: str = ""
    held_since: datetime | None = None


@dataclass(frozen=True)
class Rollback:
    """The last time traffic was taken back, or a candidate was refused before it had any."""

    revision: str
    reason: str
    message: str
    detected_at: datetime
    issued_at: datetime | None = None  # when the API server had taken the write that lowers exposure
    effective_at: datetime | None = None  # when new connections reached only the revision that was meant
    last_answer_at: datetime | None = None  # of the revision that was left
    policy_hash: str = ""
    incident: str = ""  # phase in which its GatewayIncident was written last; empty: not yet


@dataclass(frozen=True)
class Quarantine:
    """Content that is not tried again by itself. `policy_hash` is set where the policy is to blame, not the pods."""

    revision: str
    policy_hash: str
    outcome: Outcome
    reason: str
    message: str
    at: datetime


@dataclass(frozen=True)
class Retry:
    """A revision that was taken back for a fault that is nobody's content; tried again after a while."""

    revision: str
    attempts: int
    at: datetime
    reason: str
    message: str


@dataclass(frozen=True)
class HistoryEntry:
    """One ended rollout, newest last."""

    revision: str
    policy_hash: str
    outcome: Outcome
    at: datetime
    pack: Pack | None = None
    reason: str = ""
    baseline: str = ""  # Unproven: there was nothing to compare with


@dataclass(frozen=True)
class Outage:
    """The active revision has no ready pod. After `core.incidents.OUTAGE_AFTER` it is an incident."""

    started_at: datetime
    incident: str = ""  # as in `Rollback`


class Answer(StrEnum):
    """What became of a request."""

    DONE = "Done"
    REFUSED = "Refused"
    IGNORED = "Ignored"


@dataclass(frozen=True)
class Request:
    """The newest request of one verb, acted on once. The same `value` is the same request."""

    verb: Verb
    value: str
    at: datetime
    id: str
    outcome: Answer
    message: str


@dataclass(frozen=True)
class State:
    """Everything that must survive a restart."""

    uid: str = ""  # of the object this state was made for: requests found on another one are not acted on
    active: str = ""
    last_good: str = ""
    rollout: Rollout | None = None
    rollback: Rollback | None = None
    retry: Retry | None = None
    quarantined: tuple[Quarantine, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    paused: bool = False  # by request; a level, whatever becomes of the annotation
    restarted_at: datetime | None = None  # by request
    restarting: tuple[str, ...] = ()  # the revisions that ran then
    requests: tuple[Request, ...] = ()  # the newest of each verb
    outage: Outage | None = None
    judged: Judgement | None = None  # the judge's word of the candidate, as it was written last
    passthrough: Grant | None = None
    passthrough_revision: str = ""  # that has the traffic, or had it until `rearmed_at`
    passthrough_told: int = 0  # how many reminders of its end were given
    passthrough_incident: str = ""  # as in `Rollback`
    rearmed_at: datetime | None = None  # when traffic went back after a passthrough; None: not, or no longer watched
    superseded: tuple[Grant, ...] = ()  # grants whose place a newer one took; their incidents are to be closed

    @property
    def passing(self) -> str:
        """The revision that all traffic goes to because of a grant; empty when no grant says so."""
        if self.passthrough is None or self.rearmed_at:
            return ""
        return self.passthrough_revision if self.passthrough.state in (GrantState.ACTIVE, GrantState.REARMING) else ""

    @property
    def frozen(self) -> bool:
        """A passthrough has the traffic, or protections have just come back: nothing else may move it."""
        return bool(self.passing) or self.rearmed_at is not None

    @property
    def granted(self) -> bool:
        """A grant is live, or what it did is not over."""
        return self.passthrough is not None and (self.passthrough.live or self.frozen)

    @property
    def untold(self) -> Grant | None:
        """The grant, while its incident does not say yet that it is over."""
        grant = self.passthrough
        return grant if grant and grant.granted_at and not self.passthrough_incident.startswith("Resolved") else None

    @property
    def waits_since(self) -> datetime | None:
        """The newest time by the operator's own clock in what is waited for; None: nothing is, or a grant, whose end
        no wrong clock may move."""
        if self.granted:
            return None if self.passthrough and self.passthrough.live else self.rearmed_at  # the watch may wait
        times: list[datetime | None] = [self.outage.started_at] if self.outage else []
        if self.retry and self.rollback:
            times += [self.rollback.detected_at]
        if r := self.rollout:
            times += [r.started_at, r.stage_started_at, r.step_started_at, r.drained_at, r.held_since]
        return max((t for t in times if t), default=None)

    @property
    def rearm_id(self) -> str:
        """What the judge calls the watch over protections that have come back."""
        return f"rearm-{self.passthrough.request_id}" if self.passthrough else ""

    def quarantine_of(self, revision: str, policy_hash: str) -> Quarantine | None:
        """The entry that keeps this content from being tried, if any: by its policy where that is to blame."""
        for entry in reversed(self.quarantined):
            if (entry.policy_hash == policy_hash) if entry.policy_hash else (entry.revision == revision):
                return entry
        return None

    def request(self, verb: Verb) -> Request | None:
        """The newest request of a verb that was answered."""
        return next((r for r in self.requests if r.verb is verb), None)

    def proven(self, revision: str, policy_hash: str) -> bool:
        """Whether this very content has finished its soak, and has not been left for cause since."""
        newest = next(
            (e for e in reversed(self.history) if (e.revision, e.policy_hash) == (revision, policy_hash)), None
        )
        return newest is not None and newest.outcome is Outcome.PROMOTED and newest.baseline != UNPROVEN

    def outcome_of(self, revision: str) -> Outcome | None:
        """How the newest rollout of a revision ended."""
        return next((e.outcome for e in reversed(self.history) if e.revision == revision), None)


def from_status(status: Mapping[str, Any]) -> State:
    """The state kept in a GatewayDeployment's `status`; a missing or empty one is a fresh start.

    Raises `ValueError` or `KeyError` when somebody else wrote it and it makes no sense; the loop says so and waits.
    """
    rollout, rollback, retry, outage = (status.get(k) for k in ("rollout", "rollback", "retry", "outage"))
    return State(
        uid=status.get("uid", ""),
        active=status.get("activeRevision", ""),
        last_good=status.get("lastGoodRevision", ""),
        rollout=_rollout_from(rollout) if rollout else None,
        rollback=_rollback_from(rollback) if rollback else None,
        retry=Retry(retry["revision"], retry["attempts"], parse_time(retry["at"]), retry["reason"], retry["message"])
        if retry
        else None,
        quarantined=tuple(_quarantine_from(q) for q in status.get("quarantined", ())),
        history=tuple(_history_from(h) for h in status.get("history", ())),
        paused=bool(status.get("paused", False)),
        restarted_at=_time(status.get("restartedAt")),
        restarting=tuple(status.get("restarting", ())),
        requests=tuple(_request_from(r) for r in status.get("requests", ())),
        outage=Outage(parse_time(outage["startedAt"]), outage.get("incident", "")) if outage else None,
        judged=judgement.from_status(status["breaker"]) if status.get("breaker") else None,
        **_passthrough_from(status),
    )


def to_status(state: State) -> dict[str, Any]:
    """The part of `status` that `from_status` reads; keys without a value are left out."""
    status: dict[str, Any] = {
        "uid": state.uid,
        "activeRevision": state.active,
        "candidateRevision": state.rollout.revision if state.rollout else "",
        "lastGoodRevision": state.last_good,
        "paused": state.paused or None,
        "restartedAt": _time_out(state.restarted_at),
        "restarting": list(state.restarting),
        "quarantined": [_quarantine_out(q) for q in state.quarantined[-QUARANTINE_LIMIT:]],
        "history": [_history_out(h) for h in state.history[-HISTORY_LIMIT:]],
        "requests": [_request_out(r) for r in state.requests],
    }
    if state.rollout:
        status["rollout"] = _rollout_out(state.rollout)
    if state.rollback:
        status["rollback"] = _rollback_out(state.rollback)
    if state.retry:
        status["retry"] = {
            "revision": state.retry.revision,
            "attempts": state.retry.attempts,
            "at": format_time(state.retry.at),
            "reason": state.retry.reason,
            "message": state.retry.message[:MESSAGE_LIMIT],
        }
    if state.passthrough:
        status["passthrough"] = _passthrough_out(state)
        status["passthroughRevision"] = state.passthrough_revision
    if state.judged:
        status["breaker"] = judgement.to_status(state.judged)
    if state.outage:
        status["outage"] = _compact(startedAt=format_time(state.outage.started_at), incident=state.outage.incident)
    return {k: v for k, v in status.items() if v not in ("", [], None)}


def _passthrough_from(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = status.get("passthrough")
    if not kept:
        return {}
    return {
        "passthrough": grants.from_status(kept),
        "passthrough_revision": status.get("passthroughRevision", ""),
        "passthrough_told": kept.get("reminders", 0),
        "passthrough_incident": kept.get("incident", ""),
        "rearmed_at": _time(kept.get("rearmedAt")),
        "superseded": tuple(grants.from_status(g) for g in kept.get("superseded", ())),
    }


def _passthrough_out(state: State) -> dict[str, Any]:
    assert state.passthrough is not None
    more = _compact(
        reminders=state.passthrough_told or None,
        incident=state.passthrough_incident,
        rearmedAt=_time_out(state.rearmed_at),
        superseded=[grants.to_status(g) for g in state.superseded[-MOST_SUPERSEDED:]] or None,
    )
    return {**grants.to_status(state.passthrough), **more}


def _rollback_from(r: Mapping[str, Any]) -> Rollback:
    return Rollback(
        r["revision"],
        r["reason"],
        r["message"],
        parse_time(r["detectedAt"]),
        _time(r.get("issuedAt")),
        _time(r.get("effectiveAt")),
        _time(r.get("lastAnswerAt")),
        r.get("policyHash", ""),
        r.get("incident", ""),
    )


def _rollback_out(r: Rollback) -> dict[str, Any]:
    return _compact(
        revision=r.revision,
        reason=r.reason,
        message=r.message[:MESSAGE_LIMIT],
        detectedAt=format_time(r.detected_at),
        issuedAt=_time_out(r.issued_at),
        effectiveAt=_time_out(r.effective_at),
        lastAnswerAt=_time_out(r.last_answer_at),
        policyHash=r.policy_hash,
        incident=r.incident,
    )


def _quarantine_from(q: Mapping[str, Any]) -> Quarantine:
    return Quarantine(
        q["revision"],
        q.get("policyHash", ""),
        Outcome(q["outcome"]),
        q["reason"],
        q.get("message", ""),
        parse_time(q["at"]),
    )


def _quarantine_out(q: Quarantine) -> dict[str, Any]:
    return _compact(
        revision=q.revision,
        policyHash=q.policy_hash,
        outcome=q.outcome.value,
        reason=q.reason,
        message=q.message[:MESSAGE_LIMIT],
        at=format_time(q.at),
    )


def _history_from(h: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        h["revision"],
        h.get("policyHash", ""),
        Outcome(h["outcome"]),
        parse_time(h["at"]),
        _pack(h.get("pack")),
        h.get("reason", ""),
        h.get("baseline", ""),
    )


def _history_out(h: HistoryEntry) -> dict[str, Any]:
    return _compact(
        revision=h.revision,
        policyHash=h.policy_hash,
        pack=_pack_out(h.pack),
        outcome=h.outcome.value,
        reason=h.reason,
        baseline=h.baseline,
        at=format_time(h.at),
    )


def _request_from(r: Mapping[str, Any]) -> Request:
    return Request(
        Verb(r["verb"]), r["value"], parse_time(r["at"]), r.get("id", ""), Answer(r["outcome"]), r.get("message", "")
    )


def _request_out(r: Request) -> dict[str, Any]:
    out = _compact(
        verb=r.verb.value, at=format_time(r.at), id=r.id, outcome=r.outcome.value, message=r.message[:MESSAGE_LIMIT]
    )
    return {**out, "value": r.value}


def _rollout_from(r: Mapping[str, Any]) -> Rollout:
    step, held = r.get("step") or {}, r.get("held") or {}
    return Rollout(
        id=r["id"],
        revision=r["revision"],
        policy_hash=r["policyHash"],
        started_at=parse_time(r["startedAt"]),
        stage=Stage(r["stage"]),
        stage_started_at=parse_time(r["stageStartedAt"]),
        pack=_pack(r.get("pack")),
        step=step.get("index", 0),
        step_started_at=_time(step.get("startedAt")),
        ready_at=_time(r.get("readyAt")),
        deadline=_time(r.get("deadline")),
        drained_at=_time(r.get("drainedAt")),
        skip_steps=bool(r.get("skipSteps", False)),
        requested=bool(r.get("requested", False)),
        held_reason=held.get("reason", ""),
        held_since=_time(held.get("since")),
    )


def _rollout_out(r: Rollout) -> dict[str, Any]:
    out = _compact(
        id=r.id,
        revision=r.revision,
        policyHash=r.policy_hash,
        pack=_pack_out(r.pack),
        startedAt=format_time(r.started_at),
        stage=r.stage.value,
        stageStartedAt=format_time(r.stage_started_at),
        readyAt=_time_out(r.ready_at),
        deadline=_time_out(r.deadline),
        drainedAt=_time_out(r.drained_at),
        skipSteps=r.skip_steps or None,
        requested=r.requested or None,
    )
    if r.stage is Stage.CANARY:
        out["step"] = _compact(index=r.step, startedAt=_time_out(r.step_started_at))
    if r.held_reason:
        out["held"] = _compact(reason=r.held_reason, since=_time_out(r.held_since))
    return out


def _compact(**values: Any) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v not in ("", None)}


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None


def _time_out(time: datetime | None) -> str | None:
    return format_time(time) if time else None


def _pack(pack: Mapping[str, str] | None) -> Pack | None:
    return Pack(pack["name"], pack.get("version", "")) if pack else None


def _pack_out(pack: Pack | None) -> dict[str, str] | None:
    return {"name": pack.name, "version": pack.version} if pack else None
