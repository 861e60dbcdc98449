"""`make e2e`: starts a fresh cluster, installs everything, runs the tests inside it, ends it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from tests.cluster import build, install
from tests.cluster.world import ROOT, StartFailed, World

NO_NODE = """
************************************************************************
SKIPPED: every test that needs running pods. A node needs root on Linux:
  sudo make e2e
  KUBECONFIG=<a cluster that can pull the images> make e2e
Tests that need only an API server run now.
************************************************************************
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the cluster running (world `test`)")
    arguments, more = parser.parse_known_args()
    command = [sys.executable, "-m", "pytest", "tests/e2e", *more]
    if os.environ.get("KUBECONFIG") and not os.environ.get("KEEPTRUSTS_WORLD"):
        print(
            "KUBECONFIG is given: that cluster is used. It must be able to pull the images that docs/development.md names."
        )
        install.install_operator(install.Kubectl(None))
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    world = World("test")
    try:
        return _on_world(world, command)
    except (build.Missing, StartFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    finally:
        if not arguments.keep:
            world.stop()


def _on_world(world: World, command: list[str]) -> int:
    started = time.monotonic()
    world.stop()
    world.start(proxy_sync="10ms")
    print(f"a fresh {world.level} world is up after {time.monotonic() - started:.1f} s", flush=True)
    if world.level == "api":
        print(NO_NODE, flush=True)
        install.install_api(install.Kubectl(world))
        command = [*command, "-m", "apiserver"]
    else:
        install.install_control_plane(install.install_all(world))
        print(f"operator and images are installed after {time.monotonic() - started:.1f} s", flush=True)
    code = subprocess.run(world.inside(command), env=world.environment(), cwd=ROOT, check=False).returncode
    if code and world.level == "node":
        kubectl = install.Kubectl(world)
        print(
            "--- the operator's last words\n"
            + kubectl("-n", install.NAMESPACE, "logs", "deploy/keeptrusts-operator", "--tail=80", check=False)
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
