"""Secrets: read only with the label, never an exception, never older than 30 s."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from keeptrusts_operator.api.names import LABEL_READABLE
from keeptrusts_operator.api.references import NotReadable, SecretKeyRef, Token, Unread
from keeptrusts_operator.kube.port import ApiError, Forbidden, NotFound, Obj, Refused, Resource, Unavailable
from keeptrusts_operator.kube.secrets import KEPT, NOT_KEPT, ROLE, SECRETS, Secrets

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
        self.answer, self.asked = answer, 0

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        assert (resource, namespace, name) == (SECRETS, "ns", "keys")
        self.asked += 1
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


async def test_a_token_is_kept_for_thirty_seconds_and_not_longer() -> None:
    api, clock = Api(holding(b"old")), Clock()
    secrets = Secrets(api, clock)
    assert await secrets.read("ns", REF, FIELD) == Token("old")
    api.answer = holding(b"new")
    clock.at += KEPT - 0.1
    assert await secrets.read("ns", REF, FIELD) == Token("old")
    assert api.asked == 1
    clock.at += 0.1
    assert await secrets.read("ns", REF, FIELD) == Token("new")


async def test_a_label_that_is_taken_away_ends_it() -> None:
    api, clock = Api(holding(b"abc")), Clock()
    secrets = Secrets(api, clock)
    assert await secrets.read("ns", REF, FIELD) == Token("abc")
    api.answer = secret({"token": "YWJj"}, {})
    clock.at += KEPT
    assert isinstance(await secrets.read("ns", REF, FIELD), NotReadable)


@pytest.mark.parametrize("answer", [NotFound("no", 404), Unavailable("down")])
async def test_what_a_person_repairs_is_seen_soon(answer: ApiError) -> None:
    api, clock = Api(answer), Clock()
    secrets = Secrets(api, clock)
    for _ in range(5):
        await secrets.read("ns", REF, FIELD)
    assert api.asked == 1
    api.answer = holding(b"abc")
    clock.at += NOT_KEPT
    assert await secrets.read("ns", REF, FIELD) == Token("abc")


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
