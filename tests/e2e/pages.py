"""Pages whose commands are run: their fenced `sh` blocks, and the `text` blocks that show what is printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NOT_RUN = "*Not run by "
"""A paragraph that begins with this, right before a block, says that the block is not run, and why."""
FENCE = re.compile(r"^```(sh|text)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Commands as they are typed, and the lines that the page shows below them."""

    line: int
    commands: str
    run: bool
    shown: tuple[str, ...] = ()


def blocks(page: Path) -> list[Block]:
    """In the order of the page."""
    return list(_blocks(page.read_text()))


def _blocks(text: str) -> Iterator[Block]:
    found = list(FENCE.finditer(text))
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block[1] != "sh":
            continue
        before = text[: block.start()].rstrip().rpartition("\n\n")[2]
        near = following and following[1] == "text" and not text[block.end() : following.start()].strip()
        shown = tuple(following[2].splitlines()) if following and near else ()
        yield Block(text.count("\n", 0, block.start()) + 1, block[2], not before.startswith(NOT_RUN), shown)


def missing(shown: tuple[str, ...], printed: str) -> str:
    """The first line of a page that was not printed, in its place; empty when all were.

    Revisions and numbers may differ (but nothing is only nothing), blanks and what `…` stands for as well; of a line
    the page may show the beginning only.
    """
    lines = iter(printed.splitlines())
    for line in shown:
        if not any(re.match(_pattern(line), one) for one in lines):
            return line
    return ""


def _pattern(line: str) -> str:
    out, last = "", 0
    for match in re.finditer(r"(?P<revision>\b[0-9a-f]{10}\b)|(?P<number>\d[\d,.]*)|(?P<gap>\s+)|(?P<any>…)", line):
        out += re.escape(line[last : match.start()])
        if match["revision"]:
            out += "[0-9a-f]{10}"
        elif match["number"]:
            out += r"0\b" if match[0] == "0" else r"\d[\d,.]*"
        else:
            out += r"\s+" if match["gap"] else ".*"
        last = match.end()
    return out + re.escape(line[last:])
