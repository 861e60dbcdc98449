"""A namespace per test, the operator's processes, and a way to say something."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.leader import Operator
from tests.e2e.objects import gateway, policy

Say = Callable[[str], None]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    subprocess.run(["kubectl", "create", "namespace", namespace], check=True, capture_output=True)
    yield Cluster(namespace)
    subprocess.run(["kubectl", "delete", "namespace", namespace, "--wait=false"], check=True, capture_output=True)


@pytest.fixture
def serving(cluster: Cluster) -> tuple[Cluster, str]:
    """A gateway that serves its first revision."""
    cluster.apply(policy(), gateway())
    return cluster, cluster.stable()


@pytest.fixture
def operator() -> Iterator[Operator]:
    """The operator, whose next kill is the first one of its container; left with a fresh one."""
    if not os.environ.get("KEEPTRUSTS_WORLD"):
        pytest.skip("the operator's processes are only at hand in our own world")
    operator = Operator()
    operator.renew()
    yield operator
    operator.renew()


@pytest.fixture
def two(operator: Operator) -> Iterator[Operator]:
    """A leader and a standby."""
    try:
        operator.scale(2)
        yield operator
    finally:
        operator.scale(1)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print at once, whether the test passes or not."""

    def out(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    return out
