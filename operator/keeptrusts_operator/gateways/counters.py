"""Counters of gateway pods: a Prometheus page read, and differenced per pod and label set.

Nothing that cannot be read for certain counts as anything: a page with a NaN in a counter that matters, an error page
with status 200 or half a page is `NotMetrics`, and the next page that can be read covers its time as well. So does the
next page after one that can be read and is not believed: see `PodCounters`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from keeptrusts_operator.api.gateway import Decisions, MetricsSettings

LARGEST = 1e12  # no pod has counted more; a float counts by one up to 2^53
_START = "process_start_time_seconds"  # in the pages of most libraries
_LEAP = 1e5  # requests: growth from page to page that is not believed

Labels = frozenset[tuple[str, str]]
Series = Mapping[Labels, float]


class NotMetrics(Exception):
    """The page says nothing that could be relied on."""


@dataclass(frozen=True)
class Page:
    """The counters of one pod that matter, by label set: decisions, buckets of the latency, errors of providers.

    `began`: when its process began, as it says itself; None: it does not say.
    """

    decisions: Series
    latency: Series = field(default_factory=dict)
    provider_errors: Series = field(default_factory=dict)
    began: float | None = None


@dataclass(frozen=True)
class Increment:
    """What a pod has counted since it was looked at before. `latency`: upper bound in seconds → cumulative count."""

    requests: float = 0.0
    blocked: float = 0.0
    allowed: float = 0.0
    redacted: float = 0.0
    escalated: float = 0.0
    provider_errors: float = 0.0
    latency: Mapping[float, float] = field(default_factory=dict)

    def __add__(self, other: Increment) -> Increment:
        bounds = {*self.latency, *other.latency}
        return Increment(
            self.requests + other.requests,
            self.blocked + other.blocked,
            self.allowed + other.allowed,
            self.redacted + other.redacted,
            self.escalated + other.escalated,
            self.provider_errors + other.provider_errors,
            {b: self.latency.get(b, 0.0) + other.latency.get(b, 0.0) for b in bounds},
        )


def read_page(text: str, settings: MetricsSettings) -> Page:
    """The wanted counters of a page in Prometheus' text format. Raises NotMetrics."""
    if text and not text.endswith(("\n", "# EOF")):  # the format ends every line; 12 may be the beginning of 1234
        raise NotMetrics("the page ends in the middle of a line")
    wanted = {settings.decisions.counter} if settings.decisions else set()
    bucket = f"{settings.latency.histogram}_bucket" if settings.latency else ""
    errors = settings.provider_errors.counter if settings.provider_errors else ""
    lines = list(_wanted_lines(text, (wanted | {bucket, errors, _START}) - {""}))
    found: dict[str, dict[Labels, float]] = {}
    began: float | None = None
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                if sample.name == _START:
                    began = sample.value if math.isfinite(sample.value) else None
                    continue
                _add(found.setdefault(sample.name, {}), sample.labels, sample.value, sample.name)
    except (ValueError, KeyError, IndexError) as error:
        raise NotMetrics(f"a line cannot be read: {error}") from error
    decisions = found.get(settings.decisions.counter, {}) if settings.decisions else {}
    return Page(decisions, found.get(bucket, {}), found.get(errors, {}), began)


def _wanted_lines(text: str, names: set[str]) -> Iterator[str]:
    """Lines of the wanted samples; all others are only looked at as far as to see that this is a page of metrics."""
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name = stripped.partition("{")[0].partition(" ")[0]
        if not name.replace(":", "_").isidentifier():
            raise NotMetrics(f"not a page of metrics: {stripped[:60]!r}")
        if name in names:
            yield stripped


def _add(series: dict[Labels, float], labels: Mapping[str, str], value: float, name: str) -> None:
    key = frozenset(labels.items())
    if not 0.0 <= value <= LARGEST:
        raise NotMetrics(f"{name} is {value}")
    if key in series:
        raise NotMetrics(f"{name} has the same labels twice: {dict(labels)}")
    series[key] = value


class PodCounters:
    """One pod's counters from page to page.

    `from_zero`: the pod was born after the previous look, so its first page is its increment. Otherwise the first sight
    of each series only says where it stands, and none of that is believed before the next page goes on from it.

    What was counted cannot be taken back, so an odd page counts nothing, and the next one that goes on from where the
    counters stood covers its time as well:

    * Series that were there are missing: half a page. Blocks without their allows would look like a fault.
    * Counters have fallen: the process began again, or the page lies. It began again if every one of them is lower and
      the next page goes on from there; then all of it is new.
    * A counter has leapt: a lie, or nobody has looked for long. If it grows on from there, that is where it stands; what
      it leapt over counts as nothing.
    """

    def __init__(self, settings: MetricsSettings, *, from_zero: bool) -> None:
        self._settings = settings
        self._from_zero = self._believed = from_zero
        self._before: Page | None = Page({}) if from_zero else None
        self._odd: Page | None = None

    def feed(self, page: Page) -> Increment:
        """What has been counted since the last page that was believed."""
        before, odd = self._before, self._odd
        if before is not None and _half(before, page):
            return Increment()
        if before is None or not self._believed:
            self._before, self._believed = page, before is not None and _goes_on(before, page) and _grew(before, page)
            return Increment()
        if _goes_on(before, page):
            return self._count(before, page)
        if odd is None or not _goes_on(odd, page):
            self._odd = page
            return Increment()
        if _began_again(before, odd) and not _leapt(Page({}), page):
            self._from_zero = True
            return self._count(Page({}), page)
        leapt = _leapt(before, odd)
        if not _fell(before, odd) and not _missing(before, page) and all(page.decisions[k] > leapt[k] for k in leapt):
            self._before, self._odd = page, None
        return Increment()

    def _count(self, before: Page, page: Page) -> Increment:
        self._before, self._odd = page, None
        return _summed(_grown(before, page if self._from_zero else _known(page, before)), self._settings)


def _families(page: Page) -> tuple[Series, Series, Series]:
    return page.decisions, page.latency, page.provider_errors


def _pairs(before: Page, page: Page) -> Iterator[tuple[Series, Series]]:
    return zip(_families(before), _families(page), strict=True)


def _goes_on(before: Page, page: Page) -> bool:
    """Whether one page can be the next after another of the same process."""
    odd = _another(before, page) or _missing(before, page) or _fell(before, page) or _leapt(before, page)
    return not odd


def _grew(before: Page, page: Page) -> bool:
    """Whether the largest counter of decisions has grown."""
    largest = max(before.decisions, key=before.decisions.__getitem__, default=None)
    return largest is not None and page.decisions[largest] > before.decisions[largest]


def _another(before: Page, page: Page) -> bool:
    """Whether two processes say when they began."""
    return None not in (before.began, page.began) and before.began != page.began


def _missing(before: Page, page: Page) -> bool:
    return _without_start(before, page) or any(old.keys() - new.keys() for old, new in _pairs(before, page))


def _without_start(before: Page, page: Page) -> bool:
    return before.began is not None and page.began is None


def _half(before: Page, page: Page) -> bool:
    """Whether it is no news of another process, but a page that lacks something."""
    news = _another(before, page) or _fell(before, page)
    return _without_start(before, page) or (_missing(before, page) and not news)


def _fell(before: Page, page: Page) -> bool:
    return any(new.get(k, v) < v for old, new in _pairs(before, page) for k, v in old.items())


def _leapt(before: Page, page: Page) -> Series:
    """Counters of decisions that have grown beyond belief."""
    return {k: v for k, v in page.decisions.items() if v - before.decisions.get(k, 0.0) > _LEAP}


def _began_again(before: Page, page: Page) -> bool:
    """Whether the process is a new one: it says so, or all of its decisions are fewer; one that fell alone is no proof."""
    if not _fell(before, page):
        return False
    if page.began is not None and before.began is not None:
        return page.began != before.began  # fewer and the same process: an old answer
    now, was = page.decisions, before.decisions
    return all(v < was[k] for k, v in now.items() if was.get(k))


def _known(page: Page, before: Page) -> Page:
    """The series of a page that an earlier one had."""
    decisions, latency, errors = ({k: v for k, v in new.items() if k in old} for old, new in _pairs(before, page))
    return Page(decisions, latency, errors)


def _grown(before: Page, page: Page) -> Page:
    """What each series has counted since; one that was not there counts from zero."""
    decisions, latency, errors = ({k: v - old.get(k, 0.0) for k, v in new.items()} for old, new in _pairs(before, page))
    return Page(decisions, latency, errors)


def lifetime(page: Page, settings: MetricsSettings) -> Increment:
    """Everything a pod has counted since it was born."""
    return _summed(page, settings)


def by_decision(series: Series, decisions: Decisions) -> dict[str, float]:
    """Sums over all other labels, by the decision label's value in lower case."""
    out: dict[str, float] = {}
    for labels, value in series.items():
        word = dict(labels).get(decisions.label, "").lower()
        out[word] = out.get(word, 0.0) + value
    return out


def _summed(page: Page, settings: MetricsSettings) -> Increment:
    decisions, errors = settings.decisions, settings.provider_errors
    words = by_decision(page.decisions, decisions) if decisions else {}
    latency: dict[float, float] = {}
    for labels, value in page.latency.items():
        bound = float(dict(labels).get("le", "inf"))
        latency[bound] = latency.get(bound, 0.0) + value
    failed = 0.0
    if errors:
        words_of_errors = {v.lower() for v in errors.values}
        failed = sum(
            v for k, v in page.provider_errors.items() if dict(k).get(errors.label, "").lower() in words_of_errors
        )
    return Increment(
        requests=sum(words.values()),
        blocked=_sum_of(words, decisions.blocked if decisions else ()),
        allowed=_sum_of(words, decisions.allowed if decisions else ()),
        redacted=_sum_of(words, decisions.redacted if decisions else ()),
        escalated=_sum_of(words, decisions.escalated if decisions else ()),
        provider_errors=failed,
        latency=latency,
    )


def _sum_of(words: Mapping[str, float], values: Iterable[str]) -> float:
    return sum(words.get(v, 0.0) for v in {v.lower() for v in values})
