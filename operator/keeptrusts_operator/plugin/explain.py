"""Why a gateway is in its state, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keeptrusts_operator.plugin import grant
from keeptrusts_operator.plugin.story import health
from keeptrusts_operator.plugin.suspects import RAISED, Likelihood, Suspect, suspects
from keeptrusts_operator.plugin.view import Page, Row, Section, phase, quiet, row, state, strong
from keeptrusts_operator.plugin.words import condition, status_of, until

MEANINGS: Mapping[str, str] = {
    "": "The operator has not looked at it yet.",
    "Pending": "Nothing of what is wanted runs yet; what served before goes on serving.",
    "Rejected": "What is wanted was refused before it had any traffic; what served before goes on serving.",
    "Preparing": "Pods of the new revision are started without traffic.",
    "Testing": "The policy's behaviour tests are run against a pod without traffic.",
    "Canary": "The new revision gets a share of the traffic and is judged against the active one.",
    "Soaking": "All traffic is on the new revision; the previous one stays warm, and a trip still goes back to it.",
    "Stable": "What is wanted is what serves.",
    "Held": "The rollout does not advance by itself. It keeps being watched, and can still be taken back.",
    "RollingBack": "A revision of the history comes back by request.",
    "RolledBack": "Traffic was taken back from what is wanted; it is not tried again before somebody asks or changes it.",
    "Passthrough": "An emergency passthrough is active: policies are bypassed, breaker and rollouts are frozen.",
    "Rearming": "An emergency passthrough has ended; policies are enforced again and watched.",
}
ADVICE: Mapping[str, str] = {
    "Policy": "Compare the documents; take the change back, or correct the policy. A bypass is the last resort.",
    "Provider": "Look at the provider's status page and keys. Rolling the policy back does not help.",
    "Attack": "Look at who is blocked (events, access logs) and throttle them. Do not bypass: it lets them in.",
    "StaleConfig": "Make what is wanted and what runs the same: the message says what differs. A restart reloads pods.",
    "Cluster": "Look at the pods and the nodes; traffic stays where pods are ready.",
}


@dataclass(frozen=True)
class Step:
    """One thing to do: why, and what to type (empty: nothing to type)."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why it is in its state, what it looks like, and what to do; `suspects` is empty when nothing is wrong."""

    name: str
    namespace: str
    phase: str
    why: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    steps: tuple[Step, ...]
    signals: tuple[Mapping[str, Any], ...] = ()  # as `status.health` has them


def explain(gateway: Mapping[str, Any], now: datetime) -> Explanation:
    """All that a status lets one say."""
    status, metadata = status_of(gateway), gateway["metadata"]
    name = str(status.get("phase", ""))
    wrong = is_wrong(gateway)
    found = suspects(gateway, now) if wrong else ()
    likely = [s for s in found if s.likelihood is Likelihood.LIKELY]
    steps = [*(_for_suspect(s, gateway) for s in likely), *_for_the_phase(gateway, now)]
    if any(s.cause == "Policy" for s in likely):
        steps = [s for s in steps if " promote " not in s.command]
    signals = tuple((status.get("health") or {}).get("signals") or ()) if wrong else ()
    if not steps:
        steps = [Step("There is nothing to do.")] if not wrong else [_look(gateway)]
    return Explanation(
        metadata["name"], metadata["namespace"], name, tuple(_why(gateway)), found, _once(steps), signals
    )


def is_wrong(gateway: Mapping[str, Any]) -> bool:
    """Whether anything asks for an explanation: a signal, a condition, or a phase that nobody wants."""
    status = status_of(gateway)
    signals = (status.get("health") or {}).get("signals") or ()
    bad = {t for t in ("Available", "Accepted", "Healthy", "InSync") if condition(status, t).get("status") == "False"}
    bad -= {"InSync"} if condition(status, "InSync").get("reason") == "DesiredIsNotActive" else set()
    return (
        any(s.get("state") in RAISED for s in signals)
        or bool(bad)
        or condition(status, "Stalled").get("status") == "True"
        or status.get("phase") in ("Held", "RolledBack", "Rejected")
        or (status.get("rollout") or {}).get("verdict") in ("Trip", "Hold", "Inconclusive")
        or status.get("observedGeneration") != gateway["metadata"].get("generation", 0)
    )


def advice(gateway: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    """Commands for the end of a status: of the phase, and where to read more."""
    steps = [s.command for s in _for_the_phase(gateway, now) if s.command]
    more = [_command(gateway, "explain")] if is_wrong(gateway) else []
    return tuple(dict.fromkeys([*steps, *more]))[:3]


def page(explanation: Explanation, now: datetime) -> Page:
    """As a terminal shows it."""
    rows = tuple(row(strong(s.cause), state(s.likelihood.value), s.because) for s in explanation.suspects)
    steps: list[Row] = []
    for step in explanation.steps:
        steps += [row(step.text), *([row(strong(f"  {step.command}"))] if step.command else [])]
    headline = row(strong(explanation.name), quiet(explanation.namespace), phase(explanation.phase))
    first, *others = explanation.why
    sections = (
        Section("Why", tuple(row(w) for w in others)),
        Section("Looks like", rows),
        Section("Signals", tuple(health({"health": {"signals": explanation.signals}}, now))),
        Section("What to do", tuple(steps)),
    )
    return Page(headline, first, tuple(s for s in sections if s.rows))


def _why(gateway: Mapping[str, Any]) -> Iterable[str]:
    status = status_of(gateway)
    yield MEANINGS.get(str(status.get("phase", "")), "This version of the plugin does not know this phase.")
    if status.get("message"):
        yield str(status["message"])
    for found in status.get("conditions") or ():
        wanted = (
            "False"
            if found.get("type") in ("Stalled", "Reconciling", "PassthroughActive", "BreakerTripped")
            else "True"
        )
        if found.get("reason") == "DesiredIsNotActive" and status.get("rollout"):
            continue
        if found.get("status") not in (wanted, "Unknown") and found.get("message") != status.get("message"):
            yield f"{found.get('type')}={found.get('status')}, {found.get('reason')}: {found.get('message')}"


def _for_the_phase(gateway: Mapping[str, Any], now: datetime) -> Iterable[Step]:
    status = status_of(gateway)
    rollout, asked = status.get("rollout") or {}, grant.of(status)
    held, name = str((rollout.get("held") or {}).get("reason", "")), str(status.get("phase", ""))
    candidate = str(status.get("candidateRevision", ""))
    if grant.waits_for_approval(asked):
        text = f"{asked.get('requestedBy')} asks for a bypass ({asked.get('reason')}); a second person may approve it."
        yield Step(text, _command(gateway, "bypass approve", str(asked.get("requestId", ""))))
    if name == "Passthrough":
        yield Step(
            f"The bypass ends by itself {until(now, asked.get('expiresAt'))}; to end it now:",
            _command(gateway, "bypass off"),
        )
    elif held == "Paused":
        yield _resume(gateway)
    elif held == "ShareTooLarge":
        yield Step("Raise spec.replicas, or allow more with spec.rollout.maxShare.")
    elif name in ("RolledBack", "Rejected") and (wanted := _quarantined(status)):
        yield Step(
            "See what changed:", _command(gateway, "diff", f"{status.get('activeRevision', '')} {wanted}".strip())
        )
        yield Step(
            "Change the policy or the template; or, if the cause lay elsewhere, try it again:",
            _command(gateway, "retry", wanted),
        )
    elif status.get("retry") and name == "RolledBack":
        yield Step(
            f"It is tried again {until(now, status['retry'].get('at'))}; to try now:",
            _command(gateway, "retry", str(status["retry"].get("revision", ""))),
        )
    elif name in ("Canary", "Soaking", "Held") and candidate:
        yield Step("To take the traffic back from the candidate:", _command(gateway, "rollback", candidate))
        yield Step("To go on without waiting:", _command(gateway, "promote", candidate))


def _resume(gateway: Mapping[str, Any]) -> Step:
    if (gateway.get("spec", {}).get("rollout") or {}).get("paused"):
        return Step("spec.rollout.paused is true: set it to false where the spec comes from (Git).")
    return Step("Somebody has paused it; to go on:", _command(gateway, "resume"))


def _quarantined(status: Mapping[str, Any]) -> str:
    wanted = status.get("desiredRevision")
    return str(wanted) if any(q.get("revision") == wanted for q in status.get("quarantined") or ()) else ""


def _for_suspect(suspect: Suspect, gateway: Mapping[str, Any]) -> Step:
    commands = {
        "Policy": _command(gateway, "diff"),
        "StaleConfig": _command(gateway, "restart") if "RunningConfigDrift" in suspect.because else "",
        "Cluster": _look(gateway).command,
    }
    return Step(ADVICE[suspect.cause], commands.get(suspect.cause, ""))


def _look(gateway: Mapping[str, Any]) -> Step:
    metadata = gateway["metadata"]
    command = f"kubectl get pods -n {metadata['namespace']} -l gateway.keeptrusts.com/deployment={metadata['name']}"
    return Step("Look at its pods.", command)


def _command(gateway: Mapping[str, Any], verb: str, rest: str = "") -> str:
    metadata = gateway["metadata"]
    return " ".join(p for p in ("kubectl keeptrusts", verb, metadata["name"], rest, "-n", metadata["namespace"]) if p)


def _once(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Without a command that was named already."""
    kept: dict[str, Step] = {}
    for step in steps:
        kept.setdefault(step.command or step.text, step)
    return tuple(kept.values())
