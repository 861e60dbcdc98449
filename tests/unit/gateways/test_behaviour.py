"""Behaviour tests against a small fake gateway: only a decision about the policy may pass or fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import httpx
import pytest

from keeptrusts_operator.api.gateway import Decisions, GatewaySettings, MetricsSettings, Profile, Scheme
from keeptrusts_operator.api.policy import BehaviourTest, Expectation, Message
from keeptrusts_operator.api.references import NotReadable, Token, Unread
from keeptrusts_operator.core.world import TestReport, TestResult, TestVerdict
from keeptrusts_operator.gateways.behaviour import MAX_BODY, BehaviourTests, Plan
from keeptrusts_operator.gateways.pods import Target

ALLOW, BLOCK, REDACT, ESCALATE = Expectation.ALLOW, Expectation.BLOCK, Expectation.REDACT, Expectation.ESCALATE
PASSED, FAILED, UNKNOWN = TestVerdict.PASSED, TestVerdict.FAILED, TestVerdict.UNKNOWN

DECISIONS = Decisions(
    counter="gw_decisions_total",
    label="decision",
    blocked=("block", "blocked"),
    allowed=("allow",),
    redacted=("Redacted",),
    escalated=("escalate",),
)
SETTINGS = GatewaySettings(
    profile=Profile.CUSTOM,
    port=8080,
    config_file="/etc/gw.yaml",
    args=(),
    chat_path="/v1/chat/completions",
    blocked_status=(409,),
    metrics=MetricsSettings(path="/metrics", decisions=DECISIONS),
)
NO_COUNTER = replace(SETTINGS, metrics=MetricsSettings(path="/metrics"))
POD, OTHER_POD = Target("uid-1", "10.0.0.1"), Target("uid-2", "10.0.0.2")


@dataclass(frozen=True)
class Reply:
    """What the fake does with a prompt: its answer, what it counts, and how often its metrics are read before it shows."""

    status: int = 200
    counts: tuple[str, ...] = ("allow",)
    body: str = '{"choices": []}'
    shown_after: int = 0
    error: Callable[[httpx.Request], Exception] | None = None


def error_body(code: str, policy: str = "pii-detector") -> str:
    return json.dumps({"error": {"message": "no", "code": code, "policy": policy}})


def timed_out(request: httpx.Request) -> Exception:
    return httpx.ReadTimeout("30 s", request=request)


def refused(request: httpx.Request) -> Exception:
    return httpx.ConnectError("refused", request=request)


BLOCKED = Reply(409, ("blocked",), error_body("input_blocked"))
ALLOWED, REDACTED = Reply(), Reply(counts=("redacted",))
ESCALATED = Reply(409, ("escalate",), error_body("escalation_required", "human-oversight"))


class Gateway:
    """Replies by the content of the first message; a list is used up until its last reply, which stays."""

    def __init__(self, **replies: Reply | list[Reply]) -> None:
        self.replies = {k: list(v) if isinstance(v, list) else [v] for k, v in replies.items()}
        self.counted = {"allow": 7, "blocked": 3}
        self.pending: list[tuple[int, tuple[str, ...]]] = []
        self.requests: list[httpx.Request] = []
        self.metrics: Callable[[httpx.Request], httpx.Response | None] = lambda request: None

    @property
    def prompts(self) -> list[str]:
        return [json.loads(r.content)["messages"][0]["content"] for r in self.requests]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        return self._metrics(request) if request.url.path == "/metrics" else self._chat(request)

    def _chat(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/chat/completions"
        self.requests.append(request)
        replies = self.replies[self.prompts[-1]]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if reply.error:
            raise reply.error(request)
        self.pending.append((reply.shown_after, reply.counts))
        return httpx.Response(reply.status, text=reply.body)

    def _metrics(self, request: httpx.Request) -> httpx.Response:
        for _, words in (p for p in self.pending if p[0] <= 0):
            for word in words:
                self.counted[word] = self.counted.get(word, 0) + 1
        self.pending = [(after - 1, words) for after, words in self.pending if after > 0]
        lines = [f'gw_decisions_total{{decision="{word}",model="m"}} {n}' for word, n in self.counted.items()]
        return self.metrics(request) or httpx.Response(200, text="\n".join([*lines, "up 1", ""]))


class Run:
    """`BehaviourTests` with a clock that sleeping moves. It goes on until every test has a verdict or `seconds` are over."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.at, self.slept, self.wakes = 0.0, list[float](), 0
        self.stop_at = 0.0
        self.stopped = asyncio.Event()
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(gateway))
        self.tests = BehaviourTests(self.client, self._wake, self._sleep, lambda: self.at)

    def _wake(self) -> None:
        self.wakes += 1
        if self._done():
            self.stopped.set()

    async def _sleep(self, seconds: float) -> None:
        if seconds >= 1 and self.at + seconds > self.stop_at:  # back-off; a counter is always waited for to the end
            self.stopped.set()
            await asyncio.Event().wait()
        self.slept.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)

    async def until(self, seconds: float = 0.0) -> dict[str, TestResult]:
        """Run it from now on for so long; what it reports then."""
        self.stop_at = self.at + seconds
        self.stopped.clear()
        task = asyncio.create_task(self.tests.run())
        stopped = asyncio.create_task(self.stopped.wait())
        if self._done():
            await asyncio.sleep(0.01)  # it could still do something that it should not
        else:
            await asyncio.wait((task, stopped), timeout=10, return_when=asyncio.FIRST_COMPLETED)
            assert self.stopped.is_set(), task
        stopped.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        report = self.tests.report()
        return {r.name: r for r in report.results} if report else {}

    def _done(self) -> bool:
        plan, report = self.tests._plan, self.tests.report()
        settled = {r.name for r in report.results if r.verdict is not UNKNOWN} if report else set()
        return plan is None or settled >= {t.name for t in plan.tests}

    @property
    def backoffs(self) -> list[float]:
        return [s for s in self.slept if s >= 1]


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Run]]:
    runs: list[Run] = []

    def _start(settings: GatewaySettings = SETTINGS, tests: tuple[BehaviourTest, ...] = (), **replies: Reply) -> Run:
        run = Run(Gateway(**replies))
        run.tests.aim(plan(*tests, settings=settings))
        runs.append(run)
        return run

    yield _start
    for run in runs:
        await run.client.aclose()


def case(expect: Expectation, prompt: str = "hello", code: str | None = None, name: str = "") -> BehaviourTest:
    return BehaviourTest(name or prompt, (Message("user", prompt),), expect, code)


def plan(
    *tests: BehaviourTest, settings: GatewaySettings = SETTINGS, pod: Target = POD, rollout_id: str = "r1"
) -> Plan:
    return Plan(rollout_id, pod, tests, "gpt-4o-mini", settings)


Start = Callable[..., Run]


@pytest.mark.parametrize(
    ("expect", "reply"),
    [
        (ALLOW, ALLOWED),
        (BLOCK, BLOCKED),
        (REDACT, REDACTED),
        (ESCALATE, ESCALATED),
        (ESCALATE, replace(ESCALATED, status=200)),
        (BLOCK, replace(BLOCKED, counts=("BLOCK",))),
        (ALLOW, replace(ALLOWED, counts=("Allow",))),
    ],
)
async def test_it_passes_when_the_counter_shows_what_is_expected(
    start: Start, expect: Expectation, reply: Reply
) -> None:
    run = start(tests=(case(expect),), hello=reply)
    assert await run.until() == {"hello": TestResult("hello", PASSED)}
    assert run.wakes == 1


@pytest.mark.parametrize(
    ("expect", "reply", "message"),
    [
        (ALLOW, BLOCKED, "expected Allow, was blocked (HTTP 409, input_blocked by pii-detector)"),
        (
            ALLOW,
            ESCALATED,
            "expected Allow, was escalated (HTTP 409, escalation_required by human-oversight)",
        ),
        (BLOCK, ESCALATED, "expected Block, was escalated (HTTP 409, escalation_required by human-oversight)"),
        (BLOCK, ALLOWED, "expected Block, was allowed (HTTP 200)"),
        (REDACT, ALLOWED, "expected Redact, was allowed (HTTP 200)"),
        (ALLOW, REDACTED, "expected Allow, was redacted (HTTP 200)"),
        (ALLOW, replace(BLOCKED, body="<html>no</html>"), "expected Allow, was blocked (HTTP 409)"),
        (ALLOW, replace(BLOCKED, body='{"error": "no"}'), "expected Allow, was blocked (HTTP 409)"),
        (ALLOW, replace(BLOCKED, body='{"error": {"code": 7}}'), "expected Allow, was blocked (HTTP 409)"),
        (ALLOW, replace(BLOCKED, body="[" * 100_000), "expected Allow, was blocked (HTTP 409)"),
    ],
)
async def test_it_fails_when_the_counter_shows_something_else(
    start: Start, expect: Expectation, reply: Reply, message: str
) -> None:
    assert (await start(tests=(case(expect),), hello=reply).until())["hello"] == TestResult("hello", FAILED, message)


async def test_the_error_code_must_be_the_expected_one(start: Start) -> None:
    run = start(
        tests=(case(BLOCK, "right", "input_blocked"), case(BLOCK, "wrong", "pii"), case(BLOCK, "none", "pii")),
        right=BLOCKED,
        wrong=BLOCKED,
        none=replace(BLOCKED, body=""),
    )
    results = await run.until()
    assert results["right"].verdict is PASSED
    assert results["wrong"] == TestResult(
        "wrong", FAILED, "expected Block with pii, was blocked (HTTP 409, input_blocked by pii-detector)"
    )
    assert results["none"] == TestResult("none", FAILED, "expected Block with pii, was blocked (HTTP 409)")


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(error=timed_out), "ReadTimeout"),
        (Reply(error=refused), "ConnectError"),
        (Reply(401, ()), "wants a token (HTTP 401): name its Secret in spec.gateway.authorization.secretKeyRef"),
        (Reply(403, ()), "wants a token (HTTP 403): name its Secret in spec.gateway.authorization.secretKeyRef"),
        (Reply(404, ()), "HTTP 404"),
        (Reply(429, ()), "HTTP 429"),
        (Reply(500, ()), "HTTP 500"),
        (Reply(503, ("blocked",), error_body("input_blocked")), "HTTP 503"),
        (Reply(302, ()), "HTTP 302"),
        (Reply(400, ()), "the gateway calls the request malformed (HTTP 400)"),
        (Reply(422, ()), "the gateway calls the request malformed (HTTP 422)"),
        (Reply(409, ("allow",)), "counter and answer disagree"),
        (Reply(409, ("redacted",)), "counter and answer disagree"),
        (Reply(200, ("blocked",)), "counter and answer disagree"),
        (Reply(200, ("flagged",)), "decision='flagged'"),
        (Reply(200, ("allow", "allow")), "moved by 2"),
        (Reply(200, ("allow", "redacted")), "moved by 2"),
        (Reply(200, ()), "gw_decisions_total has not counted it"),
        (replace(BLOCKED, counts=()), "gw_decisions_total has not counted it"),
        (Reply(200, body="x" * (MAX_BODY + 1)), "more than"),
    ],
)
@pytest.mark.parametrize("expect", list(Expectation))
async def test_what_says_nothing_about_the_policy_is_unknown(
    start: Start, expect: Expectation, reply: Reply, says: str
) -> None:
    result = (await start(tests=(case(expect),), hello=reply).until())["hello"]
    assert result.verdict is UNKNOWN
    assert says in result.message
    assert "hello" not in result.message


@pytest.mark.parametrize("page", [httpx.Response(503), httpx.Response(200, text="<html>"), None])
async def test_unreadable_counters_are_unknown_and_nothing_is_sent(start: Start, page: httpx.Response | None) -> None:
    def unreadable(request: httpx.Request) -> httpx.Response:
        if page is None:
            raise httpx.ReadTimeout("2 s", request=request)
        return page

    run = start(tests=(case(ALLOW),), hello=ALLOWED)
    run.gateway.metrics = unreadable
    result = (await run.until())["hello"]
    assert result.verdict is UNKNOWN
    assert "its metrics cannot be read" in result.message
    assert not run.gateway.requests


async def test_one_page_that_is_missed_afterwards_does_not_cost_another_request(start: Start) -> None:
    run = start(tests=(case(ALLOW),), hello=ALLOWED)
    pages = iter([None, httpx.Response(500), None])
    run.gateway.metrics = lambda request: next(pages)
    assert (await run.until())["hello"].verdict is PASSED
    assert len(run.gateway.requests) == 1


async def test_counters_that_stay_unreadable_afterwards_are_unknown(start: Start) -> None:
    run = start(tests=(case(BLOCK),), hello=BLOCKED)
    run.gateway.metrics = lambda request: httpx.Response(500) if run.gateway.requests else None
    result = (await run.until())["hello"]
    assert (result.verdict, result.message) == (UNKNOWN, "its metrics cannot be read: no decision (HTTP 500)")
    assert run.at == pytest.approx(5, abs=0.11)


async def test_a_counter_that_begins_again_is_unknown(start: Start) -> None:
    run = start(tests=(case(ALLOW),), hello=ALLOWED)

    def restarted(request: httpx.Request) -> httpx.Response:
        line = '{decision="allow"} 1' if run.gateway.requests else '{decision="blocked"} 7'
        return httpx.Response(200, text=f"gw_decisions_total{line}\n")

    run.gateway.metrics = restarted
    result = (await run.until())["hello"]
    assert result.verdict is UNKNOWN
    assert "fell" in result.message


async def test_a_counter_may_be_late(start: Start) -> None:
    run = start(tests=(case(REDACT),), hello=replace(REDACTED, shown_after=20))
    assert (await run.until())["hello"].verdict is PASSED
    assert run.slept == [0.1] * 20


async def test_a_counter_is_waited_for_no_longer_than_five_seconds(start: Start) -> None:
    run = start(tests=(case(REDACT),), hello=replace(REDACTED, shown_after=1000))
    assert (await run.until())["hello"].verdict is UNKNOWN
    assert run.at == pytest.approx(5, abs=0.11)


@pytest.mark.parametrize(
    ("expect", "reply", "verdict"),
    [
        (BLOCK, BLOCKED, PASSED),
        (ALLOW, ALLOWED, PASSED),
        (ALLOW, replace(ALLOWED, status=201), PASSED),
        (BLOCK, ALLOWED, FAILED),
        (ALLOW, BLOCKED, FAILED),
        (ALLOW, Reply(422), UNKNOWN),
        (BLOCK, Reply(403), UNKNOWN),
        (BLOCK, Reply(500), UNKNOWN),
    ],
)
async def test_without_a_counter_the_status_decides(
    start: Start, expect: Expectation, reply: Reply, verdict: TestVerdict
) -> None:
    run = start(NO_COUNTER, (case(expect),), hello=reply)
    run.gateway.metrics = lambda request: pytest.fail("nobody said that there are any")
    assert (await run.until())["hello"].verdict is verdict


async def test_a_status_that_the_user_lists_is_a_decision_whatever_it_means_elsewhere(start: Start) -> None:
    settings = replace(NO_COUNTER, blocked_status=(403,))
    assert (await start(settings, (case(BLOCK),), hello=Reply(403)).until())["hello"].verdict is PASSED


async def test_a_tls_port_is_not_spoken_to_in_plain_text(start: Start) -> None:
    run = start(replace(NO_COUNTER, scheme=Scheme.HTTPS, blocked_status=(400,)), (case(BLOCK),), hello=Reply(400))
    assert (await run.until())["hello"].verdict is UNKNOWN
    assert not run.gateway.requests


async def test_what_is_sent(start: Start) -> None:
    messages = (Message("system", "be kind"), Message("user", "hi"))
    run = start(tests=(BehaviourTest("a", messages, ALLOW),), **{"be kind": ALLOWED})
    await run.until()
    (request,) = run.gateway.requests
    assert (request.method, str(request.url)) == ("POST", "http://10.0.0.1:8080/v1/chat/completions")
    assert json.loads(request.content) == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}],
        "max_tokens": 1,
        "stream": False,
    }
    assert (request.extensions["timeout"]["connect"], request.extensions["timeout"]["read"]) == (2.0, 30.0)


async def test_a_test_may_name_its_own_model(start: Start) -> None:
    run = start(tests=(replace(case(ALLOW), model="o3"),), hello=ALLOWED)
    await run.until()
    assert json.loads(run.gateway.requests[0].content)["model"] == "o3"


@pytest.mark.parametrize("code", ["my key is sk-abc", "sk-abc", "4111-1111-1111-1111"])
async def test_a_gateway_that_quotes_the_prompt_is_not_quoted(start: Start, code: str) -> None:
    prompt = "my key is sk-abc, my card is 4111-1111-1111-1111"
    run = start(
        tests=(case(ALLOW, prompt, name="a"),), **{prompt: replace(BLOCKED, body=error_body(code, "pii-detector"))}
    )
    assert (await run.until())["a"].message == "expected Allow, was blocked (HTTP 409, by pii-detector)"


async def test_many_must_be_blocked_and_one_is_not(start: Start) -> None:
    prompts = [f"attack-{i}" for i in range(20)]
    replies = dict.fromkeys(prompts, BLOCKED) | {"attack-13": ALLOWED}
    run = start(tests=tuple(case(BLOCK, p) for p in prompts), **replies)
    results = await run.until()
    assert [n for n, r in results.items() if r.verdict is FAILED] == ["attack-13"]
    assert sum(r.verdict is PASSED for r in results.values()) == 19
    assert list(results) == prompts == run.gateway.prompts
    assert run.wakes == 20


async def test_unknown_ones_alone_are_tried_again_until_they_succeed(start: Start) -> None:
    silent = Reply(503, ())
    run = start(tests=(case(ALLOW, "bad"), case(BLOCK, "good")), bad=[silent, silent, silent, ALLOWED], good=BLOCKED)
    results = await run.until(60)
    assert [(r.name, r.verdict) for r in results.values()] == [("bad", PASSED), ("good", PASSED)]
    assert run.gateway.prompts == ["bad", "good", "bad", "bad", "bad"]
    assert run.backoffs == [1, 2, 4]
    assert run.wakes == 3  # unknown, passed, passed; not each time that it is as unknown as before


async def test_the_back_off_ends_at_fifteen_seconds(start: Start) -> None:
    run = start(tests=(case(ALLOW),), hello=Reply(503, ()))
    await run.until(61)
    assert run.backoffs == [1, 2, 4, 8, 15, 15, 15]


async def test_without_a_plan_there_is_no_report_and_no_request(start: Start) -> None:
    run = start(tests=(case(ALLOW),), hello=ALLOWED)
    run.tests.aim(None)
    assert run.tests.report() is None
    assert await run.until() == {}
    assert not run.gateway.requests


async def test_a_plan_that_is_taken_away_takes_its_results_with_it(start: Start) -> None:
    run = start(tests=(case(ALLOW),), hello=ALLOWED)
    await run.until()
    run.tests.aim(None)
    assert run.tests.report() is None
    run.tests.aim(plan(case(ALLOW)))
    assert run.tests.report() == TestReport("r1")


async def test_the_same_plan_goes_on(start: Start) -> None:
    run = start(tests=(case(ALLOW),), hello=ALLOWED)
    await run.until()
    run.tests.aim(plan(case(ALLOW)))
    await run.until()
    assert len(run.gateway.requests) == 1
    assert run.wakes == 1


@pytest.mark.parametrize(
    "other",
    [
        plan(case(BLOCK), rollout_id="r2"),
        plan(case(BLOCK), case(BLOCK, "more")),
        plan(case(BLOCK), settings=replace(SETTINGS, blocked_status=(400,))),
        plan(replace(case(BLOCK), model="o3"), pod=OTHER_POD),
    ],
)
async def test_another_plan_starts_anew(start: Start, other: Plan) -> None:
    run = start(tests=(case(BLOCK),), hello=ALLOWED)
    assert (await run.until())["hello"].verdict is FAILED
    run.tests.aim(other)
    assert run.tests.report() == TestReport(other.rollout_id)


async def test_another_pod_keeps_what_is_settled(start: Start) -> None:
    tests = (case(ALLOW, "passed"), case(BLOCK, "failed"), case(ALLOW, "unknown"))
    run = start(tests=tests, passed=ALLOWED, failed=ALLOWED, unknown=[Reply(503, ()), ALLOWED])
    before = await run.until()
    assert [r.verdict for r in before.values()] == [PASSED, FAILED, UNKNOWN]
    run.tests.aim(plan(*tests, pod=OTHER_POD))
    report = run.tests.report()
    assert report is not None
    assert report.results == (before["passed"], before["failed"])
    after = await run.until()
    assert [r.verdict for r in after.values()] == [PASSED, FAILED, PASSED]
    assert [r.url.host for r in run.gateway.requests] == ["10.0.0.1"] * 3 + ["10.0.0.2"]


async def test_another_plan_does_not_wait_for_the_back_off_of_the_last(start: Start) -> None:
    run = start(tests=(case(ALLOW),), hello=[Reply(503, ()), ALLOWED])
    task = asyncio.create_task(run.tests.run())
    async with asyncio.timeout(10):
        await run.stopped.wait()  # in a sleep that never ends
        run.stopped.clear()
        run.tests.aim(plan(case(ALLOW), pod=OTHER_POD))
        await run.stopped.wait()
    task.cancel()
    assert [r.url.host for r in run.gateway.requests] == ["10.0.0.1", "10.0.0.2"]


async def test_an_answer_to_a_plan_of_before_counts_for_nothing(start: Start) -> None:
    run = start(tests=(case(BLOCK),), hello=[ALLOWED, BLOCKED])
    aimed = False

    def overtaken(request: httpx.Request) -> None:
        nonlocal aimed
        if run.gateway.requests and not aimed:
            aimed = True
            run.tests.aim(plan(case(BLOCK), rollout_id="r2"))

    run.gateway.metrics = overtaken
    assert (await run.until())["hello"].verdict is PASSED
    assert run.wakes == 1
    assert run.tests.report() == TestReport("r2", (TestResult("hello", PASSED),))


TOKEN = Token("s3cret-token")


async def test_the_token_goes_with_every_request_and_nowhere_else(start: Start) -> None:
    run = start(tests=(case(ALLOW),), hello=ALLOWED)
    sent: list[str] = []
    run.gateway.metrics = lambda request: sent.append(request.headers.get("authorization", ""))
    run.tests.aim(replace(plan(case(ALLOW)), credential=TOKEN))
    assert (await run.until())["hello"].verdict is PASSED
    assert {*sent, run.gateway.requests[0].headers["authorization"]} == {"Bearer s3cret-token"}
    assert "s3cret" not in repr(run.tests._plan)


@pytest.mark.parametrize("missing", [NotReadable("there is no Secret keys"), Unread("Secret keys could not be read")])
async def test_without_the_token_that_is_named_nothing_is_sent(start: Start, missing: NotReadable | Unread) -> None:
    run = start(tests=(case(ALLOW),), hello=ALLOWED)
    run.tests.aim(replace(plan(case(ALLOW)), credential=missing))
    assert (await run.until())["hello"] == TestResult("hello", UNKNOWN, missing.message)
    assert not run.gateway.requests


async def test_a_new_token_keeps_what_is_settled_and_goes_on_at_once(start: Start) -> None:
    tests = (case(ALLOW, "settled"), case(ALLOW, "refused"))
    run = start(tests=tests, settled=ALLOWED, refused=[Reply(401, ()), ALLOWED])
    run.tests.aim(replace(plan(*tests), credential=Token("old")))
    before = await run.until()
    assert before["refused"].message == "the gateway refuses the token of spec.gateway.authorization (HTTP 401)"
    run.tests.aim(replace(plan(*tests), credential=Token("new")))
    assert [r.verdict for r in (await run.until()).values()] == [PASSED, PASSED]
    assert run.gateway.prompts == ["settled", "refused", "refused"]


async def test_a_token_that_the_gateway_quotes_is_told_to_nobody(start: Start) -> None:
    quoting = replace(BLOCKED, body=error_body("bad.s3cret-token"))
    run = start(tests=(case(ALLOW),), hello=quoting)
    run.tests.aim(replace(plan(case(ALLOW)), credential=TOKEN))
    assert (await run.until())["hello"].message == "expected Allow, was blocked (HTTP 409, by pii-detector)"
