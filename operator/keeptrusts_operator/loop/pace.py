"""How long a control loop waits after a pass: back-off after failures, and a brake on passes that never come to rest."""

from __future__ import annotations

from datetime import timedelta

FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0  # seconds
FREE_PASSES = 20  # passes in a row that each did something, before the brake: two writers that undo each other
LONGEST_BRAKE = 10.0  # seconds
LONG_WAIT = 60.0  # seconds, of a look for its own sake
SPREAD = 0.25  # the longest share by which such a wait is shortened


class Pace:
    """Counts how passes ended; every answer is in seconds."""

    def __init__(self, place: float = 0.0) -> None:
        """`place`: 0 … 1, of this loop among all: long waits are shortened by it, so that loops which began together
        do not look again together for ever."""
        self._place = place
        self._failures = 0
        self._busy = 0

    def failed(self) -> float:
        """After a pass that could not be finished."""
        self._failures += 1
        return min(FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 10), LAST_BACKOFF)

    def done(self, look_again: timedelta) -> float:
        """After a pass that was finished; zero: the next one follows at once."""
        self._failures = 0
        self._busy = self._busy + 1 if not look_again else 0
        if self._busy <= FREE_PASSES:
            seconds = look_again.total_seconds()
            return seconds if seconds < LONG_WAIT else seconds * (1 - SPREAD * self._place)
        return min(0.1 * 2.0 ** min(self._busy - FREE_PASSES, 10), LONGEST_BRAKE)
