"""Whether a rollback takes longer when other things are broken as well: from the trip to its effect, on a real node under
traffic, undisturbed and beside one disturbance at a time.

As `breaker_live` with the stand-in gateway and answers of 50 ms. A Prometheus server that is down is not among them: where
it is the source there is no verdict to act on, and where it is not it is not asked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.core.measured import Name
from keeptrusts_operator.kube.client import ApiServer, load_configuration
from keeptrusts_operator.kube.port import PODS, Resource
from tests.bench import inside
from tests.bench.breaker_scenes import Scene, Setting, serving
from tests.bench.meter import median_and_worst
from tests.bench.result import write
from tests.cluster.servers import CONTROL_PLANE, TOKEN_REF, readable_token, wish
from tests.demo.objects import CASTS, NAMESPACE, Obj
from tests.demo.stage import gateway_processes

AIM = 1.5  # times the undisturbed median
FAULTS = f"{CONTROL_PLANE}/faults"
ASKED = {"controlPlane": {"url": CONTROL_PLANE, "tokenSecretRef": TOKEN_REF}}
UNDISTURBED = "nothing"
NOTICED = 10.0  # seconds until a disturbance has its effect: three failed probes, answers that are too old


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.disturbed", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="of each")
    parser.add_argument("--only", choices=list(DISTURBANCES), action="append", help="and nothing; default: all")
    parser.add_argument("--proxy-sync", default="1s", help="kube-proxy's minSyncPeriod (default: Kubernetes' own)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.inside:
        return asyncio.run(_measure(arguments.runs, arguments.only or list(DISTURBANCES)))
    more = [f"--runs={arguments.runs}", *(f"--only={each}" for each in arguments.only or ())]
    return inside.run("tests.bench.disturbed", more, proxy_sync=arguments.proxy_sync, world="disturbed")


async def _measure(runs: int, chosen: Sequence[str]) -> int:
    rows = {}
    async with ApiServer(await load_configuration()) as api:
        for what in dict.fromkeys((UNDISTURBED, *chosen)):
            rows[what] = await _play(api, what, *DISTURBANCES[what], runs)
            print(json.dumps({what: {k: v for k, v in rows[what].items() if k != "each"}}), flush=True)
    base = rows[UNDISTURBED]["trip_to_effective"]["median"]
    for row in rows.values():
        row["times_undisturbed"] = round(row["trip_to_effective"]["median"] / base, 2)
    write("disturbed", {"aim_times_undisturbed": AIM, "beside": rows})
    return 0


async def _play(api: ApiServer, what: str, disturbed: Disturbance, spec: Obj, runs: int) -> dict[str, Any]:
    async with serving(api, CASTS["standin"], Setting("standin", "50ms"), spec=spec) as scene:
        await scene.grow_old()
        async with disturbed(scene):
            await asyncio.sleep(NOTICED)
            bad, failed = await scene.bad_in_a_row(runs, what)
    return {
        "runs": len(bad),
        "failed": failed,
        "lost": sum(b.lost for b in bad),
        "trip_to_effective": median_and_worst([b.effective - b.detected for b in bad]),
        "detected": median_and_worst([b.detected for b in bad]),
        "each": [vars(b) for b in bad],
    }


@asynccontextmanager
async def _nothing(scene: Scene) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def _frozen(scene: Scene) -> AsyncIterator[None]:
    """One active pod is stopped: it answers nothing and is not ready."""
    processes = await _one_active(scene)
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@asynccontextmanager
async def _crashing(scene: Scene) -> AsyncIterator[None]:
    """One active pod ends whenever it has begun."""

    async def again_and_again() -> None:
        while True:
            for process in await _one_active(scene):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            await asyncio.sleep(1)

    task = asyncio.create_task(again_and_again())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def _silent(scene: Scene) -> AsyncIterator[None]:
    """The control plane takes calls and answers none."""
    stage = scene.stage
    for obj in readable_token():
        group, _, version = obj["apiVersion"].rpartition("/")
        resource = Resource(group, version, f"{obj['kind'].lower()}s", obj["kind"])
        await stage.api.apply(resource, {**obj, "metadata": {**obj["metadata"], "namespace": NAMESPACE}})
    await stage.until(lambda: _is_answered(stage.status), 90, "the control plane answers")
    await asyncio.to_thread(wish, FAULTS, fault="hang")
    try:
        await stage.until(lambda: not _is_answered(stage.status), 90, "it does so no more")
        yield
    finally:
        await asyncio.to_thread(wish, FAULTS, fault="")


def _is_answered(status: Obj) -> bool:
    """Whether the operator knows of escalations: only the control plane can have told."""
    told = status["health"]["signals"]
    return any(s["name"] == Name.ESCALATION_BACKLOG and s["state"] != "Unknown" for s in told)


async def _one_active(scene: Scene) -> list[int]:
    """The processes of the first active pod, by name."""
    labels = {names.LABEL_REVISION: scene.stage.status["activeRevision"]}
    pods = await scene.stage.api.list(PODS, NAMESPACE, labels)
    first = min(pods, key=lambda p: str(p["metadata"]["name"]))
    return gateway_processes({first["metadata"]["uid"]})


Disturbance = Callable[[Scene], AbstractAsyncContextManager[None]]
DISTURBANCES: dict[str, tuple[Disturbance, Obj]] = {
    UNDISTURBED: (_nothing, {}),
    "one active pod is frozen": (_frozen, {}),
    "one active pod crashes all the time": (_crashing, {}),
    "the control plane's API hangs": (_silent, ASKED),
}


if __name__ == "__main__":
    sys.exit(main())
