"""An emergency passthrough on a real node under traffic: from the annotation to its effect, and from its end to the
protections; with pods that are kept warm for it, and without.

100 requests a second through the Service to 3 pods whose policy is over-broad: it blocks 45 % of them. Each run asks with
kubectl, as a person, and waits for the expiry.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from keeptrusts_operator.kube.client import ApiServer, load_configuration
from keeptrusts_operator.kube.port import ApiError
from tests.bench import inside
from tests.bench.meter import median_and_worst
from tests.bench.passthrough_scenes import RATE, REPLICAS, Row, Setting, serving
from tests.bench.result import write

SETTINGS = {
    "cold": Setting("0", "50ms"),
    "warm": Setting("100%", "50ms"),
    "slow": Setting("0", "10s"),
}
SLOW_RUNS = 4
PARTS = {
    "annotate_to_granted": "the API server takes the annotation → the operator's answer, seconds",
    "annotate_to_pod_created": "the API server takes the annotation → it takes the first pod of the passthrough",
    "pods_start": "the pods' own start: the first is created → all are seen ready (every 0.05 s)",
    "ready_to_issued": "all are seen ready → the API server has taken the write that moves traffic",
    "annotate_to_issued": "the annotation → that write",
    "annotate_to_effective": "the annotation → the last new connection that reached a blocking pod (the write, if none after it)",
    "annotate_to_effective_by_status": "the same as the operator saw it: `effectiveAt`",
    "annotate_to_last_answer": "the annotation → the last answer of a blocking pod, with clients that keep their connections",
    "kubectl": "kubectl is started → the API server takes the annotation",
    "blocked_until_last_answer": "requests blocked between the annotation and the last answer of a blocking pod",
    "blocked_afterwards": "requests blocked from then on until the end",
    "passed": "requests that passed",
    "sent_again_at_start": "requests whose connection was reset before an answer came, and that succeeded elsewhere",
    "cut_off_at_start": "of these, under way when it was reset; the others were sent on a connection that was closed by then",
    "lost_at_start": "requests without an answer",
    "expiry_to_issued": "the end of the grant → the API server has taken the write that moves traffic back",
    "expiry_to_protected": "the same → the last new connection that reached an unprotected pod (the write, if none after it)",
    "expiry_to_last_answer": "the same → the last answer of an unprotected pod",
    "sent_again_at_end": "as at the start",
    "cut_off_at_end": "as at the start",
    "lost_at_end": "as at the start",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.passthrough", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each with answers of 50 ms")
    parser.add_argument("--slow-runs", type=int, default=SLOW_RUNS, help="with answers of 10 s")
    parser.add_argument("--only", choices=list(SETTINGS), action="append", help="default: all")
    parser.add_argument("--proxy-sync", default="1s", help="kube-proxy's minSyncPeriod (default: Kubernetes' own)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.inside:
        return asyncio.run(_measure(arguments))
    more = [f"--runs={arguments.runs}", f"--slow-runs={arguments.slow_runs}"]
    more += [f"--only={each}" for each in arguments.only or ()]
    return inside.run("tests.bench.passthrough", more, proxy_sync=arguments.proxy_sync)


async def _measure(arguments: argparse.Namespace) -> int:
    tables = {}
    async with ApiServer(await load_configuration()) as api:
        for name in arguments.only or SETTINGS:
            runs = arguments.slow_runs if name == "slow" else arguments.runs
            tables[name] = _table(SETTINGS[name], *await _play(api, name, runs))
            print(json.dumps({name: {k: v for k, v in tables[name].items() if k != "each"}}), flush=True)
    result = {
        "kube_proxy_min_sync_period": arguments.proxy_sync,
        "requests_per_second": RATE,
        "replicas": REPLICAS,
        "what": PARTS,
        "settings": tables,
    }
    write("passthrough", result)
    return 0 if all(t["runs"] for t in tables.values()) else 1


async def _play(api: ApiServer, name: str, runs: int) -> tuple[list[Row], list[str]]:
    """The numbers of the runs, and why others gave none: a run that an API call fails is reported, not the end."""
    rows: list[Row] = []
    failed: list[str] = []
    try:
        async with serving(api, SETTINGS[name]) as scene:
            for number in range(1, runs + 1):
                try:
                    rows.append(await scene.run(number))
                    print(f"{name} {number}/{runs}: {rows[-1]}", flush=True)
                except (ApiError, OSError, TimeoutError, LookupError) as error:
                    failed.append(f"run {number}: {type(error).__name__}: {error}")
                    print(f"{name} {number}/{runs}: failed: {failed[-1]}", flush=True)
    except (ApiError, OSError, TimeoutError) as error:
        failed.append(f"after {len(rows)} runs: {type(error).__name__}: {error}")
    return rows, failed


def _table(setting: Setting, rows: list[Row], failed: list[str]) -> dict[str, Any]:
    return {
        "standby_replicas": setting.standby,
        "answers_take": setting.latency,
        "runs": len(rows),
        "failed": failed,
        "load_average_of_15_minutes": round(os.getloadavg()[2], 1),  # of the machine, which may have had other work
        "lost": sum(r["lost_at_start"] + r["lost_at_end"] for r in rows),
        "blocked_afterwards": sum(r["blocked_afterwards"] for r in rows),
        "numbers": {k: median_and_worst([r[k] for r in rows if k in r]) for k in PARTS},
        "each": rows,
    }


if __name__ == "__main__":
    sys.exit(main())
