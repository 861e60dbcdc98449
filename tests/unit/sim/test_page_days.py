"""Days of bad pages: nobody is rolled back or promoted because of them. A thousand of them: `python -m tests.bench pages`."""

from __future__ import annotations

from tests.sim.page_days import page_day
from tests.sim.pages import PageFault

DAYS = range(40)


async def test_nothing_happens_because_of_a_page() -> None:
    days = [await page_day(day) for day in DAYS]
    assert {f.value for f in PageFault} == {fault for day in days for fault in day.faults}
    assert {(day.bad, day.unread) for day in days} == {(b, u) for b in (False, True) for u in (False, True)}
    assert sum(sum(day.faults.values()) for day in days) > len(days) * 50


async def test_the_same_seed_is_the_same_day() -> None:
    assert await page_day(3) == await page_day(3)
