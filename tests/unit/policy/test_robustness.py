"""Linting never raises, is deterministic, and always says where, what and what to do."""

from __future__ import annotations

import copy
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeptrusts_operator.policy import CODES, LintResult, Severity, canonical_json, lint, parse_yaml
from keeptrusts_operator.policy.ferro_fields import PLUGIN, STRATEGY, TARGET, TOP_LEVEL
from keeptrusts_operator.policy.ferro_settings import PLUGINS
from keeptrusts_operator.policy.finding import Findings
from keeptrusts_operator.policy.kinds import KINDS
from keeptrusts_operator.policy.sections import PACK, PROVIDERS, SECTIONS
from tests.unit.policy.documents import ACTIONS, FERRO, MINIMAL

ProfileName = Literal["Keeptrusts", "Ferro", "Custom"]
PROFILES: tuple[ProfileName, ...] = ("Keeptrusts", "Ferro", "Custom")

WORDS = [*KINDS, *PACK, *PROVIDERS, *SECTIONS, *TOP_LEVEL, *TARGET, *STRATEGY, *PLUGIN, *PLUGINS]
WORDS += ["policies", "policy", "chain", "targets", "input", "output", "secret_key_ref", "env", "store", "api_key"]
WORDS += [
    "rules",
    "pattern",
    "schema",
    "action",
    "type",
    "single",
    "before_request",
    "openai",
    "${KEY}",
    "(?=",
    "1.0.0",
]
words = st.sampled_from(WORDS) | st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5), max_leaves=25
)

SEEDS = {
    "Keeptrusts": [parse_yaml(MINIMAL), parse_yaml(ACTIONS)],
    "Ferro": [parse_yaml(FERRO)],
    "Custom": [parse_yaml(MINIMAL)],
}


@st.composite
def damaged(draw: st.DrawFn, seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """A good document in which some values were replaced by anything."""
    document: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or draw(st.booleans()):
                place[key] = draw(values)
                break
            place = place[key]
    return document


def well_formed(result: LintResult) -> None:
    for finding in result.findings:
        assert finding.code in CODES
        assert finding.path
        assert finding.message.endswith(".")
        assert len(finding.message) < 2000
        assert finding.suggestion
    assert result.ok == all(finding.severity is Severity.WARNING for finding in result.findings)


@pytest.mark.parametrize("profile", PROFILES)
@given(data=st.data(), strict=st.booleans())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_anything(profile: ProfileName, data: st.DataObject, strict: bool) -> None:
    document = data.draw(values | damaged(SEEDS[profile]))
    before = copy.deepcopy(document)
    result = lint(document, strict=strict, profile=profile)
    well_formed(result)
    assert repr(document) == repr(before)
    assert lint(document, strict=strict, profile=profile) == result
    if not strict:
        stricter = lint(document, strict=True, profile=profile)
        assert not stricter.ok or result.ok  # strict mode never accepts more


@given(damaged(SEEDS["Keeptrusts"]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_same_content_same_findings(document: dict[str, Any]) -> None:
    reversed_keys = dict(reversed(document.items()))
    first = lint(document, strict=True, profile="Keeptrusts")
    assert lint(reversed_keys, strict=True, profile="Keeptrusts") == first
    if first.shape is not None:
        assert canonical_json(reversed_keys) == canonical_json(document)


def test_the_first_error_does_not_depend_on_the_order_of_keys() -> None:
    document = {"x": float("nan"), "pack": {"version": float("inf"), "name": float("inf")}}
    reordered = {"pack": {"name": float("inf"), "version": float("inf")}, "x": float("nan")}
    first = lint(document, strict=True, profile="Keeptrusts").findings
    assert lint(reordered, strict=True, profile="Keeptrusts").findings == first
    assert first[0].path == "pack.name"


@pytest.mark.parametrize("profile", PROFILES)
def test_deep_nesting(profile: ProfileName) -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    document = {"policy": {"pii-detector": deep}, "plugins": [{"config": deep}]}
    result = lint(document, strict=False, profile=profile)
    assert [finding.code for finding in result.findings] == ["K107"]
    while deep:  # taken apart by hand: freeing it in one go would recurse in the interpreter
        deep = deep.pop()


def test_a_cycle() -> None:
    document: dict[str, Any] = {}
    document["policy"] = document
    assert [finding.code for finding in lint(document, strict=False, profile="Keeptrusts").findings] == ["K107"]


def test_a_flood_of_mistakes_is_bounded_and_stays_an_error() -> None:
    chain = [f"kind-{index}" for index in range(5000)]
    document = {"pack": {}, "policies": {"chain": chain}, "policy": {"x" * 100_000: {}}}
    result = lint(document, strict=True, profile="Keeptrusts")
    assert not result.ok
    assert len(result.findings) <= 2 * Findings.MAX_PER_SEVERITY + 1
    assert result.findings[-1].code == "K901"


@pytest.mark.parametrize("value", [None, 5, "text", [], True, float("nan"), {1: 2}, {"a": object()}, {"a": b""}])
@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_no_document(value: object, profile: ProfileName) -> None:
    result = lint(value, strict=False, profile=profile)
    assert not result.ok
    well_formed(result)
