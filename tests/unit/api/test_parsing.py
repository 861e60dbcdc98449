"""What the parsers make of objects, by example."""

import copy
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeptrusts_operator.api.circuit_breaker import BreakerMode, CircuitBreaker, PrometheusSource
from keeptrusts_operator.api.deployment import (
    ControlPlane,
    GatewayDeploymentSpec,
    PodDisruptionBudget,
    parse_deployment,
)
from keeptrusts_operator.api.errors import InvalidSpec, SpecError
from keeptrusts_operator.api.gateway import Decisions, LoadedConfig, Profile
from keeptrusts_operator.api.health import Thresholds
from keeptrusts_operator.api.passthrough import Passthrough
from keeptrusts_operator.api.policy import BehaviourTest, Expectation, GatewayPolicySpec, Message, parse_policy
from keeptrusts_operator.api.profiles import CUSTOM, FERRO, KEEPTRUSTS
from keeptrusts_operator.api.quantities import IntOrPercent
from keeptrusts_operator.api.references import ConfigMapKeyRef, SecretKeyRef
from keeptrusts_operator.api.rollout import Rollout, Step
from tests.sim.api import merged
from tests.unit.api import crd
from tests.unit.api.examples import (
    CONFIG_FROM_POLICY,
    CUSTOM_DEPLOYMENT,
    FULL_DEPLOYMENT,
    FULL_POLICY,
    MINIMAL_DEPLOYMENT,
    MINIMAL_POLICY,
)


def deployment(**spec: Any) -> GatewayDeploymentSpec:
    return parse_deployment(merged(MINIMAL_DEPLOYMENT, {"spec": spec}))


def test_the_least_has_every_default() -> None:
    template = MINIMAL_DEPLOYMENT["spec"]["template"]
    assert parse_deployment(MINIMAL_DEPLOYMENT) == GatewayDeploymentSpec(policy_ref="support", template=template)
    assert parse_policy(MINIMAL_POLICY) == GatewayPolicySpec(config=MINIMAL_POLICY["spec"]["config"])


def test_defaults_of_the_rollout() -> None:
    rollout = deployment().rollout
    assert rollout == Rollout()
    assert rollout.steps == (Step(0.1, timedelta(seconds=30)), Step(0.5, timedelta(minutes=1)))
    assert (rollout.step_deadline, rollout.progress_deadline) == (timedelta(minutes=15), timedelta(minutes=5))
    assert (rollout.soak.duration, rollout.soak.standby_replicas.of(3)) == (timedelta(minutes=30), 3)
    assert (rollout.drain_seconds, rollout.max_share, rollout.paused) == (2, 0.5, False)


def test_defaults_of_the_breaker_and_passthrough() -> None:
    breaker, passthrough = deployment().circuit_breaker, deployment().passthrough
    assert breaker == CircuitBreaker()
    assert (breaker.mode, breaker.false_rollback_probability) == (BreakerMode.ROLL_BACK, 0.001)
    assert (breaker.tolerance.ratio, breaker.tolerance.points, breaker.burst) == (1.5, 0.02, None)
    assert passthrough == Passthrough()
    assert (passthrough.max_duration, passthrough.solo_duration) == (timedelta(hours=4), timedelta(minutes=15))
    assert len(passthrough.never_bypass) == 6


def test_a_full_policy() -> None:
    spec = parse_policy(FULL_POLICY)
    message = Message("user", "How do I reset my password?")
    assert spec.tests == (BehaviourTest("plain-question", (message,), Expectation.BLOCK, "input_blocked", "gpt-4o"),)
    assert (spec.expected_block_rate_increase, spec.expected_block_rate_decrease) == (0.015, 0.02)
    assert parse_policy(CONFIG_FROM_POLICY).config_from == ConfigMapKeyRef("support-policy", "support.yaml")


def test_a_full_deployment() -> None:
    spec = parse_deployment(FULL_DEPLOYMENT)
    assert spec.replicas == 5
    assert spec.gateway.authorization == SecretKeyRef("gateway-key", "token")
    assert spec.gateway.ca_bundle_ref == ConfigMapKeyRef("gateway-ca", "bundle.pem")
    assert spec.health.latency_p99 == Thresholds(timedelta(seconds=2), timedelta(seconds=20))
    assert spec.circuit_breaker.burst == 2.5
    assert isinstance(spec.circuit_breaker.source.prometheus, PrometheusSource)
    assert isinstance(spec.control_plane, ControlPlane)
    assert spec.adopt_from == "old-gateway"
    assert spec.pod_disruption_budget == PodDisruptionBudget(IntOrPercent(1))
    assert spec.raw_gateway == FULL_DEPLOYMENT["spec"]["gateway"]
    assert spec.template == FULL_DEPLOYMENT["spec"]["template"]


def test_profiles_are_overridden_value_by_value() -> None:
    gateway = deployment(gateway={"port": 8080, "metrics": {"decisions": {"label": "verdict"}}}).gateway
    assert gateway.port == 8080
    assert gateway.config_file == KEEPTRUSTS.config_file
    assert gateway.metrics.decisions
    assert KEEPTRUSTS.metrics.decisions
    assert gateway.metrics.decisions.label == "verdict"
    assert gateway.metrics.decisions.counter == KEEPTRUSTS.metrics.decisions.counter


def test_the_ferro_profile() -> None:
    gateway = deployment(gateway={"profile": "Ferro"}).gateway
    assert gateway == FERRO
    assert gateway.metrics.decisions == Decisions("gateway_requests_total", "status", ("rejected",), ("success",))
    assert gateway.env["GATEWAY_CONFIG"] == "$(CONFIG_FILE)"


def test_custom_presets_nothing() -> None:
    gateway = parse_deployment(CUSTOM_DEPLOYMENT).gateway
    assert (gateway.profile, gateway.port, gateway.health) == (Profile.CUSTOM, 4000, CUSTOM.health)
    assert (gateway.metrics.decisions, gateway.chat_path, gateway.loaded_config) == (None, "", None)


def test_the_running_config_need_not_be_compared() -> None:
    assert deployment(gateway={"loadedConfig": {"path": ""}}).gateway.loaded_config is None
    other = deployment(gateway={"loadedConfig": {"path": "/config"}}).gateway.loaded_config
    assert other == LoadedConfig("/config", "/pack/name", "/pack/version")


def test_a_short_max_duration_lowers_solo_duration() -> None:
    assert deployment(passthrough={"maxDuration": "10m"}).passthrough.solo_duration == timedelta(minutes=10)


def test_the_copy_shares_nothing_with_the_input() -> None:
    obj = copy.deepcopy(MINIMAL_DEPLOYMENT)
    spec = parse_deployment(obj)
    obj["spec"]["template"]["spec"]["containers"][0]["image"] = "changed"
    assert spec.template == MINIMAL_DEPLOYMENT["spec"]["template"]


def test_null_is_absent() -> None:
    nulls = dict.fromkeys(("replicas", "gateway", "rollout", "health", "controlPlane", "adoptFrom", "service"))
    obj = {**MINIMAL_DEPLOYMENT, "spec": {**MINIMAL_DEPLOYMENT["spec"], **nulls}}
    assert parse_deployment(obj) == parse_deployment(MINIMAL_DEPLOYMENT)


def test_fields_of_a_newer_api_are_ignored() -> None:
    assert deployment(rollout={"newer": 1}, newest={"a": []}) == deployment()


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidSpec) as caught:
        deployment(
            replicas="2",
            rollout={"steps": [{"weight": "10%"}, {"weight": "60%"}], "stepDeadline": "soon"},
            circuitBreaker={"tolerance": {"ratio": 1.5}},
        )
    assert [error.path for error in caught.value.errors] == [
        "spec.replicas",
        "spec.rollout.steps[1].weight",
        "spec.rollout.stepDeadline",
        "spec.circuitBreaker.tolerance.ratio",
    ]
    assert caught.value.errors[1] == SpecError("spec.rollout.steps[1].weight", "must be above 0% up to 50%")
    assert "spec.replicas: must be a whole number from 1 to 1000; " in str(caught.value)


def test_a_missing_object_is_one_problem() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_deployment({"metadata": {"name": "kt-gateway"}, "spec": {}})
    assert [error.path for error in caught.value.errors] == ["spec.template", "spec.policyRef"]


# Keys that mean something, so that the input gets past the first check more often than noise would.
KEYS = sorted(
    {
        str(step)
        for plural in ("gatewaypolicies", "gatewaydeployments")
        for node in crd.spec_nodes(plural)
        for step in node.path
    }
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["10%", "5m", "0s", "1.5", "Custom", "Ferro", "https", "gateway", "(.*", "(a)", "Auto", "/x"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=6)
    ),
    max_leaves=30,
)
OBJECTS = st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), JSON, max_size=3)


@given(OBJECTS)
@settings(max_examples=300, deadline=None)
def test_nothing_but_invalid_spec_is_raised(obj: dict[str, Any]) -> None:
    for parse in (parse_policy, parse_deployment):
        with suppress(InvalidSpec):
            parse(obj)


NODES = [node for node in crd.spec_nodes("gatewaydeployments") if 0 not in node.path]


@given(st.lists(st.tuples(st.sampled_from(NODES), JSON), min_size=1, max_size=4))
@settings(max_examples=500, deadline=None)
def test_a_legal_object_with_noise_in_some_fields(changes: list[tuple[crd.Node, Any]]) -> None:
    obj = FULL_DEPLOYMENT
    for node, value in changes:
        try:
            obj = crd.with_value(obj, node.path, value)
        except (AttributeError, TypeError):
            continue  # an earlier change put something else where an object was
    with suppress(InvalidSpec):
        parse_deployment(obj)
