"""A real API server answers the script as one did when it was recorded: what the simulated API is held to is true."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.cluster.install import NAMESPACE
from tests.conformance import real, recorded, script
from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.apiserver

RECORDED = recorded.load()


def _kubectl(*arguments: str) -> str:
    command = ["kubectl", "-n", NAMESPACE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """Where an operator runs it rests: it would write to the script's objects."""
    operator = "deployment/keeptrusts-operator"
    replicas = _kubectl("get", operator, "--ignore-not-found", "-o", "jsonpath={.spec.replicas}")
    if not replicas.strip("0"):
        yield
        return
    _kubectl("scale", operator, "--replicas=0")
    _kubectl("wait", "pod", "--for=delete", "-l", "app.kubernetes.io/name=keeptrusts-operator", "--timeout=60s")
    yield
    _kubectl("scale", operator, f"--replicas={replicas}")
    _kubectl("rollout", "status", operator, "--timeout=60s")


@pytest.mark.parametrize("name", list(script.CASES))
async def test_the_server_answers_as_it_did(cluster: Cluster, name: str) -> None:
    assert recorded.lines(await real.play(name, cluster.namespace)) == recorded.lines(RECORDED[name])
