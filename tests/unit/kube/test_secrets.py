"""Secrets: read only with the label, never an exception, never older than 30 s."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from keeptrusts_operator.api.names import LABEL_READABLE
from keeptrusts_operator.api.references import Credential, NotReadable, SecretKeyRef, Token, Unread
from keeptrusts_operator.kube.port import ApiError, Forbidden, NotFound, Obj, Refused, Resource, Unavailable
from keeptrusts_operator.kube.secrets import AGAIN, KEPT, ROLE, SECRETS, SOON, Secrets

REF, FIELD = SecretKeyRef("keys", "token"), "spec.controlPlane.tokenSecretRef"
READABLE = {LABEL_READABLE: "true"}


def secret(data: Mapping[str, Any] | None, labels: Mapping[str, str] | None = None) -> Obj:
    return {
        "metadata": {"name": "keys", "namespace": "ns", "labels": READABLE if labels is None else labels},
        "data": data,
    }


def holding(text: bytes) -> Obj:
    return secret({"token": base64.b64encode(text).decode()})


class Api:
    """Answers with an object or an error, and counts."""

    def __init__(self, answer: Obj | ApiError) -> None:
        self.answer, self.asked, self.hangs = answer, 0, False

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        assert (resource, namespace, name) == (SECRETS, "ns", "keys")
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if isinstance(self.answer, ApiError):
            raise self.answer
        return self.answer


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.mark.parametrize("text", [b"abc-123", b"abc-123\n", b" abc-123\r\n"])
async def test_a_labelled_secret_gives_its_token(text: bytes) -> None:
    token = await Secrets(Api(holding(text))).read("ns", REF, FIELD)
    assert token == Token("abc-123")
    assert "abc" not in f"{token!r} {token}"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (NotFound("no", 404), f'there is no Secret keys; create it in namespace ns with the label {LABEL_READABLE}: "true"'),
        (Forbidden("no", 403), f"may not read Secret keys; bind Role {ROLE} to its service account in namespace ns"),
        (secret({"token": "YQ=="}, {}), f"kubectl label --overwrite secret keys -n ns {LABEL_READABLE}=true"),
        (secret({"token": "YQ=="}, {LABEL_READABLE: "false"}), "kubectl label"),
        (secret({"token": "YQ=="}, {LABEL_READABLE: "True"}), "kubectl label"),
        (secret({"other": "YQ=="}), "Secret keys has no key token"),
        (secret(None), "Secret keys has no key token"),
        (secret({"token": "not base64!"}), "key token of Secret keys is no token"),
        (secret({"token": None}), "is no token"),
        (holding(b""), "is no token"),
        (holding(b"two words"), "is no token"),
        (holding(b"abc\r\nX-Evil: 1"), "is no token"),
        (holding("schlüssel".encode()), "is no token"),
        (holding(b"\xff\xfe"), "is no token"),
        (holding(b"x" * 9000), "is no token"),
    ],
)  # fmt: skip
async def test_what_a_person_has_to_do_is_said_with_the_field(answer: Obj | ApiError, says: str) -> None:
    result = await Secrets(Api(answer)).read("ns", REF, FIELD)
    assert isinstance(result, NotReadable)
    assert result.message.startswith(f"{FIELD}: ")
    assert says in result.message


@pytest.mark.parametrize("error", [Unavailable("timeout"), Unavailable("broken", 500), Refused("odd", 400)])
async def test_an_api_that_does_not_answer_leaves_it_unknown(error: ApiError) -> None:
    result = await Secrets(Api(error)).read("ns", REF, FIELD)
    assert isinstance(result, Unread)
    assert result.message.startswith(f"{FIELD}: Secret keys could not be read")


class Asker:
    """Asks like a control loop: without waiting, again and again."""

    def __init__(self, answer: Obj | ApiError) -> None:
        self.api, self.clock, self.wakes = Api(answer), Clock(), 0
        self.secrets = Secrets(self.api, self.clock)

    def wake(self) -> None:
        self.wakes += 1

    def ask(self, seconds: float = 0.0) -> Credential:
        self.clock.at += seconds
        return self.secrets.known("ns", REF, FIELD, self.wake)

    async def settle(self, seconds: float = 0.0) -> Credential:
        self.ask(seconds)
        await asyncio.sleep(0.01)
        return self.ask()


async def test_nobody_waits_for_the_first_reading_and_all_are_woken_by_it() -> None:
    asker = Asker(holding(b"abc"))
    first = asker.ask()
    assert isinstance(first, Unread)
    assert first.message == f"{FIELD}: Secret keys has not been read yet"
    assert asker.ask() == first
    await asyncio.sleep(0.01)
    assert (asker.wakes, asker.api.asked) == (2, 1)
    assert asker.ask() == Token("abc")


async def test_a_token_is_read_again_before_it_is_thirty_seconds_old() -> None:
    asker = Asker(holding(b"old"))
    await asker.settle()
    asker.api.answer = holding(b"new")
    assert await asker.settle(AGAIN - 0.1) == Token("old")
    assert asker.api.asked == 1
    assert asker.ask(0.1) == Token("old"), "the new one is not waited for"
    await asyncio.sleep(0.01)
    assert asker.wakes == 2
    assert asker.ask() == Token("new")


async def test_a_reading_that_changes_nothing_wakes_nobody() -> None:
    asker = Asker(holding(b"abc"))
    await asker.settle()
    await asker.settle(AGAIN)
    assert (asker.api.asked, asker.wakes) == (2, 1)


async def test_an_api_that_fails_is_outlived_for_thirty_seconds_and_no_longer() -> None:
    asker = Asker(holding(b"abc"))
    await asker.settle()
    asker.api.answer = Unavailable("down")
    assert await asker.settle(AGAIN) == Token("abc")
    assert await asker.settle(KEPT - AGAIN) == Token("abc")
    assert isinstance(asker.ask(0.1), Unread)
    asked = asker.api.asked
    for _ in range(10):
        await asker.settle(SOON / 10)
    assert asker.api.asked == asked + 1, "a broken API is not asked at every pass"
    asker.api.answer = holding(b"abc")
    assert await asker.settle(SOON) == Token("abc")


async def test_an_api_that_hangs_ends_the_use_of_a_token_too() -> None:
    asker = Asker(holding(b"abc"))
    await asker.settle()
    asker.api.hangs = True
    assert await asker.settle(AGAIN) == Token("abc")
    assert await asker.settle(AGAIN) == Token("abc")
    late = await asker.settle(1.0)
    assert isinstance(late, Unread)
    assert late.message == f"{FIELD}: Secret keys could not be read for 31 s"
    assert asker.api.asked == 2


@pytest.mark.parametrize("answer", [secret({"token": "YWJj"}, {}), NotFound("no", 404), Forbidden("no", 403)])
async def test_what_a_person_takes_away_ends_it_and_what_is_repaired_is_seen_soon(answer: Obj | ApiError) -> None:
    asker = Asker(holding(b"abc"))
    await asker.settle()
    asker.api.answer = answer
    assert isinstance(await asker.settle(AGAIN), NotReadable)
    asker.api.answer = holding(b"abc")
    assert await asker.settle(SOON) == Token("abc")
    assert asker.wakes == 3


async def test_what_nobody_wants_is_forgotten() -> None:
    asker = Asker(holding(b"abc"))
    await asker.settle()
    asker.clock.at += 3 * KEPT
    asker.secrets.known("ns", SecretKeyRef("keys", "other"), FIELD, asker.wake)
    await asyncio.sleep(0.01)
    assert isinstance(asker.ask(), Unread)


async def test_each_field_is_told_about_itself() -> None:
    secrets = Secrets(Api(NotFound("no", 404)))
    for field in (FIELD, "spec.gateway.authorization.secretKeyRef"):
        result = await secrets.read("ns", REF, field)
        assert isinstance(result, NotReadable)
        assert result.message.startswith(f"{field}: ")


RBAC = Path(__file__).parents[3] / "charts" / "plain" / "rbac.yaml"


def test_nothing_in_the_chart_lets_the_operator_read_secrets() -> None:
    objects = [o for o in yaml.safe_load_all(RBAC.read_text()) if o]
    resources = {r for o in objects for rule in o.get("rules") or () for r in rule["resources"]}
    assert resources
    assert not resources & {"secrets", "*"}


def test_the_sample_grants_one_namespace_the_reading_of_secrets() -> None:
    sample = RBAC.read_text().partition(f"# Role {ROLE}")[2].partition("#\n")[2]
    role, binding = yaml.safe_load_all("".join(line.removeprefix("# ") for line in sample.splitlines(keepends=True)))
    assert (role["kind"], role["metadata"]["name"]) == ("Role", ROLE)
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    assert (binding["kind"], binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("RoleBinding", "Role", ROLE)
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"]
