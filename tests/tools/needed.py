"""For tests that need a tool which may not be built."""

from __future__ import annotations

import pytest

from tests.tools import build


def tool(name: str) -> str:
    """The path of a tool, or a skip that `tests/conftest.py` repeats at the end."""
    path = build.found(name)
    if path is None:
        pytest.skip(f"{name} IS NOT BUILT: run `.venv/bin/python -m tests.tools` once")
    return str(path)
