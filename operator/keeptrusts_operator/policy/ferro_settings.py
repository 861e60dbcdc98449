"""The `config` of each Ferro plugin.

What `ferrogw` 1.5.10 refuses is an error; what it silently ignores is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keeptrusts_operator.policy.check import Checker, is_number
from keeptrusts_operator.policy.ferro_values import check_choice, word
from keeptrusts_operator.policy.fields import ANY, BOOLEAN, NUMBER, Field
from keeptrusts_operator.policy.finding import Severity, did_you_mean, join, show, type_name

_BEFORE, _AFTER = "before_request", "after_request"
_EVERYWHERE = (_BEFORE, _AFTER, "on_error")
_FILTER_ACTIONS = ("block", "warn", "log")


@dataclass(frozen=True, slots=True)
class Plugin:
    type: str
    settings: Mapping[str, Field]
    """The keys the plugin reads. A wrong type of these is ignored by the gateway, hence only a warning."""
    stages: tuple[str, ...] = _EVERYWHERE
    actions: tuple[str, ...] = ()
    """The values of `config.action`; the first is the default. Empty: the plugin always blocks."""


def _keys(*names: str) -> dict[str, Field]:
    return dict.fromkeys(names, ANY)


_RATES = ("input_per_m_tokens", "output_per_m_tokens", "cache_read_per_m_tokens", "cache_write_per_m_tokens")

PLUGINS: Mapping[str, Plugin] = {
    "word-filter": Plugin("guardrail", {"blocked_words": ANY, "case_sensitive": BOOLEAN}),
    "max-token": Plugin("guardrail", {"max_tokens": NUMBER, "max_messages": NUMBER, "max_input_length": NUMBER}),
    "regex-guard": Plugin("guardrail", _keys("rules", "action"), (_BEFORE, _AFTER), _FILTER_ACTIONS),
    "pii-redact": Plugin(
        "guardrail",
        _keys("entities", "patterns", "action", "redact_placeholder"),
        (_BEFORE,),
        ("block", "redact", "log"),
    ),
    "secret-scan": Plugin("guardrail", _keys("kinds", "patterns", "action"), actions=_FILTER_ACTIONS),
    "prompt-shield": Plugin("guardrail", _keys("categories", "action"), (_BEFORE,), _FILTER_ACTIONS),
    "schema-guard": Plugin("guardrail", _keys("schema", "action"), (_AFTER,), _FILTER_ACTIONS),
    "rate-limit": Plugin("ratelimit", _keys("requests_per_second", "burst", "key_rpm", "user_rpm")),
    "budget": Plugin("ratelimit", _keys("spend_limit_usd", *_RATES, "max_keys", "store_id")),
    "response-cache": Plugin("transform", _keys("max_age", "max_entries")),
    "request-logger": Plugin("logging", _keys("level", "persist")),
}

_ENTITIES = ("email", "phone", "ssn", "credit_card")
_CATEGORIES = ("system_override", "role_manipulation", "instruction_leak", "delimiter_attack")
_SECRET_KINDS = (
    "aws_access_key",
    "github_token",
    "slack_token",
    "anthropic_key",
    "openai_key",
    "google_api_key",
    "stripe_key",
    "private_key",
    "jwt",
    "gitlab_token",
    "npm_token",
    "huggingface_token",
    "sendgrid_key",
    "twilio_key",
    "azure_storage_key",
    "slack_webhook",
)
_SCHEMA_TYPES = ("null", "boolean", "object", "array", "number", "string", "integer")
_SCOPES = {"input": (_BEFORE,), "output": (_AFTER,), "both": (_BEFORE, _AFTER)}


def check_settings(name: str, config: Mapping[str, Any], path: str, checker: Checker) -> None:
    """Check the settings of an enabled plugin that we know."""
    plugin = PLUGINS[name]
    checker.fields(config, plugin.settings, path, Severity.WARNING, complete=True)
    if plugin.actions:
        _check_action(config.get("action"), join(path, "action"), plugin.actions, checker)
    _CHECKS.get(name, _nothing_more)(config, path, checker)


def stages_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The stages at which a known plugin does something; for regex-guard its rules decide."""
    name = word(entry.get("name"))
    rules = _rules(entry.get("config")) if name == "regex-guard" else []
    if not rules:
        return PLUGINS[name].stages
    scopes = {stage for rule in rules for stage in _SCOPES.get(_fold(rule.get("apply_to")) or "input", _EVERYWHERE)}
    return tuple(stage for stage in (_BEFORE, _AFTER) if stage in scopes)


def acts(entry: Mapping[str, Any]) -> frozenset[str]:
    """What a guardrail does on a match."""
    plugin = PLUGINS.get(word(entry.get("name")))
    if plugin is None or not plugin.actions:
        return frozenset({"block"})
    config = entry.get("config")
    own = (_fold(config.get("action")) if isinstance(config, dict) else "") or plugin.actions[0]
    rules = _rules(config)
    found = {_fold(rule.get("action")) or own for rule in rules} if rules else {own}
    return frozenset("block" if action not in plugin.actions else action for action in found)


def _rules(config: object) -> list[dict[str, Any]]:
    rules = config.get("rules") if isinstance(config, dict) else None
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []


def _fold(value: object) -> str:
    return word(value).strip().lower()


def _nothing_more(_config: Mapping[str, Any], _path: str, _checker: Checker) -> None:
    pass


def _check_action(value: object, path: str, actions: tuple[str, ...], checker: Checker) -> None:
    if value is not None and not isinstance(value, str):
        message = f"{path} must be a string, but it is {type_name(value)}."
        checker.findings.error("K301", path, message, f"Write one of: {', '.join(actions)}.")
    else:
        check_choice(value, path, actions, checker.findings, fold=True)


def _is_list(config: Mapping[str, Any], key: str, path: str, checker: Checker) -> bool:
    if key not in config or isinstance(config[key], list):
        return key in config
    where = join(path, key)
    message = f"{where} must be a list, but it is {type_name(config[key])}."
    checker.findings.error("K301", where, message, f"Write `{key}: [...]`, or remove the key.")
    return False


def _check_strings(config: Mapping[str, Any], key: str, path: str, checker: Checker, *, empty: bool) -> None:
    for index, item in enumerate(config[key] if _is_list(config, key, path, checker) else ()):
        where = join(join(path, key), index)
        if not isinstance(item, str):
            message = f"{where} must be a string, but it is {type_name(item)}."
            checker.findings.error("K301", where, message, f"Put the value in quotes: {show(show(item))}.")
        elif not empty and not item.strip():
            message = f"{where} is empty and would match every text."
            checker.findings.error("K303", where, message, "Write a pattern or remove the entry.")


def _check_selection(
    config: Mapping[str, Any], key: str, known: tuple[str, ...], path: str, checker: Checker, *, others: str = ""
) -> None:
    """A non-empty list of known words; it may be empty if there are `others` to work with."""
    if not _is_list(config, key, path, checker):
        return
    if not config[key] and not config.get(others):
        message = f"{join(path, key)} is empty: the plugin would look for nothing."
        checker.findings.error("K204", join(path, key), message, "Remove the key to select all, or name at least one.")
    for index, item in enumerate(config[key]):
        where = join(join(path, key), index)
        text = item.strip().lower() if isinstance(item, str) else None
        if text not in known and "${" not in (text or ""):
            near = did_you_mean(text or "", known, checker.findings)
            hint = f"Did you mean {show(near)}?" if near else f"Write one of: {', '.join(known)}."
            checker.findings.error("K302", where, f"{where} is {show(item)}, which the plugin does not know.", hint)


def _check_patterns(config: Mapping[str, Any], path: str, checker: Checker) -> None:
    patterns = config.get("patterns")
    if patterns is not None:
        _check_strings(config, "patterns", path, checker, empty=False)
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
        if isinstance(pattern, str):
            checker.regex(pattern, join(join(path, "patterns"), index))


def _check_word_filter(config: Mapping[str, Any], path: str, checker: Checker) -> None:
    _check_strings(config, "blocked_words", path, checker, empty=True)


def _check_regex_guard(config: Mapping[str, Any], path: str, checker: Checker) -> None:
    rules, where = config.get("rules"), join(path, "rules")
    if not isinstance(rules, list) or not rules:
        message = f"{where} must be a list with at least one rule."
        code = "K203" if rules is None else "K301" if not isinstance(rules, list) else "K204"
        checker.findings.error(code, where, message, "Write `rules: [{name: codename, pattern: 'project phoenix'}]`.")
        return
    for index, rule in enumerate(rules):
        _check_rule(rule, join(where, index), checker)


def _check_rule(rule: object, path: str, checker: Checker) -> None:
    if not isinstance(rule, dict):
        message = f"{path} must be a mapping, but it is {type_name(rule)}."
        checker.findings.error("K301", path, message, "Write `{name: ..., pattern: ...}`.")
        return
    checker.fields(rule, _keys("name", "pattern", "apply_to", "action"), path, Severity.WARNING, complete=True)
    if not isinstance(rule.get("name"), str | None):
        message = f"{path}.name must be a string, but it is {type_name(rule['name'])}."
        checker.findings.error("K301", join(path, "name"), message, "Put the name in quotes.")
    pattern, where = rule.get("pattern"), join(path, "pattern")
    if pattern is None or (isinstance(pattern, str) and not pattern.strip()):
        checker.findings.error("K203", where, f"{path} has no pattern.", "Add `pattern:` with a regular expression.")
    elif not isinstance(pattern, str):
        message = f"{where} must be a string, but it is {type_name(pattern)}."
        checker.findings.error("K301", where, message, "Put the pattern in quotes.")
    else:
        checker.regex(pattern, where)
    _check_action(rule.get("action"), join(path, "action"), _FILTER_ACTIONS, checker)
    _check_action(rule.get("apply_to"), join(path, "apply_to"), tuple(_SCOPES), checker)


def _check_pii_redact(config: Mapping[str, Any], path: str, checker: Checker) -> None:
    _check_selection(config, "entities", _ENTITIES, path, checker, others="patterns")
    _check_patterns(config, path, checker)
    placeholder = config.get("redact_placeholder")
    if placeholder is not None and not isinstance(placeholder, str):
        where = join(path, "redact_placeholder")
        message = f"{where} must be a string, but it is {type_name(placeholder)}."
        checker.findings.error("K301", where, message, "Put the value in quotes.")


def _check_secret_scan(config: Mapping[str, Any], path: str, checker: Checker) -> None:
    _check_selection(config, "kinds", _SECRET_KINDS, path, checker, others="patterns")
    _check_patterns(config, path, checker)


def _check_prompt_shield(config: Mapping[str, Any], path: str, checker: Checker) -> None:
    _check_selection(config, "categories", _CATEGORIES, path, checker)


def _check_schema_guard(config: Mapping[str, Any], path: str, checker: Checker) -> None:
    waiting: list[tuple[object, str]] = [(config.get("schema"), join(path, "schema"))]
    while waiting:
        schema, where = waiting.pop()
        if not isinstance(schema, dict):
            message = f"{where} must be a mapping, a JSON schema, but it is {type_name(schema)}."
            checker.findings.error("K301", where, message, "Write a schema such as `{type: object}`.")
            continue
        kind = schema.get("type", "object")
        if kind not in _SCHEMA_TYPES:
            message = f"{where}.type is {show(kind)}, but it must be one of {', '.join(_SCHEMA_TYPES)}."
            checker.findings.error("K302", join(where, "type"), message, "Write a single type name.")
        if "required" in schema:
            _check_strings(schema, "required", where, checker, empty=True)
        properties = schema.get("properties", {})
        if isinstance(properties, dict):
            waiting.extend((item, join(join(where, "properties"), name)) for name, item in properties.items())
        else:
            message = f"{where}.properties must be a mapping, but it is {type_name(properties)}."
            checker.findings.error("K301", join(where, "properties"), message, "Map each field name to its schema.")


def _check_numbers(config: Mapping[str, Any], keys: tuple[str, ...], path: str, checker: Checker) -> None:
    for key in keys:
        if key in config and not is_number(config[key]):
            where = join(path, key)
            message = f"{where} must be a number, but it is {type_name(config[key])}."
            checker.findings.error("K301", where, message, "Write a number without quotes, or remove the key.")


def _check_rate_limit(config: Mapping[str, Any], path: str, checker: Checker) -> None:
    keys = ("requests_per_second", "burst", "key_rpm", "user_rpm")
    _check_numbers(config, keys, path, checker)
    for key in keys:
        if is_number(config.get(key)) and config[key] <= 0:
            message = f"{join(path, key)} is {show(config[key])}; such a rate would reject every request."
            checker.findings.error("K303", join(path, key), message, "Write a positive number, or disable the plugin.")


def _check_budget(config: Mapping[str, Any], path: str, checker: Checker) -> None:
    _check_numbers(config, ("spend_limit_usd", *_RATES, "max_keys"), path, checker)
    for key in ("spend_limit_usd", "max_keys", "cache_read_per_m_tokens", "cache_write_per_m_tokens"):
        if is_number(config.get(key)) and config[key] < 0:
            message = f"{join(path, key)} is {show(config[key])}, but it cannot be negative."
            checker.findings.error("K303", join(path, key), message, "Write 0 or a positive number.")
    limit = config.get("spend_limit_usd", 0)
    if is_number(limit) and limit > 0 and not any(config.get(rate) for rate in _RATES):
        where = join(path, "spend_limit_usd")
        message = f"{where} can never be reached: no price is set, so every request costs nothing."
        checker.findings.error("K606", where, message, "Add input_per_m_tokens and output_per_m_tokens.")


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], str, Checker], None]] = {
    "word-filter": _check_word_filter,
    "regex-guard": _check_regex_guard,
    "pii-redact": _check_pii_redact,
    "secret-scan": _check_secret_scan,
    "prompt-shield": _check_prompt_shield,
    "schema-guard": _check_schema_guard,
    "rate-limit": _check_rate_limit,
    "budget": _check_budget,
}
