"""The passthrough document: what survives, what does not, and that gateways would load it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeptrusts_operator.policy import lint, parse_yaml
from keeptrusts_operator.policy.ferro_settings import PLUGINS
from keeptrusts_operator.policy.kinds import KINDS
from keeptrusts_operator.policy.passthrough import CannotDerive, Derived, derive
from keeptrusts_operator.policy.result import Profile
from tests.unit.policy.documents import ACTIONS, FERRO, MINIMAL, REMOVE, changed

NEVER = (
    "itar-ear-filter",
    "entity-list-filter",
    "hipaa-phi-detector",
    "gdpr-compliance",
    "cjis-mode",
    "data-routing-policy",
)
STRICT = parse_yaml(MINIMAL)


def strict(*chain: str, **more: Any) -> dict[str, Any]:
    blocks: dict[str, Any] = {kind: {} for kind in chain}
    return changed(STRICT, ("policies/chain", list(chain)), ("policy", blocks), *more.items())


def derived(document: object, profile: str = "Keeptrusts", **more: Any) -> Derived:
    out = derive(document, profile, more.pop("never_bypass", NEVER), **more)
    assert isinstance(out, Derived), out
    return out


def refused(document: object, profile: str = "Keeptrusts", **more: Any) -> str:
    out = derive(document, profile, NEVER, **more)
    assert isinstance(out, CannotDerive)
    assert out.reason.endswith(".")
    assert out.next_step.endswith(".")
    return str(out)


class TestStrictShape:
    def test_what_is_no_legal_duty_is_left_out_and_all_else_stays(self) -> None:
        document = changed(
            strict("prompt-injection", "itar-ear-filter", "pii-detector", "gdpr-compliance", "audit-logger"),
            ("policy/itar-ear-filter", {"blocked_terms": ["centrifuge"]}),
            ("policy/audit-logger", {"retention_days": 30, "log_all_access": False}),
            ("consumer_groups", [{"name": "team", "rate_limits": {"requests_per_minute": 10}}]),
            ("global_rate_limit", {"max_requests": 5, "window_seconds": 1}),
        )
        before = copy.deepcopy(document)
        out = derived(document)
        assert out.bypassed == ("prompt-injection", "pii-detector")
        assert out.document["policies"]["chain"] == ["itar-ear-filter", "gdpr-compliance", "audit-logger"]
        assert out.document["policy"] == {
            "itar-ear-filter": {"blocked_terms": ["centrifuge"]},
            "gdpr-compliance": {},
            "audit-logger": {"retention_days": 30, "log_all_access": True},
        }
        for section in ("providers", "consumer_groups", "global_rate_limit"):
            assert out.document[section] == document[section]
        assert document == before, "the document that was given is not changed"

    def test_the_audit_log_is_added_at_the_end(self) -> None:
        out = derived(strict("itar-ear-filter", "rbac"))
        assert out.document["policies"]["chain"] == ["itar-ear-filter", "audit-logger"]
        assert out.document["policy"]["audit-logger"] == {"log_all_access": True}

    def test_version_is_distinct_plain_and_of_the_content(self) -> None:
        out = derived(STRICT)
        pack = out.document["pack"]
        major, minor, patch = pack["version"].split(".")
        assert (pack["name"], major, minor) == ("support-gateway", "1", "0")
        assert patch.isdecimal()
        assert 900_000_000 <= int(patch) < 1_000_000_000
        assert derived(changed(STRICT, ("pack/version", "1.0.7-rc.1+x"))).document == out.document
        other = derived(changed(STRICT, ("providers/targets/0/model", "gpt-5"))).document["pack"]["version"]
        scoped = derived(STRICT, scope=["pii-detector"]).document["pack"]["version"]
        assert len({other, scoped, pack["version"], "1.0.0"}) == 4

    def test_scope_leaves_out_exactly_what_it_names(self) -> None:
        out = derived(strict("prompt-injection", "pii-detector", "itar-ear-filter", "rbac"), scope=["pii-detector"])
        assert out.bypassed == ("pii-detector",)
        assert out.document["policies"]["chain"] == ["prompt-injection", "itar-ear-filter", "rbac", "audit-logger"]

    @pytest.mark.parametrize(
        ("scope", "says"),
        [
            (["toxicity"], '"toxicity": nothing that the active policy enforces. Valid names: prompt-injection, rbac.'),
            (["rbac", "itar-ear-filter"], '"itar-ear-filter": never bypassed. Valid names: prompt-injection, rbac.'),
            (["audit-logger"], '"audit-logger": never bypassed.'),
            (["dlp-filter"], "nothing that the active policy enforces"),
        ],
    )
    def test_a_scope_that_cannot_be_lists_the_names_that_can(self, scope: list[str], says: str) -> None:
        assert says in refused(strict("prompt-injection", "itar-ear-filter", "rbac", "audit-logger"), scope=scope)

    def test_nothing_to_bypass_is_said(self) -> None:
        assert derived(strict("itar-ear-filter", "audit-logger")).bypassed == ()
        assert "holds nothing that can be bypassed" in refused(strict("audit-logger"), scope=["rbac"])

    def test_a_fault_in_what_is_left_out_does_not_stand_in_the_way(self) -> None:
        document = changed(STRICT, ("policy/pii-detector", {"action": "explode"}))
        assert not lint(document, strict=False, profile="Keeptrusts").ok
        assert derived(document).bypassed == ("prompt-injection", "pii-detector")

    @pytest.mark.parametrize(
        "document",
        [
            None,
            [],
            "text",
            {},
            {1: 2},
            {"policies": [{"name": "x", "type": "rbac", "action": "block"}]},
            changed(STRICT, ("pack", REMOVE)),
            changed(STRICT, ("pack/version", "latest")),
            changed(STRICT, ("policies/chain", [["x"], {}])),
            changed(STRICT, ("policy", [])),
            changed(STRICT, ("policy/audit-logger", 7)),
            changed(STRICT, ("providers/targets/0/api_key", "sk-123")),
        ],
    )
    def test_what_gateways_would_refuse_is_no_parachute(self, document: object) -> None:
        assert refused(document)


class TestActionsShape:
    def test_block_becomes_flag(self) -> None:
        document = changed(
            parse_yaml(ACTIONS),
            (
                "policies/1/output",
                [{"type": "itar-ear-filter", "action": "block"}, {"type": "rbac", "action": "block"}],
            ),
        )
        out = derived(document)
        assert out.bypassed == ("prompt-injection", "rbac")
        assert out.document["policies"] == [
            {
                "name": "inbound",
                "input": [{"type": "prompt-injection", "action": "flag"}, {"type": "pii-detector", "action": "redact"}],
            },
            {
                "name": "outbound",
                "output": [{"type": "itar-ear-filter", "action": "block"}, {"type": "rbac", "action": "flag"}],
            },
        ]
        assert out.document["gateway"] == document["gateway"]

    def test_scope(self) -> None:
        document = changed(parse_yaml(ACTIONS), ("policies/1/output", [{"type": "rbac", "action": "block"}]))
        out = derived(document, scope=["rbac"])
        assert out.document["policies"][0] == document["policies"][0]
        assert out.document["policies"][1]["output"] == [{"type": "rbac", "action": "flag"}]
        assert "Valid names: prompt-injection, rbac." in refused(document, scope=["pii-detector"])


class TestFerro:
    DOCUMENT = changed(
        parse_yaml(FERRO),
        (
            "plugins",
            [
                {"name": "word-filter", "stage": "before_request", "enabled": True, "config": {"blocked_words": ["a"]}},
                {"name": "prompt-shield", "stage": "before_request", "enabled": True, "config": {"action": "warn"}},
                {"name": "prompt-shield", "stage": "before_request", "enabled": True, "config": {"action": "block"}},
                {"name": "word-filter", "stage": "before_request", "enabled": False},
                {"name": "request-logger", "type": "logging", "stage": "before_request", "enabled": True},
                {"name": "rate-limit", "type": "ratelimit", "stage": "before_request", "enabled": True},
            ],
        ),
    )

    def test_guardrails_that_block_are_left_out(self) -> None:
        out = derived(self.DOCUMENT, "Ferro")
        assert out.bypassed == ("word-filter", "prompt-shield")
        assert out.document["plugins"] == [self.DOCUMENT["plugins"][index] for index in (1, 3, 4, 5)]
        assert out.document["targets"] == self.DOCUMENT["targets"]

    def test_never_bypass_and_scope_name_plugins(self) -> None:
        out = derived(self.DOCUMENT, "Ferro", never_bypass=["word-filter"])
        assert [p["name"] for p in out.document["plugins"]].count("word-filter") == 2
        out = derived(self.DOCUMENT, "Ferro", scope=["word-filter"])
        assert out.document["plugins"] == [self.DOCUMENT["plugins"][index] for index in (1, 2, 3, 4, 5)]
        assert "Valid names: word-filter, prompt-shield." in refused(self.DOCUMENT, "Ferro", scope=["rate-limit"])


class TestCustom:
    def test_is_what_the_user_wrote(self) -> None:
        assert derived({"any": 1}, "Custom", user_document={"rules": []}).document == {"rules": []}

    def test_has_no_passthrough_without_that(self) -> None:
        assert "spec.passthrough.document" in refused({"any": 1}, "Custom")
        assert "without the annotation" in refused({}, "Custom", user_document={"rules": []}, scope=["x"])


# Every document that lints: kinds by name and with settings, valid and not.
_SETTINGS = st.sampled_from(
    [{}, {"action": "block"}, {"action": "redact"}, {"log_all_access": False}, {"blocked_terms": ["x"]}, {"zzz": 1}]
)
_CHAIN = st.lists(st.sampled_from([*KINDS, "own-kind"]), min_size=1, max_size=8, unique=True)
_VERSION = st.from_regex(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,9}(-rc\.1)?", fullmatch=True)
_NEVER = st.one_of(st.just(NEVER), st.lists(st.sampled_from(list(KINDS)), max_size=4, unique=True))


@st.composite
def strict_documents(draw: st.DrawFn) -> dict[str, Any]:
    chain = draw(_CHAIN)
    blocks = {kind: draw(_SETTINGS) for kind in chain}
    blocks |= {kind: draw(_SETTINGS) for kind in draw(st.lists(st.sampled_from(list(KINDS)), max_size=2))}
    return changed(STRICT, ("policies/chain", chain), ("policy", blocks), ("pack/version", draw(_VERSION)))


@st.composite
def actions_documents(draw: st.DrawFn) -> dict[str, Any]:
    rule = st.fixed_dictionaries(
        {
            "type": st.sampled_from([*KINDS, "own-type"]),
            "action": st.sampled_from(["block", "flag", "redact", "escalate"]),
        }
    )
    rules = st.lists(rule, max_size=4)
    entries = [{"name": f"p{i}", "input": draw(rules), "output": draw(rules)} for i in range(draw(st.integers(1, 3)))]
    return changed(parse_yaml(ACTIONS), ("policies", entries))


@st.composite
def ferro_documents(draw: st.DrawFn) -> dict[str, Any]:
    plugin = st.fixed_dictionaries(
        {
            "name": st.sampled_from([*PLUGINS, "own-plugin"]),
            "type": st.sampled_from(["guardrail", "logging"]),
            "stage": st.sampled_from(["before_request", "after_request", "on_error"]),
            "enabled": st.booleans(),
            "config": st.sampled_from([{}, {"action": "block"}, {"action": "warn"}, {"blocked_words": ["x"]}]),
        }
    )
    return changed(parse_yaml(FERRO), ("plugins", draw(st.lists(plugin, max_size=5))))


DOCUMENTS = st.one_of(
    st.tuples(st.just(Profile.KEEPTRUSTS), strict_documents()),
    st.tuples(st.just(Profile.KEEPTRUSTS), actions_documents()),
    st.tuples(st.just(Profile.FERRO), ferro_documents()),
)


def enforced(document: dict[str, Any], profile: Profile) -> list[tuple[str, object]]:
    """What a document does, in order: kinds of the chain with their settings, rules, or plugins."""
    if profile is Profile.FERRO:
        return [(p["name"], p) for p in document["plugins"]]
    if isinstance(document["policies"], list):
        return [(r["type"], r["action"]) for e in document["policies"] for s in ("input", "output") for r in e[s]]
    return [(kind, document["policy"].get(kind)) for kind in document["policies"]["chain"]]


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, _NEVER, st.booleans(), st.data())
def test_whatever_the_document(
    given_: tuple[Profile, dict[str, Any]], never: list[str], strict_: bool, data: st.DataObject
) -> None:
    profile, document = given_
    first = derive(document, profile, never, strict=strict_)
    if lint(document, strict=strict_, profile=profile).ok:
        assert isinstance(first, Derived), "a document that lints has a parachute that lints"
    if isinstance(first, CannotDerive):
        return
    names = st.lists(st.sampled_from(first.bypassed), unique=True) if first.bypassed else st.just([])
    scope = data.draw(names)
    out = derive(document, profile, never, scope, strict=strict_)
    if isinstance(out, CannotDerive):  # what is kept besides the scope was at fault before
        assert not lint(document, strict=strict_, profile=profile).ok
        return
    assert lint(out.document, strict=strict_, profile=profile).ok
    before, after = enforced(document, profile), enforced(out.document, profile)
    for name, what in before:
        if name in never and name != "audit-logger":
            assert (name, what) in after, "what is never bypassed survives, with its settings"
    assert [n for n, _ in after if n in never] == [n for n, _ in before if n in never] or "audit-logger" in never
    assert {n for n, w in before if (n, w) not in after} - {"audit-logger"} <= set(scope or out.bypassed)
    for section in set(document) - {"pack", "policies", "policy", "plugins"}:
        assert out.document[section] == document[section]
    assert derive(document, profile, never, scope, strict=strict_) == out, "deterministic"
    if not scope:
        again = derive(out.document, profile, never, strict=strict_)
        assert isinstance(again, Derived)
        assert (again.document, again.bypassed) == (out.document, ()), "the passthrough of a passthrough is itself"
