"""Draws pages and sections with rich. Texts of the API are never read as markup, and never reach the terminal's controls:
a status may quote what a gateway printed before it crashed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
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
TEXT = 30  # characters that a text beside columns needs to be read
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
    return _Rows(tuple(_padded(cells, width) for cells in section.rows))


@dataclass(frozen=True)
class _Rows:
    """Columns, of which the last is a text. Where that would be left with too little room, it goes below its row."""

    rows: tuple[Row, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = [max(_length(c) for c in column) for column in zip(*self.rows, strict=True)]
        below = len(widths) > 1 and options.max_width - sum(w + 2 for w in widths[:-1]) < min(TEXT, widths[-1])
        if not below:
            yield _grid(widths, self.rows)
            return
        for *cells, text in self.rows:
            yield _grid(widths[:-1], (tuple(cells),))
            if text.text or text.chain:
                yield Padding(_cell(text), (0, 0, 0, 2))


def _grid(widths: Sequence[int], rows: Iterable[Row]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for index, width in enumerate(widths):
        last = index == len(widths) - 1
        grid.add_column(no_wrap=not last, overflow="fold", min_width=None if last else width)
    for cells in rows:
        grid.add_row(*(_cell(c) for c in cells))
    return grid


def _length(cell: Cell) -> int:
    return BAR if cell.share is not None else _text(cell).cell_len


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
