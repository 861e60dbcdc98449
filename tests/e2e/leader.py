"""The operator's own pods and processes, to be killed."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.demo.stage import is_ready
from tests.e2e.cluster import Cluster
from tests.e2e.objects import Obj


class Operator:
    """The operator's pods, and their processes as the world's pid namespace shows them."""

    def __init__(self) -> None:
        self.cluster = Cluster("keeptrusts-system")

    def holder(self) -> str:
        """Who holds the Lease: the name of a pod."""
        return str(self.cluster.get("lease", "keeptrusts-operator").get("spec", {}).get("holderIdentity", ""))

    def ready(self) -> dict[str, Obj]:
        """Pods that are ready and stay, by name."""
        pods = [p for p in self.cluster.items("pods") if "deletionTimestamp" not in p["metadata"]]
        return {p["metadata"]["name"]: p for p in pods if is_ready(p)}

    def leader(self) -> Obj:
        """The pod that leads; empty while there is none that is ready."""
        return self.ready().get(self.holder(), {})

    def settle(self, replicas: int, without: frozenset[str] = frozenset()) -> None:
        """Wait until so many pods are ready, and one of them leads; none of them is one of `without`."""

        def settled() -> bool:
            ready = self.ready()
            return len(ready) == replicas and self.holder() in ready and not without & set(ready)

        self.cluster.wait(settled, f"{replicas} operators, one of which leads", 60)

    def scale(self, replicas: int) -> None:
        self.cluster.kubectl("scale", "deployment/keeptrusts-operator", f"--replicas={replicas}")
        self.settle(replicas)

    def renew(self) -> None:
        """Another pod, by a clean end of this one. The kubelet restarts a container at once only the first time, then
        after 10 s, 20 s and so on up to 5 min: in a new pod the next kill is a first one again. The clean end gives the
        Lease up; a pod with another name would have to wait 15 s for that of a pod that was removed by force."""
        old = frozenset(self.ready())
        self.cluster.kubectl("delete", "pods", "--all", "--wait=false")
        self.settle(1, without=old)


def signalled(pod: Obj, number: signal.Signals) -> None:
    """Send a signal to the operator's process in a pod."""
    found = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _runs_operator(p, pod)]
    assert found, f"no operator runs in {pod['metadata']['name']}"
    for pid in found:
        os.kill(pid, number)


def _runs_operator(process: Path, pod: Obj) -> bool:
    with contextlib.suppress(OSError):
        ours = pod["metadata"]["uid"] in (process / "cgroup").read_text()
        return ours and b"keeptrusts_operator" in (process / "cmdline").read_bytes()
    return False
