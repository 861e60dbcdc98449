"""GatewayPolicy: a policy document, and the behaviour that it must show."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from keeptrusts_operator.api.fields import Fields, Problems
from keeptrusts_operator.api.formats import CONTENT, ERROR_CODE, MAX_DOCUMENT_KEYS, MODEL, ROLE, TEST_NAME
from keeptrusts_operator.api.references import ConfigMapKeyRef, parse_config_map_key_ref

DEFAULT_CONFIG_KEY = "policy-config.yaml"
MAX_TESTS = 50
MAX_MESSAGES = 20


class Validation(StrEnum):
    LENIENT = "Lenient"
    STRICT = "Strict"


class Expectation(StrEnum):
    ALLOW = "Allow"
    BLOCK = "Block"
    REDACT = "Redact"
    ESCALATE = "Escalate"


@dataclass(frozen=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True)
class BehaviourTest:
    """A conversation and what the gateway must decide about it; `error_code` only where it must be blocked.

    `model` None: the first one of the document.
    """

    name: str
    messages: tuple[Message, ...]
    expect: Expectation
    error_code: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class GatewayPolicySpec:
    """Exactly one of `config` and `config_from` is set. The expected changes are fractions of all requests."""

    config: Mapping[str, Any] | None = None
    config_from: ConfigMapKeyRef | None = None
    validation: Validation = Validation.LENIENT
    expected_block_rate_increase: float = 0.0
    expected_block_rate_decrease: float = 0.0
    tests: tuple[BehaviourTest, ...] = ()


def parse_policy(obj: Mapping[str, Any]) -> GatewayPolicySpec:
    """The spec of a GatewayPolicy (the whole object is given) with its defaults; raises InvalidSpec."""
    problems = Problems()
    root = Fields.of(obj, "", problems)
    fields = Fields.of(root.value.get("spec"), "spec", problems)
    default = GatewayPolicySpec()
    spec = GatewayPolicySpec(
        config=fields.raw("config", MAX_DOCUMENT_KEYS) if fields.has("config") else None,
        config_from=_parse_config_from(fields),
        validation=fields.choice("validation", default.validation),
        expected_block_rate_increase=fields.percent("expectedBlockRateIncrease", default.expected_block_rate_increase),
        expected_block_rate_decrease=fields.percent("expectedBlockRateDecrease", default.expected_block_rate_decrease),
        tests=_parse_tests(fields),
    )
    if fields.has("config") == fields.has("configFrom"):
        fields.fail(
            "needs exactly one of config (the document itself) and configFrom (a key of a ConfigMap); "
            + ("remove one of them" if fields.has("config") else "add one of them")
        )
    problems.raise_if_any()
    return spec


def _parse_config_from(fields: Fields) -> ConfigMapKeyRef | None:
    if not fields.has("configFrom"):
        return None
    source = fields.child("configFrom")
    reference = source.required_child("configMapKeyRef", "write {name: …, key: …}")
    return parse_config_map_key_ref(reference, DEFAULT_CONFIG_KEY)


def _parse_tests(fields: Fields) -> tuple[BehaviourTest, ...]:
    tests = tuple(_parse_test(test) for test in fields.objects("tests", MAX_TESTS) or ())
    names = [test.name for test in tests]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            fields.fail(f"{name} is the name of an earlier test; choose another", f"tests[{index}].name")
    return tests


def _parse_test(fields: Fields) -> BehaviourTest:
    messages = fields.objects("messages", MAX_MESSAGES)
    if not messages and (messages is not None or not fields.has("messages")):
        fields.fail("is required: write at least one message, e.g. {role: user, content: …}", "messages")
    test = BehaviourTest(
        name=fields.required("name", TEST_NAME),
        messages=tuple(
            Message(role=message.required("role", ROLE), content=message.required("content", CONTENT))
            for message in messages or ()
        ),
        expect=fields.required_choice("expect", Expectation),
        error_code=fields.string("errorCode", None, ERROR_CODE),
        model=fields.string("model", None, MODEL),
    )
    if test.error_code is not None and test.expect is not Expectation.BLOCK:
        fields.fail("is only used with expect: Block; remove it, or expect Block", "errorCode")
    return test
