"""Days of bad pages by the thousand: nobody may be rolled back or promoted because of them.

A day that breaks a promise leaves its trace in build/bench/violations/day-<seed>.txt.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

from tests.bench.campaign import keep, quiet
from tests.bench.result import write
from tests.sim.campaign import Broken
from tests.sim.page_days import Day, page_day


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first day")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args(argv)
    ends, faults, found, violations = Counter[str](), Counter[str](), list[float](), list[str]()
    started = time.monotonic()
    seeds = range(arguments.seed, arguments.seed + arguments.days)
    with ProcessPoolExecutor(arguments.jobs, initializer=quiet) as pool:
        for number, (seed, day) in enumerate(zip(seeds, pool.map(_one, seeds, chunksize=10), strict=True), 1):
            if isinstance(day, str):
                violations.append(day.splitlines()[0])
                keep(f"day-{seed}", day)
                continue
            ends[f"{'bad' if day.bad else 'good'}{', unread' if day.unread else ''}: {day.phase}"] += 1
            faults.update(day.faults)
            found += [day.found] if day.found is not None and not day.unread else []
            if number % 100 == 0:
                spent = time.monotonic() - started
                print(f"{number} days in {spent:.0f} s, {len(violations)} violations", file=sys.stderr, flush=True)
    write(
        "pages",
        {
            "days": arguments.days,
            "seeds": f"{seeds[0]} … {seeds[-1]}",
            "ends": dict(ends.most_common()),
            "bad_pages": dict(faults.most_common()),
            "seconds_to_trip": {"median": statistics.median(found), "worst": max(found)} if found else {},
            "violations": violations,
        },
    )
    return 1 if violations else 0


def _one(seed: int) -> Day | str:
    try:
        return replace(asyncio.run(page_day(seed)), trace=())
    except Broken as broken:
        return str(broken)


if __name__ == "__main__":
    sys.exit(main())
