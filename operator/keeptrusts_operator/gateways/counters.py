"""Counters of gateway pods: a Prometheus page read, and differenced per pod and label set.

Nothing that cannot be read for certain counts as anything: a page with a NaN in a counter that matters, an error page
with status 200 or half a page is `NotMetrics`, and the next page that can be read covers its time as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from keeptrusts_operator.api.gateway import Decisions, MetricsSettings

Labels = frozenset[tuple[str, str]]
Series = Mapping[Labels, float]

MOST = 1e12  # of anything that one pod counts: what is beyond it was never counted


class NotMetrics(Exception):
    """The page says nothing that could be relied on."""


@dataclass(frozen=True)
class Page:
    """The counters of one pod that matter, by label set: decisions, buckets of the latency, errors of providers."""

    decisions: Series
    latency: Series = field(default_factory=dict)
    provider_errors: Series = field(default_factory=dict)


@dataclass(frozen=True)
class Increment:
    """What a pod has counted since it was looked at before. `latency`: upper bound in seconds → cumulative count."""

    requests: float = 0.0
    blocked: float = 0.0
    allowed: float = 0.0
    redacted: float = 0.0
    escalated: float = 0.0
    flagged: float = 0.0
    provider_errors: float = 0.0
    latency: Mapping[float, float] = field(default_factory=dict)

    def __add__(self, other: Increment) -> Increment:
        return Increment.sum((self, other))

    @classmethod
    def sum(cls, parts: Iterable[Increment]) -> Increment:
        """All of them together."""
        requests = blocked = allowed = redacted = escalated = flagged = errors = 0.0
        latency: dict[float, float] = {}
        for part in parts:
            requests += part.requests
            blocked += part.blocked
            allowed += part.allowed
            redacted += part.redacted
            escalated += part.escalated
            flagged += part.flagged
            errors += part.provider_errors
            for bound, count in part.latency.items():
                latency[bound] = latency.get(bound, 0.0) + count
        return cls(requests, blocked, allowed, redacted, escalated, flagged, errors, latency)


def read_page(text: str, settings: MetricsSettings) -> Page:
    """The wanted counters of a page in Prometheus' text format. Raises NotMetrics."""
    wanted = {settings.decisions.counter} if settings.decisions else set()
    bucket = f"{settings.latency.histogram}_bucket" if settings.latency else ""
    errors = settings.provider_errors.counter if settings.provider_errors else ""
    lines = list(_wanted_lines(text, (wanted | {bucket, errors}) - {""}))
    if lines and not text.endswith("\n") and lines[-1] == text.rsplit("\n", 1)[-1].strip():
        raise NotMetrics(f"its last line has no end, so its number may be cut off: {lines[-1][-60:]!r}")
    found: dict[str, dict[Labels, float]] = {}
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                _add(found.setdefault(sample.name, {}), sample.labels, sample.value, sample.name)
    except (ValueError, KeyError, IndexError) as error:
        raise NotMetrics(f"a line cannot be read: {error}") from error
    decisions = found.get(settings.decisions.counter, {}) if settings.decisions else {}
    latency = found.get(bucket, {})
    if wrong := [le for labels in latency if not _is_bound(le := dict(labels).get("le", "inf"))]:
        raise NotMetrics(f"{bucket} has a bound that is no number: {wrong[0][:20]!r}")
    return Page(decisions, latency, found.get(errors, {}))


def _wanted_lines(text: str, names: set[str]) -> Iterator[str]:
    """Lines of the wanted samples; all others are only looked at as far as to see that this is a page of metrics."""
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name = stripped.partition("{")[0].partition(" ")[0].partition("\t")[0]
        if not (name.replace(":", "_").isidentifier() and _is_number(stripped.rsplit(None, 1)[-1])):
            raise NotMetrics(f"not a page of metrics: {stripped[:60]!r}")
        if name in names:
            yield stripped


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_bound(text: str) -> bool:
    return _is_number(text) and not math.isnan(float(text))


def _add(series: dict[Labels, float], labels: Mapping[str, str], value: float, name: str) -> None:
    key = frozenset(labels.items())
    if not 0.0 <= value <= MOST:
        raise NotMetrics(f"{name} is {value}")
    if key in series:
        raise NotMetrics(f"{name} has the same labels twice: {dict(labels)}")
    series[key] = value


class PodCounters:
    """One pod's counters from page to page.

    `from_zero`: the pod was born after the previous look, so its first page is its increment. Otherwise its first page
    only says where it stands.

    Counters that have fallen mean that the process began again, or that the page is an old one. The next page tells: one
    that goes on from there makes all of it new; one that goes on from before makes it a stale answer. Believed at once, a
    stale answer would count everything twice.
    """

    def __init__(self, settings: MetricsSettings, *, from_zero: bool) -> None:
        self._settings = settings
        self._before: Page | None = Page({}) if from_zero else None
        self._fallen: Page | None = None
        self._absurd = Page({})  # what counted more than can have been: its numbers say nothing, its series do

    def feed(self, page: Page, most: float = math.inf) -> Increment:
        """What has been counted since the last page that counts; pages that were missed are covered by it.

        `most`: requests that can have been answered since then. Raises NotMetrics for a page that counts as missed: one
        with more of them, one whose counters have fallen, or one that has lost what it had, with no sign that its process
        began again.
        """
        before = self._before
        if before is None:
            self._before = page
            return Increment()
        again = _less(page, before)
        fallen = self._fallen = self._fallen if again else None
        if again and (fallen is None or _less(page, fallen)):
            self._fallen = page
            raise NotMetrics("its counters have fallen; the next page tells whether its process began again")
        if lost := self._lost(fallen or before, page):
            raise NotMetrics(f"the {lost} that it counted before are gone from its page")
        since = Page({}) if again else before  # all of it is new after a beginning
        grown = _summed(
            Page(
                _grown(since.decisions, page.decisions),
                _grown(since.latency, page.latency),
                _grown(since.provider_errors, page.provider_errors),
            ),
            self._settings,
        )
        if grown.requests > most:
            self._absurd = page
            raise NotMetrics(f"it counted {grown.requests:,.0f} requests, more than there can have been")
        self._before, self._fallen, self._absurd = (page if again else _remembered(before, page)), None, Page({})
        return grown

    def garbled(self, page: Page) -> bool:
        """Whether the last page makes no sense beside this one, which has all its kinds of decisions: there was more of
        one, or not all of these kinds."""
        before = self._before or Page({})
        return not self._lost(before, page) and (_less(page, before) or bool(self._lost(page, before)))

    def _lost(self, before: Page, now: Page) -> str:
        decisions = self._settings.decisions
        if decisions is None:
            return ""
        return lost_kinds(before, now, decisions) or lost_kinds(self._absurd, now, decisions)


def lost_kinds(before: Page, now: Page, decisions: Decisions) -> str:
    """Whether all of its blocked or all of its other decisions are gone: what is left would look like a verdict."""
    blocked = {v.lower() for v in decisions.blocked}
    for words, are in (("blocked decisions", True), ("decisions that are not blocked", False)):
        had = any(v > 0.0 and (_word(k, decisions) in blocked) is are for k, v in before.decisions.items())
        if had and not any((_word(k, decisions) in blocked) is are for k in now.decisions):
            return words
    return ""


def _less(now: Page, before: Page) -> bool:
    """Whether a decision was counted more often before."""
    return any(v < before.decisions.get(k, 0.0) for k, v in now.decisions.items())


def lifetime(page: Page, settings: MetricsSettings) -> Increment:
    """Everything a pod has counted since it was born."""
    return _summed(page, settings)


def by_decision(series: Series, decisions: Decisions) -> dict[str, float]:
    """Sums over all other labels, by the decision label's value in lower case."""
    out: dict[str, float] = {}
    for labels, value in series.items():
        word = _word(labels, decisions)
        out[word] = out.get(word, 0.0) + value
    return out


def _word(labels: Labels, decisions: Decisions) -> str:
    return dict(labels).get(decisions.label, "").lower()


def _remembered(before: Page, now: Page) -> Page:
    """With the last values of single series that are missing now: when one comes back, it has not counted them anew."""
    return Page(
        {**before.decisions, **now.decisions},
        {**before.latency, **now.latency},
        {**before.provider_errors, **now.provider_errors},
    )


def _grown(before: Series, now: Series) -> dict[Labels, float]:
    """Growth of each series; after a reset (its process began again) all of it is new."""
    return {k: v - before.get(k, 0.0) if v >= before.get(k, 0.0) else v for k, v in now.items()}


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
        flagged=_sum_of(words, decisions.flagged if decisions else ()),
        provider_errors=failed,
        latency=latency,
    )


def _sum_of(words: Mapping[str, float], values: Iterable[str]) -> float:
    return sum(words.get(v, 0.0) for v in {v.lower() for v in values})
