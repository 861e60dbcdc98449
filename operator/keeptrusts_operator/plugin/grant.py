"""Where an emergency passthrough stands, by `status.passthrough`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keeptrusts_operator.api.quantities import parse_duration
from keeptrusts_operator.plugin.view import Tone
from keeptrusts_operator.plugin.words import time

RUNNING = frozenset({"Starting", "Active"})
OVER = frozenset({"Ended", "Refused", "Expired"})
PENDING = "Pending"  # a second person has to approve first

Grant = Mapping[str, Any]


def of(status: Mapping[str, Any]) -> Grant:
    """The newest grant; empty when there was none."""
    found: Grant = status.get("passthrough") or {}
    return found


def is_running(grant: Grant) -> bool:
    """Whether traffic is, or is about to be, on the passthrough revision."""
    return grant.get("state") in RUNNING


def waits_for_approval(grant: Grant) -> bool:
    """Whether a second person can still make more of it: all of it, or as long as was asked for."""
    if grant.get("state") == PENDING:
        return True
    return is_running(grant) and not grant.get("approvedBy") and _is_shortened(grant)


def scope(grant: Grant) -> str:
    """What it bypasses, in words."""
    return ", ".join(grant.get("scope") or ()) or "every policy but those that are never bypassed"


def tone(grant: Grant) -> Tone:
    return Tone.BAD if is_running(grant) else Tone.QUIET if grant.get("state") in OVER else Tone.WARNING


def _is_shortened(grant: Grant) -> bool:
    granted, expires = time(grant.get("grantedAt")), time(grant.get("expiresAt"))
    try:
        asked = parse_duration(str(grant.get("requestedDuration", "")))
    except ValueError:
        return False
    return granted is not None and expires is not None and expires - granted < asked
