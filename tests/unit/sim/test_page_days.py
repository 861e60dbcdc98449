"""Days of bad pages: nobody is rolled back or promoted because of them. A thousand of them: `python -m tests.bench pages`."""

from __future__ import annotations

import pytest

from tests.sim.page_days import page_day
from tests.sim.pages import PageFault

DAYS = range(40)
FOUND = {  # days that broke a promise once, and why
    136: "pods that showed nothing but blocks made a noise floor of 69 points",
    420: "of a page that fell and then lost its allowed decisions, what was left counted",
    625: "the same",
}


async def test_nothing_happens_because_of_a_page() -> None:
    days = [await page_day(day) for day in DAYS]
    assert {f.value for f in PageFault} == {fault for day in days for fault in day.faults}
    assert {(day.bad, day.unread) for day in days} == {(b, u) for b in (False, True) for u in (False, True)}
    assert sum(sum(day.faults.values()) for day in days) > len(days) * 50


@pytest.mark.parametrize("day", FOUND)
async def test_days_that_broke_a_promise_keep_it(day: int) -> None:
    await page_day(day)


async def test_the_same_seed_is_the_same_day() -> None:
    assert await page_day(3) == await page_day(3)
