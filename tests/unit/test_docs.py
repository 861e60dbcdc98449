"""Generated pages are up to date, the metrics page names exactly the metrics there are, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from prometheus_client import generate_latest

from keeptrusts_operator.loop.telemetry import Telemetry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / "charts").rglob("*.md")]


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
    dead = [
        f"{page.relative_to(ROOT)}: {target}" for page in PAGES for target in _links(page) if not _leads(page, target)
    ]
    assert not dead


def test_links_are_found_and_checked(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# `kubectl gwd`: what, why?\n\n    # no heading\n")
    page.write_text(
        "[a](other.md#kubectl-gwd-what-why) [b](other.md#no-heading) [c](gone.md) `[d](gone.md)`\n\n    [e](gone.md)"
    )
    assert _links(page) == ["other.md#kubectl-gwd-what-why", "other.md#no-heading", "gone.md"]
    assert [_leads(page, target) for target in _links(page)] == [True, False, False]


def test_every_page_is_in_the_navigation() -> None:
    nav = re.findall(r"^ *- .+: (\S+\.md)$", (ROOT / "properdocs.yml").read_text(), re.MULTILINE)
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert sorted(nav) == sorted(there)


def test_the_site_is_built(tmp_path: Path) -> None:
    """Strictly: a link or an anchor that leads nowhere in the site ends it."""
    command = [sys.executable, "-m", "properdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "source" / "charts" / "plain" / "admission.yaml").exists()


def _prose(page: Path) -> str:
    """A page without its code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def _links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", _prose(page)))
    return [target for target in found if not target.startswith(("https://", "http://"))]


def _leads(page: Path, target: str) -> bool:
    """Whether there is such a file, and in it such a heading."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path) if path else page
    return file.exists() and (not anchor or anchor in _anchors(file))


def _anchors(page: Path) -> set[str]:
    """Of its headings: those that a repository's viewer and the site generator both make."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"\s", "-", w) for w in words} & {re.sub(r"[-\s]+", "-", w) for w in words}
