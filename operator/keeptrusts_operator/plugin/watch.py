"""Looking again and again: a screen that is redrawn in a terminal, a line per change elsewhere."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click
import yaml
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.segment import Segment, Segments
from rich.text import Text

from keeptrusts_operator.kube.port import Obj
from keeptrusts_operator.plugin import story
from keeptrusts_operator.plugin.failure import Failure
from keeptrusts_operator.plugin.options import Session
from keeptrusts_operator.plugin.screen import words

REMEMBERED = 6  # changes below the screen


@dataclass(frozen=True)
class Source:
    """What is watched: how to look, how to show it to people, how to give it to programs."""

    look: Callable[[], Sequence[Obj]]
    shown: Callable[[Sequence[Obj]], RenderableType]
    data: Callable[[Sequence[Obj]], Any]


class Changes:
    """What was told last of each object, and what changed since the watch began."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self.log: deque[tuple[datetime, str]] = deque(maxlen=REMEMBERED)

    def new(self, found: Sequence[Obj], now: datetime) -> list[str]:
        """Lines that were not told yet."""
        lines = []
        for gateway in found:
            key, text = str(gateway["metadata"]["uid"]), story.line(gateway)
            if self._told.get(key) != text:
                self._told[key] = text
                lines.append(text)
                self.log.append((now, text))
        gone = self._told.keys() - {str(g["metadata"]["uid"]) for g in found}
        for key in gone:
            lines.append(f"{self._told.pop(key).partition(' ')[0]} is gone")
            self.log.append((now, lines[-1]))
        return lines


def watch(session: Session, source: Source, interval: float, output: str | None) -> None:
    """Until Ctrl-C. The first look must succeed; later ones may fail for as long as they do."""
    try:
        if output:
            _documents(session, source, interval, output)
        elif session.out.is_terminal:
            _redraw(session, source, interval)
        else:
            _lines(session, source, interval)
    except KeyboardInterrupt:
        return


def _documents(session: Session, source: Source, interval: float, output: str) -> None:
    """One document per change: JSON by the line, YAML behind `---`."""
    last: Any = None
    for found, _ in _looks(session, source, interval):
        data = source.data(found)
        if data != last:
            last = data
            text = json.dumps(data) if output == "json" else f"---\n{yaml.safe_dump(data, sort_keys=False)}".rstrip()
            click.echo(text, file=session.out.file)
            session.out.file.flush()


def _lines(session: Session, source: Source, interval: float) -> None:
    changes, told = Changes(), ""
    for found, trouble in _looks(session, source, interval):
        for text in changes.new(found, session.clock.now()):
            session.say(f"{session.clock.now():%H:%M:%S}Z {text}")
        if trouble and trouble != told:
            session.hint(trouble, "yellow")
        told = trouble
        session.out.file.flush()


def _redraw(session: Session, source: Source, interval: float) -> None:
    changes = Changes()
    last: RenderableType = Text()
    with Live(console=session.out, screen=True, auto_refresh=False, vertical_overflow="ellipsis") as live:
        try:
            for found, trouble in _looks(session, source, interval):
                first = not changes.log
                changes.new(found, session.clock.now())
                last = source.shown(found)
                parts = [_head(session, interval, trouble), last]
                if not first and len(changes.log) > len(found):
                    parts += [Text(), _log(changes)]
                live.update(_fitting(session.out, Group(*parts)), refresh=True)
        except KeyboardInterrupt:
            live.stop()
            session.out.print(last)  # the last look stays where the user can scroll to it


def _looks(session: Session, source: Source, interval: float) -> Iterator[tuple[Sequence[Obj], str]]:
    """Each look with what is wrong now; while the API cannot be asked, the last one."""
    found, seen_at = source.look(), session.clock.monotonic()
    trouble = ""
    while True:
        yield found, trouble
        session.clock.sleep(interval)
        try:
            found, seen_at, trouble = source.look(), session.clock.monotonic(), ""
        except Failure as failure:
            if not failure.passing:
                raise
            trouble = f"Seen {session.clock.monotonic() - seen_at:.0f}s ago. {failure.message}"


def _head(session: Session, interval: float, trouble: str) -> Text:
    now = session.clock.now()
    head = Text(f"{now:%H:%M:%S}Z  every {interval:g}s, Ctrl-C ends", style="dim")
    return head + words(f"  {trouble}", "bold yellow") if trouble else head


def _fitting(console: Console, shown: RenderableType) -> RenderableType:
    """As much as the terminal is high: without empty lines if need be, and saying what is left out."""
    lines = console.render_lines(shown, pad=False)
    if len(lines) > console.height:
        lines = [line for line in lines if any(part.text.strip() for part in line)]
    if (left := len(lines) - console.height) > 0:
        more = Text(f"… {left + 1} lines more: make the terminal taller", style="dim")
        lines = [*lines[: console.height - 1], list(console.render(more))]
    return Segments([part for line in lines for part in (*line, Segment.line())][:-1])


def _log(changes: Changes) -> Text:
    lines = [words(f"{at:%H:%M:%S}Z  {text}", "dim") for at, text in changes.log]
    for text in lines:
        text.no_wrap, text.overflow = True, "ellipsis"
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
