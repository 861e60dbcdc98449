"""Confirmation of a trip: one client alone never confirms it, several do, and what is not known is no verdict."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeptrusts_operator.core.confirmation import (
    Confirmation,
    Confirmed,
    DecisionEvent,
    Events,
    Question,
    SuspectSingleClient,
    Unverifiable,
    confirm,
)

START = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
QUESTION = Question("1.5.0", "1.4.0", limit=0.05, burstiness=1.0, since=START)


def events(
    client: str, blocked: int, allowed: int = 0, version: str = "1.5.0", after: float = 1.0
) -> list[DecisionEvent]:
    at = START + timedelta(seconds=after)
    return [DecisionEvent(at, client, i < blocked, version) for i in range(blocked + allowed)]


def ask(decisions: Sequence[DecisionEvent], question: Question = QUESTION, age: float = 1.0) -> Confirmation:
    return confirm(question, Events(tuple(decisions), age))


def test_several_blocked_clients_confirm() -> None:
    decisions = [e for i in range(8) for e in events(f"client-{i}", 2 + (i == 0), 3)]
    assert ask(decisions) == Confirmed(
        "without the most blocked of 8 clients (3 blocked requests), the others were blocked 14 times in 35 requests "
        "(40.0 %), tolerated up to 5.0 %"
    )


def test_one_client_that_retries_is_suspect_however_loud() -> None:
    assert ask(events("loud", 500)) == SuspectSingleClient("all 500 blocked requests are of one client")
    decisions = events("loud", 500) + [e for i in range(20) for e in events(f"c{i}", 0, 5)] + events("c0", 2)
    assert ask(decisions) == SuspectSingleClient(
        "without the most blocked of 21 clients (500 blocked requests), the others were blocked 2 times in 102 requests "
        "(2.0 %), tolerated up to 5.0 %"
    )


@pytest.mark.parametrize(("blocked", "kind"), [(2, SuspectSingleClient), (3, Confirmed)])
def test_three_blocked_requests_of_others_are_needed(blocked: int, kind: type[Confirmation]) -> None:
    assert isinstance(ask(events("loud", 9) + events("other", blocked)), kind)


@pytest.mark.parametrize(
    ("blocked", "burstiness", "kind"),
    # 1.645·sqrt(200·0.05·0.95) = 5.07 above the 10 that are tolerated; with m = 4, 10.14
    [(15, 1.0, SuspectSingleClient), (16, 1.0, Confirmed), (20, 4.0, SuspectSingleClient), (21, 4.0, Confirmed)],
)
def test_the_excess_must_be_significant(blocked: int, burstiness: float, kind: type[Confirmation]) -> None:
    decisions = events("loud", 99) + events("a", blocked // 2, 100) + events("b", blocked - blocked // 2, 100 - blocked)
    assert isinstance(ask(decisions, replace(QUESTION, burstiness=burstiness)), kind)


@pytest.mark.parametrize(
    ("question", "answer", "says"),
    [
        (QUESTION, Events(), "have not been read"),
        (QUESTION, Events(age=9.0), "are 9 s old"),
        (QUESTION, Events(events("a", 9) + events("b", 9), 5.1, "HTTP 500"), "are 5 s old (at most 5 s): HTTP 500"),
        (QUESTION, Events(age=1.0), "shows 0 decisions of 1.5.0"),
        (replace(QUESTION, active_version="1.5.0"), Events(age=1.0), "the same version 1.5.0"),
        (replace(QUESTION, candidate_version=""), Events(age=1.0), "no version"),
        (replace(QUESTION, active_version=""), Events(age=1.0), "no version"),
        (QUESTION, Events(events("a", 0, 9), 1.0), "shows 9 decisions of 1.5.0"),
        (QUESTION, Events(events("a", 9, version="1.4.0") + events("b", 9, version=""), 1.0), "shows 0 decisions"),
        (QUESTION, Events(events("a", 9, after=-1) + events("b", 9, after=-1), 1.0), "shows 0 decisions"),
        (QUESTION, Events(events("", 9), 1.0), "9 of 9 blocked decisions name no client"),
        (QUESTION, Events(events("", 9) + events("a", 4) + events("b", 2), 1.0), "9 of 15 blocked decisions"),
        (replace(QUESTION, counted_blocked=40.0), Events(events("a", 9), 1.0), "only 9 of the 40 blocked requests"),
    ],
)
def test_what_cannot_be_told_is_unverifiable(question: Question, answer: Events, says: str) -> None:
    result = confirm(question, answer)
    assert isinstance(result, Unverifiable)
    assert says in result.message


def test_one_failed_call_does_not_make_a_fresh_answer_old() -> None:
    assert isinstance(confirm(QUESTION, Events(events("a", 9) + events("b", 9), 4.9, "HTTP 500")), Confirmed)


def test_blocked_requests_without_a_client_do_not_stand_in_the_way() -> None:
    assert isinstance(ask(events("", 9) + events("a", 9) + events("b", 9)), Confirmed)


def test_events_that_are_behind_confirm_but_accuse_nobody() -> None:
    behind = replace(QUESTION, counted_blocked=100.0)
    assert isinstance(ask(events("a", 9) + events("b", 9), behind), Confirmed)
    assert isinstance(ask(events("a", 50), behind), SuspectSingleClient)
    assert isinstance(ask(events("a", 49), behind), Unverifiable)


def test_no_client_is_named_to_people() -> None:
    for decisions in (events("ada@example.com", 9), events("ada@example.com", 9) + events("bob@example.com", 9)):
        assert "example.com" not in ask(decisions).message


CLIENTS = st.sampled_from(["", "a", "b", "c", "d", "e"])
DECISIONS = st.lists(
    st.builds(
        DecisionEvent,
        st.integers(-5, 60).map(lambda s: START + timedelta(seconds=s)),
        CLIENTS,
        st.booleans(),
        st.sampled_from(["1.5.0", "1.5.0", "1.5.0", "1.4.0", ""]),
    ),
    max_size=80,
)
LIMITS = st.floats(0.0, 1.0)


@given(DECISIONS, LIMITS, st.randoms(use_true_random=False))
def test_neither_order_nor_names_matter(decisions: list[DecisionEvent], limit: float, rng: random.Random) -> None:
    question = replace(QUESTION, limit=limit)
    other = [replace(e, client=f"x-{e.client}" if e.client else "") for e in decisions]
    rng.shuffle(other)
    assert ask(other, question) == ask(decisions, question)


@given(DECISIONS, LIMITS)
def test_events_of_other_versions_and_times_do_not_matter(decisions: list[DecisionEvent], limit: float) -> None:
    question = replace(QUESTION, limit=limit)
    ours = [e for e in decisions if e.config_version == "1.5.0" and e.at >= START]
    assert ask(ours, question) == ask(decisions, question)


@given(st.integers(1, 3000), st.integers(0, 300), LIMITS, st.floats(1.0, 25.0))
def test_one_client_alone_never_confirms(blocked: int, allowed: int, limit: float, burstiness: float) -> None:
    question = replace(QUESTION, limit=limit, burstiness=burstiness)
    assert not isinstance(ask(events("only", blocked, allowed), question), Confirmed)


@given(DECISIONS, st.integers(1, 200))
def test_what_the_loudest_client_adds_confirms_nothing(decisions: list[DecisionEvent], more: int) -> None:
    loud = events("loud", 90)
    if isinstance(ask(decisions + loud), Confirmed):
        assert isinstance(ask(decisions + loud + events("loud", more)), Confirmed)
    else:
        assert not isinstance(ask(decisions + loud + events("loud", more)), Confirmed)


@given(DECISIONS, LIMITS, LIMITS, st.floats(1.0, 25.0), st.floats(1.0, 25.0))
def test_more_tolerance_never_confirms(
    decisions: list[DecisionEvent], limit: float, other: float, burstiness: float, burstier: float
) -> None:
    low, high = sorted((limit, other))
    calm, wild = sorted((burstiness, burstier))
    strict, lax = (replace(QUESTION, limit=low, burstiness=calm), replace(QUESTION, limit=low, burstiness=wild))
    if isinstance(ask(decisions, lax), Confirmed):
        assert isinstance(ask(decisions, strict), Confirmed)
    if high <= 0.5 and isinstance(ask(decisions, replace(strict, limit=high)), Confirmed):
        assert isinstance(ask(decisions, strict), Confirmed)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=30, max_size=60), st.integers(0, 5))
def test_a_policy_that_blocks_nearly_everybody_is_confirmed(clients: list[str], allowed: int) -> None:
    decisions = [e for c in clients for e in events(c, 1)] + events("z", 0, allowed)
    loudest = max(clients.count(c) for c in set(clients))
    if len(clients) - loudest >= 10:
        assert isinstance(ask(decisions), Confirmed)
