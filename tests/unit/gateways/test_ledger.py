"""The books: which page counts from where, and what is said of pods that cannot be read."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.api.names import ADOPTED_REVISION
from keeptrusts_operator.api.profiles import KEEPTRUSTS
from keeptrusts_operator.core.judgement import Judgement, Verdict
from keeptrusts_operator.core.passed import Answered
from keeptrusts_operator.core.world import Scrape
from keeptrusts_operator.gateways.counters import Page
from keeptrusts_operator.gateways.judging import Case
from keeptrusts_operator.gateways.ledger import MISSES, MOST_RATE, Ledger, Unread
from keeptrusts_operator.gateways.pods import Target

METRICS = KEEPTRUSTS.metrics
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
A, B = "aaaaaaaaaa", "bbbbbbbbbb"
CASE = Case("r1", A, B, "Canary/0/running", 0.2, CircuitBreaker(), counted_late=False)
LOST = Unread("no answer from /metrics within 1 s")


def pod(uid: str, revision: str = A, born_at: float = 100.0) -> Target:
    return Target(uid, "10.0.0.1", revision, born_at)


def page(allowed: float, blocked: float = 0.0) -> Page:
    series = {
        frozenset([("decision", "allowed")]): float(allowed),
        frozenset([("decision", "blocked")]): float(blocked),
    }
    return Page({k: v for k, v in series.items() if v})


class Books:
    """A ledger and its time."""

    def __init__(self) -> None:
        self.ledger, self.at = Ledger(), 1000.0

    def aim(self, *targets: Target, case: Case | None = None) -> None:
        self.ledger.aim(targets, METRICS, A, case, self.at)

    def look(self, seconds: float = 1.0, **pages: Page | Unread) -> None:
        self.at += seconds
        self.ledger.enter(pages, self.at)

    @property
    def said(self) -> Judgement:
        judged = self.ledger.judgement(NOW, self.at)
        assert judged is not None
        return judged

    @property
    def canary(self) -> tuple[float, float]:
        return self.said.canary.requests, self.said.canary.blocked


def judged() -> Books:
    """One old pod of each revision; the candidate is under judgement."""
    books = Books()
    books.aim(pod("a1"), case=CASE)
    books.look(a1=page(5000, 100))
    books.aim(pod("a1"), pod("b1", B, 200.0), case=CASE)
    return books


def test_a_pod_that_was_born_between_two_looks_counts_from_zero() -> None:
    books = judged()
    books.look(a1=page(5010, 100), b1=page(8, 2))
    assert books.canary == (10, 2)
    books.look(a1=page(5020, 100), b1=page(10, 2))
    assert books.canary == (12, 2)


def test_pods_of_the_first_aim_are_older_than_it() -> None:
    books = Books()
    books.aim(pod("a1"), pod("b1", B), case=CASE)
    books.look(a1=page(5000, 100), b1=page(900, 300))
    assert books.canary == (0, 0)
    books.look(a1=page(5010, 100), b1=page(909, 301))
    assert books.canary == (10, 1)


def test_a_pod_that_is_seen_late_but_was_created_before_others_is_not_new() -> None:
    """Warm pods of an earlier revision come back among those who are asked: what they once counted is not news."""
    books = Books()
    books.aim(pod("a1", A, 500.0), case=CASE)
    books.look(a1=page(5000, 100))
    books.aim(pod("a1", A, 500.0), pod("b1", B, 100.0), case=CASE)
    books.look(a1=page(5010, 100), b1=page(70_000, 30_000))
    assert books.canary == (0, 0)


def test_adopted_pods_are_older_than_their_first_sight() -> None:
    books = Books()
    books.aim(pod("a1"), case=replace(CASE, candidate=ADOPTED_REVISION))
    books.look(a1=page(5000, 100))
    books.aim(pod("a1"), pod("x1", ADOPTED_REVISION, 900.0), case=replace(CASE, candidate=ADOPTED_REVISION))
    books.look(a1=page(5010, 100), x1=page(900, 300))
    assert books.canary == (0, 0)


def test_lifetimes_of_old_active_pods_are_a_first_baseline() -> None:
    books = Books()
    books.aim(pod("a1"), pod("b1", B), case=None)
    books.look(a1=page(9000, 1000), b1=page(1, 9999))
    books.look(a1=page(9009, 1001), b1=page(1, 9999))
    books.aim(pod("a1"), pod("b1", B), case=CASE)
    assert books.said.stable_rate == pytest.approx(0.1, abs=0.002)


def test_a_missed_page_loses_nothing() -> None:
    books = judged()
    books.look(a1=page(5010, 100), b1=page(8, 2))
    books.look(a1=page(5020, 100), b1=LOST)
    books.look(a1=page(5030, 100))
    books.look(a1=page(5040, 100), b1=page(28, 12))
    assert books.canary == (40, 12)


def test_half_a_page_and_a_number_nobody_can_have_counted_are_missed_pages() -> None:
    books = judged()
    books.look(a1=page(5010, 100), b1=page(8, 2))
    for wrong in (page(8), page(0, 2), page(8 + 10 * MOST_RATE, 2), page(8, 10 * MOST_RATE), Page({})):
        books.look(a1=page(5010, 100), b1=wrong)
        assert books.canary == (10, 2)
    scrape = books.ledger.scrape()
    assert scrape is not None
    assert (scrape.read, scrape.of) == (1, 2)
    assert "gone from its page" in scrape.why
    books.look(a1=page(5020, 100), b1=page(18, 4))
    assert books.canary == (22, 4)
    assert books.ledger.scrape() == Scrape(2, 2, "")


def test_half_a_page_at_the_first_sight_of_a_new_leader_is_none_either() -> None:
    """What the earlier leader read of that pod is in its checkpoint."""
    books = judged()
    books.look(a1=page(5010, 100), b1=page(90, 2))
    kept = Books()
    kept.aim(pod("a1"), pod("b1", B, 200.0), case=replace(CASE, kept=books.said))
    for n in range(20):
        kept.look(a1=page(5020 + 40 * n, 100 + n), b1=page(0, 2 + 5 * n))
    assert kept.said.verdict is Verdict.UNDECIDED
    assert "counted before are gone" in str(kept.ledger.scrape())
    kept.look(a1=page(6000, 120), b1=page(1000, 102))
    kept.look(a1=page(6010, 120), b1=page(1010, 103))
    assert kept.canary == (103, 3)


@pytest.mark.parametrize("before", [(), (Page({}),), (page(0, 19),)])
def test_half_a_page_after_the_first_sight_does_not_become_the_first(before: tuple[Page, ...]) -> None:
    books = Books()
    books.aim(pod("a1"), pod("b1", B, 200.0), case=CASE)
    for garbled in before:
        books.look(a1=page(5000, 100), b1=garbled)
    books.look(a1=page(5010, 100), b1=page(900, 20))
    for n in range(20):
        books.look(a1=page(5020 + 40 * n, 100 + n), b1=page(0, 21 + 3 * n))
    assert books.canary == (0, 0)
    books.look(a1=page(6000, 120), b1=page(3900, 80))
    assert books.canary == (3060, 60)


@pytest.mark.parametrize("first", [page(702, 1e9), page(702, 12), Page({}), page(0, 1e9)])
def test_nor_is_it_a_beginning_after_a_first_page_that_was_wrong(first: Page) -> None:
    """Lower numbers than those of an absurd page are no sign that the process began again."""
    books = judged()
    books.look(a1=page(5010, 100), b1=page(90, 2))
    kept = Books()
    kept.aim(pod("a1"), pod("b1", B, 200.0), case=replace(CASE, kept=books.said))
    kept.look(a1=page(5020, 100), b1=first)
    for n in range(20):
        kept.look(a1=page(5030 + 40 * n, 100 + n), b1=page(0, 13 + 2 * n))
    kept.look(a1=page(6000, 120), b1=page(1000, 52))
    kept.look(a1=page(6010, 120), b1=page(1010, 53))
    assert kept.said.verdict is not Verdict.TRIP  # which would be final


def test_a_first_page_of_absurd_numbers_does_not_stop_the_books() -> None:
    for first in (page(1e12, 1e12), page(0, 1e11), page(0, 90), page(1e12, 1)):  # the next one shows what it was
        books = Books()
        books.aim(pod("a1"), case=None)
        books.look(a1=first)
        for n in range(3):
            books.look(a1=page(9000 + n, 1000))
        books.aim(pod("a1"), case=CASE)
        assert books.said.stable_rate == pytest.approx(0.1, abs=0.002)


def test_a_pod_counts_as_unread_after_some_misses_in_a_row_and_says_why() -> None:
    books = Books()
    books.aim(pod("a1"), pod("a2"))
    assert books.ledger.scrape() is None
    books.look(a1=page(1))
    for _ in range(MISSES - 1):
        books.look(a1=page(1), a2=LOST)
    assert books.ledger.scrape() == Scrape(1, 1, "")
    books.look(a1=page(1), a2=LOST)
    assert books.ledger.scrape() == Scrape(1, 2, LOST.why)
    books.look(a1=page(1), a2=page(4))
    assert books.ledger.scrape() == Scrape(2, 2, "")
    books.aim(pod("a2"))
    assert books.ledger.scrape() == Scrape(1, 1, "")


def test_a_pod_that_says_nothing_leaves_its_revisions_flow_unknown() -> None:
    books = Books()
    books.aim(pod("a1"), pod("b1", B))
    for n in range(8):
        books.look(a1=page(10 * n), b1=page(n))
    assert set(books.ledger.flows(NOW, books.at)) == {A, B}
    books.look(a1=page(80), b1=LOST)
    assert set(books.ledger.flows(NOW, books.at)) == {A}
    moved = books.ledger.last_answers(NOW, books.at)
    assert (moved[A], moved[B]) == (NOW, NOW - timedelta(seconds=1))


def test_with_other_counters_nothing_that_was_counted_compares() -> None:
    """Pods that were born here must not count their life again, nor by two definitions."""
    books = judged()
    books.look(a1=page(5010, 100), b1=page(800, 20))
    before = books.said
    assert METRICS.decisions
    other = replace(METRICS, decisions=replace(METRICS.decisions, blocked=("blocked", "flagged")))
    targets = (pod("a1"), pod("b1", B, 200.0))
    books.ledger.aim(targets, other, A, replace(CASE, kept=before), books.at)
    books.look(a1=page(5020, 100), b1=page(810, 20))
    books.look(a1=page(5030, 100), b1=page(820, 20))
    assert books.said.canary.requests == before.canary.requests + 10


def test_a_clock_that_says_the_same_time_twice_is_no_division_by_nothing() -> None:
    books = judged()
    books.look(a1=page(5010, 100), b1=page(8, 2))
    books.look(0.0, a1=page(5011, 100), b1=page(9, 2))
    books.look(a1=page(5012, 100), b1=page(10, 2))
    assert books.said.verdict is Verdict.UNDECIDED
    assert math.isfinite(books.said.evidence)


def test_what_pods_answered_is_summed_up_and_flags_are_told_where_they_are_counted() -> None:
    books = judged()
    books.look(a1=page(5090, 110), b1=page(40, 2))
    assert books.ledger.answered() == {A: Answered(100, 10), B: Answered(42, 2)}
    assert METRICS.decisions is not None
    flags = replace(METRICS, decisions=replace(METRICS.decisions, flagged=("Flagged",)))
    ledger = Ledger()
    ledger.aim((pod("a1"),), flags, A, None, 0.0)
    flagged = frozenset([("decision", "flagged")])
    ledger.enter({"a1": Page({flagged: 3.0})}, 1.0)
    ledger.enter({"a1": Page({flagged: 10.0})}, 2.0)
    assert ledger.answered() == {A: Answered(7, 0, 7)}
