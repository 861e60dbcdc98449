"""Times and shares in the words of a terminal. What cannot be read is shown as it is: a status may be newer than we are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from keeptrusts_operator.api.quantities import parse_percent, parse_time


def brief(duration: timedelta) -> str:
    """The two largest units: `41s`, `5m12s`, `3h05m`, `2d4h`."""
    total = max(0, int(duration.total_seconds()))
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours}h" if hours else f"{days}d"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


def ago(now: datetime, text: Any) -> str:
    """How long ago a time of a status was."""
    at = time(text)
    return f"{brief(now - at)} ago" if at else str(text or "")


def until(now: datetime, text: Any) -> str:
    """How long it is to a time of a status."""
    at = time(text)
    if at is None:
        return str(text or "")
    return f"in {brief(at - now)}" if at > now else f"{brief(now - at)} overdue"


def time(text: Any) -> datetime | None:
    """A time of a status, if it is one."""
    try:
        return parse_time(text)
    except (ValueError, TypeError):
        return None


def fraction(text: Any) -> float | None:
    """A percentage of a status, if it is one."""
    try:
        return parse_percent(text)
    except (ValueError, TypeError):
        return None


def number(text: Any) -> str:
    """A decimal with its thousands set apart: `2,280`, `0.4`."""
    try:
        return f"{float(text):,.0f}" if float(text) >= 10 else str(text)
    except (ValueError, TypeError, OverflowError):
        return str(text)


def pack(obj: Mapping[str, Any] | None) -> str:
    """`name@version` of a policy document; empty when it is not known."""
    return f"{obj.get('name', '')}@{obj.get('version', '')}" if obj else ""


def condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """A condition by its type; empty when it is not there."""
    return next((c for c in status.get("conditions") or () if c.get("type") == type_), {})


def status_of(gateway: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of an object; empty before the operator has seen it."""
    found: Mapping[str, Any] = gateway.get("status") or {}
    return found
