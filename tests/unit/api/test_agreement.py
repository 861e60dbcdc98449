"""The CRDs and the parsers say the same, field by field."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from keeptrusts_operator.api import (
    circuit_breaker,
    deployment,
    formats,
    gateway,
    passthrough,
    policy,
    quantities,
    rollout,
)
from keeptrusts_operator.api.errors import InvalidSpec
from keeptrusts_operator.api.names import GATEWAY_DEPLOYMENT, GATEWAY_POLICY
from keeptrusts_operator.api.policy import parse_policy
from keeptrusts_operator.api.profiles import PROFILES
from tests.sim.api import merged
from tests.unit.api import crd, values
from tests.unit.api.crd import Node
from tests.unit.api.examples import (
    CONFIG_FROM_POLICY,
    CUSTOM_DEPLOYMENT,
    FULL_DEPLOYMENT,
    FULL_POLICY,
    MINIMAL_DEPLOYMENT,
    MINIMAL_POLICY,
    Object,
)

POLICY, DEPLOYMENT = GATEWAY_POLICY.plural, GATEWAY_DEPLOYMENT.plural
PARSERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    POLICY: parse_policy,
    DEPLOYMENT: deployment.parse_deployment,
}
MINIMAL = {POLICY: MINIMAL_POLICY, DEPLOYMENT: MINIMAL_DEPLOYMENT}
VALIDATORS = {plural: jsonschema.Draft202012Validator(crd.plain(crd.schema(plural))) for plural in PARSERS}
NODES = [(plural, node) for plural in PARSERS for node in crd.spec_nodes(plural)]
LEAVES = [(plural, node) for plural, node in NODES if node.is_leaf]
ENUMS: dict[str, type[StrEnum]] = {
    "spec.validation": policy.Validation,
    "spec.tests[0].expect": policy.Expectation,
    "spec.gateway.profile": gateway.Profile,
    "spec.gateway.scheme": gateway.Scheme,
    "spec.gateway.metrics.decisions.countedAt": gateway.CountedAt,
    "spec.rollout.onInconclusive": rollout.OnInconclusive,
    "spec.rollout.trafficRouting.type": rollout.TrafficRouting,
    "spec.circuitBreaker.mode": circuit_breaker.BreakerMode,
    "spec.circuitBreaker.source.type": circuit_breaker.SourceType,
    "spec.circuitBreaker.onUnverifiable": circuit_breaker.OnUnverifiable,
    "spec.passthrough.twoPerson": passthrough.TwoPerson,
    "spec.passthrough.unattributed": passthrough.Unattributed,
    "spec.service.type": deployment.ServiceType,
}
# What else must go, or come, when a field changes.
CONTEXT: dict[str, Object] = {
    "spec.tests[0].expect": {
        "spec": {"tests": [{"name": "plain-question", "messages": [{"role": "user", "content": "Hi"}]}]}
    },
    "spec.gateway.profile": {"spec": {"passthrough": {"document": None}}},
    "spec.gateway.scheme": {"spec": {"gateway": {"caBundleRef": None}}},
    "spec.circuitBreaker.source.type": {"spec": {"circuitBreaker": {"source": {"prometheus": None}}}},
    "spec.health.escalations.critical": {"spec": {"health": {"escalations": {"warning": 0}}}},
}
# Where a rule between fields leaves less room than the schema.
ANOTHER = {
    "spec.rollout.maxShare": "45%",
    "spec.circuitBreaker.tolerance.ratio": "3",
    "spec.circuitBreaker.burst": "Auto",
    "spec.health.latencyP99.warning": "7s",
    "spec.health.blockRate.critical": "60%",
    "spec.passthrough.maxDuration": "3h",
    "spec.passthrough.budgetWindow": "13h",
}
# GatewayAPI, the only other value, is refused today.
UNCHANGEABLE = {"spec.rollout.trafficRouting.type"}
# A rule that is no part of the schema says more about these: see cel_cases.yaml.
RULED = {
    "spec.circuitBreaker.source.prometheus.requestsQuery",
    "spec.circuitBreaker.source.prometheus.blockedQuery",
    "spec.passthrough.identityPattern",
}


def cases(nodes: list[tuple[str, Node]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("plural", "node"), nodes, ids=[f"{plural}:{node.id}" for plural, node in nodes])


def full(plural: str, node: Node) -> Object:
    if plural == DEPLOYMENT:
        return FULL_DEPLOYMENT
    return CONFIG_FROM_POLICY if "configFrom" in node.path else FULL_POLICY


def parse(plural: str, obj: Mapping[str, Any]) -> Any:
    """The parsed spec without the copy of what was written under `gateway`."""
    spec = PARSERS[plural](obj)
    return replace(spec, raw_gateway={}) if plural == DEPLOYMENT else spec


def refusal(plural: str, obj: Object) -> list[str]:
    """The paths of the parser's errors; empty when it accepts."""
    try:
        PARSERS[plural](obj)
    except InvalidSpec as error:
        return [problem.path for problem in error.errors]
    return []


@pytest.mark.parametrize(
    ("plural", "obj"),
    [
        (POLICY, MINIMAL_POLICY),
        (POLICY, FULL_POLICY),
        (POLICY, CONFIG_FROM_POLICY),
        (DEPLOYMENT, MINIMAL_DEPLOYMENT),
        (DEPLOYMENT, CUSTOM_DEPLOYMENT),
        (DEPLOYMENT, FULL_DEPLOYMENT),
    ],
)
def test_examples_are_accepted_by_both(plural: str, obj: Object) -> None:
    VALIDATORS[plural].validate(obj)
    parse(plural, obj)


@cases([(plural, node) for plural, node in LEAVES if node.id not in UNCHANGEABLE])
def test_every_field_changes_what_is_parsed(plural: str, node: Node) -> None:
    before = full(plural, node)
    context = merged(before, CONTEXT.get(node.id, {}))
    value = ANOTHER.get(node.id) or values.another(node.schema, crd.get(before, node.path))
    after = crd.with_value(context, node.path, value)
    VALIDATORS[plural].validate(after)
    assert parse(plural, after) != parse(plural, before)
    if "gateway" in node.path:
        assert deployment.parse_deployment(after).raw_gateway == after["spec"]["gateway"]


@cases([(plural, node) for plural, node in LEAVES if node.id not in RULED])
def test_outermost_values_are_accepted_by_both(plural: str, node: Node) -> None:
    for value in values.outermost(node.schema):
        context = merged(full(plural, node), CONTEXT.get(node.id, {}))
        obj = crd.with_value(context, node.path, value)
        VALIDATORS[plural].validate(obj)
        paths = [path for path in refusal(plural, obj) if path.startswith(node.id)]
        assert not paths, value


@cases(NODES)
def test_illegal_values_are_refused_by_both(plural: str, node: Node) -> None:
    for value in values.illegal(node.schema):
        obj = crd.with_value(full(plural, node), node.path, value)
        assert not VALIDATORS[plural].is_valid(obj), value
        assert any(path.startswith(node.id) for path in refusal(plural, obj)), value


@cases([(plural, node) for plural, node in NODES if node.schema.get("required") or "items" in node.schema])
def test_required_fields_are_required_by_both(plural: str, node: Node) -> None:
    inside = (*node.path, 0) if "items" in node.schema else node.path
    for name in node.schema.get("items", node.schema).get("required", []):
        obj = crd.without(full(plural, node), (*inside, name))
        assert not VALIDATORS[plural].is_valid(obj), name
        assert refusal(plural, obj), name


def test_required_at_the_root() -> None:
    for plural, minimal in MINIMAL.items():
        for name in crd.schema(plural)["properties"]["spec"].get("required", []):
            assert refusal(plural, crd.without(minimal, ("spec", name))), name
        assert refusal(plural, crd.without(minimal, ("spec",)))


class Recorder(Mapping[str, Any]):
    """An object that remembers which of its fields were asked for."""

    def __init__(self, value: Mapping[str, Any], path: str, seen: set[str]) -> None:
        self._value, self._path, self._seen = value, path, seen

    def __getitem__(self, key: str) -> Any:
        path = f"{self._path}.{key}" if self._path else key
        self._seen.add(re.sub(r"\[\d+\]", "[0]", path))
        return self._wrap(self._value[key], path)

    def _wrap(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return Recorder(value, path, self._seen)
        if isinstance(value, list):
            return [self._wrap(item, f"{path}[{i}]") for i, item in enumerate(value)]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def items(self) -> Any:
        # Copying an object as a whole asks for no field in particular.
        return self._value.items()


@pytest.mark.parametrize("plural", [POLICY, DEPLOYMENT])
def test_the_parser_reads_only_what_the_schema_has(plural: str) -> None:
    seen: set[str] = set()
    for obj in (MINIMAL_POLICY, FULL_POLICY, CONFIG_FROM_POLICY, MINIMAL_DEPLOYMENT, FULL_DEPLOYMENT):
        if obj["kind"].lower() == crd.load(plural)["spec"]["names"]["singular"]:
            PARSERS[plural](Recorder(obj, "", seen))
    known = {node.id for node in crd.spec_nodes(plural)}
    assert {path for path in seen if path.startswith("spec.")} == known


def test_enums_are_equal() -> None:
    in_schema = {node.id: node.schema["enum"] for _, node in NODES if "enum" in node.schema}
    assert in_schema == {path: [member.value for member in enum] for path, enum in ENUMS.items()}


def test_patterns_are_those_of_the_parser() -> None:
    ours = {text.pattern for text in vars(formats).values() if isinstance(text, formats.Text)}
    ours |= {getattr(quantities, name) for name in vars(quantities) if name.endswith("_PATTERN")}
    for plural in PARSERS:
        for path, part in crd.all_schemas(crd.schema(plural)["properties"]["spec"]):
            assert part.get("pattern") in ours | {None}, path


@cases(LEAVES)
def test_descriptions_state_a_default(plural: str, node: Node) -> None:
    description = node.schema["description"]
    statements = re.findall(r"Required\b|Default none|Default `|Default \(|The only default in the schema", description)
    assert len(statements) == 1, description


@cases([(plural, node) for plural, node in NODES if "Default `" in node.schema["description"]])
def test_stated_defaults_are_the_parsers(plural: str, node: Node) -> None:
    match = re.search(r"Default `([^`]*)`", node.schema["description"])
    assert match
    nested = 0 in node.path or {"caBundleRef", "configMapKeyRef"} & set(node.path)
    base = full(plural, node) if nested else MINIMAL[plural]
    absent = crd.without(base, node.path) if nested else base
    written = crd.with_value(base, node.path, yaml.safe_load(match[1]))
    VALIDATORS[plural].validate(written)
    assert parse(plural, written) == parse(plural, absent)


@cases([(plural, node) for plural, node in NODES if "Default (" in node.schema["description"]])
def test_stated_defaults_of_a_profile_are_the_parsers(plural: str, node: Node) -> None:
    match = re.search(r"Default \((.*)\)\.$", node.schema["description"])
    assert match
    stated = re.findall(r"(\w+) `([^`]*)`", match[1])
    assert stated
    for profile, text in stated:
        assert profile in list(PROFILES)
        base = CUSTOM_DEPLOYMENT if profile == "Custom" else MINIMAL_DEPLOYMENT
        base = crd.with_value(base, ("spec", "gateway", "profile"), profile)
        written = crd.with_value(base, node.path, yaml.safe_load(text))
        VALIDATORS[plural].validate(written)
        assert parse(plural, written) == parse(plural, base), profile


def test_the_schemas_own_default_is_the_parsers() -> None:
    defaults = {node.id: node.schema["default"] for _, node in NODES if "default" in node.schema}
    assert defaults == {"spec.replicas": deployment.parse_deployment(MINIMAL_DEPLOYMENT).replicas}
