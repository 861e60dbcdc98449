"""Control planes asked in the background: once per API, and one that hangs delays nothing else."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from keeptrusts_operator.api.deployment import ControlPlane as Named
from keeptrusts_operator.api.references import NotReadable, SecretKeyRef, Token, Unread
from keeptrusts_operator.core.confirmation import Confirmed, Question, SuspectSingleClient, Unverifiable, confirm
from keeptrusts_operator.gateways import control_plane, control_plane_poller
from keeptrusts_operator.gateways.control_plane_answers import Backlog, Event, NoAnswer, Page
from keeptrusts_operator.gateways.control_plane_poller import MAX_KEPT, NOT_ALL, NOT_YET, Follow, PlaneHeard, Poller
from keeptrusts_operator.gateways.control_planes import MAX_APIS, ControlPlanes
from keeptrusts_operator.gateways.credentials import AllowedHosts
from tests.unit.gateways.plane import TOKEN, event, serving

A, B, C = ("ns", "a"), ("ns", "b"), ("other", "c")
REF = SecretKeyRef("keys", "token")
ALLOWED = AllowedHosts.of(["127.0.0.1"])


def named(url: str, gateway: str | None = "gw") -> Named:
    return Named(url, REF, None, gateway)


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def running(allowed: AllowedHosts = ALLOWED) -> AsyncIterator[ControlPlanes]:
    async with httpx.AsyncClient(trust_env=False) as client:
        planes = ControlPlanes(client, allowed)
        task = asyncio.create_task(planes.run())
        try:
            yield planes
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is a value
            await asyncio.sleep(0.01)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_plane, "SECONDS", 0.3)
    for name, seconds in (("PERIOD", 0.2), ("FOLLOW_PERIOD", 0.05), ("SLOWEST_FOLLOW", 0.1)):
        monkeypatch.setattr(control_plane_poller, name, seconds)


async def test_signals_of_the_organisation_and_of_the_gateway() -> None:
    async with serving() as (server, url), running() as planes:
        server.escalate("human-oversight")
        server.add([event(seconds=40), event(seconds=3, gateway_id="another")])
        planes.aim(A, named(url), Token(TOKEN), None, now())
        assert planes.heard(A).pending.value is None
        await until(lambda: planes.heard(A).pending.value and planes.heard(A).ingestion.value)
        heard = planes.heard(A)
        assert heard.pending.value is not None
        assert heard.ingestion.value is not None
        assert (heard.pending.value.total, heard.pending.value.by_policy) == (1, (("human-oversight", 1),))
        assert (heard.pending.why, heard.ingestion.why) == ("", "")
        assert heard.pending.age < 2
        assert heard.ingestion.value.lag == pytest.approx(40, abs=2)
        assert heard.decisions.age == math.inf


async def test_one_api_is_asked_once_for_all_who_name_it() -> None:
    async with serving() as (server, url), running() as planes:
        server.add([event(seconds=5, gateway_id="gw-a"), event(seconds=9, gateway_id="gw-b")])
        for asker, gateway, path in ((A, "gw-a", ""), (B, "gw-b", "/"), (C, None, "")):
            planes.aim(asker, named(url + path, gateway), Token(TOKEN), None, now())
        await until(lambda: all(planes.heard(a).pending.value for a in (A, B, C)))
        await until(lambda: planes.heard(A).ingestion.value and planes.heard(B).ingestion.value)
        assert len([c for c in server.calls if "status=pending" in c]) == 1
        assert len([c for c in server.calls if "/v1/events" in c]) == 1
        lags = [planes.heard(a).ingestion.value for a in (A, B)]
        assert [round(i.lag or 0) for i in lags if i] == pytest.approx([5, 9], abs=2)
        assert planes.heard(C).ingestion.value is None
        assert "gatewayId is not set" in planes.heard(C).ingestion.why


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", ["hang", "500", "html", "cut", "slow:1s", "refuse"])
async def test_one_that_fails_is_unknown_until_it_answers(fault: str) -> None:
    async with serving() as (server, url), running() as planes:
        server.faults[""] = fault
        planes.aim(A, named(url), Token(TOKEN), Follow("1.5.0", now()), now())
        await until(lambda: NOT_YET not in f"{planes.heard(A)}")
        heard = planes.heard(A)
        assert (heard.pending.value, heard.ingestion.value, heard.decisions.age) == (None, None, math.inf)
        server.faults[""] = ""
        await until(lambda: planes.heard(A).pending.value and planes.heard(A).decisions.age < 1)
        assert planes.heard(A).pending.why == ""


async def test_one_that_hangs_delays_no_other() -> None:
    async with serving() as (bad, bad_url), serving() as (good, good_url), running() as planes:
        bad.faults[""] = "hang"
        good.add([event("block", 0.1)])
        follow = Follow("1.5.0", now() - timedelta(seconds=10))
        planes.aim(A, named(bad_url), Token(TOKEN), follow, now())
        planes.aim(B, named(good_url), Token(TOKEN), follow, now())
        await until(lambda: planes.heard(B).pending.value and planes.heard(B).decisions.decisions)
        heard = planes.heard(A)
        assert [part.why for part in (heard.pending, heard.ingestion, heard.decisions)] == [NOT_YET] * 3


async def test_escalations_that_hang_do_not_delay_events() -> None:
    async with serving() as (server, url), running() as planes:
        server.faults["/v1/escalations"] = "hang"
        planes.aim(A, named(url), Token(TOKEN), Follow("1.5.0", now()), now())
        await until(lambda: planes.heard(A).decisions.age < 1 and planes.heard(A).ingestion.value)
        assert planes.heard(A).pending.why == NOT_YET


@pytest.mark.usefixtures("quick")
async def test_what_was_known_before_a_failure_gets_older() -> None:
    async with serving() as (server, url), running() as planes:
        planes.aim(A, named(url), Token(TOKEN), None, now())
        await until(lambda: planes.heard(A).pending.value)
        server.faults[""] = "500"
        await until(lambda: planes.heard(A).pending.age > 0.5)
        assert planes.heard(A).pending.value is not None
        assert planes.heard(A).pending.why == "/v1/escalations: HTTP 500"


@pytest.mark.parametrize(
    ("url", "credential", "why"),
    [
        ("https://evil.example", Token("t"), "spec.controlPlane.url: no token is sent to evil.example"),
        ("http://127.0.0.1:1", NotReadable("there is no Secret keys"), "there is no Secret keys"),
        ("http://127.0.0.1:1", Unread("Secret keys could not be read"), "Secret keys could not be read"),
        ("http://127.0.0.1:1", None, "its token has not been read yet"),
    ],
)
async def test_without_leave_or_token_nobody_is_asked(
    url: str, credential: Token | NotReadable | Unread | None, why: str
) -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.url} was asked")

    planes = ControlPlanes(httpx.AsyncClient(transport=httpx.MockTransport(nobody)), ALLOWED)
    task = asyncio.create_task(planes.run())
    planes.aim(A, named(url), credential, Follow("1.5.0", now()), now())
    await asyncio.sleep(0.05)
    heard = planes.heard(A)
    for part in (heard.pending, heard.ingestion, heard.decisions):
        assert why in part.why
        assert part.age == math.inf
    assert not task.done()
    task.cancel()


async def test_who_names_none_hears_so() -> None:
    async with running() as planes:
        planes.aim(A, None, None, None, now())
        assert planes.heard(A) == planes.heard(B) == PlaneHeard.unknown("spec.controlPlane is not set")


@pytest.mark.usefixtures("quick")
async def test_with_its_last_asker_an_api_is_left_alone() -> None:
    async with serving() as (server, url), running() as planes:
        for asker in (A, B):
            planes.aim(asker, named(url), Token(TOKEN), None, now())
        await until(lambda: planes.heard(A).pending.value)
        planes.forget(A)
        server.calls.clear()
        await until(lambda: server.calls)
        planes.aim(B, None, None, None, now())
        await asyncio.sleep(0.1)
        server.calls.clear()
        await asyncio.sleep(0.4)
        assert server.calls == []


@pytest.mark.usefixtures("quick")
async def test_a_new_token_is_used_from_then_on() -> None:
    async with serving() as (server, url), running() as planes:
        planes.aim(A, named(url), Token("old"), None, now())
        await until(lambda: "token is refused" in planes.heard(A).pending.why)
        planes.aim(A, named(url), Token(TOKEN), None, now())
        await until(lambda: planes.heard(A).pending.value)
        server.calls.clear()
        await until(lambda: len(server.calls) > 6)
        assert planes.heard(A).pending.why == ""


async def test_no_more_apis_than_the_operator_can_ask() -> None:
    async with running() as planes:
        for i in range(MAX_APIS + 1):
            planes.aim(("ns", f"{i}"), named(f"http://127.0.0.1:1/{i}"), Token("t"), None, now())
        assert "64 other control planes" in planes.heard(("ns", "64")).pending.why
        planes.forget(("ns", "3"))
        planes.aim(("ns", "64"), named("http://127.0.0.1:1/64"), Token("t"), None, now())
        assert "64 other" not in planes.heard(("ns", "64")).pending.why


QUESTION = Question("1.5.0", "1.4.0", 0.05, 1.0, datetime.min.replace(tzinfo=UTC))


@pytest.mark.usefixtures("quick")
async def test_a_candidates_decisions_are_followed_and_confirm_a_trip() -> None:
    async with serving() as (server, url), running() as planes:
        start = now() - timedelta(seconds=30)
        server.add([event("block", 20, user_id="loud") for _ in range(20)])
        server.add([event("block", 60, user_id="before"), event("block", 5, config_version="1.4.0")])
        server.add([event("block", 5, gateway_id="another"), event("dunno", 5)])
        planes.aim(A, named(url), Token(TOKEN), Follow("1.5.0", start), now())
        await until(lambda: planes.heard(A).decisions.age < 1)
        assert {e.client for e in planes.heard(A).decisions.decisions} == {"loud"}
        assert len(planes.heard(A).decisions.decisions) == 20
        assert isinstance(confirm(QUESTION, planes.heard(A).decisions), SuspectSingleClient)
        times = [e.at for e in planes.heard(A).decisions.decisions]
        assert abs((times[0] - (now() - timedelta(seconds=20))).total_seconds()) < 2

        server.add([event("block", 0, user_id=f"c{i}") for i in range(5)])
        await until(lambda: len(planes.heard(A).decisions.decisions) == 25)
        assert isinstance(confirm(QUESTION, planes.heard(A).decisions), Confirmed)

        server.faults["/v1/events"] = "hang"
        await until(lambda: planes.heard(A).decisions.age > 0.5)
        assert isinstance(confirm(QUESTION, planes.heard(A).decisions), Confirmed), "it is not 5 s old yet"
        planes.aim(A, named(url), Token(TOKEN), None, now())
        assert isinstance(confirm(QUESTION, planes.heard(A).decisions), Unverifiable)


@pytest.mark.usefixtures("quick")
async def test_two_candidates_at_one_api_are_followed_by_one_call() -> None:
    async with serving() as (server, url), running() as planes:
        server.add(
            [event("block", 50, gateway_id="gw-a"), event("block", 3, gateway_id="gw-b", config_version="9.0.0")]
        )
        planes.aim(A, named(url, "gw-a"), Token(TOKEN), Follow("1.5.0", now() - timedelta(seconds=60)), now())
        planes.aim(B, named(url, "gw-b"), Token(TOKEN), Follow("9.0.0", now() - timedelta(seconds=10)), now())
        await until(lambda: planes.heard(A).decisions.decisions and planes.heard(B).decisions.decisions)
        for asker, version in ((A, "1.5.0"), (B, "9.0.0")):
            (decision,) = planes.heard(asker).decisions.decisions
            assert (decision.config_version, decision.client) == (version, "ada")


class Fake:
    """An API whose answers are set; time moves by sleeping."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.asked: list[float] = []
        self.answer: Callable[[float], Page] = lambda since: Page((), since)

    async def backlog(self) -> Backlog:
        raise NoAnswer("not asked here")

    async def events(self, since: float) -> Page:
        self.asked.append(since)
        return self.answer(since)


EPOCH = datetime(2026, 11, 23, tzinfo=UTC)


def poller(api: Fake) -> Poller:
    return Poller(api, lambda: api.at)


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


async def test_a_follower_asks_again_only_for_the_last_seconds() -> None:
    api = Fake()
    poll = poller(api)
    poll.aim(A, "", Follow("2", at(900)), at(1000))
    events = tuple(Event(f"{t}", float(t), "gw", "c", "allow", "2") for t in range(900, 1000, 10))
    api.answer = lambda since: Page(events, since)
    await poll._ask_followed()
    await poll._ask_followed()
    assert api.asked == [900.0, 980.0]
    assert len(poll.heard(A, "").decisions.decisions) == 10, "an event that comes twice counts once"


async def test_a_follower_that_joins_during_a_call_waits_for_the_next() -> None:
    api = Fake()
    poll = poller(api)
    poll.aim(A, "", Follow("2", at(990)), at(1000))

    def join(since: float) -> Page:
        poll.aim(B, "", Follow("2", at(900)), at(1000))
        return Page((), since)

    api.answer = join
    await poll._ask_followed()
    assert poll.heard(A, "").decisions.age == 0
    assert poll.heard(B, "").decisions.age == math.inf


async def test_what_is_too_much_is_asked_for_less_far_back() -> None:
    api = Fake()
    poll = poller(api)
    poll.aim(A, "", Follow("2", at(0)), at(1000))

    def large(since: float) -> Page:
        if since < 700:
            raise NoAnswer("too large", 200, too_large=True)
        return Page((Event("a", 800.0, "gw", "c", "block", "2"),), since)

    api.answer = large
    for _ in range(4):
        await poll._ask_followed()
    assert api.asked[:3] == [100.0, 550.0, 775.0]
    assert len(poll.heard(A, "").decisions.decisions) == 1


async def test_an_answer_that_leaves_newer_events_out_is_not_fresh() -> None:
    api = Fake()
    poll = poller(api)
    poll.aim(A, "", Follow("2", at(0)), at(1000))
    api.answer = lambda since: Page((Event("a", 800.0, "gw", "c", "block", "2"),), since, exact=False)
    await poll._ask_followed()
    heard = poll.heard(A, "gw")
    assert (heard.decisions.age, heard.decisions.why) == (math.inf, NOT_ALL)
    await poll._ask_newest()
    assert (poll.heard(A, "gw").ingestion.value, poll.heard(A, "gw").ingestion.why) == (None, NOT_ALL)


async def test_only_so_many_decisions_are_kept() -> None:
    api = Fake()
    poll = poller(api)
    poll.aim(A, "", Follow("2", at(0)), at(1000))
    api.answer = lambda since: Page(
        tuple(Event(f"{i}", i / 100, "gw", f"{i}", "allow", "2") for i in range(MAX_KEPT + 50)), since
    )
    await poll._ask_followed()
    kept = poll.heard(A, "").decisions.decisions
    assert (len(kept), kept[0].client) == (MAX_KEPT, "50")


async def test_a_gateway_that_falls_silent_lags_more_and_more() -> None:
    api = Fake()
    poll = poller(api)
    api.answer = lambda since: Page((Event("a", 995.0, "gw"),) if since < 995 else (), since)
    lags = []
    for _ in range(4):
        await poll._ask_newest()
        ingestion = poll.heard(A, "gw").ingestion.value
        assert ingestion is not None
        lags.append(ingestion.lag)
        api.at += 100
    assert lags == [5, 105, 205, 305]
    never = poll.heard(A, "never").ingestion.value
    assert never is not None
    assert (never.lag, never.looked_back) == (None, 120)


async def test_a_lag_is_not_longer_because_it_is_looked_at_later() -> None:
    api = Fake()
    poll = poller(api)
    api.answer = lambda since: Page((Event("a", 999.0, "gw"),), since)
    await poll._ask_newest()
    api.at += 14
    known = poll.heard(A, "gw").ingestion
    assert known.value is not None
    assert (known.value.lag, known.age) == (1, 14)


async def test_a_bug_in_reading_is_said_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    api = Fake()
    poll = poller(api)

    def broken(since: float) -> Page:
        raise RecursionError

    api.answer = broken
    await poll._ask_newest()
    assert "could not be read (RecursionError)" in poll.heard(A, "gw").ingestion.why
    api.answer = lambda since: Page((), since)
    await poll._ask_newest()
    assert poll.heard(A, "gw").ingestion.why == ""
