"""A Prometheus server as the source: its word counts instead of that of the pods, and what it does not know is unknown."""

from __future__ import annotations

from datetime import UTC, datetime

from keeptrusts_operator.api.circuit_breaker import CircuitBreaker
from keeptrusts_operator.api.profiles import KEEPTRUSTS
from keeptrusts_operator.core.judgement import Verdict
from keeptrusts_operator.core.measured import NotKnown, Traffic
from keeptrusts_operator.gateways.counters import Increment, Page
from keeptrusts_operator.gateways.judging import Case
from keeptrusts_operator.gateways.ledger import Ledger
from keeptrusts_operator.gateways.pods import Target
from keeptrusts_operator.gateways.prometheus import Evaluated, Evaluation, NotEvaluated

NOW = datetime(2026, 11, 25, tzinfo=UTC)
TARGETS = (Target("uid-a", "127.0.0.1", "a"), Target("uid-b", "127.0.0.2", "b"))
CASE = Case("b-1", "a", "b", "Canary/0/running", 0.1, CircuitBreaker())


def said(requests: float, blocked: float) -> Evaluated:
    return Evaluated(Increment(requests, blocked), 5.0, age=12.0)


def judged(canary: Evaluation, looks: int = 60) -> Ledger:
    """Every 5 s the server is asked, after 5 minutes without a candidate."""
    ledger, at = Ledger(), 0.0
    ledger.aim(TARGETS[:1], KEEPTRUSTS.metrics, "a", None, at)
    ledger.ask_elsewhere({}, at)
    for look in range(60 + looks):
        at += 5.0
        if look == 60:
            ledger.aim(TARGETS, KEEPTRUSTS.metrics, "a", CASE, at)
        both = {"a": said(450, 9), "b": canary} if look >= 60 else {"a": said(500, 10)}
        ledger.ask_elsewhere(both, at)
    return ledger


def test_its_sums_are_judged() -> None:
    verdict = judged(said(50, 22)).judgement(NOW, 600.0)
    assert verdict is not None
    assert verdict.verdict is Verdict.TRIP


def test_what_it_does_not_know_is_no_verdict() -> None:
    ledger = judged(NotEvaluated("requestsQuery: no series"))
    verdict, scrape = ledger.judgement(NOW, 600.0), ledger.scrape()
    assert verdict is not None
    assert verdict.verdict is Verdict.UNDECIDED
    assert scrape is not None
    assert (scrape.read, scrape.of) == (1, 2)
    assert "no series" in scrape.why


def test_pods_do_not_count_beside_it() -> None:
    ledger = judged(said(50, 1), looks=1)
    before = ledger.asked(310.0)
    assert isinstance(before, Traffic)
    page = Page({frozenset([("decision", "blocked")]): 1e6})
    ledger.enter({"uid-b": page}, 311.0)
    ledger.enter({"uid-b": Page({frozenset([("decision", "blocked")]): 2e6})}, 312.0)
    after = ledger.asked(312.0)
    assert isinstance(after, Traffic)
    assert after.counts.blocked == before.counts.blocked


def test_a_server_that_is_down_is_said() -> None:
    ledger = Ledger()
    ledger.aim(TARGETS, KEEPTRUSTS.metrics, "a", None, 0.0)
    assert ledger.asked(0.0) is None
    ledger.ask_elsewhere({"a": NotEvaluated("no answer within 5 s")}, 5.0)
    unknown = ledger.asked(5.0)
    assert isinstance(unknown, NotKnown)
    assert "no answer" in unknown.why
