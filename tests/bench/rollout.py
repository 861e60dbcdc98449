"""A change that turns unhealthy under traffic, again and again on a real node: how long each part takes (seconds; median
and worst)."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from keeptrusts_operator.api.quantities import parse_time
from keeptrusts_operator.kube.client import ApiServer, load_configuration
from tests.bench import inside
from tests.bench.result import write
from tests.cluster.world import ROOT
from tests.demo import objects
from tests.demo.objects import NAMESPACE, STANDIN, Cast
from tests.demo.stage import Stage
from tests.traffic.answers import last_answer_of, last_new_connection_of

OPERATOR = "system:serviceaccount:keeptrusts-system:keeptrusts-operator"
PARTS = {
    "apply_to_pod_created": "kubectl apply → the candidate's first pod is created",
    "pod_created_to_ready": "the pod's own start, as seen from outside (every 0.05 s)",
    "ready_to_exposed": "the pod is ready → the Service lets traffic reach it",
    "apply_to_exposed": "kubectl apply → exposed",
    "exposed_to_detected": "exposed → found unhealthy (the gateway turns unhealthy 2 s after its first request)",
    "detected_to_issued": "found unhealthy → the API server has taken the write that lowers exposure",
    "issued_to_effective": "→ the last new connection that reached the bad revision (0: none after the write)",
    "issued_to_last_answer": "→ the last answer of the bad revision, with keep-alive clients",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rollout", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--proxy-sync", default="1s", help="kube-proxy's minSyncPeriod (default: Kubernetes' own)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.inside:
        return asyncio.run(_measure(arguments.runs, arguments.proxy_sync))
    return inside.run("tests.bench.rollout", [f"--runs={arguments.runs}"], proxy_sync=arguments.proxy_sync)


async def _measure(runs: int, proxy_sync: str) -> int:
    cast = replace(STANDIN, name="bench")
    rows: list[dict[str, float]] = []
    async with ApiServer(await load_configuration()) as api:
        stage = Stage(api, cast)
        gateway = objects.deployment(cast)
        gateway["spec"]["rollout"]["steps"] = [{"weight": "25%", "minDuration": "60s"}]
        await stage.apply(objects.policy(cast))
        await stage.apply(gateway)
        stage.watch()
        await stage.until(lambda: stage.status.get("phase") == "Stable", 60, "the first revision serves")
        await stage.start_traffic(pooled_share=0.5)
        for number in range(runs):
            rows.append(await _run(stage, cast, number))
            print(f"{number + 1}/{runs}: {rows[-1]}", flush=True)
        await stage.stop_traffic()
        answers = stage.answers()
        await stage.close()
    _write(rows, proxy_sync, len(answers), sum(a.lost for a in answers))
    return 0


async def _run(stage: Stage, cast: Cast, number: int) -> dict[str, float]:
    """One change: exposed, sick, taken back; then the good document again."""

    def change(document: dict[str, Any]) -> None:
        document["pack"].update(version=f"2.0.{number}", description="mode=unhealthy-after:2s")

    active = stage.status["activeRevision"]
    applied = await stage.apply(objects.policy(cast, change))
    await stage.until(lambda: stage.status.get("desiredRevision") not in (active, None), 30, "the change is noticed")
    revision = stage.status["desiredRevision"]
    await stage.until(lambda: stage.status.get("phase") == "Canary", 30, "it is exposed")
    assert stage.traffic is not None
    stage.traffic.reconnect()  # so that some keep-alive clients are with the candidate
    await stage.until(lambda: stage.status.get("phase") == "RolledBack", 30, "it is rolled back")
    await asyncio.sleep(4)
    record, answers = stage.status["rollback"], stage.answers()
    detected, issued = (parse_time(record[key]).timestamp() for key in ("detectedAt", "issuedAt"))
    created, exposed = _audited(applied)
    ready = min(stage.ready_seen[revision], exposed)
    new = last_new_connection_of(answers, revision) or issued
    last = last_answer_of(answers, revision) or issued
    await stage.apply(objects.policy(cast))
    await stage.until(lambda: stage.status.get("phase") == "Stable", 30, "the good document is in force again")
    row = {
        "apply_to_pod_created": created - applied,
        "pod_created_to_ready": ready - created,
        "ready_to_exposed": exposed - ready,
        "apply_to_exposed": exposed - applied,
        "exposed_to_detected": detected - exposed,
        "detected_to_issued": issued - detected,
        "issued_to_effective": max(0.0, new - issued),
        "issued_to_last_answer": max(0.0, last - issued),
    }
    return {k: round(v, 3) for k, v in row.items()}


def _audited(since: float) -> tuple[float, float]:
    """When the API server took the candidate's first pod, and the write that exposed it: from its audit log."""
    created = exposed = 0.0
    log = Path(ROOT / "build" / "cluster" / "bench" / "log" / "audit.log")
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        target, at = entry.get("objectRef", {}), parse_time(entry["requestReceivedTimestamp"]).timestamp()
        if at < since or target.get("namespace") != NAMESPACE or entry["responseStatus"]["code"] >= 300:
            continue
        if target["resource"] == "pods" and entry["verb"] == "create" and not created:
            created = at
        if target["resource"] == "services" and entry["user"]["username"] == OPERATOR and not exposed:
            exposed = at
    return created, exposed


def _write(rows: list[dict[str, float]], proxy_sync: str, requests: int, lost: int) -> None:
    result = {
        "kube_proxy_min_sync_period": proxy_sync,
        "runs": len(rows),
        "requests": requests,
        "lost": lost,
        "seconds": {
            key: {
                "what": what,
                "median": round(statistics.median(r[key] for r in rows), 3),
                "worst": max(r[key] for r in rows),
            }
            for key, what in PARTS.items()
        },
    }
    write("rollout", result)


if __name__ == "__main__":
    sys.exit(main())
