"""Which commands of README and tutorial are run by `tests/e2e/test_tutorial.py`, and how what they show is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.pages import blocks, missing
from tests.e2e.test_tutorial import README, STARTS_OR_ENDS_A_CLUSTER, TUTORIAL


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=lambda page: page.stem)
def test_only_what_starts_or_ends_the_cluster_is_not_run(page: Path) -> None:
    found = blocks(page)
    assert any(block.run for block in found)
    for block in found:
        commands = {line.partition("#")[0].strip() for line in block.commands.splitlines()}
        assert block.run != (commands <= STARTS_OR_ENDS_A_CLUSTER), f"{page.name}:{block.line}"


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=lambda page: page.stem)
def test_what_is_shown_belongs_to_a_command(page: Path) -> None:
    shown = sum(bool(block.shown) for block in blocks(page))
    assert page.read_text().count("\n```text\n") == shown


def test_what_differs_from_run_to_run_may_differ() -> None:
    shown = ("NAME   PHASE   ACTIVE", "gw   Stable   5331ff6c48   5s")
    assert not missing(
        shown, "warning\nNAME  PHASE    ACTIVE  AGE\ngw    Stable   0123456789   1h\n".replace("1h", "12s")
    )
    assert missing(shown, "NAME PHASE ACTIVE\ngw Canary 0123456789 12s\n") == shown[1]
    assert missing(shown, "gw Stable 0123456789 12s\nNAME PHASE ACTIVE\n") == shown[1]
    assert missing(("60 answered, 0 failed",), "58 answered, 2 failed") == "60 answered, 0 failed"
    assert not missing(("…test plain…",), "Rejected: behaviour test plain-question")
