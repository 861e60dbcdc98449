"""Requests of people: every verb in every situation does what the table says, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.policy import BehaviourTest, Expectation, Message
from keeptrusts_operator.api.rollout import Step
from keeptrusts_operator.core.look import Look
from keeptrusts_operator.core.requests import JUST_NOW, PREVIOUS, TABLE, Does, Situation, situation
from keeptrusts_operator.core.state import Answer, Outcome, Stage, State
from keeptrusts_operator.core.world import Asked, TestReport, TestResult, TestVerdict, only
from tests.unit.core.build import A, B, C, Cluster, content, seconds, spec


def brought_to(wanted: Situation) -> Cluster:
    """A cluster in a situation: A was active before B; C is on its way where something is."""
    cluster = Cluster(content(A))
    cluster.auto_ready = False
    if wanted is Situation.EMPTY:
        cluster.step()
        cluster.state = State(uid="uid-kt")
        return cluster
    if wanted is Situation.FIRST:
        cluster.run()
        return cluster
    cluster.auto_ready = True
    cluster.stable_on(A)
    cluster.stable_on(B)
    cluster.now += seconds(3600)
    if wanted is Situation.STABLE:
        return cluster
    if wanted is Situation.RETURNING:
        cluster.auto_ready = False
        cluster.ask(Verb.ROLLBACK, f"{A}#setup")
        cluster.requests.clear()
        return cluster
    if wanted is Situation.PASSTHROUGH:
        cluster.ask(Verb.EMERGENCY_PASSTHROUGH, "10m#setup")
        cluster.run()
        cluster.requests.clear()
        return cluster
    cluster.desired = content(C)
    if wanted is Situation.UNEXPOSED:
        cluster.auto_ready = False
    if wanted is Situation.SCALE_UP:
        cluster.spec = spec(steps=(Step(0.2, seconds(10)),))
    cluster.run()
    if wanted is Situation.SCALE_UP:
        cluster.auto_ready = False
        cluster.pass_time(10)
    if wanted is Situation.SOAKING:
        cluster.pass_time(31)
    return cluster


TEST = BehaviourTest("t", (Message("user", "hello"),), Expectation.ALLOW)
VALUES = {
    Verb.ROLLBACK: PREVIOUS,
    Verb.PROMOTE: C,
    Verb.PAUSE: "true",
    Verb.RETRY: C,
    Verb.RESTART: "now",
    Verb.EMERGENCY_PASSTHROUGH: "15m",
    Verb.APPROVE_PASSTHROUGH: "x",
}


@pytest.mark.parametrize("where", list(Situation))
def test_situations_are_what_they_are_called(where: Situation) -> None:
    cluster = brought_to(where)
    assert situation(Look(cluster.world(), cluster.state)) is where


@pytest.mark.parametrize("where", list(Situation))
@pytest.mark.parametrize("verb", list(Verb))
def test_every_verb_in_every_situation_does_what_the_table_says(verb: Verb, where: Situation) -> None:
    cluster = brought_to(where)
    before = cluster.state
    decision = cluster.ask(verb, VALUES[verb])
    after = cluster.state
    request = after.request(verb)
    assert request is not None
    does = TABLE[verb][where]
    rollout = after.rollout
    left = after.history[len(before.history) :]
    done = {
        Does.REFUSE: False,
        Does.GRANT: after.passthrough is not None and after.passthrough.request_id == "id-15m",
        Does.APPROVE: False,  # there is none that waits for "x"
        Does.REARM_ON: after.passthrough is not None and after.passthrough.rearm_revision == A,
        Does.LEAVE: bool(left) and left[0].outcome is Outcome.ROLLED_BACK,
        Does.GO_BACK: rollout is not None and rollout.requested and rollout.revision == A,
        Does.SKIP_AHEAD: rollout is not None and rollout.skip_steps,
        Does.SKIP: rollout is not None and rollout.stage is Stage.SCALE_UP,
        Does.END_SOAK: after.active == C and rollout is None,
        Does.LEVEL: after.paused,
        Does.RELEASE: False,  # nothing is in quarantine here: refused with that as the reason
        Does.RESTART: after.restarted_at == cluster.now,
    }[does]
    assert request.outcome is (Answer.DONE if done else Answer.REFUSED), request.message
    if does not in (Does.REFUSE, Does.APPROVE, Does.RELEASE):
        assert done, f"{does}: {request.message}"
    if request.outcome is Answer.REFUSED:
        assert request.message
        assert replace(after, requests=()) == replace(before, requests=()), "a refused request changes nothing"
        assert any(getattr(a, "reason", "") == "RequestRefused" for a in decision.actions)
    again = cluster.step()
    assert not again.transition.endswith("Requested"), "acted on once"


@pytest.mark.parametrize("verb", list(Verb))
def test_what_is_found_at_first_sight_is_ignored(verb: Verb) -> None:
    cluster = Cluster(content(A))
    cluster.requests[verb] = Asked(VALUES[verb])
    cluster.pass_time(300)
    request = cluster.state.request(verb)
    assert request is not None
    assert request.outcome is Answer.IGNORED
    assert cluster.state.active == A


def test_the_same_value_is_the_same_request_and_another_end_is_another() -> None:
    cluster = brought_to(Situation.STABLE)
    cluster.ask(Verb.RESTART, "x#1")
    cluster.now += seconds(60)
    first = cluster.state.restarted_at
    cluster.requests[Verb.RESTART] = Asked("x#1", "another-stamp", "bob")
    cluster.run()
    assert cluster.state.restarted_at == first
    cluster.ask(Verb.RESTART, "x#2")
    assert cluster.state.restarted_at == cluster.now


def test_losing_the_annotation_neither_resumes_nor_repeats() -> None:
    cluster = brought_to(Situation.CANARY)
    cluster.ask(Verb.PAUSE, "true")
    cluster.requests.clear()
    cluster.pass_time(600)
    assert cluster.state.rollout is not None
    assert cluster.state.rollout.held_reason == "Paused"
    cluster.ask(Verb.PAUSE, "false")
    cluster.pass_time(600)
    assert cluster.state.active == C


def test_a_rollback_by_request_is_lowered_in_the_same_pass_and_not_tried_again() -> None:
    cluster = brought_to(Situation.CANARY)
    cluster.ask(Verb.ROLLBACK, f"{C}#1")
    assert cluster.service.exposure == only(B)
    cluster.pass_time(600)
    assert cluster.state.active == B
    assert cluster.state.rollout is None
    cluster.ask(Verb.RETRY, C)
    cluster.pass_time(600)
    assert cluster.state.active == C


def test_going_back_waits_for_all_pods_and_leaves_the_bad_one_for_good() -> None:
    cluster = brought_to(Situation.RETURNING)
    cluster.pass_time(60)
    assert cluster.service.exposure == only(B), "not before its pods are ready"
    cluster.sicken(A, ready=True)
    cluster.run()
    assert cluster.service.exposure == only(A)
    assert cluster.state.active == A
    cluster.pass_time(600)
    assert cluster.state.active == A, "what spec wants is not tried again by itself"
    cluster.desired = content(C)
    cluster.auto_ready = True
    cluster.pass_time(600)
    assert cluster.state.active == C


def test_previous_right_after_a_rollback_is_not_meant_for_the_good_revision() -> None:
    cluster = brought_to(Situation.CANARY)
    cluster.ask(Verb.ROLLBACK, f"{C}#1")
    cluster.now += seconds(5)
    cluster.ask(Verb.ROLLBACK, f"{PREVIOUS}#2")
    request = cluster.state.request(Verb.ROLLBACK)
    assert request is not None
    assert request.outcome is Answer.REFUSED
    cluster.now += JUST_NOW
    cluster.ask(Verb.ROLLBACK, f"{PREVIOUS}#3")
    assert cluster.state.rollout is not None
    assert cluster.state.rollout.revision == A


def test_a_crash_after_the_flip_answers_the_request_once() -> None:
    cluster = brought_to(Situation.CANARY)
    before = cluster.state
    cluster.ask(Verb.ROLLBACK, f"{PREVIOUS}#1")
    cluster.state = before  # status was not written
    cluster.pass_time(60)
    assert cluster.state.active == B
    assert cluster.state.rollout is None, "not a second time, to a revision before B"
    request = cluster.state.request(Verb.ROLLBACK)
    assert request is not None
    assert request.outcome is Answer.DONE


def test_a_promoted_candidate_still_has_to_pass_its_tests() -> None:
    cluster = brought_to(Situation.UNEXPOSED)
    cluster.desired = replace(content(C), tests=(TEST,))
    cluster.ask(Verb.PROMOTE, C)
    cluster.auto_ready = True
    cluster.sicken(C, ready=True)
    cluster.run()
    rollout = cluster.state.rollout
    assert rollout is not None
    assert rollout.stage is Stage.TESTING
    assert cluster.service.exposure == only(B)
    cluster.tests = TestReport(rollout.id, (TestResult("t", TestVerdict.PASSED),))
    cluster.run()
    assert cluster.service.exposure == only(C), "steps skipped"
