"""`make e2e`: starts a fresh cluster, installs everything, runs the tests inside it, ends it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence

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
NO_TESTS = 5  # pytest's exit code when none was chosen
PHASES = (("-m", "not alone", "-n", "2", "--dist", "loadfile"), ("-m", "alone"))


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
        return _run(command, None)
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
        return _run([*command, "-m", "apiserver"], world, phases=((),))
    install.install_control_plane(install.install_all(world))
    print(f"operator and images are installed after {time.monotonic() - started:.1f} s", flush=True)
    code = _run(command, world)
    if code:
        kubectl = install.Kubectl(world)
        print(
            "--- the operator's last words\n"
            + kubectl("-n", install.NAMESPACE, "logs", "deploy/keeptrusts-operator", "--tail=80", check=False)
        )
    return code


def _run(command: list[str], world: World | None, phases: Sequence[Sequence[str]] = PHASES) -> int:
    """pytest, once per phase; its worst exit code."""
    codes = []
    for phase in phases:
        whole, environment = [*command, *phase], dict(os.environ)
        if world:
            whole, environment = world.inside(whole), world.environment()
        codes.append(subprocess.run(whole, env=environment, cwd=ROOT, check=False).returncode)
    chosen = [c for c in codes if c != NO_TESTS]
    return max(chosen, default=NO_TESTS)


if __name__ == "__main__":
    sys.exit(main())
