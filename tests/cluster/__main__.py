"""The command line of the test cluster.

build    the binaries only
up       start it, with CRDs, RBAC and the operator
down     end exactly what was started
status   what runs
shell    a shell inside, with kubectl
exec     a command inside, after `--`
load     pack the images again and replace the operator
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.cluster import build, images, install
from tests.cluster.world import StartFailed, World

TRY = """
Try this (in `make shell`, where kubectl talks to this cluster):

  kubectl apply -f docs/examples/quickstart.yaml     # a policy, and gateways that run it
  kubectl -n demo get gwd,gwp -w                     # watch it become Stable
  kubectl -n demo edit gwp support                   # change the policy: see it go step by step
  kubectl -n demo describe gwd kt-gateway            # what happened, in sentences
  kubectl -n keeptrusts-system logs deploy/keeptrusts-operator

`make down` ends it.
"""
NO_ROOT = """\
Pods need a node, and a node needs root on Linux; this is what there is without it:
  sudo make up                      a whole node, in namespaces of its own
  kind create cluster && KUBECONFIG=~/.kube/config make test
Starting an API server only (no privileges needed): objects can be applied, no pod runs.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=["build", "up", "down", "status", "shell", "exec", "load"], help=__doc__)
    parser.add_argument("--name", default="up", help="a clone may have several worlds (default: up)")
    parser.add_argument("--level", choices=["node", "api"], default="", help="default: node as root, else api")
    parser.add_argument("--proxy-sync", default="1s", help="kube-proxy's minSyncPeriod (default: Kubernetes' own, 1s)")
    parser.add_argument("--bare", action="store_true", help="up: only the cluster, nothing installed")
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:split])
    arguments.command_line = words[split + 1 :]
    if arguments.command == "exec" and not arguments.command_line:
        parser.error("exec: which command? e.g. exec -- kubectl get pods -A")
    if given := _given_cluster():
        print(f"KUBECONFIG names a cluster ({given}): that one is used, nothing is started or ended.")
        return _on_given(arguments)
    try:
        return _on_world(arguments, World(arguments.name, level=arguments.level))
    except (build.Missing, StartFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def _on_world(arguments: argparse.Namespace, world: World) -> int:
    match arguments.command:
        case "build":
            print(build.binaries(node=world.level == "node"))
        case "up":
            _up(world, arguments)
        case "down":
            print(f"{world.name}: {'ended' if world.pid else 'was not running'}")
            world.stop()
        case "status":
            print(f"{world.name}: {f'runs ({world.level}), pid {world.pid}' if world.running else 'does not run'}")
            return 0 if world.running else 1
        case "load":
            install.install_all(world)
        case "shell":
            prompt = {"PS1": f"[{world.name}] \\w $ ", "BASH_SILENCE_DEPRECATION_WARNING": "1"}
            _become(world, ["bash", "--norc", "-i"], prompt)
        case "exec":
            _become(world, arguments.command_line, {})
    return 0


def _up(world: World, arguments: argparse.Namespace) -> None:
    if world.level == "api":
        print(NO_ROOT)
    started = time.monotonic()
    was = world.running
    world.start(proxy_sync=arguments.proxy_sync)
    print(f"{world.name}: {'runs already' if was else f'up in {time.monotonic() - started:.1f} s'}", flush=True)
    if arguments.bare:
        return
    if world.level == "api":
        install.install_api(install.Kubectl(world))
        return
    print("packing and loading images, installing the operator …", flush=True)
    install.install_all(world)
    print(f"everything is ready after {time.monotonic() - started:.1f} s")
    print(TRY)


def _become(world: World, command: list[str], more: dict[str, str]) -> None:
    """Replace this process by a command inside the world, so that its exit code and signals are its own."""
    full = world.inside(command)
    os.execvpe(full[0], full, {**world.environment(), **more})


def _given_cluster() -> str:
    """A KUBECONFIG that the user gave, not the one of a world's own shell."""
    return "" if os.environ.get("KEEPTRUSTS_WORLD") else os.environ.get("KUBECONFIG", "")


def _on_given(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            print(
                f"Images cannot be loaded into it from here; it must be able to pull {images.OPERATOR} and the others."
            )
            kubectl = install.Kubectl(None)
            install.install_operator(kubectl)
        case "shell":
            os.execvp("bash", ["bash"])
        case "exec":
            os.execvp(arguments.command_line[0], arguments.command_line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
