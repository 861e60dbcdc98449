"""Hundreds of gateways beside thousands of foreign pods, on one machine: what the operator costs, and how late it is.

Everything is real but the node: API server and controllers, the operator's process with its own service account and
RBAC. Pods are objects; one process (`responder`) gives them addresses and answers for them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio.client import Configuration

from keeptrusts_operator.gateways.watch import IDLE_SECONDS
from keeptrusts_operator.kube.client import ApiServer
from keeptrusts_operator.kube.port import GATEWAYS, POLICIES, Obj, Resource
from tests.bench import meter
from tests.bench.crowd import Crowd
from tests.bench.result import FOLDER, write
from tests.cluster import api_level, build, config, install
from tests.cluster.world import ROOT, StartFailed, World

NAMESPACES = Resource("", "v1", "namespaces", "Namespace")
OPERATOR = "system:serviceaccount:keeptrusts-system:keeptrusts-operator"
TOGETHER = 100  # gateways of one namespace, which run one policy
PODS = 3  # of each gateway
SETTLE = 330.0  # seconds before what is idle is measured: signals speak of the last 5 minutes
CONTROLLERS = ("deployment", "replicaset", "serviceaccount", "garbage-collector", "namespace", "disruption")
MANAGER = (
    # Not the ones that would see to nodes and endpoints: there are no nodes, and loopback is no endpoint.
    "--controllers=" + ",".join(f"{c}-controller" for c in CONTROLLERS),
    "--kube-api-qps=400", "--kube-api-burst=800", "--concurrent-deployment-syncs=20", "--concurrent-replicaset-syncs=20",
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--gateways", type=int, default=300)
    parser.add_argument("--foreign", type=int, default=10_000, help="pods of others")
    parser.add_argument(
        "--churn", type=float, default=10.0, help="of those created, patched and deleted a second, each"
    )
    parser.add_argument(
        "--seconds", type=float, default=150.0, help="how long it is measured idle: without traffic, and with"
    )
    parser.add_argument("--settle", type=float, default=SETTLE, help="seconds before that")
    parser.add_argument("--judged", type=float, default=30.0, help="seconds for which it is measured after the change")
    arguments = parser.parse_args(argv)
    world = World("scale", level="api")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all that was started is ended
    try:
        world.stop()
        world.start(manager=MANAGER)
        kubectl = install.Kubectl(world)
        install.install_api(kubectl)
        kubectl("apply", "-f", str(ROOT / "charts" / "plain" / "rbac.yaml"))
        return asyncio.run(_bench(world, kubectl, arguments))
    except (build.Missing, StartFailed) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        world.stop()


async def _bench(world: World, kubectl: install.Kubectl, arguments: argparse.Namespace) -> int:
    configuration = _configuration(world)
    headers = {"Authorization": configuration.api_key["BearerToken"]}
    pod_port, control, port = api_level.free_ports(3)
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(ApiServer(configuration))
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        spaces = [f"team-{i}" for i in range(-(-arguments.gateways // TOGETHER))]
        for name in (*spaces, "elsewhere"):
            await api.create(
                NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "namespace": ""}}
            )
        responder = [sys.executable, "-m", "tests.bench.responder", str(pod_port), str(control)]
        await stack.enter_async_context(_process(responder, "responder", world.environment()))
        crowd = Crowd(api, [*spaces, "elsewhere"])
        began = time.monotonic()
        await crowd.gather(arguments.foreign)
        await _apply_gateways(api, spaces, arguments.gateways, pod_port)
        _say(
            f"{arguments.foreign} foreign pods and {arguments.gateways} gateways exist after {time.monotonic() - began:.0f} s"
        )
        churning = asyncio.create_task(crowd.churn(arguments.churn))
        bench = _Bench(world, api, session, configuration.host, port, control, _kubeconfig(world, kubectl), arguments)
        result = await bench.run()
        churning.cancel()
    write("scale", {"gateways": arguments.gateways, "pods": arguments.gateways * PODS, "foreign_pods": arguments.foreign,
                    "foreign_writes_per_second": 3 * arguments.churn, **result})  # fmt: skip
    return 0


@dataclass
class _Bench:
    """The measured part."""

    world: World
    api: ApiServer
    session: aiohttp.ClientSession
    server: str
    port: int
    control: int
    kubeconfig: Path
    arguments: argparse.Namespace

    async def run(self) -> dict[str, Any]:
        count = self.arguments.gateways
        out: dict[str, Any] = {"start": {}}
        async with self._operator(0) as process:
            began = time.monotonic()
            await self._until(lambda page: len(meter.STABLE.findall(page)) == count, 900, "every gateway is stable")
            out["start"]["all_stable_after_seconds"] = round(time.monotonic() - began, 1)
            out["start"]["cpu_seconds"] = round(process.cpu(), 1)
            out["start"]["seconds_without_a_free_core"] = round(process.waited(), 1)
            _say(f"all are stable after {time.monotonic() - began:.1f} s")
        async with self._operator(1) as process:
            began = time.monotonic()
            await self._until(lambda page: len(meter.LOOKED_AT.findall(page)) == count, 300, "a look at every gateway")
            out["takeover"] = {
                "all_looked_at_after_seconds": round(time.monotonic() - began, 1),
                "cpu_seconds": round(process.cpu(), 1),
                "seconds_without_a_free_core": round(process.waited(), 1),
            }
            _say(f"a new leader has looked at all after {time.monotonic() - began:.1f} s")
            lag = meter.LoopLag(self.session, f"http://127.0.0.1:{self.port}/healthz")
            probing = asyncio.create_task(lag.run())
            for key, switch in (("idle", "off"), ("idle_under_traffic", "on")):
                await self._json(f"http://127.0.0.1:{self.control}/traffic/{switch}")
                await asyncio.sleep(
                    self.arguments.settle if switch == "off" else min(self.arguments.settle, 2 * IDLE_SECONDS)
                )
                out[key] = await self._idle(process, lag)
                _say(f"{key}: {json.dumps(out[key])}")
            out["change"] = await self._change(process, lag)
            probing.cancel()
        return out

    async def _idle(self, process: meter.Process, lag: meter.LoopLag) -> dict[str, Any]:
        measured = await self._measured(process, lag, self.arguments.seconds)
        looks = measured.pop("looks")
        late = [i - IDLE_SECONDS for each in meter.intervals(looks).values() for i in each]
        page = await self._page()
        return {
            "seconds": self.arguments.seconds,
            **measured,
            "scrape_lateness_seconds": meter.spread([max(0.0, x) for x in late]),
            "sample_age_seconds": meter.spread([float(v) for v in meter.AGE.findall(page)])
            or "not told by the operator",
        }

    async def _change(self, process: meter.Process, lag: meter.LoopLag) -> dict[str, Any]:
        """One policy that many gateways run gets another version."""
        count = min(TOGETHER, self.arguments.gateways)
        applied, cpu, waited = time.time(), process.cpu(), process.waited()
        await self.api.apply(POLICIES, _policy("team-0", "1.1.0"))
        candidates: list[float] = []
        while len(candidates) < count and time.time() < applied + 300:
            await asyncio.sleep(0.5)
            entries = meter.audited(self._log(), OPERATOR, applied)
            candidates = [
                e["at"] - applied
                for e in entries
                if e["verb"] == "create"
                and e["objectRef"]["resource"] == "deployments"
                and e["responseStatus"]["code"] < 300
            ]
        cost = {
            "cpu_seconds": round(process.cpu() - cpu, 1),
            "seconds_without_a_free_core": round(process.waited() - waited, 1),
        }
        _say(f"{len(candidates)} candidates after {max(candidates, default=0.0):.1f} s")
        first = {
            **cost,
            "gateways": count,
            "candidate_created_after_seconds": meter.spread(candidates),
            "loop_lag_ms": lag.taken(),
        }
        judged = await self._measured(process, lag, self.arguments.judged)
        between = meter.intervals(judged.pop("looks"))
        fast = [i for each in between.values() if min(each) < IDLE_SECONDS / 2 for i in each]
        slow = [i for each in between.values() if min(each) >= IDLE_SECONDS / 2 for i in each]
        seconds = {"seconds_between_looks_at_judged": meter.spread(fast), "at_idle": meter.spread(slow)}
        return {**first, "while_judged": {"seconds": self.arguments.judged, **judged, **seconds}}

    async def _measured(self, process: meter.Process, lag: meter.LoopLag, seconds: float) -> dict[str, Any]:
        """What goes on for some seconds."""
        lag.taken()
        await self._json(f"http://127.0.0.1:{self.control}/")
        requests, passes = await self._requests(), await self._passes()
        cpu, waited, began = process.cpu(), process.waited(), time.time()
        memory = []
        while (left := began + seconds - time.time()) > 0:
            await asyncio.sleep(min(5.0, left))
            memory.append(process.memory())
        took, used, waited = time.time() - began, process.cpu() - cpu, process.waited() - waited
        writes = meter.by_kind(meter.audited(self._log(), OPERATOR, began, began + took))
        counted = await self._json(f"http://127.0.0.1:{self.control}/")
        return {
            "cpu_percent_of_a_core": round(100 * used / took, 1),
            "percent_of_time_without_a_free_core": round(100 * waited / took, 1),
            "rss_mb": {"median": round(sorted(memory)[len(memory) // 2]), "peak": round(process.memory("VmHWM"))},
            "api_requests_per_second": round((await self._requests() - requests) / took, 2),
            "passes_per_second": round((await self._passes() - passes) / took, 2),
            "writes_per_second": round(sum(writes.values()) / took, 2),
            "writes": writes,
            "requests_to_gateways_per_second": round(counted["requests"] / took, 1),
            "loop_lag_ms": lag.taken(),
            "looks": [tuple(x) for x in counted["looks"]],
        }

    @contextlib.asynccontextmanager
    async def _operator(self, number: int) -> AsyncIterator[meter.Process]:
        words = [sys.executable, "-m", "keeptrusts_operator", "run", "--port", str(self.port), "--log-level", "warning"]
        command = [*words, "--lease-namespace", install.NAMESPACE]
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        async with _process(command, f"operator-{number}", environment) as process:
            yield process

    async def _until(self, wanted: Callable[[str], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                if wanted(await self._page()):
                    return
            await asyncio.sleep(2)  # a page of so many series is work for the operator
        raise StartFailed(f"not within {seconds:g} s: {what}")

    async def _page(self) -> str:
        return await self._text(f"http://127.0.0.1:{self.port}/metrics")

    async def _passes(self) -> float:
        return sum(float(v) for _, v in meter.PASSES.findall(await self._page()))

    async def _requests(self) -> float:
        return meter.api_requests(await self._text(f"{self.server}/metrics"))

    async def _json(self, url: str) -> Any:
        return json.loads(await self._text(url))

    async def _text(self, url: str) -> str:
        async with self.session.get(url, ssl=False, timeout=aiohttp.ClientTimeout(total=30)) as answer:
            return await answer.text()

    def _log(self) -> Path:
        return self.world.folder / "log" / "audit.log"


@contextlib.asynccontextmanager
async def _process(command: list[str], name: str, environment: Any) -> AsyncIterator[meter.Process]:
    """A process with a log in build/bench, ended as it should end."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"scale-{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=environment, cwd=ROOT)
    try:
        yield meter.Process(process.pid)
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()


async def _apply_gateways(api: ApiServer, spaces: list[str], count: int, port: int) -> None:
    for space in spaces:
        await api.apply(POLICIES, _policy(space, "1.0.0"))
    for number in range(count):
        await api.apply(GATEWAYS, _gateway(spaces[number // TOGETHER], f"gateway-{number}", port))


def _policy(namespace: str, version: str) -> Obj:
    target = {"id": "openai", "provider": "openai", "model": "gpt-4o-mini", "base_url": "https://api.openai.com"}
    document = {
        "pack": {"name": "support", "version": version, "enabled": True},
        "policies": {"chain": ["prompt-injection", "dlp-filter", "audit-logger"]},
        "policy": {
            "prompt-injection": {},
            "dlp-filter": {"action": "block", "blocked_terms": [f"project {i}" for i in range(40)]},
            "audit-logger": {"retention_days": 365},
        },
        "providers": {"targets": [target]},
    }
    return {**_named("GatewayPolicy", "shared", namespace), "spec": {"config": document}}


def _gateway(namespace: str, name: str, port: int) -> Obj:
    container = {"name": "gateway", "image": "example.com/gateway:2.3.1"}
    return {
        **_named("GatewayDeployment", name, namespace),
        "spec": {
            "policyRef": {"name": "shared"},
            "replicas": PODS,
            "gateway": {"port": port},
            "template": {"spec": {"containers": [container]}},
        },
    }


def _named(kind: str, name: str, namespace: str) -> Obj:
    return {"apiVersion": GATEWAYS.api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def _configuration(world: World) -> Configuration:
    """As the administrator; the client library reads KUBECONFIG before we could set it."""
    cluster = json.loads(world.kubeconfig.read_text())["clusters"][0]["cluster"]
    configuration = Configuration(host=cluster["server"], ssl_ca_cert=cluster["certificate-authority"])
    configuration.api_key["BearerToken"] = f"Bearer {(world.folder / 'run' / 'admin.token').read_text()}"
    return configuration


def _kubeconfig(world: World, kubectl: install.Kubectl) -> Path:
    """The operator's own: its service account, with the rights that it ships with."""
    run = world.folder / "run"
    token = kubectl("-n", install.NAMESPACE, "create", "token", "keeptrusts-operator", "--duration=24h").strip()
    server = json.loads(world.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    path = run / "operator.yaml"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config.kubeconfig(server, run / "certs" / "apiserver.crt", token)))
    return path


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
