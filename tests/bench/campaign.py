"""Bad days by the thousand: how many simulated rollouts a minute, what happened in them, and whether a promise broke.

A world that breaks one leaves its trace in build/bench/violations/<seed>.txt.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice

from tests.bench.result import FOLDER, write
from tests.sim.campaign import Broken, Lived, live

BATCH = 20  # worlds per process and turn
CHANGES = 24  # in the life of a world: more days for one end


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.campaign", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=10_000, help="of the first world")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args(argv)
    transitions, faults = Counter[str](), Counter[str]()
    worlds, days, violations = 0, 0.0, list[str]()
    started = time.monotonic()
    with ProcessPoolExecutor(arguments.jobs, initializer=quiet) as pool:
        for batch in _batches(pool, arguments.seed, arguments.jobs):
            for seed, lived in batch:
                worlds += 1
                if isinstance(lived, str):
                    violations.append(lived.splitlines()[0])
                    keep(str(seed), lived)
                    continue
                transitions.update(lived.transitions)
                faults.update(lived.faults)
                days += lived.seconds / 86400
            done, seconds = transitions["RolloutStarted"], time.monotonic() - started
            print(f"{done} rollouts in {seconds:.0f} s, {len(violations)} violations", file=sys.stderr, flush=True)
            if done >= arguments.rollouts:
                break
        pool.shutdown(cancel_futures=True)
    rollouts = transitions["RolloutStarted"]
    write(
        "campaign",
        {
            "worlds": worlds,
            "changes_per_world": CHANGES,
            "seeds": f"{arguments.seed} … {arguments.seed + worlds - 1}",
            "rollouts": rollouts,
            "rollouts_per_minute": round(rollouts / seconds * 60),
            "virtual_days": round(days, 1),
            "faults": dict(faults.most_common()),
            "transitions": dict(transitions.most_common()),
            "violations": violations,
        },
    )
    return 1 if violations else 0


Life = tuple[int, Lived | str]  # the seed, and how it went; or the promise that broke, with the trace


def _batches(pool: ProcessPoolExecutor, first: int, jobs: int) -> Iterator[list[Life]]:
    starts = count(first, BATCH)
    running = [pool.submit(_live, start) for start in islice(starts, 2 * jobs)]
    while True:
        yield running.pop(0).result()
        running.append(pool.submit(_live, next(starts)))


def _live(first: int) -> list[Life]:
    return [(seed, _one(seed)) for seed in range(first, first + BATCH)]


def _one(seed: int) -> Lived | str:
    try:
        return asyncio.run(live(seed, CHANGES)).without_trace()
    except Broken as broken:
        return str(broken)


def quiet() -> None:
    """Thousands of faults are not worth a line each."""
    logging.disable(logging.WARNING)


def keep(name: str, text: str) -> None:
    """A trace for people."""
    (FOLDER / "violations").mkdir(parents=True, exist_ok=True)
    (FOLDER / "violations" / f"{name}.txt").write_text(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
