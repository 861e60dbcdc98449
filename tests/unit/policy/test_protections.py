"""What a document enforces, what it drops, and what it enforces less than another one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeptrusts_operator.policy import parse_yaml
from keeptrusts_operator.policy.kinds import KINDS
from keeptrusts_operator.policy.passthrough import Derived, derive
from keeptrusts_operator.policy.protections import STRENGTH, Enforced, dropped, enforced, reduced
from tests.unit.policy.documents import ACTIONS, FERRO, MINIMAL, REMOVE, changed

STRICT, RULES, PLUGINS = (parse_yaml(text) for text in (MINIMAL, ACTIONS, FERRO))
DLP = {"dlp-filter": {"action": "block", "blocked_terms": ["phoenix"]}}


def of(document: Any, profile: str = "Keeptrusts") -> Enforced:
    found = enforced(document, profile)
    assert found is not None
    return found


def chain(blocks: dict[str, Any]) -> dict[str, Any]:
    return changed(STRICT, ("policies/chain", list(blocks)), ("policy", blocks))


def less(before: Any, now: Any, profile: str = "Keeptrusts") -> tuple[str, ...]:
    return reduced(of(before, profile), of(now, profile))


def test_a_chain_enforces_its_kinds() -> None:
    assert of(STRICT) == {
        "prompt-injection": {"response.action": "block"},
        "pii-detector": {"action": "redact"},
        "audit-logger": {},
    }
    assert dropped(of(STRICT), ("pii-detector", "audit-logger")) == {}


@pytest.mark.parametrize(
    "document",
    [
        changed(STRICT, ("policies/chain", ["prompt-injection", "audit-logger"])),
        changed(STRICT, ("policy/pii-detector/enabled", False)),
        changed(STRICT, ("pack/enabled", False)),
    ],
    ids=["not in the chain", "switched off", "all of it switched off"],
)
def test_a_required_kind_that_is_gone_is_dropped(document: Any) -> None:
    assert dropped(of(document), ("pii-detector",)) == {"pii-detector": "is not enforced"}


def test_a_required_kind_that_only_watches_is_dropped() -> None:
    logs = changed(STRICT, ("policy/prompt-injection/response", {"action": "log"}))
    assert dropped(of(logs), ("prompt-injection", "rbac")) == {
        "prompt-injection": "would only log (response.action)",
        "rbac": "is not enforced",
    }
    flags = changed(RULES, ("policies/0/input/0/action", "flag"))
    assert dropped(of(flags), ("prompt-injection",)) == {"prompt-injection": "would only flag (input)"}
    assert dropped(of(RULES), ("prompt-injection", "pii-detector")) == {}


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (DLP, {"audit-logger": {}}, ("dlp-filter is gone",)),
        (DLP, {"dlp-filter": {"action": "redact"}}, ("dlp-filter: action was block, is redact",)),
        (DLP, {"dlp-filter": {}}, ("dlp-filter: action was block, is redact",)),
        (DLP, {"dlp-filter": {"action": "block"}, "rbac": {}}, ()),
        ({"dlp-filter": {}}, DLP, ()),
        ({"dlp-filter": {"enabled": False}}, DLP, ()),
        (DLP, {"dlp-filter": {"action": "block", "enabled": False}}, ("dlp-filter is gone",)),
        ({"case-privacy": {"action": "block"}}, {"case-privacy": {}}, ("case-privacy: action was block, is not set",)),
        ({"case-privacy": {}}, {"case-privacy": {"action": "log"}}, ()),
        (
            {"language-validator": {"action": "deny"}},
            {"language-validator": {"action": "notify"}},
            ("language-validator: action was deny, is notify",),
        ),
    ],
)
def test_less_is_a_kind_that_is_gone_or_an_action_not_known_to_be_as_strong(
    before: dict[str, Any], now: dict[str, Any], words: tuple[str, ...]
) -> None:
    assert less(chain(before), chain(now)) == words


def test_rules_are_compared_side_by_side() -> None:
    assert less(RULES, changed(RULES, ("policies/0/input/0/action", "escalate"))) == (
        "prompt-injection: input was block, is escalate",
    )
    assert less(RULES, changed(RULES, ("policies/1/output", REMOVE))) == ("dlp-filter is gone",)
    both = changed(RULES, ("policies/1/output", [{"type": "prompt-injection", "action": "block"}]))
    assert less(both, RULES) == ("prompt-injection: output was block, is not set",)
    twice = changed(
        RULES, ("policies/0/input", [{"type": "dlp-filter", "action": a} for a in ("flag", "block", "redact")])
    )
    assert of(twice)["dlp-filter"]["input"] == "block", "the strongest counts"


def test_plugins_of_ferro() -> None:
    assert of(PLUGINS, "Ferro") == {"word-filter": {"before_request": "block"}}
    off = changed(PLUGINS, ("plugins/0/enabled", False))
    assert less(PLUGINS, off, "Ferro") == ("word-filter is gone",)
    scan = {"name": "secret-scan", "stage": "before_request", "enabled": True, "config": {"action": "warn"}}
    logger = {"name": "request-logger", "stage": "before_request", "enabled": True}
    more = changed(PLUGINS, ("plugins", [*PLUGINS["plugins"], scan, logger]))
    required = ("secret-scan", "request-logger", "word-filter")
    assert dropped(of(more, "Ferro"), required) == {"secret-scan": "would only warn (before_request)"}


@pytest.mark.parametrize(
    ("document", "profile"),
    [
        (STRICT, "Custom"),
        (STRICT, "Ferro"),
        (PLUGINS, "Keeptrusts"),
        (["no mapping"], "Keeptrusts"),
        (changed(STRICT, ("policies/chain", "audit-logger")), "Keeptrusts"),
        (changed(STRICT, ("policy", [])), "Keeptrusts"),
    ],
)
def test_what_cannot_be_read_is_not_taken_for_nothing(document: Any, profile: str) -> None:
    assert enforced(document, profile) is None


@pytest.mark.parametrize(
    ("document", "profile"), [(chain(DLP), "Keeptrusts"), (RULES, "Keeptrusts"), (PLUGINS, "Ferro")]
)
def test_a_passthrough_is_seen_as_less(document: Any, profile: str) -> None:
    made = derive(document, profile, ())
    assert isinstance(made, Derived)
    assert less(document, made.document, profile)
    assert dropped(of(made.document, profile), made.bypassed).keys() == set(made.bypassed)


KIND = st.sampled_from(sorted(KINDS))
BLOCKS = st.dictionaries(
    KIND, st.fixed_dictionaries({}, optional={"action": st.sampled_from(sorted(STRENGTH))}), max_size=6
)


@given(BLOCKS, BLOCKS)
def test_nothing_is_lost_by_adding_and_something_by_removing(some: dict[str, Any], more: dict[str, Any]) -> None:
    assert not less(chain(some), chain(some))
    both = {**more, **some}
    assert not less(chain(some), chain(both))
    assert len(less(chain(both), chain(some))) == len(both.keys() - some.keys())
    assert dropped(of(chain(some)), tuple(both)).keys() >= both.keys() - some.keys()
