"""Requests by revision over the last seconds, and when each revision answered last: from the pods' own counters."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keeptrusts_operator.core.world import Flow

WINDOW_SECONDS = 5.0


@dataclass(frozen=True)
class Round:
    """One look at all pods: what each revision counted since the look before; None where a pod could not be read."""

    since: float  # monotonic seconds of the look before
    at: float
    requests: Mapping[str, float | None]


class Flows:
    """Sums over the newest rounds in which every pod of a revision was read."""

    def __init__(self) -> None:
        self._rounds: deque[Round] = deque()
        self._last_answers: dict[str, float] = {}

    def add(self, round_: Round) -> None:
        """The newest round."""
        self._rounds.append(round_)
        while self._rounds and self._rounds[0].at < round_.at - 2 * WINDOW_SECONDS:
            self._rounds.popleft()
        for revision, requests in round_.requests.items():
            if requests:
                self._last_answers[revision] = round_.at

    def flows(self, now: datetime, at: float) -> dict[str, Flow]:
        """By revision; `now` and `at` are the same moment by the two clocks. One that was not read throughout a whole
        window is not in it: no data is not "no requests"."""
        if not self._rounds:
            return {}
        out = {}
        for revision in self._rounds[-1].requests:
            requests, since = 0.0, self._rounds[-1].at
            for round_ in reversed(self._rounds):
                counted = round_.requests.get(revision)
                if counted is None or self._rounds[-1].at - since >= WINDOW_SECONDS:
                    break
                requests, since = requests + counted, round_.since
            if self._rounds[-1].at - since >= WINDOW_SECONDS and at - self._rounds[-1].at < WINDOW_SECONDS:
                out[revision] = Flow(requests, now - timedelta(seconds=at - since))
        return out

    def last_answers(self, now: datetime, at: float) -> dict[str, datetime]:
        """When a counter of each revision was seen to move last (it moved in the round that ended then)."""
        return {r: now - timedelta(seconds=at - t) for r, t in self._last_answers.items()}
