"""Draws pages and sections with rich. Texts of the API are never read as markup, and never reach the terminal's controls:
a status may quote what a gateway printed before it crashed."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from keeptrusts_operator.plugin.view import Cell, Page, Row, Section, Tone

STYLES: Mapping[Tone, str] = {
    Tone.PLAIN: "",
    Tone.STRONG: "bold",
    Tone.QUIET: "dim",
    Tone.GOOD: "green",
    Tone.WARNING: "yellow",
    Tone.BAD: "bold red",
    Tone.NEWS: "cyan",
}
BAR = 20  # characters
TITLE = 10


def draw(page: Page) -> RenderableType:
    """A page: headline, sentence, and the sections beside their titles."""
    headline = Text("  ").join(_text(c) for c in page.headline)
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(width=TITLE, style="bold dim", no_wrap=True)
    grid.add_column(ratio=1)
    for section in page.sections:
        grid.add_row("", "")
        grid.add_row(section.title, _rows(section))
    return Group(headline, Padding(Text(_printable(page.sentence)), (0, 0)), grid)


def table(section: Section) -> RenderableType:
    """A section with a header, as kubectl prints tables."""
    out = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold dim")
    for index, title in enumerate(section.header):
        last = index == len(section.header) - 1
        out.add_column(title, no_wrap=not last, overflow="fold")
    for cells in section.rows:
        out.add_row(*(_cell(c) for c in cells))
    return out


def words(text: str, style: str = "") -> Text:
    """A text of the API as it may be printed."""
    return Text(_printable(text), style=style)


def _rows(section: Section) -> RenderableType:
    width = max(len(r) for r in section.rows)
    grid = Table.grid(padding=(0, 2))
    for index in range(width):
        grid.add_column(no_wrap=index < width - 1, overflow="fold")
    for cells in section.rows:
        grid.add_row(*(_cell(c) for c in _padded(cells, width)))
    return grid


def _padded(cells: Row, width: int) -> Row:
    return (*cells, *(Cell("") for _ in range(width - len(cells))))


def _cell(cell: Cell) -> RenderableType:
    if cell.share is not None:
        style = STYLES[cell.tone]
        return ProgressBar(100, cell.share * 100, BAR, complete_style=style, finished_style=style)
    return _text(cell)


def _text(cell: Cell) -> Text:
    text = Text(_printable(cell.text), style=STYLES[cell.tone])
    for part in cell.chain:
        text = text + _text(part)
    return text


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
