"""A bench's own world: started with everything in it, ended afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tests.cluster import build, install
from tests.cluster.world import ROOT, StartFailed, World


def run(module: str, arguments: Sequence[str], *, proxy_sync: str, world: str = "bench") -> int:
    """Run `python -m <module> --inside <arguments>` in a fresh world; its exit code."""
    own = World(world)
    if own.level != "node":
        print("the numbers are those of a real node, and a node needs root on Linux: sudo make bench", file=sys.stderr)
        return 1
    try:
        own.start(proxy_sync=proxy_sync)
        install.install_control_plane(install.install_all(own))
        command = own.inside([sys.executable, "-m", module, "--inside", f"--proxy-sync={proxy_sync}", *arguments])
        return subprocess.run(command, env=own.environment(), cwd=ROOT, check=False).returncode
    except (build.Missing, StartFailed) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        own.stop()
