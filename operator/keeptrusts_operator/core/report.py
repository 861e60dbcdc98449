"""`status` as people and tools read it: phase, one sentence, conditions, numbers. Derived, never read back.

Conditions follow kstatus: `Ready`, `Reconciling` and `Stalled` are what Flux, Argo CD and `helm --wait` look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.passthrough import Unattributed
from keeptrusts_operator.api.quantities import format_duration, format_percent, format_time, parse_percent
from keeptrusts_operator.core import liveness, signals, target
from keeptrusts_operator.core.grant_checks import Attribution
from keeptrusts_operator.core.grants import GrantState
from keeptrusts_operator.core.judgement import Verdict
from keeptrusts_operator.core.look import UNEXPOSED, Look
from keeptrusts_operator.core.machine import Decision
from keeptrusts_operator.core.passed import words
from keeptrusts_operator.core.state import MESSAGE_LIMIT, Outcome, Stage, State, to_status
from keeptrusts_operator.core.world import (
    LIVE,
    NOTHING,
    Content,
    Service,
    ServiceConflict,
    TestVerdict,
    Unreadable,
    Unusable,
    World,
)

HASH_VERSION = 1
NOT_LOGGING_AFTER = timedelta(seconds=60)
WORDS = {
    Verdict.TRIP: "it blocks more than is tolerated",
    Verdict.HOLD: "it may block more than is tolerated",
    Verdict.CLEAR: "it blocks no more than is tolerated",
    Verdict.UNDECIDED: "being judged",
}
CONDITION_LIMIT = 32768  # characters, as the CRD allows
PHASE_OF_STAGE = {
    Stage.PREPARING: "Preparing",
    Stage.TESTING: "Testing",
    Stage.CANARY: "Canary",
    Stage.SCALE_UP: "Canary",
    Stage.SOAKING: "Soaking",
}


@dataclass(frozen=True)
class Condition:
    """One condition without its times; `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str


def status_of(world: World, decision: Decision, previous: Mapping[str, Any]) -> dict[str, Any]:
    """The whole `status` to write. `previous` is the one read, for the transition times of conditions."""
    state = decision.state
    phase, message = story(world, decision)
    status = to_status(state)
    status.update(
        observedGeneration=world.generation,
        hashVersion=HASH_VERSION,
        phase=phase,
        message=message[:CONDITION_LIMIT],
        **_pods(world, state),
    )
    if isinstance(world.desired, Content):
        status["desiredRevision"] = world.desired.revision
    elif previous.get("desiredRevision") and isinstance(world.desired, Unreadable):
        status["desiredRevision"] = previous["desiredRevision"]
    if traffic := _traffic(world, state, previous.get("traffic") or ()):
        status["traffic"] = traffic
    if world.signals:
        before = (previous.get("health") or {}).get("signals")
        status["health"] = {"signals": signals.merge_for_status(before, world.signals, world.now)}
    if state.rollout:
        _describe_rollout(status["rollout"], world, decision)
    now = format_time(world.now.replace(microsecond=0))
    status["conditions"] = with_times(
        conditions(world, decision, phase, message, status), previous, world.generation, now
    )
    return status


def story(world: World, decision: Decision) -> tuple[str, str]:
    """Phase and the one sentence for the on-call reader."""
    state, hold = decision.state, decision.hold
    if state.frozen:
        return _bypassed(world, state)
    if state.rollout:
        stage = state.rollout.stage
        phase = "RollingBack" if state.rollout.requested else PHASE_OF_STAGE[stage]
        if hold:
            late = stage in UNEXPOSED and hold.reason in ("ProgressDeadlineExceeded", "TestsInconclusive")
            return phase if late else "Held", f"{_what(state.rollout)} is held in {stage}: {hold.message}."
        return phase, _progress(world, state)
    if hold:
        return "Pending", f"{hold.message}."
    serving = f"{state.active} serves" if state.active else "nothing serves yet"
    desired = world.desired
    if isinstance(desired, Unusable):
        return "Rejected", f"{desired.message}; {serving}."
    if isinstance(desired, Unreadable):
        return ("Stable" if state.active else "Pending"), f"{desired.message}; {serving}."
    if desired.revision == state.active:
        return "Stable", _stable(world, state)
    if quarantine := state.quarantine_of(desired.revision, desired.policy_hash):
        if quarantine.outcome is Outcome.REJECTED:
            text = f"{desired.revision} was rejected before it had traffic: {quarantine.message}"
        else:
            text = f"{desired.revision} was rolled back: {quarantine.message}"
        command = Look(world, state).command(Verb.RETRY, quarantine.revision)
        return (
            quarantine.outcome.value,
            f"{text}; {serving}. Change the policy or the template, or try it again: {command}",
        )
    if state.retry and state.retry.revision == desired.revision:
        text = f"{desired.revision} was taken back: {state.retry.message}; try {state.retry.attempts + 1} follows at"
        return "RolledBack", f"{text} {format_time(state.retry.at)}; {serving}."
    return "Pending", f"{desired.revision} is about to be prepared; {serving}."


def _bypassed(world: World, state: State) -> tuple[str, str]:
    """A passthrough has the traffic, or protections have just come back."""
    grant, look = state.passthrough, Look(world, state)
    assert grant is not None
    who = grant.requested_by or "nobody known"
    if grant.state is GrantState.ACTIVE:
        parachute = world.parachute
        what = ", ".join(parachute.bypassed) if isinstance(parachute, Content) and parachute.bypassed else "policies"
        text = (
            f"BYPASS of {what} by {who} until {_clock(grant.expires_at)}: {grant.reason}. {grant.rearm_revision} comes back "
            f"by itself; to end it now: {look.command(Verb.EMERGENCY_PASSTHROUGH, 'off')}"
        )
        granted = (grant.expires_at or world.now) - (grant.granted_at or world.now)
        if granted < grant.requested_duration and not grant.approved_by:
            text += f". A second person extends it: {look.command(Verb.APPROVE_PASSTHROUGH, grant.request_id)}"
        text += f". So far {words(grant.passed)}" if grant.passed else ""
        return "Passthrough", text
    if state.rearmed_at:
        watched = format_duration(world.spec.passthrough.rearm.max_duration)
        return (
            "Rearming",
            f"{state.active} has the traffic back after the passthrough of {who}; it is watched for {watched}.",
        )
    back = world.revision(grant.rearm_revision)
    pods = f"{back.ready} of {target.serving_replicas(world, state)}"
    text = f"The passthrough of {who} is over ({grant.end_reason}); {grant.rearm_revision} takes the traffic back"
    return "Rearming", f"{text} as soon as its pods are ready: {pods}."


def _clock(time: datetime | None) -> str:
    return format_time(time.replace(microsecond=0)) if time else "its end"


def conditions(
    world: World, decision: Decision, phase: str, message: str, status: Mapping[str, Any]
) -> list[Condition]:
    """All conditions that apply, in the order in which people read them."""
    state = decision.state
    stalled = _stalled(world, decision, phase)
    reconciling = state.rollout is not None and not stalled
    available = _available(world, state)
    in_sync = isinstance(world.desired, Content) and world.desired.revision == state.active and not state.rollout
    ready = in_sync and available.status == "True" and not stalled and not state.frozen
    return [
        Condition("Ready", "True" if ready else "False", "Promoted" if ready else stalled or phase, message),
        Condition("Reconciling", "True" if reconciling else "False", phase, message),
        Condition("Stalled", "True" if stalled else "False", stalled or "Progressing", message),
        available,
        _accepted(world),
        _protections_reduced(world),
        _in_sync(world, state, in_sync),
        _healthy(world, state, signals.from_status((status.get("health") or {}).get("signals"))),
        _scrapeable(world, state),
        _tripped(state),
        _passthrough_available(world),
        _passthrough_active(world, state),
        *_budget(world),
    ]


def _stalled(world: World, decision: Decision, phase: str) -> str:
    """Reason why nothing moves until somebody does something; empty when it moves or is where it should be."""
    if decision.hold:
        return decision.hold.reason
    if isinstance(world.service, ServiceConflict):
        return "ServiceConflict"
    if isinstance(world.desired, Unusable):
        return world.desired.reason
    return phase if phase in ("RolledBack", "Rejected") else ""


def _accepted(world: World) -> Condition:
    desired = world.desired
    if isinstance(desired, Unusable):
        return Condition("Accepted", "False", desired.reason, desired.message)
    if isinstance(desired, Unreadable):
        return Condition("Accepted", "Unknown", desired.reason, desired.message)
    warnings = f" with warnings: {'; '.join(desired.warnings)}" if desired.warnings else ""
    return Condition("Accepted", "True", "Valid", f"{desired.revision} can be run{warnings}")


def _protections_reduced(world: World) -> Condition:
    """Whether what is on its way would enforce less than what serves. It is said, not refused."""
    compared, kind = world.compared, "ProtectionsReduced"
    if compared is None:
        return Condition(kind, "False", "NothingToCompare", "no revision is about to take the place of the active one")
    if compared.less is None:
        message = f"whether {compared.revision} enforces as much as {compared.active} is unknown: {compared.why}"
        return Condition(kind, "Unknown", "CannotTell", message)
    if compared.less:
        message = f"{compared.revision} enforces less than {compared.active}: {'; '.join(compared.less)}"
        return Condition(kind, "True", "EnforcesLess", message)
    words = "the same kinds with actions at least as strong"
    return Condition(kind, "False", "EnforcesAsMuch", f"{compared.revision} has {words} as {compared.active}")


def _available(world: World, state: State) -> Condition:
    """Whether traffic is served by a revision that may serve, whatever the rollout does."""
    service = world.service
    if isinstance(service, ServiceConflict):
        return Condition("Available", "Unknown", "ServiceConflict", service.message)
    allowed = [state.active, state.passing] + ([state.rollout.revision] if state.rollout else [])
    ready = {name: world.revision(name).ready for name in allowed if name}
    exposure = target.exposure(state)
    serving = ready.get(exposure.revision, 0) if exposure.kind == "Only" else sum(ready.values())
    if exposure.kind == "Nothing":
        return Condition("Available", "False", "NoActiveRevision", "no revision has been activated yet")
    if not serving:
        return Condition("Available", "False", "NoReadyPod", f"no ready pod behind Service {world.name}")
    return Condition("Available", "True", "Serving", f"{serving} ready pods behind Service {world.name}")


def _in_sync(world: World, state: State, in_sync: bool) -> Condition:
    lost = _lost_children(world, state)
    if lost:
        return Condition("InSync", "False", "ChildrenChanged", lost)
    if in_sync:
        return Condition("InSync", "True", "DesiredIsActive", f"the desired revision {state.active} is active")
    if isinstance(world.desired, Unreadable):
        return Condition("InSync", "Unknown", world.desired.reason, world.desired.message)
    wanted = world.desired.revision if isinstance(world.desired, Content) else "a spec that cannot be used"
    return Condition(
        "InSync", "False", "DesiredIsNotActive", f"desired is {wanted}, active is {state.active or 'nothing'}"
    )


def _lost_children(world: World, state: State) -> str:
    """A child of the active revision that somebody edited or deleted, in words."""
    if not state.active:
        return ""
    active = world.revision(state.active)
    name = f"{world.name}-{state.active}"
    if not active.config_map:
        again = isinstance(world.desired, Content) and world.desired.revision == state.active
        step = "it is created again" if again else "pods that run go on, new ones cannot start: apply this policy again"
        return f"ConfigMap {name} was deleted; {step}"
    if active.workload is None:
        return f"Deployment {name} was deleted; it is created again from the revision's stored rendering"
    if active.workload.drifted:
        return (
            f"the pod template of Deployment {name} was edited; it is put back. Change spec.template of the gwd instead"
        )
    return ""


def _healthy(world: World, state: State, told: signals.Signals) -> Condition:
    if not state.active:
        return Condition("Healthy", "Unknown", "NoActiveRevision", "no revision has been activated yet")
    active = world.revision(state.active)
    wanted = target.replicas(world, state).get(state.active, 1)
    pack = next((e.pack for e in reversed(state.history) if e.revision == state.active), None)
    if drift := liveness.refuted_config(active, pack):
        return Condition("Healthy", "False", drift.reason, drift.message)
    if liveness.degraded(active):
        return Condition("Healthy", "False", "Degraded", "some active gateways report status degraded")
    if active.ready < wanted:
        why = liveness.waiting_for(active) or "pods are missing"
        return Condition("Healthy", "False", "PodsNotReady", f"{active.ready} of {wanted} active pods ready: {why}")
    if told:
        return Condition("Healthy", *signals.healthy_condition(told))
    return Condition("Healthy", "True", "PodsReady", f"{active.ready} of {wanted} active pods ready")


def _scrapeable(world: World, state: State) -> Condition:
    """Whether there is anything to judge by: said before the first rollout needs it."""
    scrape = world.scrape
    if not world.spec.gateway.metrics.decisions:
        message = "spec.gateway.metrics.decisions names no counter, so no candidate can be judged by what it blocks"
        return Condition("Scrapeable", "False", "NoDecisionCounter", message)
    if scrape is None or not scrape.of:
        return Condition("Scrapeable", "Unknown", "NotAsked", "no gateway pod has been asked for its counters yet")
    words = f"the counters of {scrape.read} of {scrape.of} gateway pods are read"
    if scrape.read == scrape.of:
        return Condition("Scrapeable", "True", "CountersRead", f"{words} {scrape.why}".rstrip())
    return Condition("Scrapeable", "False", "CountersNotRead", f"{words}: {scrape.why}")


def _passthrough_available(world: World) -> Condition:
    """Whether there is a parachute, and somebody who would be known to have pulled it: said before it is needed."""
    parachute, accepts = world.parachute, world.spec.passthrough.unattributed is Unattributed.ACCEPT
    kind = "PassthroughAvailable"
    if parachute is None:
        return Condition(kind, "False", "NoActiveRevision", "no revision has been activated yet")
    if isinstance(parachute, Unreadable):
        return Condition(kind, "Unknown", parachute.reason, parachute.message)
    if isinstance(parachute, Unusable):
        return Condition(kind, "False", "CannotDerive", parachute.message)
    if world.attribution is Attribution.NONE and not accepts:
        message = (
            "nobody could be held to a request: the admission policies are not installed (charts/plain/admission.yaml, or "
            "the chart), and spec.passthrough.unattributed is Refuse"
        )
        return Condition(kind, "False", "Unattributed", message)
    bypassed = ", ".join(parachute.bypassed) or "nothing: the active policy blocks nothing that may be bypassed"
    return Condition(kind, "True", "Packed", f"revision {parachute.revision} is packed; it bypasses {bypassed}")


def _passthrough_active(world: World, state: State) -> Condition:
    grant, kind = state.passthrough, "PassthroughActive"
    if grant is None or not state.passing:
        waiting = grant is not None and grant.state in (GrantState.PENDING, GrantState.STARTING)
        reason = str(grant.state) if grant and waiting else "NotActive"
        words = (
            f"asked for by {grant.requested_by}: {grant.reason}" if grant and waiting else "no passthrough is in force"
        )
        return Condition(kind, "False", reason, words)
    last, since = world.last_answers.get(state.passing), grant.effective_at
    words = f"{state.passing} has all traffic, asked for by {grant.requested_by or 'nobody known'}: {grant.reason}"
    if since and world.now - since > NOT_LOGGING_AFTER and (last is None or last < since):
        return Condition(kind, "True", "PassthroughNotLogging", f"{words}; no decision of it has been counted since")
    return Condition(kind, "True", "Active", words)


def _tripped(state: State) -> Condition:
    judged = state.judged
    if judged and judged.verdict is Verdict.TRIP:
        return Condition("BreakerTripped", "True", judged.reason, judged.message)
    return Condition("BreakerTripped", "False", "NotTripped", judged.message if judged else "no candidate is judged")


def _budget(world: World) -> list[Condition]:
    """Only where somebody else's PodDisruptionBudget covers our pods: a pod may have one, so ours is withdrawn."""
    if not world.foreign_budget:
        return []
    message = f"PodDisruptionBudget {world.foreign_budget} covers gateway pods, so the operator's own are withdrawn"
    return [Condition("DisruptionBudget", "False", "ForeignBudget", message)]


def _progress(world: World, state: State) -> str:
    rollout = state.rollout
    assert rollout is not None
    candidate = world.revision(rollout.revision)
    wanted = target.candidate_replicas(world, state, rollout)
    pods = f"{candidate.ready} of {wanted} pods ready"
    if rollout.requested:
        return f"{_what(rollout)} comes back by request, {state.active} serves until it is ready: {pods}."
    if rollout.stage is Stage.TESTING:
        return f"{_what(rollout)} is tested without traffic: {_tests_words(world, state)}."
    if rollout.stage is Stage.PREPARING:
        why = liveness.waiting_for(candidate) if candidate.ready < wanted else ""
        return f"{_what(rollout)} is being prepared without traffic: {pods}{f' ({why})' if why else ''}."
    judged = _judged(Look(world, state))
    if rollout.stage is Stage.CANARY:
        steps = Look(world, state).steps
        if not steps:
            return f"{_what(rollout)} gets traffic, {judged}."
        step = steps[min(rollout.step, len(steps) - 1)]
        share = f"{format_percent(step.real_weight)} of new connections ({format_percent(step.weight)} asked for)"
        return f"{_what(rollout)} gets {share}, step {rollout.step + 1} of {len(steps)}, {pods}; {judged}."
    if rollout.stage is Stage.SCALE_UP:
        return f"{_what(rollout)} is scaled up before it takes all traffic: {pods}."
    duration = format_duration(world.spec.rollout.soak.duration)
    begun = f"for {duration}" if rollout.drained_at else f"and is being drained; the soak of {duration} begins then"
    return f"{_what(rollout)} takes all new connections, {state.active} stays warm {begun}; {judged}."


def _judged(look: Look) -> str:
    """What the breaker says of the candidate, in half a sentence."""
    verdict, kept = look.verdict, look.state.judged
    if verdict is Verdict.UNJUDGED:
        why = (
            f"circuitBreaker.mode is {look.world.spec.circuit_breaker.mode}"
            if look.world.spec.gateway.metrics.decisions
            else "no counter of decisions is configured"
        )
        return f"judged by time and health only ({why})"
    if kept is None or not kept.canary.requests:
        unread = look.world.scrape
        return f"not judged yet: {unread.why if unread and unread.why else 'no request of it has been counted'}"
    return f"{WORDS[verdict]}: {kept.message}"


def _tests_words(world: World, state: State) -> str:
    assert state.rollout is not None
    wanted = world.desired.tests if isinstance(world.desired, Content) else ()
    report = world.tests
    results = report.results if report and report.rollout_id == state.rollout.id else ()
    passed = sum(r.verdict is TestVerdict.PASSED for r in results)
    unknown = next((r for r in results if r.verdict is TestVerdict.UNKNOWN), None)
    why = f" ({unknown.name}: {unknown.message}; it is tried again)" if unknown else ""
    return f"{passed} of {len(wanted)} behaviour tests passed{why}"


def _stable(world: World, state: State) -> str:
    active = world.revision(state.active)
    pack = f" ({world.desired.pack})" if isinstance(world.desired, Content) and world.desired.pack else ""
    return f"{state.active}{pack} serves with {active.ready} of {world.spec.replicas} pods ready."


def _what(rollout: Any) -> str:
    return f"{rollout.revision} ({rollout.pack})" if rollout.pack else str(rollout.revision)


def _pods(world: World, state: State) -> dict[str, Any]:
    """`replicas`, `readyReplicas` and `selector` of the serving revision only: what an autoscaler looks at."""
    exposure = target.exposure(state)
    serving = exposure.revision or state.active
    selector = f"{names.LABEL_DEPLOYMENT}={world.name},{names.LABEL_REVISION}={serving or 'none'}"
    revision = world.revision(serving)
    return {"replicas": len(revision.running), "readyReplicas": revision.ready, "selector": selector}


def _traffic(world: World, state: State, before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Share of requests by revision as the pods count them; where they cannot be read, of new connections, from the
    ready pods that the Service selects. A share that moves a little is not written again and again."""
    told = {(row.get("revision"), row.get("role")): str(row.get("share", "")) for row in before}
    exposure = world.service.exposure if isinstance(world.service, Service) else NOTHING
    rows = [(state.active, "Active")] if state.active else []
    if state.passing:
        rows.append((state.passing, "Passthrough"))
    if state.rollout:
        rows.append((state.rollout.revision, "Candidate"))
    reached = [n for n, _ in rows if exposure == LIVE or exposure.revision == n]
    weights: dict[str, float] = {n: world.revision(n).ready for n in reached}
    if all(n in world.flows for n, _ in rows) and any(world.flows[n].requests for n, _ in rows):
        weights = {n: world.flows[n].requests for n, _ in rows}
    total = sum(weights.values())
    return [
        {
            "revision": name,
            "role": role,
            "share": _steady(told.get((name, role), ""), weights.get(name, 0) / total if total else 0.0),
            "pods": len(world.revision(name).running),
            "ready": world.revision(name).ready,
        }
        for name, role in rows
    ]


def _steady(told: str, share: float) -> str:
    """The share in words; what was told before stands while it is off by less than ten points and not by all."""
    if told and 0 < share < 1 and abs(parse_percent(told) - share) < 0.1:
        return told
    return format_percent(round(share, 3))


def _describe_rollout(out: dict[str, Any], world: World, decision: Decision) -> None:
    state = decision.state
    rollout = state.rollout
    assert rollout is not None
    steps = Look(world, state).steps if state.active else ()
    out["verdict"] = Look(world, state).verdict.value
    if steps:
        out["plan"] = [
            {"weight": format_percent(s.weight), "realWeight": format_percent(round(s.real_weight, 3)), "pods": s.pods}
            for s in steps
        ]
    if rollout.stage is Stage.CANARY and steps:
        out["step"] = {**out.get("step", {}), **out["plan"][min(rollout.step, len(steps) - 1)]}
    if decision.hold and "held" in out:
        out["held"]["message"] = decision.hold.message[:MESSAGE_LIMIT]


def with_times(
    wanted: Iterable[Condition], previous: Mapping[str, Any], generation: int, now: str
) -> list[dict[str, Any]]:
    """Conditions as the API has them; a transition time moves only when `status` changes."""
    before = {c["type"]: c for c in previous.get("conditions", ())}
    out = []
    for condition in wanted:
        old = before.get(condition.type)
        since = old["lastTransitionTime"] if old and old["status"] == condition.status else now
        out.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message[:CONDITION_LIMIT],
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
        )
    return out
