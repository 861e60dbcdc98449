"""Emergency passthrough: who gets it, for how long, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.passthrough import Passthrough, TwoPerson, Unattributed
from keeptrusts_operator.core import grants
from keeptrusts_operator.core.grant_checks import Ask, Attribution, Circumstances
from keeptrusts_operator.core.grant_rules import Outcome, Turn, approve, request
from keeptrusts_operator.core.grants import EndReason, Grant, GrantState, Spent, due, rearm_revision
from tests.unit.api import crd

T = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
REASON = "INC-4711 the filter blocks legitimate prompts"
RULES = Passthrough()


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def ask(value: str = "45m", id: str = "r1", by: str = "ann", **more: str) -> Ask:
    return Ask(value, id, by, **{"reason": REASON, **more})


def at(
    when: float = 0,
    rules: Passthrough = RULES,
    spent: tuple[Spent, ...] | None = (),
    attribution: Attribution = Attribution.STAMPED,
) -> Circumstances:
    def command(verb: Verb, value: str) -> str:
        return f"type {verb}={value}"

    return Circumstances(T + minutes(when), rules, attribution, spent, "good", command)


def granted(turn: Turn) -> Grant:
    assert turn.outcome in (Outcome.GRANTED, Outcome.APPROVED), turn.message
    assert turn.grant
    assert f"type {Verb.EMERGENCY_PASSTHROUGH}=off" in turn.message
    return turn.grant


def lasts(grant: Grant) -> timedelta:
    assert grant.granted_at
    assert grant.expires_at
    return grant.expires_at - grant.granted_at


def active(when: float = 0, **more: Any) -> Grant:
    """A grant of `ask()` that has traffic."""
    return grants.exposed(granted(request(ask(**more), None, at(when))), T + minutes(when))


class TestRequest:
    def test_alone_it_is_granted_for_the_solo_duration_at_once(self) -> None:
        turn = request(ask("45m#x", scope="b, a b", ticket="T-1"), None, at())
        grant = granted(turn)
        assert lasts(grant) == minutes(15)
        assert "type approve-passthrough=r1" in turn.message
        assert (grant.state, grant.requested_by, grant.rearm_revision) == (GrantState.STARTING, "ann", "good")
        assert (grant.scope, grant.ticket, grant.reason) == (("b", "a"), "T-1", REASON)

    def test_within_the_solo_duration_nobody_else_is_needed(self) -> None:
        rules = Passthrough(two_person=TwoPerson.BEFORE)
        assert lasts(granted(request(ask("15m"), None, at(rules=rules)))) == minutes(15)

    def test_before_waits_half_an_hour_then_expires(self) -> None:
        rules = Passthrough(two_person=TwoPerson.BEFORE)
        turn = request(ask(), None, at(rules=rules))
        assert turn.outcome is Outcome.PENDING
        assert turn.grant
        assert not turn.grant.authorises(T)
        assert due(turn.grant, T + minutes(29)) == turn.grant
        expired = due(turn.grant, T + minutes(31))
        assert (expired.state, expired.ended_at) == (GrantState.EXPIRED, T + minutes(30))
        assert approve(ask("r1", by="bob"), expired, at(31, rules)).outcome is Outcome.REFUSED

    def test_off_asks_nobody(self) -> None:
        assert lasts(granted(request(ask("2h"), None, at(rules=Passthrough(two_person=TwoPerson.OFF))))) == minutes(120)

    def test_nobody_alone_means_waiting(self) -> None:
        rules = Passthrough(solo_duration=timedelta())
        assert request(ask("5m"), None, at(rules=rules)).outcome is Outcome.PENDING

    @pytest.mark.parametrize(
        ("asked", "rules", "says"),
        [
            (ask("soon"), RULES, "is not a duration"),
            (ask(""), RULES, "is not a duration"),
            (ask("0s"), RULES, "of 0s is none; type emergency-passthrough=15m"),
            (ask("5h"), RULES, "longer than maxDuration (4h)"),
            (ask(reason="too short     "), RULES, "at least 15 characters"),
            (ask(ticket="INC-1 x"), Passthrough(ticket_pattern="INC-[0-9]+"), "a ticket that matches INC-[0-9]+"),
            (ask(scope="Ünsafe"), RULES, "which is no policy kind"),
            (ask(by=""), RULES, "nobody is not a person"),
            (ask(by="system:serviceaccount:flux:kustomize"), RULES, "is not a person"),
            (ask(by="bob"), Passthrough(identity_pattern="oidc:(.+)@example.com"), "bob is not a person"),
        ],
    )
    def test_is_refused_with_what_to_type(self, asked: Ask, rules: Passthrough, says: str) -> None:
        turn = request(asked, None, at(rules=rules))
        assert turn.outcome is Outcome.REFUSED
        assert says in turn.message
        assert turn.grant
        assert turn.grant.state is GrantState.REFUSED
        assert request(asked, turn.grant, at(1, rules)).outcome is Outcome.ANSWERED

    def test_unattributed(self) -> None:
        nobody = at(attribution=Attribution.NONE)
        assert "charts/plain/admission.yaml" in request(ask(), None, nobody).message
        accepting = replace(nobody, rules=Passthrough(unattributed=Unattributed.ACCEPT))
        grant = granted(request(ask(), None, accepting))
        assert (grant.requested_by, lasts(grant)) == ("", minutes(15)), "what anybody could write is not written down"
        assert approve(ask("r1", by="bob"), grant, accepting).outcome is Outcome.REFUSED
        assert approve(ask("r1", by="bob"), grant, replace(accepting, attribution=Attribution.STAMPED)).outcome is (
            Outcome.REFUSED
        )

    def test_unknown_is_no_grant_and_no_refusal(self) -> None:
        turn = request(ask(), None, at(spent=None))
        assert (turn.outcome, turn.grant) == (Outcome.UNKNOWN, None)

    def test_without_a_stamp_the_value_is_the_request(self) -> None:
        assert ask("45m#a", id="").request_id == ask("45m#a", id="").request_id != ask("45m#b", id="").request_id

    def test_a_request_id_is_granted_once(self) -> None:
        grant = active()
        assert request(ask(), grant, at(1)).outcome is Outcome.ANSWERED
        spent = grants.spent_of([grants.to_status(grant)])
        assert request(ask(), None, at(60, spent=spent)).outcome is Outcome.ANSWERED


class TestBudget:
    def test_alone_is_alone_all_day(self) -> None:
        rules = RULES
        first = Spent("r0", T - minutes(60), T - minutes(50), alone="Ann")
        assert lasts(granted(request(ask(), None, at(rules=rules, spent=(first,))))) == minutes(5)
        assert lasts(granted(request(ask(by="bob"), None, at(spent=(first,))))) == minutes(15)
        later = at(24 * 60 - 50, spent=(first,))
        assert lasts(granted(request(ask(), None, later))) == minutes(15)

    def test_asking_again_and_again_is_no_way_around_it(self) -> None:
        grant, again = active(), ask("45m", "r2")
        turn = request(again, grant, at(10))
        assert granted(turn).expires_at == grant.expires_at
        assert turn.superseded
        assert (turn.superseded.state, turn.superseded.end_reason) == (GrantState.ENDED, EndReason.SUPERSEDED)
        assert granted(turn).state is GrantState.ACTIVE, "traffic is there already"

    def test_all_together_have_max_duration(self) -> None:
        two = Spent("r0", T - minutes(300), T - minutes(80), alone=None)
        turn = request(ask("1h"), None, at(rules=Passthrough(two_person=TwoPerson.OFF), spent=(two,)))
        assert lasts(granted(turn)) == minutes(20)
        turn = request(ask("1h"), None, at(spent=(replace(two, end=T),)))
        assert turn.outcome is Outcome.REFUSED
        assert "the budget of 4h within 24h is used up" in turn.message

    def test_early_ends_give_back(self) -> None:
        ended = grants.ended(active(), T + minutes(3), EndReason.OFF)
        assert lasts(granted(request(ask("1h", "r2"), grants.rearmed(ended), at(10)))) == minutes(12)


class TestApproval:
    def test_extends_to_what_was_asked_from_the_first_minute(self) -> None:
        grant = granted(approve(ask("r1#yes", by="bob"), active(), at(10)))
        assert (grant.state, grant.approved_by, lasts(grant)) == (GrantState.ACTIVE, "bob", minutes(45))

    def test_starts_what_waits(self) -> None:
        rules = Passthrough(two_person=TwoPerson.BEFORE)
        pending = request(ask(), None, at(rules=rules)).grant
        grant = granted(approve(ask("r1", by="bob"), pending, at(20, rules)))
        assert (grant.state, grant.granted_at, lasts(grant)) == (GrantState.STARTING, T + minutes(20), minutes(45))

    def test_leaves_within_the_budget(self) -> None:
        two = Spent("r0", T - minutes(300), T - minutes(80), alone=None)
        turn = approve(ask("r1", by="bob"), active(), at(10, spent=(two,)))
        assert lasts(granted(turn)) == minutes(20)
        assert "all that maxDuration leaves" in turn.message

    @pytest.mark.parametrize(
        ("asked", "says"),
        [
            (ask("r1", by="ann"), "ann has asked for it"),
            (ask("r1", by="ANN"), "ann has asked for it"),
            (ask("r2", by="bob"), "r2 is not the request that is waiting; type approve-passthrough=r1"),
            (ask("", by="bob"), "an empty value is not the request"),
            (ask("r1", by="system:serviceaccount:argocd:app"), "not known as a person"),
            (ask("r1", by=""), "not known as a person"),
        ],
    )
    def test_is_by_a_second_person(self, asked: Ask, says: str) -> None:
        turn = approve(asked, active(), at(1))
        assert (turn.outcome, turn.grant) == (Outcome.REFUSED, active())
        assert says in turn.message

    def test_two_accounts_of_one_person_are_one(self) -> None:
        rules = Passthrough(identity_pattern="(?:oidc|saml):(.+)@example.com")
        grant = granted(request(ask(by="oidc:ann@example.com"), None, at(rules=rules)))
        assert approve(ask("r1", by="saml:Ann@example.com"), grant, at(1, rules)).outcome is Outcome.REFUSED
        assert approve(ask("r1", by="saml:bob@example.com"), grant, at(1, rules)).outcome is Outcome.APPROVED

    def test_comes_too_late(self) -> None:
        turn = approve(ask("r1", by="bob"), active(), at(16))
        assert turn.outcome is Outcome.REFUSED
        assert turn.grant
        assert turn.grant.state is GrantState.REARMING
        assert "is over since 2026-11-23T03:15:00Z (Expired)" in turn.message

    def test_once(self) -> None:
        grant = granted(approve(ask("r1", by="bob"), active(), at(10)))
        assert approve(ask("r1#again", by="eve"), grant, at(11)).outcome is Outcome.ANSWERED


class TestEnd:
    def test_by_itself(self) -> None:
        grant = active()
        assert due(grant, T + minutes(14)) == grant
        over = due(grant, T + minutes(70))
        assert (over.state, over.ended_at, over.end_reason) == (GrantState.REARMING, T + minutes(15), EndReason.EXPIRED)
        assert grants.rearmed(over) == replace(over, state=GrantState.ENDED)

    def test_by_somebody(self) -> None:
        turn = request(ask("off#1", id="r9", by="bob", reason=""), active(), at(5))
        assert turn.outcome is Outcome.ENDED
        assert turn.grant
        assert (turn.grant.state, turn.grant.end_reason) == (GrantState.REARMING, EndReason.OFF)
        assert request(ask("off", id="r10"), turn.grant, at(6)).outcome is Outcome.REFUSED
        assert request(ask("off"), None, at(spent=None)).outcome is Outcome.REFUSED

    def test_a_leader_whose_clock_shows_an_earlier_time_does_not_lengthen_it(self) -> None:
        over = due(active(), T - minutes(5))
        assert (over.state, over.end_reason) == (GrantState.REARMING, EndReason.CLOCK)
        assert over.ended_at == T + minutes(15), "all of it counts as used"
        assert due(active(), T - timedelta(seconds=20)).state is GrantState.ACTIVE

    def test_exposed_too_late_re_arms(self) -> None:
        grant = granted(request(ask(), None, at()))
        assert grants.exposed(grant, T + minutes(16)).state is GrantState.REARMING

    def test_another_scope_needs_an_end_first(self) -> None:
        turn = request(ask("10m", "r2", scope="rbac"), active(), at(5))
        assert (turn.outcome, turn.grant) == (Outcome.REFUSED, active())
        assert "type emergency-passthrough=off" in turn.message

    def test_a_new_one_while_re_arming_goes_back_to_the_same(self) -> None:
        over = grants.rearms_at(grants.ended(active(), T + minutes(5), EndReason.OFF), "older")
        grant = granted(request(ask("5m", "r2"), over, at(6)))
        assert (grant.state, grant.rearm_revision) == (GrantState.STARTING, "older")


@pytest.mark.parametrize(
    ("left", "proven", "goes_to"),
    [
        ([], ["old", "good"], "good"),
        ([("good", T - minutes(1))], ["old", "good"], "good"),
        ([("bad", T)], ["old", "good"], "good"),
        ([("good", T)], ["older", "old", "good"], "old"),
        ([("good", T), ("old", T)], ["older", "old"], "older"),
        ([("good", T)], [], "good"),
    ],
)
def test_where_traffic_goes_when_it_ends(left: list[tuple[str, datetime]], proven: list[str], goes_to: str) -> None:
    assert rearm_revision("good", T, left, proven) == goes_to


TIMES = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=40)
ANY_GRANT = st.builds(
    Grant,
    state=st.sampled_from(GrantState),
    request_id=WORDS.filter(bool),
    requested_by=WORDS,
    requested_at=TIMES.filter(bool),
    requested_duration=st.integers(0, 20_000).map(lambda s: timedelta(seconds=s)),
    reason=WORDS,
    ticket=WORDS,
    scope=st.lists(st.sampled_from(["a", "b-c"]), unique=True).map(tuple),
    approved_by=WORDS,
    granted_at=TIMES,
    effective_at=TIMES,
    last_answer_at=TIMES,
    expires_at=TIMES,
    ended_at=TIMES,
    end_reason=st.sampled_from([*EndReason, ""]),
    rearm_revision=st.sampled_from(["", "9b1e04c7aa"]),
)


@settings(deadline=None)
@given(ANY_GRANT)
def test_status_gives_the_grant_back_and_fits_the_crd(grant: Grant) -> None:
    status = grants.to_status(grant)
    assert grants.from_status(status) == grant
    schema = crd.version("gatewaydeployments")["schema"]["openAPIV3Schema"]["properties"]["status"]
    jsonschema.validate(status, {**schema["properties"]["passthrough"], "additionalProperties": False})


PEOPLE = ["ann", "bob", "eve", "", "system:serviceaccount:flux:kustomize"]


@dataclass
class History:
    """One object under arbitrary people, clocks and crashes, and what is promised of it."""

    rules: Passthrough
    now: datetime = T
    attribution: Attribution = Attribution.STAMPED
    grant: Grant | None = None
    incidents: dict[str, Grant] = field(default_factory=dict)

    def circumstances(self, readable: bool) -> Circumstances:
        spent = grants.spent_of(grants.to_status(g) for g in self.incidents.values()) if readable else None
        return Circumstances(self.now, self.rules, self.attribution, spent, "good", lambda verb, value: "type …")

    def take(self, turn: Turn) -> None:
        if turn.superseded:
            self.write(turn.superseded)
        if turn.grant:
            self.write(turn.grant)
        if turn.outcome is Outcome.UNKNOWN:
            assert turn.grant is None or turn.grant.state is not GrantState.STARTING or turn.grant == self.grant
        self.grant = turn.grant

    def write(self, grant: Grant) -> None:
        before = self.incidents.get(grant.request_id)
        if before and before.granted_at:
            assert before.granted_at == grant.granted_at, "no second grant from one request"
        if grant.granted_at:
            self.incidents[grant.request_id] = grant

    def move(self, change: Callable[[Grant], Grant]) -> None:
        if self.grant:
            self.grant = change(self.grant)
            self.write(self.grant)

    def check(self) -> None:
        grant, rules = self.grant, self.rules
        assert not grant or (grant.state in grants.RUNNING) == grant.authorises(self.now), "no running past its end"
        if grant and grant.authorises(self.now):
            assert len(grant.reason) >= 15
            assert grant.requested_by in ("ann", "bob", "eve") or rules.unattributed is Unattributed.ACCEPT
            assert grant.approved_by in ("", "ann", "bob", "eve")
            assert grant.approved_by != grant.requested_by or not grant.approved_by
            assert grant.granted_at
            assert self.now < grant.granted_at + min(grant.requested_duration, rules.max_duration)
        spans = [s for s in map(grants.spent_by, self.incidents.values()) if s]
        for window_end in [s.end for s in spans]:
            self.check_window(spans, window_end)

    def check_window(self, spans: list[Spent], end: datetime) -> None:
        def total(some: list[Spent]) -> timedelta:
            start = end - self.rules.budget_window
            return sum((max(min(s.end, end) - max(s.start, start), timedelta()) for s in some), timedelta())

        assert total(spans) <= self.rules.max_duration
        if self.rules.two_person is not TwoPerson.OFF:
            for who in {s.alone for s in spans if s.alone is not None}:
                assert total([s for s in spans if s.alone == who]) <= self.rules.solo_duration


# Mostly what may succeed: a refusal changes little.
READABLE = st.sampled_from([True, True, True, True, False])
WHO = st.sampled_from(["ann", "ann", "ann", "bob", "bob", "eve", *PEOPLE])
ASKS = st.tuples(
    st.just("ask"),
    st.sampled_from(["5m", "45m#x", "3h", "3h", "4h", "9h", "off", "x"]),
    st.integers(0, 30),
    WHO,
    st.sampled_from([REASON, REASON, REASON, "short"]),
    st.sampled_from(["", "", "", "rbac"]),
    READABLE,
)
APPROVALS = st.tuples(st.just("approve"), st.sampled_from([-1, -1, -1, 0, 1]), WHO, READABLE)
STEPS = st.one_of(
    ASKS,
    APPROVALS,
    st.tuples(st.just("clock"), st.sampled_from([0.2, 1, 4, 14, 16, 50, 200, 1300, -30])),
    st.tuples(
        st.just("pass"), st.sampled_from(["exposed", "exposed", "effective", "rearmed", "restart", "unavailable"])
    ),
)


def play(history: History, step: tuple[Any, ...]) -> None:
    match step:
        case ("ask", value, number, by, reason, scope, readable):
            asked = Ask(value, f"r{number}", by, reason, scope)
            history.take(request(asked, history.grant, history.circumstances(readable)))
        case ("approve", number, by, readable):
            id = f"r{number}" if number >= 0 or not history.grant else history.grant.request_id
            history.take(approve(Ask(id, "", by), history.grant, history.circumstances(readable)))
        case ("clock", number):
            history.now += minutes(number)
        case ("pass", "exposed"):
            history.move(lambda g: grants.exposed(g, history.now))
        case ("pass", "effective"):
            history.move(lambda g: grants.effective(g, history.now))
        case ("pass", "rearmed"):
            history.move(grants.rearmed)
        case ("pass", "restart"):
            history.move(lambda g: grants.from_status(grants.to_status(g)))
        case ("pass", "unavailable"):
            history.move(lambda g: grants.ended(g, history.now, EndReason.UNAVAILABLE) if g.effective_at is None else g)
    history.move(lambda g: due(g, history.now))
    history.check()


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(TwoPerson),
    st.sampled_from(Unattributed),
    st.sampled_from([Attribution.STAMPED, Attribution.CHECKED, Attribution.NONE]),
    st.sampled_from([15, 0, 60]),
    st.lists(STEPS, min_size=15, max_size=50),
)
def test_whatever_people_clocks_and_crashes_do(
    two: TwoPerson, unattributed: Unattributed, attribution: Attribution, solo: float, steps: list[tuple[Any, ...]]
) -> None:
    rules = Passthrough(two_person=two, unattributed=unattributed, solo_duration=minutes(solo))
    history = History(rules, attribution=attribution)
    for step in steps:
        play(history, step)


def test_the_histories_come_to_passthroughs() -> None:
    """The property above would hold of an operator that refuses everything."""
    history = History(RULES)
    for step in [
        ("ask", "45m#x", 1, "ann", REASON, "", True),
        ("pass", "exposed"),
        ("approve", -1, "bob", True),
        ("clock", 16),
        ("pass", "restart"),
    ]:
        play(history, step)
    assert history.grant
    assert history.grant.authorises(history.now)
