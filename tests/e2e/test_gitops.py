"""Git stays the owner of what it applies: after whole rollouts and a rollback, the tools that apply find nothing to change."""

from __future__ import annotations

import json

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.objects import Obj, document, gateway, policy
from tests.e2e.test_life import ask

pytestmark = pytest.mark.cluster

TOOLS = {  # how each of them calls the API
    "argo-cd": (),
    "argo-cd-server-side": ("--server-side", "--force-conflicts", "--field-manager=argocd-controller"),
    "flux": ("--server-side", "--force-conflicts", "--field-manager=kustomize-controller"),
}


class Git:
    """A repository's objects, applied as one tool does."""

    def __init__(self, cluster: Cluster, how: tuple[str, ...]) -> None:
        self._cluster, self._how = cluster, how
        self._objects: tuple[Obj, ...] = ()

    def sync(self, *objects: Obj) -> None:
        for obj in objects:
            obj["metadata"]["labels"] = {"app.kubernetes.io/instance": "gateways"}  # as both tools mark what is theirs
        self._objects = objects
        self._cluster.kubectl("apply", *self._how, "-f", "-", stdin=self._text())

    def diff(self) -> str:
        """What another sync would change."""
        done = self._cluster.run("diff", *self._how, "-f", "-", stdin=self._text())
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def _text(self) -> str:
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(self._objects)})


@pytest.mark.parametrize("tool", TOOLS)
def test_a_rollout_and_a_rollback_leave_nothing_out_of_sync(cluster: Cluster, tool: str) -> None:
    git = Git(cluster, TOOLS[tool])
    git.sync(policy(), gateway())
    first = cluster.stable()
    assert git.diff() == ""
    git.sync(policy(document("1.1.0")), gateway())
    cluster.wait_phase("Canary")
    assert git.diff() == "", "in mid-rollout"
    second = cluster.stable()
    assert second != first
    assert git.diff() == ""
    patient = {"steps": [{"weight": "33%", "minDuration": "60s"}], "soak": {"duration": "2s"}, "drainSeconds": 1}
    git.sync(policy(document("1.2.0", description="mode=unhealthy-after:1s")), gateway(rollout=patient))

    def rolled_back() -> bool:
        assert ask(cluster) == 200
        return bool(cluster.status()["phase"] == "RolledBack")

    cluster.wait(rolled_back, "the candidate is rolled back", 60)
    assert cluster.selector() == second
    assert git.diff() == "", "the refused policy stays what Git says"
    git.sync(policy(document("1.1.0")), gateway())
    assert cluster.stable() == second
    assert git.diff() == ""
