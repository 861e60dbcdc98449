"""Durations, shares, decimals, counts and times as they are written in the API. Every error is a ValueError."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

# The same patterns stand in the CRDs; a test compares them.
DURATION_PATTERN = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"
PERCENT_PATTERN = r"^(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)%$"
DECIMAL_PATTERN = r"^[0-9]{1,4}(\.[0-9]{1,6})?$"
WHOLE_PERCENT_PATTERN = r"^(100|[0-9]{1,2})%$"
_TIME_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$"


def _match(pattern: str, text: str) -> re.Match[str] | None:
    # ASCII, and fullmatch: "$" alone lets a trailing newline pass, which the API server's regexes do not.
    return re.fullmatch(pattern, text, re.ASCII)


def parse_duration(text: str) -> timedelta:
    """`1h30m`, `15m`, `30s`; hours, minutes, seconds in this order, whole numbers, each at most once."""
    match = _match(DURATION_PATTERN, text)
    if not match or not text:
        raise ValueError(f"{text!r} is not a duration; write hours, minutes, seconds, e.g. 30s, 15m or 1h30m")
    hours, minutes, seconds = (int(part[:-1]) if part else 0 for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The shortest spelling `parse_duration` reads; fractions of a second are cut off, a negative one is refused."""
    total = duration.days * 86_400 + duration.seconds
    if total < 0:
        raise ValueError(f"a duration is never negative: {duration}")
    minutes, seconds = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    return "".join(f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if n) or "0s"


def parse_percent(text: str) -> float:
    """A share as a fraction: `2.5%` is 0.025. From 0% to 100%, at most three decimals."""
    if not _match(PERCENT_PATTERN, text):
        raise ValueError(f"{text!r} is not a percentage; write a number from 0 to 100 with a sign, e.g. 10% or 2.5%")
    # By way of Decimal, so that the result is the float nearest to what was written (12.3 / 100 is not).
    return float(Decimal(text[:-1]) / 100)


def format_percent(fraction: float, digits: int = 3) -> str:
    """0.025 is `2.5%`; rounded to `digits` decimals of a percent, without trailing zeros."""
    return f"{_plain(Decimal(repr(fraction)) * 100, digits)}%"


def parse_decimal(text: str) -> float:
    """A non-negative number such as `0.001`; decimals travel as strings because JSON numbers lose digits."""
    if not _match(DECIMAL_PATTERN, text):
        raise ValueError(
            f'{text!r} is not a decimal; write digits with at most six decimals, quoted, e.g. "1.5" or "0.001"'
        )
    return float(text)


def format_decimal(value: float, digits: int = 6) -> str:
    """0.001 is `0.001`, never `1e-3`; rounded to `digits` decimals, without trailing zeros."""
    return _plain(Decimal(repr(value)), digits)


def _plain(value: Decimal, digits: int) -> str:
    if not value.is_finite():
        raise ValueError(f"{value} has no decimal form")
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def parse_time(text: str) -> datetime:
    """RFC 3339 to an aware datetime in UTC."""
    problem = ValueError(f"{text!r} is not an RFC 3339 time; write e.g. 2026-11-23T14:05:12Z")
    if not _match(_TIME_PATTERN, text):
        raise problem
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise problem from error


def format_time(time: datetime) -> str:
    """RFC 3339 in UTC; microseconds only where there are any, so that `parse_time` gives the same time back."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone cannot be written down")
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class IntOrPercent:
    """A count of pods, or a whole percentage of some total."""

    value: int
    is_percent: bool = False

    @classmethod
    def parse(cls, raw: int | str) -> "IntOrPercent":
        """3 or `50%`."""
        if isinstance(raw, int) and not isinstance(raw, bool):
            if raw < 0:
                raise ValueError(f"{raw} is negative; write a count of 0 or more, or a percentage, e.g. 50%")
            return cls(raw)
        if isinstance(raw, str) and _match(WHOLE_PERCENT_PATTERN, raw):
            return cls(int(raw[:-1]), is_percent=True)
        raise ValueError(f"{raw!r} is neither a count nor a whole percentage; write e.g. 2 or 50%")

    def of(self, total: int) -> int:
        """The number of pods this means out of `total`; a percentage is rounded up."""
        return -(-self.value * total // 100) if self.is_percent else self.value

    def to_json(self) -> int | str:
        """As Kubernetes writes an IntOrString."""
        return f"{self.value}%" if self.is_percent else self.value

    def __str__(self) -> str:
        return str(self.to_json())
