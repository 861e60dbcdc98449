"""Generated pages are up to date, and the metrics page names exactly the metrics there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from prometheus_client import generate_latest

from keeptrusts_operator.loop.telemetry import Telemetry

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_metric_is_described() -> None:
    exposed = re.findall(r"^# TYPE (\S+) ", generate_latest(Telemetry().registry).decode(), re.MULTILINE)
    real = {name for name in exposed if not name.endswith("_created")}
    described = set(
        re.findall(r"^\| `(keeptrusts_operator_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    )
    assert described == real


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
