"""Whether the gateways of a revision live: the health half of every decision.

What a gateway *decides* (its block rate) is the breaker's business and comes in as `World.verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keeptrusts_operator.core.world import GatewayHealth, Pack, Pod, Revision

REPEATED = 2  # exits that make a failing start the content's fault: one may be a dependency that was not there yet


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a revision's pods, in words, and how many of its pods have it (0 to 1)."""

    reason: str
    message: str
    share: float


def failing_start(revision: Revision) -> Trouble | None:
    """A candidate without traffic whose process ends again and again: its content is to blame."""
    crashed = [p for p in revision.running if p.crash and p.crash.count >= REPEATED]
    if not crashed:
        return None
    return Trouble(
        "GatewayRefusesConfig" if all(not p.ready for p in crashed) else "GatewayCrashes",
        f"its gateway {_crash_words(crashed[0])}",
        len(crashed) / len(revision.running),
    )


def refuted_config(revision: Revision, pack: Pack | None) -> Trouble | None:
    """Pods that say they have loaded another config than the one they mount."""
    wrong = [p for p in revision.running if pack and p.loaded and p.loaded != pack]
    if not wrong:
        return None
    return Trouble(
        "RunningConfigDrift",
        f"pod {wrong[0].name} says it has loaded {wrong[0].loaded}, not {pack}",
        len(wrong) / len(revision.running),
    )


def trouble(revision: Revision, since: datetime) -> Trouble | None:
    """What is wrong with pods that take traffic; `since`: when all pods wanted were ready the last time.

    A pod that came later and is not ready yet is new, or replaces one that a node or a person took away: no trouble.
    """
    running = revision.running
    if not any(_sick(p, since) for p in running):
        if any(p.ready for p in running):
            return None
        return Trouble("NoReadyPod", "none of its pods is ready any more", 1.0)
    share = sum(_sick(p, since) for p in running) / len(running)
    for reason, words, test in (
        ("GatewayCrashed", _crashed_words, _crashed),
        ("GatewayUnhealthy", _unhealthy_words, _unhealthy),
        ("ReadinessLost", _unready_words, _unready),
    ):
        if sick := [p for p in running if test(p, since)]:
            return Trouble(reason, words(sick, len(running)), share)
    raise AssertionError("a sick pod has one of the three troubles")


def degraded(revision: Revision) -> bool:
    """Some pod calls itself degraded: a warning, never a reason to go back."""
    return any(p.health is GatewayHealth.DEGRADED for p in revision.running)


def waiting_for(revision: Revision) -> str:
    """Why a revision's pods do not become ready, in the cluster's own words; empty when it gives none."""
    if revision.workload and revision.workload.failure:
        return revision.workload.failure
    for pod in revision.running:
        if pod.crash and not pod.ready:
            return f"pod {pod.name} {_crash_words(pod)}"
        if pod.waiting:
            return f"pod {pod.name}: {pod.waiting}"
    unready = [p.name for p in revision.running if not p.ready]
    return f"pod {unready[0]} is not ready" if unready else ""


def _sick(pod: Pod, since: datetime) -> bool:
    return _crashed(pod, since) or _unhealthy(pod, since) or _unready(pod, since)


def _crashed(pod: Pod, since: datetime) -> bool:
    return pod.crash is not None and pod.crash.at >= since.replace(microsecond=0)  # the kubelet gives whole seconds


def _unhealthy(pod: Pod, since: datetime) -> bool:
    return pod.health is GatewayHealth.UNHEALTHY


def _unready(pod: Pod, since: datetime) -> bool:
    return not pod.ready and pod.created_at < since.replace(microsecond=0)  # creation times are whole seconds


def _crash_words(pod: Pod) -> str:
    crash = pod.crash
    assert crash is not None
    times = "once" if crash.count == 1 else f"{crash.count} times"
    log = f": {crash.message}" if crash.message else ""
    return f"ended {times} with exit code {crash.exit_code} ({crash.reason}){log}"


def _crashed_words(sick: list[Pod], of: int) -> str:
    return f"{len(sick)} of {of} pods crashed under traffic: {sick[0].name} {_crash_words(sick[0])}"


def _unhealthy_words(sick: list[Pod], of: int) -> str:
    return f"{len(sick)} of {of} pods report status unhealthy: {', '.join(p.name for p in sick)}"


def _unready_words(sick: list[Pod], of: int) -> str:
    return f"{len(sick)} of {of} pods lost readiness: {', '.join(p.name for p in sick)}"
