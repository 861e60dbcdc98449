"""The table of what the breaker holds under which traffic, and the time of one step."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from tests.bench.result import write
from tests.breaker.__main__ import step_time
from tests.breaker.table import measure, table


def main(argv: list[str] | None = None) -> int:
    rows = {row.name: row for row in table()}
    parser = argparse.ArgumentParser(prog="python -m tests.bench.breaker", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="of every case (2000: three hours of processor time)")
    parser.add_argument("--row", action="append", choices=list(rows), help="only this one; may be given again")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    chosen = parser.parse_args(argv)
    results, started = list[dict[str, Any]](), time.monotonic()
    for name in chosen.row or rows:
        results.append(measure(rows[name], chosen.runs, chosen.jobs))
        print(f"{name}: {'held' if results[-1]['holds'] else 'MISSED'}", file=sys.stderr, flush=True)
    missed = [r["row"] for r in results if not r["holds"] and not r["extra"]]
    write(
        "breaker",
        {
            "step_microseconds": round(step_time() * 1e6, 1),
            "seconds": round(time.monotonic() - started),
            "missed": missed,
            "rows": results,
        },
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
