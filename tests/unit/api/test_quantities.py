from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeptrusts_operator.api.quantities import (
    IntOrPercent,
    format_decimal,
    format_duration,
    format_percent,
    format_time,
    parse_decimal,
    parse_duration,
    parse_percent,
    parse_time,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("15m", 900), ("1h30m", 5400), ("2160h", 7_776_000), ("0s", 0), ("1h0m1s", 3601), ("90s", 90)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (parse_duration, ["", "5", "s", "1.5h", "-1s", "30m1h", "1d", "500ms", "30s\n", "1h 5m", "٣s", "1234567s"]),
        (parse_percent, ["", "10", "%", "-1%", "101%", "100.1%", "1e1%", "2,5%", "2.5%\n", "2.1234%", "10 %"]),
        (parse_decimal, ["", "-1", "1.", ".5", "1e-3", "nan", "inf", "0.1234567", "12345", "1\n"]),
        (parse_time, ["", "2026-11-23", "2026-11-23T14:05:12", "2026-13-23T14:05:12Z", "2026-W47-1T14:05:12Z", "now"]),
        (IntOrPercent.parse, ["", "5", "101%", "2.5%", "-1%", -1, True, 1.5]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_nonsense_is_refused_with_a_sentence(parse: Callable[[Any], object], texts: list[Any]) -> None:
    for text in texts:
        with pytest.raises(ValueError, match=r"not an? |neither|negative"):
            parse(text)


@given(st.integers(0, 999_999 * 3600))
def test_durations_come_back(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


def test_duration_spelling() -> None:
    assert format_duration(timedelta(minutes=90)) == "1h30m"
    assert format_duration(timedelta(seconds=1, milliseconds=900)) == "1s"
    assert format_duration(timedelta()) == "0s"
    with pytest.raises(ValueError, match="never negative"):
        format_duration(timedelta(seconds=-1))


def test_percent_is_the_float_that_was_written() -> None:
    assert parse_percent("2.5%") == 0.025
    assert parse_percent("12.3%") == 0.123
    assert parse_percent("100%") == 1.0
    assert format_percent(0.4375, digits=1) == "43.8%"
    assert format_percent(1 / 3, digits=1) == "33.3%"
    assert format_percent(-1e-9) == "0%"


@given(st.integers(0, 100_000))
def test_percents_come_back(thousandths: int) -> None:
    text = format_percent(thousandths / 100_000)
    assert format_percent(parse_percent(text)) == text
    assert parse_percent(text) == thousandths / 100_000


def test_decimal_spelling() -> None:
    assert format_decimal(0.001) == "0.001"
    assert format_decimal(0.000001) == "0.000001"
    assert format_decimal(2280.0) == "2280"
    assert format_decimal(2280.04, digits=1) == "2280"
    with pytest.raises(ValueError, match="no decimal form"):
        format_decimal(float("nan"))


@given(st.integers(0, 9_999_999_999))
def test_decimals_come_back(millionths: int) -> None:
    value = millionths / 1_000_000
    assert parse_decimal(format_decimal(value)) == value


def test_times_are_utc() -> None:
    assert parse_time("2026-11-23T15:05:12+01:00") == datetime(2026, 11, 23, 14, 5, 12, tzinfo=UTC)
    assert parse_time("2026-11-23T14:05:12.5Z").microsecond == 500_000
    local = datetime(2026, 11, 23, 15, 5, 12, tzinfo=timezone(timedelta(hours=1)))
    assert format_time(local) == "2026-11-23T14:05:12Z"
    with pytest.raises(ValueError, match="without a zone"):
        format_time(local.replace(tzinfo=None))


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC)))
def test_times_come_back(time: datetime) -> None:
    assert parse_time(format_time(time)) == time


def test_percentages_of_pods_are_rounded_up() -> None:
    half = IntOrPercent.parse("50%")
    assert [half.of(total) for total in range(5)] == [0, 1, 1, 2, 2]
    assert IntOrPercent.parse("100%").of(7) == 7
    assert IntOrPercent.parse(3).of(1) == 3


@pytest.mark.parametrize("raw", [0, 3, "0%", "50%", "100%"])
def test_counts_and_percentages_come_back(raw: int | str) -> None:
    assert IntOrPercent.parse(raw).to_json() == raw
    assert str(IntOrPercent.parse(raw)) == str(raw)
