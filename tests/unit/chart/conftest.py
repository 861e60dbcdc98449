"""helm and promtool for these tests; each test that needs one that is not built is skipped, and says so."""

from __future__ import annotations

import pytest

from tests.tools.needed import tool
from tests.unit.chart.render import Helm


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest) -> Helm:
    return Helm(tool(request.param))


@pytest.fixture(scope="session")
def helm4() -> Helm:
    """Where helm 3 would ask a cluster, even for a dry run."""
    return Helm(tool("helm4"))


@pytest.fixture(scope="session")
def promtool() -> str:
    return tool("promtool")
