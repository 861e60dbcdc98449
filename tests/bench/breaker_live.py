"""The breaker on a real node under traffic: how fast an over-broad policy is taken back, and what the same settings do to
good ones.

100 requests a second through the Service, 9 active pods and 1 candidate (10 %); 2 % of the prompts are blocked by every
policy, 45 % by the over-broad one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from typing import Any

from keeptrusts_operator.kube.client import ApiServer, load_configuration
from tests.bench import inside
from tests.bench.breaker_scenes import LATENCIES, RATE, Bad, Good, Setting, bad_changes, good_changes
from tests.bench.result import write

AIM = {"effective": 4.0, "answered_until_effective": 40}  # at the median
PARTS = {
    "detected": "first request on the bad revision → the breaker trips, seconds",
    "issued": "the same → the API server has taken the write that lowers exposure",
    "effective": "the same → the last new connection that reached it (the write, if none came after it)",
    "last_answer": "the same → its last answer, with clients that keep their connections",
    "reached_until_effective": "requests that reached it until it was effective",
    "answered_until_effective": "of these, answered until then",
    "wrongly_blocked": "requests in all that it blocked and the active revision would have answered",
    "answered": "requests in all that it answered",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.breaker_live", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--proxy-sync", default="1s", help="kube-proxy's minSyncPeriod (default: Kubernetes' own)")
    parser.add_argument("--only", choices=["standin", "ferro", "good"], default="")
    parser.add_argument("--latency", choices=list(LATENCIES), action="append", help="default: all")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.inside:
        return asyncio.run(_measure(arguments))
    more = [f"--runs={arguments.runs}", *([f"--only={arguments.only}"] if arguments.only else [])]
    more += [f"--latency={each}" for each in arguments.latency or ()]
    world = "-".join(filter(None, ("live", arguments.only)))
    return inside.run("tests.bench.breaker_live", more, proxy_sync=arguments.proxy_sync, world=world)


async def _measure(arguments: argparse.Namespace) -> int:
    settings = [Setting(g, s) for g in ("standin", "ferro") for s in arguments.latency or LATENCIES]
    bad: list[dict[str, Any]] = []
    good: list[Good] = []
    async with ApiServer(await load_configuration()) as api:
        for setting in settings:
            if arguments.only in ("", setting.gateway):
                bad.append(_table(setting, *await bad_changes(api, setting, arguments.runs)))
                print(json.dumps({k: v for k, v in bad[-1].items() if k != "each"}), flush=True)
        if arguments.only in ("", "good"):
            good = await good_changes(api)
    result = {
        "kube_proxy_min_sync_period": arguments.proxy_sync,
        "requests_per_second": RATE,
        "aim": AIM,
        "what": PARTS,
        "bad": bad,
        "good": [vars(g) for g in good],
    }
    write("-".join(filter(None, ("breaker_live", arguments.only))), result)
    return 0 if all(g.ok for g in good) else 1


def _table(setting: Setting, runs: list[Bad], failed: list[str]) -> dict[str, Any]:
    return {
        "gateway": setting.gateway,
        "allowed_answers_take": setting.latency,
        "runs": len(runs),
        "failed": failed,
        "load_average_of_15_minutes": round(os.getloadavg()[2], 1),  # of the machine, which may have had other work
        "lost": sum(r.lost for r in runs),
        "median": {k: round(statistics.median(getattr(r, k) for r in runs), 2) for k in PARTS},
        "worst": {k: round(max(getattr(r, k) for r in runs), 2) for k in PARTS},
        "each": [vars(r) for r in runs],
    }


if __name__ == "__main__":
    sys.exit(main())
