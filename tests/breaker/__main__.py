"""`python -m tests.breaker`: the table, measured; JSON, one row after the other as it is done."""

from __future__ import annotations

import argparse
import json
import sys
import time

from keeptrusts_operator.core.breaker import Baseline, Settings, Watch
from keeptrusts_operator.core.dispersion import Slice
from tests.breaker.table import measure, table


def main(argv: list[str] | None = None) -> int:
    rows = {row.name: row for row in table()}
    parser = argparse.ArgumentParser(prog="python -m tests.breaker", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="of every case")
    parser.add_argument("--row", action="append", choices=list(rows), help="only this one; may be given again")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    chosen = parser.parse_args(argv)
    missed = False
    print(json.dumps({"step_microseconds": round(step_time() * 1e6, 1)}), flush=True)
    for name in chosen.row or rows:
        started = time.monotonic()
        result = measure(rows[name], chosen.runs, chosen.jobs)
        missed |= not result["holds"] and not result["extra"]
        print(json.dumps({**result, "took": round(time.monotonic() - started, 1)}, ensure_ascii=False), flush=True)
    return 1 if missed else 0


def step_time(steps: int = 2000) -> float:
    """Processor seconds of one step, all four questions."""
    watch = Watch.begin(Settings(), Baseline().seed(2000, 40))
    slices = [Slice(5, i % 7 == 0, 45, i % 2, 0.5) for i in range(steps)]
    started = time.process_time()
    for seen in slices:
        watch = watch.step(seen)
    return (time.process_time() - started) / steps


if __name__ == "__main__":
    sys.exit(main())
