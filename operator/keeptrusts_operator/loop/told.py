"""Numbers for metrics out of `status`, which holds words. What is missing or malformed is left out, never 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.quantities import parse_time

LEAST_EVIDENCE = 1e-9  # evidence is rounded in status; its logarithm must not be infinite
PASSED = {
    "passed": "passed, as far as its pods' counters were read: at least so many",
    "flagged": "policies flagged and let pass; no series where the gateway does not tell "
    "(spec.gateway.metrics.decisions.flagged)",
    "estimated_blocked": "would have been blocked in addition at the block rate of before: an estimate, not a count",
}
EXPOSED = ("Canary", "ScaleUp", "Soaking")  # stages of a rollout in which its candidate has traffic


def number(text: object) -> float | None:
    """`5%` is 0.05, `"0.4"` is 0.4."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return None
    written = str(text)
    try:
        value = float(written.removesuffix("%")) / (100.0 if written.endswith("%") else 1.0)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def seconds(text: object) -> float | None:
    """A time of the API as seconds since the epoch."""
    try:
        return parse_time(text).timestamp() if isinstance(text, str) else None
    except ValueError:
        return None


def part(status: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object in the status; empty where there is none."""
    found = status.get(key)
    return found if isinstance(found, Mapping) else {}


def evidence_log10(status: Mapping[str, Any]) -> float | None:
    """Of `status.breaker.evidence`, which is odds to 1."""
    odds = number(part(status, "breaker").get("evidence"))
    return None if odds is None else math.log10(max(odds, LEAST_EVIDENCE))


def block_rates(status: Mapping[str, Any]) -> dict[str, float]:
    """By arm; an arm without requests has none."""
    rates = {}
    for arm in ("canary", "stable"):
        counts = part(part(status, "breaker"), arm)
        requests, blocked = number(counts.get("requests")), number(counts.get("blocked"))
        if requests and blocked is not None:
            rates[arm] = blocked / requests
    return rates


def signal_states(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(signal, state) of `status.health.signals`."""
    entries = part(status, "health").get("signals")
    return [(str(e.get("name")), str(e.get("state"))) for e in _objects(entries)]


def conditions(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(type, status) of `status.conditions`."""
    return [(str(c.get("type")), str(c.get("status"))) for c in _objects(status.get("conditions"))]


def passthrough_expiry(status: Mapping[str, Any]) -> float | None:
    """When the grant that is in force, or about to be, ends; None if there is none."""
    grant = part(status, "passthrough")
    return seconds(grant.get("expiresAt")) if grant.get("state") in ("Starting", "Active") else None


def passthrough_passed(status: Mapping[str, Any]) -> dict[str, float]:
    """What passed, by the names of `PASSED`; what is not known is not in it."""
    passed = part(part(status, "passthrough"), "passed")
    answered, blocked = number(passed.get("requests")), number(passed.get("blocked"))
    known = {
        "passed": None if answered is None else max(0.0, answered - (blocked or 0.0)),
        "flagged": number(passed.get("flagged")),
        "estimated_blocked": number(passed.get("estimatedBlocked")),
    }
    return {name: value for name, value in known.items() if value is not None}


def passthrough_active(status: Mapping[str, Any]) -> bool:
    """Traffic goes past the policies, or is on its way back and watched."""
    return part(status, "passthrough").get("state") in ("Active", "Rearming")


def passthrough_requests(status: Mapping[str, Any]) -> dict[tuple[str, str, str], str]:
    """Outcome by request: what identifies it is its id, its value and when it was acted on."""
    return {
        (str(r.get("id")), str(r.get("value")), str(r.get("at"))): str(r.get("outcome"))
        for r in _objects(status.get("requests"))
        if r.get("verb") == Verb.EMERGENCY_PASSTHROUGH.value
    }


def exposed_since(status: Mapping[str, Any]) -> tuple[str, float] | None:
    """(rollout, since when its candidate is in this stage), if the candidate has traffic."""
    rollout = part(status, "rollout")
    since = seconds(rollout.get("stageStartedAt"))
    if rollout.get("stage") not in EXPOSED or since is None:
        return None
    return str(rollout.get("revision")), since


def between(status: Mapping[str, Any], earlier: str, later: str) -> float | None:
    """Seconds between two times of `status.rollback`."""
    begin, end = (seconds(part(status, "rollback").get(key)) for key in (earlier, later))
    return None if begin is None or end is None else max(0.0, end - begin)


def _objects(entries: object) -> Sequence[Mapping[str, Any]]:
    return [e for e in entries if isinstance(e, Mapping)] if isinstance(entries, list | tuple) else []
