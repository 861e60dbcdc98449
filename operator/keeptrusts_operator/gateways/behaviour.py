"""Behaviour tests against one candidate pod that has no other traffic.

A test's verdict comes from the pod's own decision counter together with the answer: an answer alone shows neither
redacting nor escalating. Whatever says nothing about the policy (no answer, 429, 5xx, a counter that does not move) is
`Unknown` and tried again, for as long as the rollout asks.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from keeptrusts_operator.api.gateway import Decisions, GatewaySettings, Scheme
from keeptrusts_operator.api.policy import BehaviourTest, Expectation
from keeptrusts_operator.api.references import Credential, Token
from keeptrusts_operator.core.world import TestReport, TestResult, TestVerdict
from keeptrusts_operator.gateways.counters import NotMetrics, by_decision, read_page
from keeptrusts_operator.gateways.credentials import headers_of, why_not
from keeptrusts_operator.gateways.pods import Target, base_url

TIMEOUT = httpx.Timeout(30.0, connect=2.0)  # of an answer that a model writes
METRICS_TIMEOUT = httpx.Timeout(2.0)
SLACK = 3.0  # seconds that an answer may take to arrive once it has begun: each of its bytes restarts the timeout
MAX_BODY = 1 << 20
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
COUNTED_WITHIN, COUNTED_EVERY = 5.0, 0.1  # seconds: how long a counter may take to show a decision
FIRST_BACKOFF, LAST_BACKOFF = 1.0, 15.0
PAST_TENSE = {
    Expectation.ALLOW: "was allowed",
    Expectation.BLOCK: "was blocked",
    Expectation.REDACT: "was redacted",
    Expectation.ESCALATE: "was escalated",
}


@dataclass(frozen=True)
class Plan:
    """What to test, where. `model` is the default for tests that name none.

    `credential`: what `spec.gateway.authorization` leads to; None when it names nothing.
    """

    rollout_id: str
    pod: Target
    tests: tuple[BehaviourTest, ...]
    model: str
    settings: GatewaySettings
    credential: Credential | None = None


class Unanswered(Exception):
    """The gateway said nothing about the policy; `args[0]` says what came instead."""


class BehaviourTests:
    """Runs the tests of the newest plan, one after the other; `wake` is called when a result changes."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        wake: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._wake, self._sleep, self._monotonic = client, wake, sleep, monotonic
        self._plan: Plan | None = None
        self._results: dict[str, TestResult] = {}
        self._changed = asyncio.Event()

    def aim(self, plan: Plan | None) -> None:
        """What to test from now on. Another plan starts anew; one with only another pod or token keeps what is settled."""
        old = self._plan
        if plan == old:
            return
        if plan and old and replace(plan, pod=old.pod, credential=old.credential) == old:
            self._results = {n: r for n, r in self._results.items() if r.verdict is not TestVerdict.UNKNOWN}
        else:
            self._results = {}
        self._plan = plan
        self._changed.set()

    def report(self) -> TestReport | None:
        """Results so far, in the order of the tests; None when nothing is being tested."""
        if self._plan is None:
            return None
        names = (t.name for t in self._plan.tests)
        return TestReport(self._plan.rollout_id, tuple(self._results[n] for n in names if n in self._results))

    async def run(self) -> None:
        """Test until cancelled."""
        while True:
            self._changed.clear()
            if self._plan is not None:
                await self._settle(self._plan)
            await self._changed.wait()

    async def _settle(self, plan: Plan) -> None:
        """Try until every test has a verdict, or there is another plan."""
        backoff = FIRST_BACKOFF
        while await self._try_all(plan):
            await self._pause(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not into the time of another plan."""
        asleep = asyncio.ensure_future(self._sleep(seconds))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((asleep, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asleep.cancel()
            changed.cancel()

    async def _try_all(self, plan: Plan) -> bool:
        """One try of every test without a verdict; whether it is worth another round."""
        for test in plan.tests:
            result = self._results.get(test.name)
            if result and result.verdict is not TestVerdict.UNKNOWN:
                continue
            if self._changed.is_set():
                return False
            new = await self._try(plan, test)
            if self._changed.is_set():  # another rollout or pod meanwhile: this says nothing about it
                return False
            self._results[test.name] = new
            if new != result:
                self._wake()
        return any(r.verdict is TestVerdict.UNKNOWN for r in self._results.values())

    async def _try(self, plan: Plan, test: BehaviourTest) -> TestResult:
        try:
            return await self._judge(plan, test)
        except Unanswered as reason:
            return TestResult(test.name, TestVerdict.UNKNOWN, str(reason))

    async def _judge(self, plan: Plan, test: BehaviourTest) -> TestResult:
        settings = plan.settings
        if settings.scheme is not Scheme.HTTP:  # a TLS port answers plain HTTP with 400, which may look like a block
            raise Unanswered(f"tests are not sent by {settings.scheme} yet")
        if missing := why_not(plan.credential):
            raise Unanswered(missing)
        decisions = settings.metrics.decisions
        before = await self._counted(plan, decisions) if decisions else {}
        answer = await self._ask(plan, test)
        # What the user lists is a decision, even where it is a status that says nothing elsewhere (403, 503).
        blocked = answer.status in settings.blocked_status
        if not blocked and not 200 <= answer.status < 300:
            raise Unanswered(_why_unanswered(answer.status, plan.credential))
        observed = Expectation.BLOCK if blocked else Expectation.ALLOW
        if decisions:
            # Also after a status that blocks: a request that is held for a person may be answered with it.
            observed = await self._decided(plan, decisions, before)
            if observed is not Expectation.ESCALATE and blocked != (observed is Expectation.BLOCK):
                raise Unanswered(
                    f"counter and answer disagree: the request {PAST_TENSE[observed]}, the answer was HTTP {answer.status}"
                )
        if observed is test.expect and test.error_code in (None, answer.code):
            return TestResult(test.name, TestVerdict.PASSED)
        wanted = f"{test.expect} with {test.error_code}" if test.error_code else str(test.expect)
        detail = _detail(answer, test, plan.credential)
        return TestResult(test.name, TestVerdict.FAILED, f"expected {wanted}, {PAST_TENSE[observed]} ({detail})")

    async def _ask(self, plan: Plan, test: BehaviourTest) -> Answer:
        body = {
            "model": test.model or plan.model,
            "messages": [{"role": m.role, "content": m.content} for m in test.messages],
            "max_tokens": 1,
            "stream": False,
        }
        status, text = await self._fetch("POST", plan, plan.settings.chat_path, TIMEOUT, body)
        try:
            error = json.loads(text)["error"]
            code, policy = error.get("code"), error.get("policy")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # whatever a gateway may send
            return Answer(status)
        return Answer(status, code if isinstance(code, str) else "", policy if isinstance(policy, str) else "")

    async def _decided(self, plan: Plan, decisions: Decisions, before: Mapping[str, float]) -> Expectation:
        """The one decision that the pod has counted since `before`."""
        deadline = self._monotonic() + COUNTED_WITHIN
        while True:
            why = f"{decisions.counter} has not counted it within {COUNTED_WITHIN:.0f}s"
            after = before
            try:
                after = await self._counted(plan, decisions)
            except Unanswered as reason:  # the next page may be readable, and then this request need not be sent again
                why = str(reason)
            moved = {w: after.get(w, 0.0) - before.get(w, 0.0) for w in {*before, *after}}
            moved = {w: by for w, by in moved.items() if by}
            if moved:
                return _meaning(_only(moved, decisions), decisions)
            if self._monotonic() >= deadline:
                raise Unanswered(why)
            await self._sleep(COUNTED_EVERY)

    async def _counted(self, plan: Plan, decisions: Decisions) -> dict[str, float]:
        """Decisions so far by the label's value."""
        settings = plan.settings.metrics
        try:
            status, text = await self._fetch("GET", plan, settings.path, METRICS_TIMEOUT)
            if not 200 <= status < 300:
                raise Unanswered(_why_unanswered(status, plan.credential))
            return by_decision(read_page(text, settings).decisions, decisions)
        except (Unanswered, NotMetrics) as error:
            raise Unanswered(f"its metrics cannot be read: {error}") from error

    async def _fetch(
        self, method: str, plan: Plan, path: str, limits: httpx.Timeout, body: Any = None
    ) -> tuple[int, str]:
        """Status and text of one answer, bounded in time and size."""
        url, headers = base_url(plan.pod, plan.settings) + path, headers_of(plan.credential)
        data = bytearray()
        try:
            async with (
                asyncio.timeout((limits.connect or 0.0) + (limits.read or 0.0) + SLACK),
                self._client.stream(method, url, json=body, headers=headers, timeout=limits) as response,
            ):
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > MAX_BODY:
                        raise Unanswered(f"HTTP {response.status_code} with more than {MAX_BODY} bytes")
                return response.status_code, data.decode(errors="replace")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Unanswered(f"no answer ({type(error).__name__})") from error


@dataclass(frozen=True)
class Answer:
    """What came back; `code` and `policy` of the error object, where there is one."""

    status: int
    code: str = ""
    policy: str = ""


def _meaning(word: str, decisions: Decisions) -> Expectation:
    for expectation, values in (
        (Expectation.BLOCK, decisions.blocked),
        (Expectation.ALLOW, decisions.allowed),
        (Expectation.REDACT, decisions.redacted),
        (Expectation.ESCALATE, decisions.escalated),
    ):
        if word in {v.lower() for v in values}:
            return expectation
    raise Unanswered(f"{decisions.label}={word!r} of {decisions.counter} is in none of spec.gateway.metrics.decisions")


def _only(moved: Mapping[str, float], decisions: Decisions) -> str:
    """The label's value that was counted once, nothing else having moved."""
    if any(by < 0 for by in moved.values()):
        raise Unanswered(f"{decisions.counter} fell: its process has started again")
    if (total := sum(moved.values())) != 1 or len(moved) > 1:
        raise Unanswered(
            f"{decisions.counter} moved by {total:g} instead of 1: somebody else sends requests, or it counts several "
            "times a request"
        )
    return next(iter(moved))


def _detail(answer: Answer, test: BehaviourTest, credential: Credential | None) -> str:
    """What came, in words that cannot be the prompt's or the token's: a gateway may quote what it was sent."""
    sent = [m.content for m in test.messages]
    token = credential.value if isinstance(credential, Token) else ""
    code, policy = (
        word
        if IDENTIFIER.fullmatch(word) and not any(word in s for s in sent) and not (token and token in word)
        else ""
        for word in (answer.code, answer.policy)
    )
    by = " ".join(part for part in (code, f"by {policy}" if policy else "") if part)
    return f"HTTP {answer.status}, {by}" if by else f"HTTP {answer.status}"


def _why_unanswered(status: int, credential: Credential | None) -> str:
    if status in (401, 403):
        if credential:
            return f"the gateway refuses the token of spec.gateway.authorization (HTTP {status})"
        return f"the gateway wants a token (HTTP {status}): name its Secret in spec.gateway.authorization.secretKeyRef"
    if status == 404:
        return "nothing is at this path (HTTP 404)"
    if status == 429 or status >= 500 or status < 400:
        return f"no decision (HTTP {status})"
    return f"the gateway calls the request malformed (HTTP {status})"
