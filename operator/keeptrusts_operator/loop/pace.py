"""How long a control loop waits after a pass: back-off after failures, and a brake on passes that never come to rest."""

from __future__ import annotations

from datetime import timedelta

FIRST_BACKOFF, LAST_BACKOFF = 0.5, 30.0  # seconds
FREE_PASSES = 20  # passes in a row that each did something, before the brake: two writers that undo each other
LONGEST_BRAKE = 10.0  # seconds


class Pace:
    """Counts how passes ended; every answer is in seconds."""

    def __init__(self) -> None:
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
            return look_again.total_seconds()
        return min(0.1 * 2.0 ** min(self._busy - FREE_PASSES, 10), LONGEST_BRAKE)
