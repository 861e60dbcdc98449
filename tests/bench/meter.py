"""What an operator costs and how punctual it is, measured from outside its process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from keeptrusts_operator.api.quantities import parse_time

FLOW = re.compile(
    r'^apiserver_flowcontrol_dispatched_requests_total\{flow_schema="service-accounts"[^}]*\} (\S+)', re.MULTILINE
)
AGE = re.compile(r"^keeptrusts_operator_sample_age_seconds\{[^}]*\} (\S+)", re.MULTILINE)
LOOKED_AT = re.compile(r"^keeptrusts_operator_gateway_last_pass_timestamp_seconds\{", re.MULTILINE)
PASSES = re.compile(r'^keeptrusts_operator_reconcile_passes_total\{outcome="(\w+)"\} (\S+)', re.MULTILINE)
STABLE = re.compile(r'^keeptrusts_operator_gateway_phase\{[^}]*phase="Stable"[^}]*\} 1.0', re.MULTILINE)
PROBE_EVERY = 0.25  # seconds


@dataclass(frozen=True)
class Process:
    """A process by its pid."""

    pid: int

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited(self) -> float:
        """Seconds in which its main thread could have run but no core was free: how much others disturb the measurement."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    def memory(self, key: str = "VmRSS") -> float:
        """Megabytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


@dataclass
class LoopLag:
    """How long the operator's event loop takes to answer its liveness probe: an upper bound of the loop's lag."""

    session: aiohttp.ClientSession
    url: str
    seconds: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            began = time.monotonic()
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self.session.get(self.url, timeout=aiohttp.ClientTimeout(total=30)) as answer:
                    await answer.read()
            self.seconds.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, began + PROBE_EVERY - time.monotonic()))

    def taken(self) -> dict[str, float]:
        """Milliseconds since the last call."""
        out, self.seconds = spread([s * 1000 for s in self.seconds]), []
        return out


def api_requests(page: str) -> float:
    """Requests of service accounts that an API server has taken, by its metrics: the operator's, in the bench's world."""
    return sum(float(v) for v in FLOW.findall(page))


def audited(log: Path, user: str, since: float, until: float = float("inf")) -> list[dict[str, Any]]:
    """The writes of a user between two moments (seconds since the epoch), dry runs left out."""
    found = []
    with log.open() as lines:
        for line in lines:
            if user not in line or "dryRun=All" in line:
                continue
            entry = json.loads(line)
            at = parse_time(entry["requestReceivedTimestamp"]).timestamp()
            if since <= at < until and entry["user"]["username"] == user:
                found.append({**entry, "at": at})
    return found


def by_kind(entries: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many writes of which sort."""
    sorts: Counter[str] = Counter()
    for entry in entries:
        target = entry["objectRef"]
        sub = f"/{target['subresource']}" if "subresource" in target else ""
        sorts[f"{entry['verb']} {target['resource']}{sub}"] += 1
    return dict(sorts.most_common())


def intervals(looks: Iterable[tuple[float, str]]) -> dict[str, list[float]]:
    """Seconds between the looks at each address."""
    last: dict[str, float] = {}
    out: dict[str, list[float]] = {}
    for at, address in looks:
        if address in last:
            out.setdefault(address, []).append(at - last[address])
        last[address] = at
    return out


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and worst."""
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 3),
        "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 3),
        "worst": round(ordered[-1], 3),
    }


def median_and_worst(values: Sequence[float]) -> dict[str, float]:
    """Of so few that a percentile says nothing."""
    return {k: v for k, v in spread(values).items() if k != "p99"}
