"""Pages of counters as gateways write them and as networks, proxies and dying processes deliver them.

The text is real and goes through the operator's own parser. What is wrong with a page is drawn from a seed, pod by pod.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

from keeptrusts_operator.api.gateway import MetricsSettings
from keeptrusts_operator.gateways.counters import NotMetrics, Page, read_page
from keeptrusts_operator.gateways.ledger import Unread
from tests.sim.node import Container

BOUNDS = ("0.1", "0.5", "2.5", "+Inf")
LONGEST = 40.0  # seconds that something stays wrong


class PageFault(StrEnum):
    """What can become of a page."""

    SILENT = "no answer"
    SLOW = "an answer that is one look old"
    NAN = "NaN"
    NEGATIVE = "a negative count"
    HUGE = "a huge count"
    DUPLICATE = "the same series twice"
    MISSING = "a missing series"
    EMPTY = "an empty page"
    HTML = "a page of HTML with status 200"
    TRUNCATED = "a page cut off anywhere"
    RESET = "counters that begin again"
    STAMPED = "timestamps that jump"


PagePlan = Callable[[str, float], PageFault | None]
"""Pod and time → what is wrong with its page."""


def good_pages(uid: str, at: float) -> PageFault | None:
    """Nothing is."""


def random_page_faults(rng: random.Random, rate: float, kinds: Sequence[PageFault] = tuple(PageFault)) -> PagePlan:
    """Each page of a pod that is well begins a time of trouble with this probability; one in five hits all pods."""
    troubles: dict[str, tuple[PageFault, float]] = {}

    def plan(uid: str, at: float) -> PageFault | None:
        if rng.random() < rate:
            whom = "" if rng.random() < 0.2 else uid
            troubles[whom] = (rng.choice(kinds), at + rng.choice((0.0, rng.uniform(0.0, LONGEST))))
        for whom in ("", uid):
            fault, until = troubles.get(whom, (None, -1.0))
            if fault and at <= until:
                return fault
        return None

    return plan


@dataclass
class Pages:
    """What every pod answers to a look. `read_at`: when something could last be read of a pod."""

    rng: random.Random

    def __post_init__(self) -> None:
        self.plan: PagePlan = good_pages
        self.read_at: dict[str, float] = {}
        self._late: dict[str, Page | Unread] = {}
        self._shown: dict[str, set[str]] = {}  # series of a pod's process that the operator has read
        self._counted: dict[str, int] = {}

    def of(self, uid: str, container: Container, metrics: MetricsSettings, at: float) -> Page | Unread | None:
        """None: it has not answered yet."""
        late = self._late.pop(uid, None)
        if late is not None:
            return self._told(uid, late, at)
        fault = self.plan(uid, at)
        if not container.answers or fault is PageFault.SILENT:
            return Unread("no answer")
        if self.plan is good_pages:
            return self._told(uid, _plain(container, metrics), at)
        if fault is PageFault.RESET:
            container.requests = container.blocked = 0
        if container.requests < self._counted.get(uid, 0):
            self._shown.pop(uid, None)
        self._counted[uid] = container.requests
        try:
            text = self._garbled(_text(container, metrics), fault, uid)
            page: Page | Unread = read_page(text, metrics)
            self._remember(uid, text)
        except NotMetrics as error:
            page = Unread(str(error))
        if fault is PageFault.SLOW:
            self._late[uid] = page
            return None
        return self._told(uid, page, at)

    def forget(self, uids: Iterable[str]) -> None:
        """Nobody knows any more what these pods' pages have had."""
        for uid in uids:
            self._shown.pop(uid, None)

    def _told(self, uid: str, page: Page | Unread, at: float) -> Page | Unread:
        if isinstance(page, Page):
            self.read_at[uid] = at
        return page

    def _remember(self, uid: str, text: str) -> None:
        """What the operator has read, it can miss."""
        shown = self._shown.setdefault(uid, set())
        shown.update(line.rsplit(" ", 1)[0] for line in text.splitlines() if "decisions_total{" in line)

    def _garbled(self, text: str, fault: PageFault | None, uid: str) -> str:
        rng = self.rng
        if fault is PageFault.HTML:
            return rng.choice(("<html><body>Sign in</body></html>\n", "Service Unavailable\n", "Forbidden"))
        if fault is PageFault.EMPTY:
            return rng.choice(("", "\n", "# HELP x y\n"))
        if fault is PageFault.TRUNCATED:
            return text[: rng.randrange(len(text))]
        lines = text.splitlines(keepends=True)
        samples = [n for n, line in enumerate(lines) if "decisions_total{" in line]
        shown = self._shown.setdefault(uid, set())
        known = [n for n in samples if lines[n].rsplit(" ", 1)[0] in shown]
        if fault is None or not samples:
            return text
        at = rng.choice(samples)
        series, value = lines[at].rsplit(" ", 1)
        if fault is PageFault.MISSING:  # the same one each time; what was never read is not missing
            if known:
                del lines[known[crc32(uid.encode()) % len(known)]]
        elif fault is PageFault.DUPLICATE:
            lines.insert(rng.randrange(len(lines)), f"{series} {rng.randrange(10**6)}\n")
        elif fault is PageFault.STAMPED:
            lines[at] = f"{series} {value.strip()} {rng.randrange(10**13)}\n"
        elif fault in (PageFault.NAN, PageFault.NEGATIVE, PageFault.HUGE):
            wrong = {
                PageFault.NAN: ("NaN", "nan", "+Inf"),
                PageFault.NEGATIVE: ("-1", f"-{value.strip()}", "-Inf"),
                PageFault.HUGE: ("1e300", "18446744073709551615", "1e12", "9007199254740993", str(10**9 + int(value))),
            }[fault]
            lines[at] = f"{series} {rng.choice(wrong)}\n"
        return "".join(lines)


def _words(metrics: MetricsSettings, container: Container) -> dict[str, int]:
    """Counts by the decision's word; what was never decided is not on the page."""
    assert metrics.decisions is not None
    counted = {
        metrics.decisions.allowed[0]: container.requests - container.blocked,
        metrics.decisions.blocked[0]: container.blocked,
    }
    return {word: count for word, count in counted.items() if count}


def _plain(container: Container, metrics: MetricsSettings) -> Page:
    """What would be read of a whole page, without writing and reading it: most worlds need no more."""
    assert metrics.decisions is not None
    return Page({frozenset([(metrics.decisions.label, w)]): float(n) for w, n in _words(metrics, container).items()})


def _text(container: Container, metrics: MetricsSettings) -> str:
    """As a gateway writes it."""
    assert metrics.decisions is not None
    counter, label = metrics.decisions.counter, metrics.decisions.label
    lines = ["# HELP go_goroutines Number of goroutines.", "# TYPE go_goroutines gauge", "go_goroutines 12"]
    lines += [f"# TYPE {counter} counter"]
    lines += [f'{counter}{{{label}="{word}",policy="all"}} {n}' for word, n in _words(metrics, container).items()]
    if metrics.latency and container.requests:
        histogram = metrics.latency.histogram
        lines += [f'{histogram}_bucket{{le="{bound}"}} {container.requests}' for bound in BOUNDS]
        lines += [f"{histogram}_sum {0.05 * container.requests}", f"{histogram}_count {container.requests}"]
    return "\n".join(lines) + "\n"
