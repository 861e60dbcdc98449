"""Rules for documents of the Ferro gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keeptrusts_operator.policy import DocumentError, Severity, blocking_plugins, lint, parse_yaml
from tests.unit.policy.documents import FERRO, REMOVE, changed

E, W = Severity.ERROR, Severity.WARNING
BASE = parse_yaml(FERRO)
PLUGIN = "plugins/0"

VERDICTS = [json.loads(line) for line in Path(__file__).with_name("ferro_verdicts.jsonl").read_text().splitlines()]
"""What `ferrogw validate` 1.5.10 said about documents, one at a time."""

STRICTER = ["failure_threshold: 2.5"]
"""What the gateway accepts and we do not: it rounds a fraction of a failure."""


def found(document: object, *, strict: bool = False) -> set[tuple[Severity, str, str]]:
    result = lint(document, strict=strict, profile="Ferro")
    return {(finding.severity, finding.code, finding.path) for finding in result.findings}


def plugin(name: str, config: dict[str, Any], stage: str = "before_request") -> dict[str, Any]:
    return changed(BASE, ("plugins", [{"name": name, "stage": stage, "enabled": True, "config": config}]))


def test_our_verdicts_are_those_of_the_gateway() -> None:
    wrong = [verdict["document"] for verdict in VERDICTS if _accepted(verdict["document"]) != verdict["accepted"]]
    assert [text for text in wrong if not any(known in text for known in STRICTER)] == []
    assert len(VERDICTS) > 500


def _accepted(text: str) -> bool:
    try:
        return lint(parse_yaml(text), strict=True, profile="Ferro").ok
    except DocumentError:
        return False


def test_a_good_document_has_no_findings() -> None:
    result = lint(BASE, strict=True, profile="Ferro")
    assert result.findings == ()
    assert result.chain == ("word-filter",)
    assert (result.shape, result.pack, result.env_names) == (None, None, frozenset())


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        (changed(BASE, ("targets", REMOVE)), "K203", "targets"),
        (changed(BASE, ("targets", [])), "K204", "targets"),
        (changed(BASE, ("targets/0", "openai")), "K301", "targets[0]"),
        (changed(BASE, ("targets/0/virtual_key", "")), "K203", "targets[0].virtual_key"),
        (changed(BASE, ("targets/0/virtual_key", "opnai")), "K604", "targets[0].virtual_key"),
        (changed(BASE, ("targets", [{"virtual_key": "openai"}] * 2)), "K205", "targets[1].virtual_key"),
        (changed(BASE, ("targets/0/timeout", "soon")), "K304", "targets[0].timeout"),
        (changed(BASE, ("targets/0/timeout", "0s")), "K303", "targets[0].timeout"),
        (changed(BASE, ("targets/0/models", ["gpt-*"])), "K304", "targets[0].models[0]"),
        (changed(BASE, ("targets/0/models", ["a", "a"])), "K205", "targets[0].models[1]"),
        (changed(BASE, ("targets/0/retry", {"attempts": -1})), "K303", "targets[0].retry.attempts"),
        (changed(BASE, ("targets/0/concurrency", {})), "K203", "targets[0].concurrency.max_concurrency"),
        (changed(BASE, ("strategy", "single")), "K301", "strategy"),
        (changed(BASE, ("strategy/mode", "round_robin")), "K302", "strategy.mode"),
        (changed(BASE, ("strategy/mode", "load-balance")), "K303", "targets"),
        (changed(BASE, ("strategy/mode", "conditional")), "K204", "strategy.conditions"),
        (changed(BASE, ("strategy/sticky", {"on": "user"})), "K305", "strategy.sticky"),
        (changed(BASE, ("batch_target", "groq")), "K605", "batch_target"),
        (changed(BASE, ("aliases", {"a": "b", "b": "c"})), "K305", "aliases.a"),
        (changed(BASE, ("mcp_servers", [{"name": "a"}])), "K305", "mcp_servers[0]"),
        (changed(BASE, ("plugins", {})), "K301", "plugins"),
        (changed(BASE, (f"{PLUGIN}/stage", "before")), "K302", "plugins[0].stage"),
        (changed(BASE, (f"{PLUGIN}/stage", REMOVE)), "K203", "plugins[0].stage"),
        (changed(BASE, (f"{PLUGIN}/name", REMOVE)), "K203", "plugins[0].name"),
        (changed(BASE, (f"{PLUGIN}/enabled", "true")), "K301", "plugins[0].enabled"),
        (changed(BASE, (f"{PLUGIN}/config/blocked_words", "x")), "K301", "plugins[0].config.blocked_words"),
        (changed(BASE, ("plugins", [BASE["plugins"][0]] * 2)), "K603", "plugins[1]"),
        (plugin("prompt-shield", {}, "after_request"), "K602", "plugins[0].stage"),
        (plugin("prompt-shield", {"categories": ["x"]}), "K302", "plugins[0].config.categories[0]"),
        (plugin("pii-redact", {"action": "warn"}), "K302", "plugins[0].config.action"),
        (plugin("regex-guard", {}), "K203", "plugins[0].config.rules"),
        (plugin("regex-guard", {"rules": [{"name": "a"}]}), "K203", "plugins[0].config.rules[0].pattern"),
        (plugin("rate-limit", {"burst": 0}), "K303", "plugins[0].config.burst"),
        (plugin("budget", {"spend_limit_usd": 5}), "K606", "plugins[0].config.spend_limit_usd"),
        (plugin("schema-guard", {}, "after_request"), "K301", "plugins[0].config.schema"),
    ],
)
def test_errors(document: dict[str, Any], code: str, path: str) -> None:
    assert (E, code, path) in found(document)
    assert (E, code, path) in found(document, strict=True)


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        (changed(BASE, ("cache", {})), "E002", "cache"),
        (changed(BASE, (f"{PLUGIN}/config/words", [])), "E002", "plugins[0].config.words"),
        (changed(BASE, ("targets/0/provider", "openai")), "E002", "targets[0].provider"),
        (changed(BASE, (f"{PLUGIN}/name", "word-fliter")), "K601", "plugins[0].name"),
    ],
)
def test_names_of_later_versions_are_errors_in_strict_mode_only(document: dict[str, Any], code: str, path: str) -> None:
    if code == "E002" and "config" in path:
        # This version ignores unknown settings of a plugin; strict mode does not.
        assert (E, code, path) in found(document, strict=True)
    assert (W, code, path) in found(document)
    assert lint(document, strict=False, profile="Ferro").ok
    assert (E, code, path) in found(document, strict=True)


@pytest.mark.parametrize(
    ("document", "code", "path"),
    [
        (changed(BASE, (f"{PLUGIN}/enabled", False)), "K506", "plugins"),
        (changed(BASE, (f"{PLUGIN}/type", "filter")), "K302", "plugins[0].type"),
        (changed(BASE, (f"{PLUGIN}/config/case_sensitive", "no")), "K301", "plugins[0].config.case_sensitive"),
        (changed(BASE, ("targets", [{"virtual_key": "openai"}, {"virtual_key": "groq"}])), "K606", "strategy.mode"),
        (changed(BASE, ("apiVersion", "v2")), "K302", "apiVersion"),
        (plugin("regex-guard", {"rules": [{"pattern": "a(?!b)"}]}), "K510", "plugins[0].config.rules[0].pattern"),
    ],
)
def test_warnings(document: dict[str, Any], code: str, path: str) -> None:
    assert (W, code, path) in found(document, strict=True)
    assert lint(document, strict=True, profile="Ferro").ok


def test_variables_that_the_gateway_needs_to_start() -> None:
    document = plugin("word-filter", {"blocked_words": ["${CODENAME}", "$PLAIN", "a ${OTHER} b"]})
    assert lint(document, strict=True, profile="Ferro").env_names == {"CODENAME", "OTHER"}
    assert lint(changed(document, (f"{PLUGIN}/enabled", False)), strict=True, profile="Ferro").env_names == frozenset()


def test_blocking_plugins() -> None:
    def entry(name: str, stage: str = "before_request", enabled: bool = True, **config: object) -> dict[str, Any]:
        return {"name": name, "type": "guardrail", "stage": stage, "enabled": enabled, "config": config}

    document = {
        "plugins": [
            entry("word-filter"),
            entry("word-filter", "after_request"),
            entry("pii-redact", action="redact"),
            entry("prompt-shield", action=" Warn "),
            entry("secret-scan", enabled=False),
            entry("regex-guard", action="warn", rules=[{"pattern": "a", "action": "block"}]),
            entry("schema-guard", "after_request"),
            entry("rate-limit"),
            entry("budget"),
            entry("request-logger"),
            entry("word-filter", blocked_words=["x"]),
            entry("house-rules"),
        ]
    }
    assert blocking_plugins(document) == ("word-filter", "regex-guard", "house-rules")
    assert blocking_plugins(document, "after_request") == ("word-filter", "schema-guard")
    assert blocking_plugins(None) == ()
    assert blocking_plugins({"plugins": "x"}) == ()
