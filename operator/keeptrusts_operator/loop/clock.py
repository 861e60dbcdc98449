"""The clock of one control loop: steady, so that a step of the system's clock neither skips nor prolongs a wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def wall() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


class SteadyClock:
    """Wall time at `settle`, carried on by the monotonic clock.

    While something is being waited for, every deadline and duration is measured by it. `settle` takes over the system's
    clock again; the loop does so whenever it waits for nothing.
    """

    def __init__(self, system: Callable[[], datetime] = wall, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._system, self._monotonic = system, monotonic
        self.settle()

    def settle(self) -> None:
        """Start again from the system's clock."""
        self._wall, self._since = self._system(), self._monotonic()

    def carry_on(self, written: datetime) -> None:
        """Time is at least what was written while it was waited for, by a process before whose clock may have been
        ahead: or the wait would last until this one has caught up."""
        self._wall += max(written - self.now(), timedelta())

    def now(self) -> datetime:
        """Whole milliseconds, as status keeps them."""
        now = self._wall + timedelta(seconds=self._monotonic() - self._since)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
