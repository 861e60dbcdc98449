"""helm and promtool for these tests; each test that needs one that is not built is skipped, and says so."""

from __future__ import annotations

import pytest

from tests.tools import build
from tests.unit.chart.render import Helm


def tool(name: str) -> str:
    """The path of a tool, or a skip."""
    path = build.found(name)
    if path is None:
        pytest.skip(f"{name} IS NOT BUILT: run `.venv/bin/python -m tests.tools` once")
    return str(path)


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it once, where everybody looks; a skip alone is a dot among dots."""
    missing = {
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and "/chart/" in report.nodeid
    }
    for reason in sorted(missing):
        terminalreporter.write_line(f"tests/unit/chart: NOT TESTED: {reason}", red=True)
