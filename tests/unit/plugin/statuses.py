"""GatewayDeployments as other versions of the operator write them: with breaker, signals and grants. Each fits the CRD."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from keeptrusts_operator.api.quantities import format_time

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ACTIVE, CANDIDATE = "aaaaaaaaaa", "bbbbbbbbbb"
Obj = dict[str, Any]


def before(**duration: float) -> str:
    """A time before now."""
    return format_time(NOW - timedelta(**duration))


def after(**duration: float) -> str:
    return format_time(NOW + timedelta(**duration))


def condition(type_: str, status: str = "True", reason: str = "", message: str = "") -> Obj:
    return {
        "type": type_,
        "status": status,
        "reason": reason or "Reason",
        "message": message,
        "observedGeneration": 3,
        "lastTransitionTime": before(minutes=5),
    }


def signal(name: str, state: str, value: str = "", limit: str = "", **more: str) -> Obj:
    return {"name": name, "state": state, "value": value, "limit": limit, "source": "Pods", **more}


def gateway(phase: str = "Stable", /, **status: Any) -> Obj:
    """One that serves its first revision for ten days, and what is different."""
    base = {
        "observedGeneration": 3,
        "phase": phase,
        "message": f"{ACTIVE} serves.",
        "activeRevision": ACTIVE,
        "desiredRevision": ACTIVE,
        "readyReplicas": 2,
        "history": [{"revision": ACTIVE, "outcome": "Promoted", "at": before(days=10)}],
        "conditions": [
            condition("Available"),
            condition("Accepted"),
            condition("InSync"),
            condition("Healthy", message="2 of 2 active pods ready"),
        ],
    }
    return {
        "metadata": {"name": "gw", "namespace": "platform", "generation": 3, "uid": "uid-gw"},
        "spec": {"replicas": 2},
        "status": {**base, **status},
    }


def canary(**status: Any) -> Obj:
    """One in its first step, judged by the breaker: 43.8 % against 1.8 %."""
    rollout = {
        "id": "r1",
        "revision": CANDIDATE,
        "stage": "Canary",
        "startedAt": before(minutes=3),
        "stageStartedAt": before(minutes=2),
        "step": {"index": 0, "weight": "10%", "realWeight": "33.3%", "startedAt": before(minutes=1)},
        "plan": [
            {"weight": "10%", "realWeight": "33.3%", "pods": 1},
            {"weight": "50%", "realWeight": "50%", "pods": 2},
        ],
        "verdict": "Unjudged",
    }
    breaker = {
        "state": "Undecided",
        "canary": {"requests": 32, "blocked": 14, "blockRate": "43.8%"},
        "stable": {"requests": 1200, "blocked": 22, "blockRate": "1.8%"},
        "limit": "4.6%",
        "evidence": "2280",
        "burst": "4.0",
    }
    return gateway(
        "Canary",
        **{
            "candidateRevision": CANDIDATE,
            "desiredRevision": CANDIDATE,
            "rollout": rollout,
            "breaker": breaker,
            **status,
        },
    )


def bypassed(**grant: Any) -> Obj:
    """One with an active emergency passthrough."""
    base = {
        "requestId": "42",
        "state": "Active",
        "requestedBy": "alice",
        "reason": "INC-4711",
        "requestedAt": before(minutes=5),
        "grantedAt": before(minutes=5),
        "effectiveAt": before(minutes=4),
        "expiresAt": after(minutes=10),
        "rearmRevision": ACTIVE,
    }
    return gateway("Passthrough", passthrough={**base, **grant})


def alike(**status: Any) -> Obj:
    """Both revisions block 40 %."""
    arms = {a: {"requests": 100, "blocked": 40, "blockRate": "40%"} for a in ("canary", "stable")}
    return canary(breaker={"state": "Undecided", **arms, "limit": "62%"}, **status)
