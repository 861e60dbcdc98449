"""The story of the demo: one good change, three bad ones, and a bypass of what reached everybody; under traffic, on a
real cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keeptrusts_operator.api.quantities import parse_time
from tests.demo import objects
from tests.demo.bypass import PEOPLE, bypassed, in_a_hurry
from tests.demo.told import Chapter, Facts, Stage, Told, at, candidate

RATE = 150.0
NEAR = 0.43  # of the prompts are blocked by the over-broad filter only: 45 % with the 2 % that any blocks


async def tell(stage: Stage, heading: Callable[[str], None]) -> Told:
    """Play all chapters. Raises TimeoutError when something that must happen does not."""
    cast, told = stage.cast, Told(stage.cast.name)
    heading("A gateway comes up: three pods behind one Service")
    await stage.clear()
    await stage.people(PEOPLE)
    await stage.apply(objects.policy(cast))
    await stage.apply(objects.deployment(cast))
    stage.watch()
    await stage.until(lambda: stage.status.get("phase") == "Stable", 60, "the first revision serves")
    await stage.start_traffic(rate=RATE, pooled_share=0.5, near_share=NEAR)
    told.started = stage.now()
    await stage.sleep(2)
    for title, change, play in (
        ("A good change is promoted step by step", cast.good, _good),
        ("A document that the lint refuses changes nothing", cast.refused_by_lint, _refused),
        ("A config that the gateway refuses gets no traffic", cast.refused_by_gateway, _crashes),
        ("An over-broad content filter is taken back by what it blocks", cast.over_broad, _over_broad),
        ("A change that turns unhealthy under traffic is taken back", cast.sick_after_exposure, _sick),
        ("What reached everybody is bypassed at 3 a.m.", cast.over_broad_again, bypassed),
    ):
        heading(title)
        begun = stage.now()
        active = stage.status["activeRevision"]
        if play is bypassed:
            await stage.apply(in_a_hurry(cast))
        applied = await stage.apply(objects.policy(cast, change))
        told.marks.append((applied, title))
        facts = await play(stage, active, applied)
        told.marks.extend(facts.marks)
        told.chapters.append(_chapter(stage, title, begun, applied, facts))
        await _back_to_good(stage)
    await stage.stop_traffic()
    told.answers = stage.answers()
    return told


async def _good(stage: Stage, active: str, applied: float) -> Facts:
    revision = await candidate(stage, active)
    exposed = await stage.until(lambda: stage.status.get("phase") == "Canary", 60, "the canary starts")
    finished = await stage.until(
        lambda: stage.status.get("phase") == "Stable" and stage.status.get("activeRevision") == revision,
        90,
        "the change is promoted",
    )
    await stage.sleep(2)
    return Facts(revision, "Promoted", "Promoted", finished, exposed)


async def _refused(stage: Stage, active: str, applied: float) -> Facts:
    finished = await stage.until(lambda: stage.status.get("phase") == "Rejected", 30, "the lint refuses it")
    await stage.sleep(2)
    started = [n for n, p in stage.pods.items() if parse_time(p["metadata"]["creationTimestamp"]).timestamp() > applied]
    outcome = "Refused" if not started and stage.status["activeRevision"] == active else "Started"
    return Facts("", outcome, "Refused", finished)


async def _crashes(stage: Stage, active: str, applied: float) -> Facts:
    revision = await candidate(stage, active)
    finished = await stage.until(lambda: stage.status.get("phase") == "Rejected", 60, "the crash is seen")
    entry = _quarantine(stage, revision)
    return Facts(revision, "Rejected" if entry else "Unknown", "Rejected", finished, detected=at(entry.get("at")))


async def _over_broad(stage: Stage, active: str, applied: float) -> Facts:
    """The incident: nothing crashes, every pod is healthy, and nearly every second request is blocked."""
    revision = await candidate(stage, active)
    exposed = await stage.until(lambda: stage.status.get("phase") == "Canary", 60, "the canary starts")
    finished = await stage.until(lambda: stage.status.get("phase") == "RolledBack", 60, "the breaker takes it back")
    await stage.sleep(4)
    record = stage.status.get("rollback", {})
    tripped = record.get("revision") == revision and record.get("reason") == "BlockRate"
    times = (at(record.get("detectedAt")), at(record.get("issuedAt")))
    return Facts(revision, "RolledBack" if tripped else "Unknown", "RolledBack", finished, exposed, *times)


async def _sick(stage: Stage, active: str, applied: float) -> Facts:
    revision = await candidate(stage, active)
    exposed = await stage.until(lambda: stage.status.get("phase") == "Canary", 60, "the canary starts")
    if stage.cast.stops_process:
        await stage.until(lambda: any(a.revision == revision for a in stage.answers()), 10, "the canary answers")
        await stage.sleep(1)
        stage.say(stage.now(), f"(the demo stops {stage.stop_processes(revision)} process of {revision} with SIGSTOP)")
    finished = await stage.until(lambda: stage.status.get("phase") == "RolledBack", 60, "it is rolled back")
    await stage.sleep(4)
    record = stage.status.get("rollback", {})
    return Facts(
        revision,
        "RolledBack" if record.get("revision") == revision else "Unknown",
        "RolledBack",
        finished,
        exposed,
        at(record.get("detectedAt")),
        at(record.get("issuedAt")),
    )


async def _back_to_good(stage: Stage) -> None:
    """The person puts the good document back."""
    await stage.apply(objects.policy(stage.cast, stage.cast.good))
    await stage.until(lambda: stage.status.get("phase") == "Stable", 60, "the good change is in force again")


def _chapter(stage: Stage, title: str, begun: float, applied: float, facts: Facts) -> Chapter:
    answers = [a for a in stage.answers() if a.sent >= begun]
    served = [a for a in answers if facts.revision and a.revision == facts.revision and not a.lost]
    lost = sum(a.lost for a in answers)
    problems = list(facts.problems)
    if lost:
        problems.append(f"{lost} requests lost")
    if facts.outcome == "Rejected" and served:
        problems.append(f"{len(served)} answers of a revision that should have had no traffic")
    if facts.revision and facts.expected != "Rejected" and not served:
        problems.append("the changed revision never answered")
    if (
        facts.expected in ("RolledBack", "Bypassed, re-armed")
        and answers
        and any(a.revision == facts.revision for a in answers[-50:])
    ):
        problems.append("the bad revision still answers")

    def after(at: float | None) -> float | None:
        return round(at - applied, 2) if at else None

    return Chapter(
        title,
        facts.revision,
        facts.outcome,
        facts.expected,
        after(facts.exposed),
        after(facts.detected),
        after(facts.issued),
        after(max((a.done for a in served), default=None)) if facts.expected != "Promoted" else None,
        after(facts.finished),
        len(served),
        len(answers),
        lost,
        sum(a.wrongly_blocked for a in served),
        tuple(problems),
        facts.bypass,
    )


def _quarantine(stage: Stage, revision: str) -> dict[str, Any]:
    entries: list[dict[str, Any]] = stage.status.get("quarantined", [])
    return next((q for q in entries if q["revision"] == revision), {})
