"""What `make up` puts into a cluster: CRDs, the operator with the RBAC it ships with, and an upstream."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import images, servers
from tests.cluster.world import ROOT, StartFailed, World

NAMESPACE = "keeptrusts-system"
READY_SECONDS = 60


class Kubectl:
    """kubectl against one cluster: a world, or what the user's KUBECONFIG names."""

    def __init__(self, world: World | None) -> None:
        self.world = world

    def __call__(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Standard output of a kubectl command; raises StartFailed with its error output."""
        command: Sequence[str] = ["kubectl", *arguments]
        environment = dict(os.environ)
        if self.world:
            command, environment = self.world.inside(command), self.world.environment()
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, check=False)
        if check and done.returncode:
            raise StartFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> dict[str, object]:
        """The same, parsed."""
        out: dict[str, object] = json.loads(self(*arguments, "-o", "json"))
        return out


def install_api(kubectl: Kubectl) -> None:
    """The CRDs, established."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    wait = ("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    if not kubectl(*wait, check=False):  # it fails on a CRD so new that it has no conditions yet
        time.sleep(1)
        kubectl(*wait)


def install_operator(kubectl: Kubectl) -> None:
    """CRDs, RBAC, and the operator as its own service account; replaced when its image has changed."""
    install_api(kubectl)
    before = kubectl("get", "deployment", "-n", NAMESPACE, "keeptrusts-operator", "--ignore-not-found", "-o", "name")
    kubectl("apply", "-f", str(ROOT / "charts" / "plain"))
    if before:
        kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/keeptrusts-operator")
        kubectl("-n", NAMESPACE, "rollout", "status", "deployment/keeptrusts-operator", f"--timeout={READY_SECONDS}s")
    _wait_ready(kubectl, NAMESPACE, "keeptrusts-operator")


def install_upstream(kubectl: Kubectl) -> None:
    """The upstream of the demo, in its namespace."""
    kubectl("apply", "-f", str(Path(__file__).parent / "manifests"))
    _wait_ready(kubectl, "demo", "upstream")


def install_all(world: World) -> Kubectl:
    """Everything, with images packed from this clone."""
    kubectl = Kubectl(world)
    world.load([images.OPERATOR, images.STANDIN, images.UPSTREAM, images.FERRO])
    install_operator(kubectl)
    install_upstream(kubectl)
    return kubectl


def install_control_plane(kubectl: Kubectl) -> None:
    """The stand-in of the vendor's, to which the operator may send tokens."""
    assert kubectl.world
    kubectl.world.load([images.CONTROL_PLANE])
    kubectl("apply", "-f", str(Path(__file__).parent / "workloads" / "controlplane.yaml"))
    allowed = f"KEEPTRUSTS_OPERATOR_ALLOWED_HOSTS={servers.CONTROL_PLANE_ADDRESS}"
    kubectl("-n", NAMESPACE, "set", "env", "deployment/keeptrusts-operator", allowed)
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/keeptrusts-operator", f"--timeout={READY_SECONDS}s")
    _wait_ready(kubectl, "demo", "controlplane")


def _wait_ready(kubectl: Kubectl, namespace: str, name: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        ready = kubectl(
            "-n", namespace, "get", "deployment", name, "-o", "jsonpath={.status.readyReplicas}", check=False
        )
        if ready and ready != "0":
            return
        time.sleep(0.2)
    pods = kubectl("-n", namespace, "get", "pods", check=False)
    logs = kubectl("-n", namespace, "logs", f"deployment/{name}", "--tail=20", check=False)
    raise StartFailed(f"{namespace}/{name} is not ready after {READY_SECONDS} s:\n{pods}\n{logs}")
