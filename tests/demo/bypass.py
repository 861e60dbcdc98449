"""The chapter of the emergency passthrough: what reached everybody is bypassed in one line, by somebody who may, for a time."""

from __future__ import annotations

from typing import Any

from tests.demo import objects
from tests.demo.objects import Cast
from tests.demo.told import Bypass, Facts, Stage, at, candidate
from tests.traffic.answers import Answer, last_answer_of, outcome

ON_CALL, SECOND, HASTY = "ada", "grace", "hugo"
PEOPLE = {ON_CALL: "gateway-breakglass", SECOND: "gateway-breakglass-approver", HASTY: "gateway-override"}
RULES = {"soloDuration": "1m", "rearm": {"maxDuration": "3s"}}  # nobody gets less than a minute alone
ASKED = "62s"
TICKET = "INC-4711"
EXPECTED = "Bypassed, re-armed"
LATE = 2.0  # seconds: no later than this after its end have protections to be back


def in_a_hurry(cast: Cast) -> dict[str, Any]:
    """The GatewayDeployment of somebody who did not want to wait: no steps, no breaker."""
    gateway = objects.deployment(cast)
    gateway["spec"]["rollout"] = {"steps": [], "connectionDrainTimeout": "3s"}
    gateway["spec"]["circuitBreaker"] = {"mode": "Off"}
    gateway["spec"]["passthrough"] = RULES
    return gateway


async def bypassed(stage: Stage, active: str, applied: float) -> Facts:
    """An over-broad filter is with everybody; nothing has stopped it."""
    revision = await candidate(stage, active)
    exposed = await stage.until(lambda: stage.status.get("phase") == "Soaking", 60, "everybody gets it")
    await _ask(stage, HASTY, promote=revision)
    await stage.until(lambda: stage.status.get("activeRevision") == revision, 30, "it is promoted without a soak")
    await _with_everybody(stage, revision)
    asked = await _ask(
        stage, **{"emergency-passthrough": ASKED, "reason": "the content filter blocks legitimate prompts"}
    )
    await stage.until(lambda: "effectiveAt" in _grant(stage), 30, "the passthrough is effective")
    passing = str(stage.status["passthroughRevision"])
    await _approve(stage)
    await _name_the_culprit(stage, revision)
    await stage.until(lambda: _grant(stage).get("state") != "Active", 90, "it ends by itself")
    await stage.until(lambda: "rearmedAt" in _grant(stage), 30, "protections are back")
    rearmed = at(_grant(stage)["rearmedAt"])
    finished = await stage.until(lambda: _grant(stage).get("state") == "Ended", 30, "they have been watched")
    seen = _seen(stage, revision, passing, asked, rearmed, await _incident(stage))
    problems = _problems(stage, seen, active)
    marks = [(asked, "passthrough asked for"), *([(rearmed, "protections are back")] if rearmed else [])]
    outcome_ = EXPECTED if seen.rearmed_on == active and seen.passed else "Unknown"
    return Facts(
        revision,
        outcome_,
        EXPECTED,
        finished,
        exposed,
        issued=asked,
        problems=problems,
        bypass=seen,
        marks=tuple(marks),
    )


async def _with_everybody(stage: Stage, revision: str, seconds: int = 40) -> None:
    """Clients that keep their connections come by when the pods of the revision before are gone."""
    for _ in range(seconds):
        await stage.sleep(1)
        recent = {a.revision for a in stage.answers() if a.sent >= stage.now() - 1 and a.revision}
        if recent == {revision}:
            return
    raise TimeoutError(f"not within {seconds} s: all clients get {revision}; there is also {recent - {revision}}")


async def _ask(stage: Stage, who: str = ON_CALL, **notes: str) -> float:
    """As people type it."""
    notes = {**notes, "ticket": TICKET} if "reason" in notes else notes
    words = " ".join(f'{key}="{value}"' if " " in value else f"{key}={value}" for key, value in notes.items())
    stage.say(stage.now(), f"{who}: kubectl annotate --overwrite gwd {stage.cast.name} {words}")
    return await stage.annotate(who, notes)


async def _approve(stage: Stage) -> None:
    """One person alone gets a minute; the second gives the rest."""
    await _ask(stage, SECOND, **{"approve-passthrough": _grant(stage)["requestId"]})
    await stage.until(lambda: _grant(stage).get("approvedBy") == SECOND, 30, "the second person has approved")


async def _name_the_culprit(stage: Stage, revision: str) -> None:
    """So that it is not what comes back."""
    await _ask(stage, rollback=revision)
    await stage.until(
        lambda: _grant(stage).get("rearmRevision") not in ("", revision), 30, "another one is to come back"
    )


def _grant(stage: Stage) -> dict[str, Any]:
    return dict(stage.status.get("passthrough") or {})


async def _incident(stage: Stage) -> dict[str, Any]:
    """The record of this grant, once it is closed."""
    request, found = _grant(stage).get("requestId"), dict[str, Any]()

    async def closed() -> bool:
        for incident in await stage.incidents():
            status = incident.get("status") or {}
            if status.get("passthrough", {}).get("requestId") == request and status["phase"] == "Resolved":
                found.update(status)
        return bool(found)

    await stage.until(closed, 30, "the incident is closed")
    return found


def _seen(
    stage: Stage, revision: str, passing: str, asked: float, rearmed: float | None, incident: dict[str, Any]
) -> Bypass:
    grant, answers = incident["passthrough"], stage.answers()
    passed = [a for a in answers if a.revision == passing and not a.lost]
    last = last_answer_of(answers, revision)

    def after(time: float | None) -> float | None:
        return round(time - asked, 2) if time else None

    return Bypass(
        str(grant.get("requestedBy", "")),
        str(grant.get("approvedBy", "")),
        str(grant.get("ticket", "")),
        passing,
        after(at(grant.get("effectiveAt"))),
        after(last),
        after(at(grant.get("expiresAt"))),
        after(rearmed),
        str(grant.get("rearmRevision", "")),
        after(last_answer_of(answers, passing)),
        len(passed),
        sum(a.near for a in passed),
        len(_blocked(answers, max(last or asked, asked), rearmed or stage.now())),
        incident,
    )


def _blocked(answers: list[Answer], since: float, until: float) -> list[Answer]:
    return [a for a in answers if since <= a.sent < until and outcome(a) == "blocked"]


def _problems(stage: Stage, seen: Bypass, active: str) -> tuple[str, ...]:
    """What of the promise was not kept."""
    answers, timeline = stage.answers(), [entry["event"] for entry in seen.incident.get("timeline", ())]
    rearmed, expires = seen.rearmed or 0.0, seen.expires or 0.0
    wrong = {
        f"asked for by {seen.by!r}, approved by {seen.approved_by!r}": (seen.by, seen.approved_by) != (ON_CALL, SECOND),
        f"the incident names ticket {seen.ticket!r}": seen.ticket != TICKET,
        "the incident has no time at which it was effective": seen.effective is None,
        f"{seen.blocked} requests blocked during the passthrough": seen.blocked > 0,
        "nothing passed that was blocked before": not seen.passed_near,
        f"granted until {expires} s after the annotation, protections back after {rearmed} s": not (
            expires <= rearmed <= expires + LATE
        ),
        f"the incident tells only of: {timeline}": len(timeline) < 5,
        "nothing is blocked any more": not any(
            a.revision == active and outcome(a) == "blocked" for a in answers[-750:]
        ),
    }
    return tuple(text for text, is_so in wrong.items() if is_so)
