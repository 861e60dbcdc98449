"""The story of one gateway, and of a fleet: a status in, a page out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from keeptrusts_operator.plugin import grant
from keeptrusts_operator.plugin.view import Cell, Page, Row, Section, Tone, phase, quiet, row, state, strong
from keeptrusts_operator.plugin.words import ago, brief, condition, fraction, number, pack, status_of, time, until

STAGES = ("Preparing", "Testing", "Canary", "ScaleUp", "Soaking", "Promoted")
NAMES_TROUBLE = ("Stalled", "Reconciling", "PassthroughActive", "BreakerTripped", "ProtectionsReduced")
GOOD_STATUS = dict.fromkeys(NAMES_TROUBLE, "False")  # of the others: True
FLEET = ("NAMESPACE", "NAME", "PHASE", "ACTIVE", "CANDIDATE", "SHARE", "BLOCKED", "LIMIT", "BYPASS", "PODS", "SINCE")
IN_ROLLOUTS = {"CANDIDATE", "SHARE", "BLOCKED", "LIMIT"}
URGENCY = ("Passthrough", "RollingBack", "Held", "RolledBack", "Rejected", "Rearming", "Canary", "Soaking", "Testing")

Status = Mapping[str, Any]


def story(gateway: Mapping[str, Any], now: datetime, advice: Sequence[str] = ()) -> Page:
    """Everything worth knowing about one gateway, most urgent first; `advice`: commands to end with."""
    status, metadata = status_of(gateway), gateway["metadata"]
    sections = (
        Section("Traffic", tuple(_traffic(status))),
        Section("Rollout", tuple(_rollout(status, now))),
        Section("Breaker", tuple(_breaker(status, now))),
        Section("Bypass", tuple(_bypass(status, now))),
        Section("Rollback", tuple(_rollback(status, now))),
        Section("Health", tuple(health(status, now))),
        Section("Conditions", tuple(_conditions(status))),
        Section("Requests", tuple(_requests(status, now))),
        Section("Next", tuple(row(strong(command)) for command in advice)),
    )
    headline = row(strong(metadata["name"]), quiet(metadata["namespace"]), phase(status.get("phase", "")))
    return Page(headline, _sentence(gateway), tuple(s for s in sections if s.rows))


def fleet(gateways: Iterable[Mapping[str, Any]], now: datetime, *, namespaces: bool) -> Section:
    """One row per gateway, the most urgent first, in columns that say something; namespaces where there may be several."""
    found = sorted(gateways, key=lambda g: (_urgency(g), g["metadata"]["namespace"], g["metadata"]["name"]))
    rows = [(quiet(g["metadata"]["namespace"]), *_in_fleet(g, now)) for g in found]
    hidden = set() if namespaces else {"NAMESPACE"}
    shown = [
        index
        for index, title in enumerate(FLEET)
        if title not in hidden and (title not in IN_ROLLOUTS or any(r[index].text for r in rows))
    ]
    return Section("", tuple(tuple(r[i] for i in shown) for r in rows), tuple(FLEET[i] for i in shown))


def line(gateway: Mapping[str, Any]) -> str:
    """What has to change for a new line where a screen cannot be redrawn."""
    status = status_of(gateway)
    shares = " ".join(f"{t.get('revision')}={t.get('share')}" for t in status.get("traffic") or ())
    name = f"{gateway['metadata']['namespace']}/{gateway['metadata']['name']}"
    return " ".join(
        p for p in (name, status.get("phase") or "New", f"[{shares}]" if shares else "", _sentence(gateway)) if p
    )


def _sentence(gateway: Mapping[str, Any]) -> str:
    status, generation = status_of(gateway), gateway["metadata"].get("generation", 0)
    if not status.get("message"):
        return "The operator has not looked at it yet."
    late = "" if status.get("observedGeneration") == generation else " (The operator has not seen the newest spec yet.)"
    return f"{status.get('message', '')}{late}"


def _urgency(gateway: Mapping[str, Any]) -> int:
    name = status_of(gateway).get("phase", "")
    if condition(status_of(gateway), "Available").get("status") == "False" and name != "Pending":
        return -1
    return URGENCY.index(name) if name in URGENCY else len(URGENCY) + (name == "Stable")


def _in_fleet(gateway: Mapping[str, Any], now: datetime) -> Row:
    status, metadata = status_of(gateway), gateway["metadata"]
    breaker, step = status.get("breaker") or {}, (status.get("rollout") or {}).get("step") or {}
    blocked = str((breaker.get("canary") or {}).get("blockRate", ""))
    ready, wanted = status.get("readyReplicas", 0), gateway.get("spec", {}).get("replicas", 1)
    bypass = grant.is_running(grant.of(status))
    return row(
        strong(metadata["name"]),
        phase(status.get("phase", "")),
        status.get("activeRevision", ""),
        status.get("candidateRevision", ""),
        str(step.get("realWeight", "")),
        Cell(blocked, Tone.BAD if _above(blocked, breaker.get("limit")) else Tone.PLAIN),
        str(breaker.get("limit", "")),
        Cell("until " + _clock(status["passthrough"].get("expiresAt")), Tone.BAD) if bypass else quiet("off"),
        Cell(f"{ready}/{wanted}", Tone.PLAIN if ready >= wanted else Tone.WARNING if ready else Tone.BAD),
        quiet(_since(status, now)),
    )


def _since(status: Status, now: datetime) -> str:
    """Since when it is in its phase, as far as conditions tell."""
    at = time(condition(status, "Ready").get("lastTransitionTime"))
    return brief(now - at) if at else ""


def _above(value: Any, limit: Any) -> bool:
    rate, most = fraction(value), fraction(limit)
    return rate is not None and most is not None and rate > most


def _clock(text: Any) -> str:
    at = time(text)
    return f"{at:%H:%M}Z" if at else "?"


def _traffic(status: Status) -> Iterable[Row]:
    for part in status.get("traffic") or ():
        pods, ready = part.get("pods", 0), part.get("ready", 0)
        tone = Tone.PLAIN if ready >= pods and ready else Tone.WARNING if ready else Tone.BAD
        yield row(
            strong(str(part.get("revision", ""))),
            str(part.get("role", "")),
            Cell(
                str(part.get("share", "")),
                Tone.NEWS if part.get("role") == "Candidate" else Tone.GOOD,
                fraction(part.get("share")),
            ),
            str(part.get("share", "")),
            Cell(f"{ready}/{pods} pods ready", tone),
        )


def _rollout(status: Status, now: datetime) -> Iterable[Row]:
    rollout = status.get("rollout")
    if not rollout:
        return
    yield row("stages", _track(rollout))
    named = f"{rollout.get('revision', '')} {pack(rollout.get('pack'))}".strip()
    yield row("candidate", f"{named}, begun {ago(now, rollout.get('startedAt'))}")
    step, plan = rollout.get("step") or {}, rollout.get("plan") or []
    if step:
        begun = (
            f"for {ago(now, step['startedAt']).removesuffix(' ago')}" if step.get("startedAt") else "pods are coming up"
        )
        share = f"{step.get('realWeight', '?')} of traffic ({step.get('weight', '?')} asked for)"
        yield row("step", f"{step.get('index', 0) + 1} of {len(plan) or '?'}: {share}, {begun}")
    if deadline := step.get("deadline") or rollout.get("deadline"):
        yield row("deadline", until(now, deadline))
    if rollout.get("stage") == "Soaking":
        drained = rollout.get("drainedAt")
        yield row(
            "soak", f"its clock runs since {ago(now, drained)}" if drained else "the revision it left is being drained"
        )
    if rollout.get("verdict"):
        yield row("verdict", state(str(rollout["verdict"])))
    if held := rollout.get("held"):
        why = f"{held.get('reason', '')}, since {ago(now, held.get('since'))}: {held.get('message', '')}"
        yield row("held", Cell(why, Tone.WARNING))


def _track(rollout: Status) -> Cell:
    """The stages in a row: what is behind, where it is, what is ahead."""
    here = STAGES.index(rollout["stage"]) if rollout.get("stage") in STAGES else -1
    skipped = {"Canary", "ScaleUp"} if rollout.get("skipSteps") else set()
    cells: list[Cell] = []
    for index, name in enumerate(s for s in STAGES if s not in skipped or s == rollout.get("stage")):
        place = STAGES.index(name)
        mark, tone = ("✓ ", Tone.GOOD) if place < here else ("● ", Tone.NEWS) if place == here else ("", Tone.QUIET)
        cells += [quiet(" → ")] if index else []
        cells.append(Cell(mark + name, tone))
    return Cell("", chain=tuple(cells))


def _breaker(status: Status, now: datetime) -> Iterable[Row]:
    breaker = status.get("breaker")
    if not breaker:
        return
    seen = f", read {ago(now, breaker['lastSampleAt'])}" if breaker.get("lastSampleAt") else ""
    tone = {"Trip": Tone.BAD, "Undecided": Tone.NEWS}.get(str(breaker.get("state")), Tone.PLAIN)
    yield row("state", Cell(str(breaker.get("state", "")), tone, chain=(quiet(seen),)))
    limit = breaker.get("limit")
    for arm in ("canary", "stable"):
        if counted := breaker.get(arm):
            rate, requests = str(counted.get("blockRate", "?")), counted.get("requests", 0)
            tone = Tone.BAD if arm == "canary" and _above(rate, limit) else Tone.PLAIN
            yield row(
                arm, Cell(f"{rate} blocked", tone, chain=(quiet(f" ({counted.get('blocked', 0):,} of {requests:,})"),))
            )
    if limit:
        yield row("tolerated", str(limit))
    if breaker.get("evidence"):
        bursts = (
            f", {breaker['burst']} blocked requests count as one"
            if breaker.get("burst") not in (None, "1", "1.0")
            else ""
        )
        yield row("evidence", f"{number(breaker['evidence'])}:1 against the candidate{bursts}")


def _bypass(status: Status, now: datetime) -> Iterable[Row]:
    found = grant.of(status)
    name = str(found.get("state", ""))
    if not found or (name in grant.OVER and _older_than_a_day(found.get("endedAt"), now)):
        return
    ends = f", ends {until(now, found['expiresAt'])}" if grant.is_running(found) and found.get("expiresAt") else ""
    over = f" {ago(now, found['endedAt'])} ({found.get('endReason', '')})" if found.get("endedAt") else ""
    waits = f", a second person may approve {until(now, found.get('expiresAt'))}" if name == grant.PENDING else ""
    yield row("state", Cell(f"{name}{ends}{over}{waits}", grant.tone(found)))
    approved = f", approved by {found['approvedBy']}" if found.get("approvedBy") else ""
    asked = f" for {found['requestedDuration']}" if found.get("requestedDuration") else ""
    yield row(
        "asked",
        f"by {found.get('requestedBy') or 'nobody known'} {ago(now, found.get('requestedAt'))}{asked}{approved}",
    )
    ticket = f" ({found['ticket']})" if found.get("ticket") else ""
    yield row("because", f"{found.get('reason', '')}{ticket}")
    yield row("bypasses", grant.scope(found))
    if name not in grant.OVER and found.get("rearmRevision"):
        yield row("then", f"{found['rearmRevision']} takes the traffic")


def _older_than_a_day(text: Any, now: datetime) -> bool:
    at = time(text)
    return at is not None and (now - at).days >= 1


def _rollback(status: Status, now: datetime) -> Iterable[Row]:
    rollback = status.get("rollback")
    if not rollback:
        return
    yield row("left", f"{rollback.get('revision', '')}, {ago(now, rollback.get('detectedAt'))}")
    yield row("because", f"{rollback.get('reason', '')}: {rollback.get('message', '')}")
    began, steps = time(rollback.get("detectedAt")), []
    for key, words in (("issuedAt", "issued"), ("effectiveAt", "effective"), ("lastAnswerAt", "its last answer")):
        if (at := time(rollback.get(key))) and began:
            steps.append(f"{words} after {max(0.0, (at - began).total_seconds()):.1f}s")
    if steps:
        yield row("took", ", ".join(steps))
    if "served" in rollback:
        yield row("cost", f"{rollback.get('blocked', 0):,} of {rollback['served']:,} requests blocked")
    for entry in status.get("quarantined") or ():
        if entry.get("revision") == rollback.get("revision"):
            yield row("now", "in quarantine: not tried again by itself")
            return


def health(status: Status, now: datetime) -> Iterable[Row]:
    """The signals, a row each."""
    for signal in (status.get("health") or {}).get("signals") or ():
        limit = f"limit {signal['limit']}" if signal.get("limit") else ""
        since = f"for {ago(now, signal['since']).removesuffix(' ago')}" if signal.get("since") else ""
        told = signal.get("message") if signal.get("state") != "Ok" else ""
        source = f"by {signal['source']}" if signal.get("source") else ""
        yield row(
            str(signal.get("name", "")),
            state(str(signal.get("state", ""))),
            str(signal.get("value", "")),
            quiet(limit),
            quiet(": ".join(p for p in (" ".join(p for p in (since, source) if p), str(told or "")) if p)),
        )


def _conditions(status: Status) -> Iterable[Row]:
    """Those that are not as they should be, and do not only repeat the sentence above."""
    for found in status.get("conditions") or ():
        name, value = str(found.get("type", "")), found.get("status")
        if value == GOOD_STATUS.get(name, "True") or found.get("message") == status.get("message"):
            continue
        if found.get("reason") == "DesiredIsNotActive" and status.get("rollout"):
            continue  # of course not: it is on its way
        tone = Tone.QUIET if value == "Unknown" or name in ("Reconciling", "InSync") else Tone.BAD
        yield row(Cell(f"{name}={value}", tone), f"{found.get('reason', '')}: {found.get('message', '')}")


def _requests(status: Status, now: datetime) -> Iterable[Row]:
    newest = sorted(status.get("requests") or (), key=lambda r: str(r.get("at", "")), reverse=True)[:3]
    for asked in newest:
        value = str(asked.get("value", "")).partition("#")[0]
        yield row(
            f"{asked.get('verb', '')}={value}",
            state(str(asked.get("outcome", ""))),
            quiet(ago(now, asked.get("at"))),
            str(asked.get("message", "")),
        )
