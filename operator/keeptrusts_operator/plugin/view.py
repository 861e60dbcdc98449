"""What a terminal shows, as values: cells with a tone, rows, sections. `screen.py` draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """What a text means to the eye."""

    PLAIN = "Plain"
    STRONG = "Strong"
    QUIET = "Quiet"
    GOOD = "Good"
    WARNING = "Warning"
    BAD = "Bad"
    NEWS = "News"  # something is under way


@dataclass(frozen=True)
class Cell:
    """A text with its tone; with a `share` (0 to 1) it is drawn as a bar. The texts of `chain` follow one another."""

    text: str
    tone: Tone = Tone.PLAIN
    share: float | None = None
    chain: tuple[Cell, ...] = ()

    @property
    def plain(self) -> str:
        return "".join(c.text for c in (self, *self.chain))


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    """Rows under one title; the last column wraps."""

    title: str
    rows: tuple[Row, ...]
    header: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """What one look shows: a headline, one sentence, sections."""

    headline: Row
    sentence: str
    sections: tuple[Section, ...]

    def section(self, title: str) -> Section | None:
        """The section of that title, if it is shown."""
        return next((s for s in self.sections if s.title == title), None)


def row(*cells: Cell | str) -> Row:
    """Cells, of which plain ones may be given as text."""
    return tuple(c if isinstance(c, Cell) else Cell(c) for c in cells)


PHASE_TONES: Mapping[str, Tone] = {
    "Stable": Tone.GOOD,
    "Pending": Tone.NEWS,
    "Preparing": Tone.NEWS,
    "Testing": Tone.NEWS,
    "Canary": Tone.NEWS,
    "Soaking": Tone.NEWS,
    "Held": Tone.WARNING,
    "RollingBack": Tone.WARNING,
    "Passthrough": Tone.BAD,
    "Rearming": Tone.WARNING,
    "RolledBack": Tone.BAD,
    "Rejected": Tone.BAD,
}
STATE_TONES: Mapping[str, Tone] = {
    "Ok": Tone.GOOD,
    "Warning": Tone.WARNING,
    "Critical": Tone.BAD,
    "Unknown": Tone.QUIET,
    "True": Tone.GOOD,
    "False": Tone.BAD,
    "Promoted": Tone.GOOD,
    "RolledBack": Tone.BAD,
    "Rejected": Tone.BAD,
    "Superseded": Tone.QUIET,
    "Done": Tone.GOOD,
    "Refused": Tone.BAD,
    "Ignored": Tone.WARNING,
    "Passed": Tone.GOOD,
    "Failed": Tone.BAD,
    "Error": Tone.BAD,
    "Trip": Tone.BAD,
    "Hold": Tone.WARNING,
    "Clear": Tone.GOOD,
    "Inconclusive": Tone.WARNING,
    "Likely": Tone.BAD,
    "Possible": Tone.WARNING,
    "Unlikely": Tone.GOOD,
    "Open": Tone.BAD,
    "Mitigated": Tone.WARNING,
    "Resolved": Tone.GOOD,
}


def phase(name: str) -> Cell:
    """A phase of a GatewayDeployment; one that this version does not know is plain."""
    return Cell(name or "New", PHASE_TONES.get(name, Tone.PLAIN))


def state(name: str) -> Cell:
    """The state of a signal, an outcome, a verdict."""
    return Cell(name, STATE_TONES.get(name, Tone.PLAIN))


def quiet(text: str) -> Cell:
    return Cell(text, Tone.QUIET)


def strong(text: str) -> Cell:
    return Cell(text, Tone.STRONG)
