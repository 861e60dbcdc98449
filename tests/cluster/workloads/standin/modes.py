"""Bad behaviour for tests, asked for by words in the document's `pack.description`, as a bad config would cause it."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass, field

METRICS_FAULTS = ("gone", "503", "nan", "html")


@dataclass
class Modes:
    """`mode=crash`, `mode=crash-after:5s`, `mode=unhealthy-after:5s`, `mode=degraded`, `mode=slow:2s`; and of /metrics
    `mode=metrics-gone:60s` (the connection is closed), `mode=metrics-503:60s`, `mode=metrics-nan:60s`,
    `mode=metrics-html:60s` (with status 200).

    What happens *after* a time happens that long after the first chat request; /metrics fails *for* a time from it on.
    """

    description: str
    first_request: float = field(default=0.0)

    def at_start(self) -> None:
        if self._has("crash"):
            print("fatal: policy engine panicked while compiling the chain", file=sys.stderr, flush=True)
            sys.exit(1)

    def on_request(self) -> float:
        """Seconds by which this answer is to be delayed."""
        self.first_request = self.first_request or time.monotonic()
        return self._after("slow") or 0.0

    def health(self) -> str:
        """The status that /health tells; ends the process where the mode says so."""
        self.maybe_crash()
        if self._due("unhealthy-after"):
            return "unhealthy"
        return "degraded" if self._has("degraded") else "healthy"

    def metrics_fault(self) -> str:
        """One of METRICS_FAULTS while /metrics is to fail, else empty."""
        asked = (f for f in METRICS_FAULTS if self._after(f"metrics-{f}") and not self._due(f"metrics-{f}"))
        return next(asked, "") if self.first_request else ""

    def maybe_crash(self) -> None:
        if self._due("crash-after"):
            print("fatal: policy engine panicked", file=sys.stderr, flush=True)
            os._exit(1)

    def _due(self, mode: str) -> bool:
        after = self._after(mode)
        return after is not None and bool(self.first_request) and time.monotonic() - self.first_request >= after

    def _has(self, mode: str) -> bool:
        return re.search(rf"mode={mode}(?![\w-])", self.description) is not None

    def _after(self, mode: str) -> float | None:
        match = re.search(rf"mode={mode}:([\d.]+)(ms|s)", self.description)
        return float(match[1]) / (1000 if match[2] == "ms" else 1) if match else None
