"""Every command of the README's quick start and of the tutorial, as it is typed, and what the pages say it prints."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import install
from tests.e2e.conftest import Say
from tests.e2e.pages import Block, blocks, missing

ROOT = Path(__file__).parents[2]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs" / "tutorial.md"
QUICKSTART = "docs/examples/quickstart.yaml"
STARTS_OR_ENDS_A_CLUSTER = {"make up", "make shell", "make down", "make demo", "make test"}


@pytest.fixture
def clean() -> Iterator[None]:
    """Nothing of the pages is left, and the operator is there again."""
    _shell(f"kubectl delete --ignore-not-found -f {QUICKSTART}")
    yield
    _shell(f"kubectl delete --ignore-not-found -f docs/examples/tutorial/clients.yaml -f {QUICKSTART}")
    _shell("kubectl -n demo delete gwi --all")
    install.install_operator(install.Kubectl(None))


@pytest.mark.cluster
@pytest.mark.alone
@pytest.mark.parametrize("page", [README, TUTORIAL], ids=lambda page: page.stem)
def test_a_page_says_what_happens(page: Path, clean: None, say: Say) -> None:
    if not os.environ.get("KEEPTRUSTS_WORLD"):
        pytest.skip("the pages are about our own world: its images, and its operator, which the tutorial removes")
    for block in (b for b in blocks(page) if b.run):
        _as_shown(page, block, say)


def _as_shown(page: Path, block: Block, say: Say) -> None:
    begun = time.monotonic()
    done = _shell(block.commands)
    where = f"{page.name}:{block.line}"
    assert done.returncode == 0, f"{where}: {done.stdout}{done.stderr}\n{_what_goes_on()}"
    line = missing(block.shown, done.stdout)
    assert not line, f"{where} shows\n{line}\nbut this is printed:\n{done.stdout}"
    say(f"\n{where}, {time.monotonic() - begun:.1f} s\n{done.stdout.rstrip()}")


def _shell(commands: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-euo", "pipefail", "-c", commands]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def _what_goes_on() -> str:
    return _shell("kubectl -n demo get gwd -o jsonpath='{.items[*].status.phase}: {.items[*].status.message}'").stdout


@pytest.mark.apiserver
@pytest.mark.parametrize("kind", ["gatewaypolicy", "gatewaydeployment", "gatewayincident"])
def test_the_annotated_examples_are_accepted(kind: str) -> None:
    """By the API server's own rules, too."""
    text = (
        (ROOT / "docs" / "examples" / f"{kind}.yaml").read_text().replace("namespace: platform", "namespace: default")
    )
    command = ["kubectl", "apply", "--dry-run=server", "--validate=strict", "-f", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
