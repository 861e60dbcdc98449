"""Reading, hashing and rendering documents."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from keeptrusts_operator.policy import DocumentError, Severity, canonical_json, dump_yaml, parse_yaml
from keeptrusts_operator.policy.yaml_reader import MAX_DEPTH
from tests.unit.policy.documents import MINIMAL

TRICKY = ["no", "on", "y", "NO", "True", "null", "~", "", "1.0", "1e3", "0x1f", "0o17", "010", "1:30", "2024-01-01"]
TRICKY += [".5", "+.inf", ".nan", "<<", "=", "- a", "a: b", "a #b", "*a", "&a", "!a", "%a", "@a", "`a", "{a", "[a", "|"]
TRICKY += [
    " a",
    "a ",
    "a\nb",
    "a\n",
    "\na",
    "\n",
    "a\n b\n",
    "a\nb\n",
    "\ta\n",
    "\u2028",
    "\x85",
    "\x00",
    "\x7f",
    "\ufeff",
    "\u00e9",
]
TRICKY += ["\U0001f600", "---", "...", "a\n---\nb\n", "'", '"', "\\", "a\tb\nc\n", "x\n#\n", "a:\n"]

texts = st.one_of(st.sampled_from(TRICKY), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
documents = st.dictionaries(st.one_of(st.sampled_from(["pack", "policy", "zeta"]), texts), values, max_size=4)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("1.0.0", "1.0.0"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("=", "="),
        ("'<<'", "<<"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_core_schema(text: str, value: object) -> None:
    parsed = parse_yaml(f"key: {text}")["key"]
    assert parsed == value
    assert type(parsed) is type(value)


BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))

CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000))


@pytest.mark.parametrize(
    ("text", "code", "path", "where"),
    [
        ("a: [", "K101", "(document)", "Line 2, column 1"),
        ("a: 1\n b: 2", "K101", "(document)", "Line 2, column 3"),
        ("a: 1\nb: \x01", "K101", "(document)", "Line 2, column 4"),
        ("a: 1\n---\nb: 1", "K102", "(document)", "Line 2, column 1"),
        ("- a", "K103", "(document)", ""),
        ("", "K103", "(document)", ""),
        ("just text", "K103", "(document)", ""),
        ("policy:\n  a: 1\n  a: 2", "K104", "policy.a", "Line 3, column 3"),
        ("a: 1\n'a': 2", "K104", "a", "Line 2, column 1"),
        ("1: a", "K105", "(document)", "Line 1, column 1"),
        ("x: {true: a}", "K105", "x", "Line 1, column 5"),
        ("x:\n  ? [a]\n  : b", "K105", "x", "Line 2, column 5"),
        ("x: &a y\n*a : b", "K105", "(document)", "Line 2, column 1"),
        ("a: " + "x" * 1024 * 1024, "K106", "(document)", ""),
        (BOMB, "K107", "a5[3]", "Line 6"),
        (CHAIN, "K107", f"a{MAX_DEPTH - 1}[0]", f"Line {MAX_DEPTH}"),
        ("a: " + "[" * MAX_DEPTH, "K107", "a" + "[0]" * (MAX_DEPTH - 1), "Line 1"),
        ("[" * 200_000, "K107", "[0]" * MAX_DEPTH, "Line 1"),
        ("a:\n  b: [1, .nan]", "K108", "a.b[1]", "Line 2, column 10"),
        ("a: -.inf", "K108", "a", "Line 1, column 4"),
        ("a: 1e999", "K108", "a", "Line 1, column 4"),
        ("a: " + "9" * 5000, "K108", "a", "Line 1, column 4"),
        ("a: 18446744073709551616", "K108", "a", "Line 1, column 4"),
        ("a: \ud800", "K108", "(document)", ""),
        ("a: !!python/object:os.system {}", "K109", "a", "Line 1, column 4"),
        ("a: !secret b", "K109", "a", "Line 1, column 4"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "K109", "c", "Line 3, column 3"),
        ("a: *x", "K109", "a", "Line 1, column 4"),
        ("a: &x [*x]", "K109", "a[0]", "Line 1, column 8"),
    ],
)
def test_unreadable_text(text: str, code: str, path: str, where: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_yaml(text)
    finding = caught.value.finding
    assert (finding.severity, finding.code, finding.path) == (Severity.ERROR, code, path)
    assert where in finding.message
    assert finding.message.endswith(".")
    assert finding.suggestion


def test_aliases_are_copies() -> None:
    document = parse_yaml("a: &x [1]\nb: *x\n")
    document["b"].append(2)
    assert document == {"a": [1], "b": [1, 2]}


def test_form_of_a_document_does_not_change_its_content() -> None:
    other = """
    # moved, re-ordered and commented
    providers: {targets: [{secret_key_ref: {env: OPENAI_API_KEY}, base_url: "https://api.openai.com",
      model: gpt-4o-mini, provider: openai, id: openai-primary}]}
    policy: {audit-logger: {retention_days: 365.0}, pii-detector: {action: redact}, prompt-injection: {}}
    policies: {chain: [prompt-injection, pii-detector, audit-logger]}
    pack: {enabled: true, version: 1.0.0, name: support-gateway}
    """
    assert canonical_json(parse_yaml(other)) == canonical_json(parse_yaml(MINIMAL))
    assert dump_yaml(parse_yaml(other)) == dump_yaml(parse_yaml(MINIMAL))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (1, "1"),
        (-0.0, "0"),
        (True, "true"),
        (0.1, "0.1"),
        (1e22, "10000000000000000000000"),
        ({"b": 1, "a": "é"}, '{"a":"é","b":1}'),
    ],
)
def test_canonical_json(value: object, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"a": [math.nan]}, "K108"),
        ({"a": math.inf}, "K108"),
        ({"a": "\ud800"}, "K108"),
        ({"a": object()}, "K108"),
        ({"a": b"x"}, "K108"),
        ({"a": 10**400}, "K108"),
        ({"a": 2**64 + 1}, "K108"),
        ({1: "a"}, "K105"),
    ],
)
def test_what_json_cannot_carry(value: dict[str, Any], code: str) -> None:
    with pytest.raises(DocumentError) as caught:
        canonical_json(value)
    assert caught.value.finding.code == code
    with pytest.raises(DocumentError):
        dump_yaml(value)


def test_a_cycle_is_refused() -> None:
    document: dict[str, Any] = {}
    document["self"] = document
    with pytest.raises(DocumentError) as caught:
        canonical_json(document)
    assert caught.value.finding.code == "K107"


def test_rendering_is_readable() -> None:
    document = parse_yaml("zeta: 1\nalpha: [no, 'no', 1e-7]\n" + MINIMAL)
    assert dump_yaml(document).startswith(
        'pack:\n  name: support-gateway\n  enabled: true\n  version: "1.0.0"\npolicies:\n  chain:\n  - prompt-injection'
    )
    assert dump_yaml(document).endswith('alpha:\n- "no"\n- "no"\n- 1.0e-07\nzeta: 1\n')


@pytest.mark.parametrize("text", TRICKY)
def test_strings_survive_readers_of_both_versions(text: str) -> None:
    rendered = dump_yaml({"key": text, "keys": {text: "value"}, "list": [text]})
    expected = {"key": text, "keys": {text: "value"}, "list": [text]}
    assert parse_yaml(rendered) == expected
    assert yaml.safe_load(rendered) == expected  # PyYAML reads YAML 1.1


@given(documents)
@settings(max_examples=100, deadline=None)
def test_rendering_round_trips(document: dict[str, Any]) -> None:
    rendered = dump_yaml(document)
    parsed = parse_yaml(rendered)
    assert parsed == document
    assert canonical_json(parsed) == canonical_json(document)
    assert dump_yaml(parsed) == rendered
    assert canonical_json(yaml.safe_load(rendered)) == canonical_json(document)


@given(documents, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_rendering_depends_on_content_only(document: dict[str, Any], random: Any) -> None:
    keys = list(document)
    random.shuffle(keys)
    shuffled = {key: document[key] for key in keys}
    assert dump_yaml(shuffled) == dump_yaml(document)
    assert dump_yaml(json.loads(canonical_json(document))) == dump_yaml(document)


@given(st.text(max_size=60) | st.text("{}[]:,-&*!|>'\"#%@?<~ \n\tab01.", max_size=40))
@settings(max_examples=150, deadline=None)
def test_reading_fails_in_one_way_only(text: str) -> None:
    try:
        document = parse_yaml(text)
    except DocumentError:
        return
    assert parse_yaml(dump_yaml(document)) == document


def test_rendering_more_than_a_config_map_holds_is_refused() -> None:
    with pytest.raises(DocumentError) as caught:
        dump_yaml({"words": ["x" * 1000] * 1100})
    assert caught.value.finding.code == "K106"
