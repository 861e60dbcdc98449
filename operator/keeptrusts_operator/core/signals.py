"""Health signals over time: since when each is in its state, and what of them is written into `status`.

An alarm is raised at once and taken back after 30 s without it, so that a value at its limit does not flap. Order of
alarm: Ok, Unknown, Warning, Critical. What is not known is Unknown at once: silence is never called Ok or Critical.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keeptrusts_operator.api.health import HealthSettings
from keeptrusts_operator.api.quantities import format_time, parse_time
from keeptrusts_operator.core.measured import Measured, Name, Reading, Source, State, readings

CALM = timedelta(seconds=30)  # without an alarm before it is taken back
REWRITE = timedelta(minutes=1)  # between two writes of values alone
LONGEST = {"value": 128, "limit": 128, "message": 512}  # characters, as the CRD allows
_ALARM = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)
_CONDITION_LIMIT = 4096


@dataclass(frozen=True)
class Falling:
    """An alarm that is not there any more, but not long enough: the worst state since it went, and when that was."""

    to: State
    since: datetime


@dataclass(frozen=True)
class Signal:
    """A health signal. `value` and `limit` are words; `number`: the value as a fraction, in seconds or as a count.

    `falling` is kept in memory only: after a restart an alarm stays 30 s longer.
    """

    name: Name
    state: State
    value: str
    limit: str
    since: datetime
    source: Source
    message: str
    number: float | None = None
    falling: Falling | None = None


Signals = Mapping[Name, Signal]


def assess(measured: Measured, health: HealthSettings, previous: Signals, now: datetime) -> dict[Name, Signal]:
    """All six signals now. `previous`: what this function gave before, or `from_status`, or nothing."""
    return {r.name: _after(previous.get(r.name), r, now) for r in readings(measured, health, now)}


def _after(before: Signal | None, now_is: Reading, now: datetime) -> Signal:
    state, falling = _settled(before, now_is.state, now) if before else (now_is.state, None)
    since = before.since if before and before.state is state and before.since <= now else now
    message = now_is.message
    if state is not now_is.state:
        message = f"{message}; {state} until it has been {now_is.state} for {CALM.seconds}s"
    return Signal(now_is.name, state, now_is.value, now_is.limit, since, now_is.source, message, now_is.number, falling)


def _settled(before: Signal, state: State, now: datetime) -> tuple[State, Falling | None]:
    """The state that is told, and what it falls to unless the alarm comes back."""
    if state is State.UNKNOWN or _ALARM.index(state) >= _ALARM.index(before.state):
        return state, None
    falling = before.falling
    if falling is None or falling.since > now:  # the clock was set back: 30 s from now on
        return before.state, Falling(state, now)
    if _ALARM.index(state) > _ALARM.index(falling.to):
        falling = Falling(state, falling.since)
    if now - falling.since < CALM:
        return before.state, falling
    return falling.to, None if falling.to is state else Falling(state, now)


def to_status(signals: Signals, now: datetime) -> list[dict[str, Any]]:
    """`status.health.signals`."""
    return [_entry(signals[name], now) for name in Name if name in signals]


def from_status(entries: object) -> dict[Name, Signal]:
    """What was written, for `assess` after a restart and for `healthy_condition`; what cannot be read is left out."""
    found = {}
    for entry in entries if isinstance(entries, Sequence) else ():
        try:
            signal = Signal(
                Name(entry["name"]),
                State(entry["state"]),
                str(entry.get("value", "")),
                str(entry.get("limit", "")),
                parse_time(entry["since"]),
                Source(entry["source"]),
                str(entry.get("message", "")),
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            continue
        found[signal.name] = signal
    return found


def merge_for_status(previous: object, signals: Signals, now: datetime) -> list[dict[str, Any]]:
    """`status.health.signals` to write: as it was, unless a state or a limit changed, or a value did and the last write
    is a minute old. Returns what was read then, so that nothing is written.

    `previous`: the list in the status that was read. Values under traffic change all the time; a write per look would
    be the busiest thing in the cluster.
    """
    new = to_status(signals, now)
    if not isinstance(previous, list):
        return new
    if [_kept(e) for e in previous] != [_kept(e) for e in new]:
        return new
    if [_shown(e) for e in previous] == [_shown(e) for e in new] or not _due(previous, now):
        return previous
    return new


def healthy_condition(signals: Signals) -> tuple[str, str, str]:
    """(status, reason, message) of condition `Healthy`: False while a signal is Warning or Critical.

    Unknown when it is not even known how the pods are; other signals that are not known are only named. With values in
    it: call it on what is written (`from_status(merge_for_status(…))`), or it changes at every look.
    """
    alarms = [s for s in _in_order(signals) if s.state in (State.CRITICAL, State.WARNING)]
    alarms.sort(key=lambda s: s.state is not State.CRITICAL)
    unknown = [s for s in _in_order(signals) if s.state is State.UNKNOWN]
    missing = f"not known: {', '.join(s.name for s in unknown)}" if unknown else ""
    if alarms:
        said = [f"{s.name} is {s.state} at {s.value} (limit {s.limit})" for s in alarms]
        return (
            "False",
            f"{alarms[0].name}{alarms[0].state}",
            "; ".join([*said, missing] if missing else said)[:_CONDITION_LIMIT],
        )
    pods = signals.get(Name.POD_HEALTH)
    if pods is None or pods.state is State.UNKNOWN:
        return "Unknown", "PodsUnknown", pods.message if pods else "the gateways have not been looked at yet"
    well = [s.name for s in _in_order(signals) if s.state is State.OK]
    return "True", "SignalsOk", "; ".join(filter(None, [f"Ok: {', '.join(well)}", missing]))


def _in_order(signals: Signals) -> Iterable[Signal]:
    return [signals[name] for name in Name if name in signals]


def _entry(signal: Signal, now: datetime) -> dict[str, Any]:
    entry = {
        "name": signal.name.value,
        "state": signal.state.value,
        "value": signal.value,
        "limit": signal.limit,
        "since": format_time(signal.since.replace(microsecond=0)),
        "source": signal.source.value,
        "message": signal.message,
        "updatedAt": format_time(now.replace(microsecond=0)),
    }
    return {k: v[: LONGEST.get(k, 64)] for k, v in entry.items() if v}


def _kept(entry: Any) -> Any:
    """What is written at once."""
    return [entry.get(k) for k in ("name", "state", "limit", "source")] if isinstance(entry, Mapping) else None


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What people read of it; that it was measured again is nothing new."""
    return {k: v for k, v in entry.items() if k not in ("updatedAt", "since")}


def _due(previous: Sequence[Mapping[str, Any]], now: datetime) -> bool:
    """Whether the last write is a minute old; one that is dated ahead says that a clock was set."""
    for entry in previous:
        try:
            age = now - parse_time(entry["updatedAt"])
        except (KeyError, ValueError, TypeError):
            return True
        if not timedelta() <= age < REWRITE:
            return True
    return False
