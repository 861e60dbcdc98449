"""How pages are laid out in wide and narrow terminals."""

from __future__ import annotations

import pytest
from rich.console import Console

from keeptrusts_operator.plugin.screen import draw
from keeptrusts_operator.plugin.view import Cell, Page, Section

TOLD = "too few requests: 0 requests in the last 5m (watched in part); 50 are needed"


@pytest.mark.parametrize(("width", "beside"), [(80, False), (120, True), (200, True)])
def test_a_text_without_room_beside_its_columns_goes_below_them(width: int, beside: bool) -> None:
    cells = ("BlockRate", "Unknown", "no value yet", "30%", "Pods", TOLD)
    page = Page((Cell("gw"),), "All is well.", (Section("Signals", (tuple(map(Cell, cells)),)),))
    console = Console(width=width)
    with console.capture() as captured:
        console.print(draw(page))
    lines = captured.get().splitlines()
    assert all(len(line) <= width for line in lines)
    row = next(n for n, line in enumerate(lines) if "BlockRate" in line)
    assert ("too few" in lines[row]) is beside
    assert any("too few requests: 0 requests" in line for line in lines[row + 1 :]) is not beside
