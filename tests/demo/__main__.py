"""`make demo`: starts a real cluster and tells the story in it; without root the same story is simulated."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from keeptrusts_operator.kube.client import ApiServer, load_configuration
from keeptrusts_operator.kube.port import ApiError
from tests.cluster import build, install
from tests.cluster.world import ROOT, StartFailed, World
from tests.demo import report
from tests.demo.objects import CASTS
from tests.demo.stage import Stage as LiveStage
from tests.demo.story import tell
from tests.demo.told import Stage
from tests.sim.stage import SimStage
from tests.sim.world import EPOCH

FOLDER = ROOT / "build" / "demo"
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--gateway", choices=list(CASTS), default="standin")
    parser.add_argument(
        "--simulated", action="store_true", help="play it in the simulated world although there is root"
    )
    parser.add_argument("--keep", action="store_true", help="leave the cluster running (world `demo`)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return asyncio.run(_play(arguments.gateway))
    world = World("demo")
    if world.level != "node" or arguments.simulated:
        return _simulated(arguments.gateway)
    try:
        return _on_world(world, arguments)
    except (build.Missing, StartFailed) as error:
        console.print(f"[red]{error}[/]", markup=True)
        return 1


def _on_world(world: World, arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    build.binaries(node=True)
    console.print("starting a real single-node Kubernetes, packing images, installing the operator …")
    try:
        world.start()
        install.install_all(world)
        console.print(f"ready after {time.monotonic() - started:.0f} s")
        command = [sys.executable, "-m", "tests.demo", "--inside", "--gateway", arguments.gateway]
        environment = {**world.environment(), **({"FORCE_COLOR": "1"} if sys.stdout.isatty() else {})}
        return subprocess.run(world.inside(command), env=environment, cwd=ROOT, check=False).returncode
    finally:
        if not arguments.keep:
            world.stop()


async def _play(gateway: str) -> int:
    async with ApiServer(await load_configuration()) as api:
        stage = LiveStage(api, CASTS[gateway], _sayer(time.time()))
        try:
            return await _tell(stage, simulated=False)
        finally:
            await stage.close()


def _sayer(started: float) -> Callable[[float, str], None]:
    def say(at: float, text: str) -> None:
        console.print(f"[dim]{at - started:6.1f}s[/] {escape(text)}", soft_wrap=True)

    return say


async def _tell(stage: Stage, *, simulated: bool) -> int:
    try:
        told = await tell(stage, lambda text: console.print(f"\n[bold]{text}[/]"))
    except (TimeoutError, ApiError) as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 1
    told.simulated = simulated
    console.print()
    report.table(console, told)
    report.write(FOLDER, told)
    console.print("\nbuild/demo/report.json has the numbers, build/demo/traffic.png the picture.")
    return 0 if told.ok else 1


def _simulated(gateway: str) -> int:
    console.print(
        "[bold yellow]SIMULATED:[/] a node needs root on Linux, so this is not a real cluster. The operator's own loop\n"
        "runs in an in-process world on virtual time: API, pods, gateways and clients are simulated.\n"
        "For the real thing: sudo make demo"
    )
    stage = SimStage(CASTS[gateway], _sayer(EPOCH.timestamp()))
    return asyncio.run(_tell(stage, simulated=True))


if __name__ == "__main__":
    sys.exit(main())
