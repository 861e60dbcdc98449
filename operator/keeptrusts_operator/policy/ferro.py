"""Documents of the Ferro gateway (`ferrogw` 1.5.10): `strategy`, `targets`, `plugins`.

The rules were found by running `ferrogw validate`: what it refuses is an error here, except names and keys that this
version does not know but a later one may: those are errors in strict mode only. The gateway has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from keeptrusts_operator.policy.check import Checker
from keeptrusts_operator.policy.ferro_fields import MCP_SERVER, PROVIDERS, TARGET, TOP_LEVEL
from keeptrusts_operator.policy.ferro_plugins import blocking_plugins, check_plugins, enabled_plugins
from keeptrusts_operator.policy.ferro_strategy import check_strategy
from keeptrusts_operator.policy.ferro_values import check_choice, check_duration, check_reference, mappings, word
from keeptrusts_operator.policy.finding import Findings, Severity, did_you_mean, join, listing, show, type_name
from keeptrusts_operator.policy.result import LintResult

__all__ = ["blocking_plugins", "lint_ferro"]

_ENV_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
_TARGET_HINT = "Write `targets: [{virtual_key: openai}]`."


def lint_ferro(original: dict[str, Any], findings: Findings) -> LintResult:
    """Check a Ferro document whose values JSON can carry."""
    document = _without_nulls(original)
    checker = Checker(findings)
    checker.fields(document, TOP_LEVEL, "", Severity.ERROR, complete=True)
    targets = _check_targets(document, checker)
    check_strategy(document, targets, checker)
    _check_top_level_values(document, targets, findings)
    _check_aliases(document, findings)
    _check_mcp_servers(document, checker)
    check_plugins(document, checker)
    if not any(blocking_plugins(document, stage) for stage in ("before_request", "after_request")):
        message = "No enabled guardrail plugin blocks: every request within the limits passes."
        findings.warning("K506", "plugins", message, "Enable a guardrail such as word-filter or prompt-shield.")
    chain = dict.fromkeys(word(plugin.get("name")) for plugin, _ in enabled_plugins(document))
    return LintResult(None, None, tuple(chain), findings.result(), _env_names(document))


def _without_nulls(value: Any, *, inside_config: bool = False) -> Any:
    """The gateway takes a null for an absent key, but not in the free-form `config` of a plugin."""
    if isinstance(value, dict) and not inside_config:
        return {
            key: _without_nulls(item, inside_config=key == "config") for key, item in value.items() if item is not None
        }
    if isinstance(value, list) and not inside_config:
        return [_without_nulls(item) for item in value]
    return value


def _check_targets(document: Mapping[str, Any], checker: Checker) -> dict[str, Mapping[str, Any]]:
    """The declared targets by virtual_key."""
    findings = checker.findings
    entries = document.get("targets", [])
    declared: dict[str, Mapping[str, Any]] = {}
    if entries == []:
        code, path = ("K204", "targets") if "targets" in document else ("K203", "targets")
        findings.error(code, path, "The document declares no target; the gateway needs at least one.", _TARGET_HINT)
    for index, target in enumerate(entries if isinstance(entries, list) else ()):
        path = join("targets", index)
        if not isinstance(target, dict):
            message = f"{path} must be a mapping, but it is {type_name(target)}."
            findings.error("K301", path, message, _TARGET_HINT)
            continue
        checker.fields(target, TARGET, path, Severity.ERROR, complete=True)
        _check_provider(target, path, declared, findings)
        _check_models(target, path, document.get("aliases"), findings)
        check_duration(target.get("timeout"), join(path, "timeout"), findings)
        breaker = target.get("circuit_breaker")
        if isinstance(breaker, dict):
            where = join(join(path, "circuit_breaker"), "timeout")
            check_duration(breaker.get("timeout"), where, findings, empty_allowed=False)
        concurrency = target.get("concurrency")
        if isinstance(concurrency, dict) and "max_concurrency" not in concurrency:
            checker.missing("max_concurrency", join(path, "concurrency"), "Write a number from 1 to 10000.")
    return declared


def _check_provider(
    target: Mapping[str, Any], path: str, declared: dict[str, Mapping[str, Any]], findings: Findings
) -> None:
    key, path = word(target.get("virtual_key")), join(path, "virtual_key")
    if not key:
        findings.error(
            "K203", path, "The target has no virtual_key.", "Name a provider, such as `virtual_key: openai`."
        )
        return
    if key in declared:
        message = f"The virtual_key {show(key)} is declared twice."
        findings.error("K205", path, message, "Remove or rename one of the two targets.")
    declared.setdefault(key, target)
    if key not in PROVIDERS:
        near = did_you_mean(key, PROVIDERS, findings)
        hint = f"Did you mean {show(near)}?" if near else f"Write one of: {', '.join(PROVIDERS)}."
        findings.error("K604", path, f"The target {show(key)} names no provider of the gateway.", hint)


def _check_models(target: Mapping[str, Any], path: str, aliases: object, findings: Findings) -> None:
    models, routed = target.get("models"), target.get("model_map")
    seen: set[str] = set()
    for index, model in enumerate(models if isinstance(models, list) else ()):
        where = join(join(path, "models"), index)
        _check_model(word(model), where, findings)
        if word(model) in seen:
            findings.error("K205", where, f"The model {show(model)} is listed twice.", "Remove one of the two.")
        seen.add(word(model))
    for source, model in (routed if isinstance(routed, dict) else {}).items():
        where = join(join(path, "model_map"), source)
        _check_model(source, where, findings)
        _check_model(word(model), where, findings)
        if isinstance(aliases, dict) and source in aliases:
            message = f"The model_map entry {show(source)} can never be used: it is an alias, and aliases come first."
            findings.error("K606", where, message, "Rename the alias or the entry.")


def _check_model(model: str, path: str, findings: Findings) -> None:
    if not model or model != model.strip() or "*" in model or "?" in model:
        message = f"{path} names the model {show(model)}; wildcards, outer spaces and empty names are not allowed."
        findings.error("K304", path, message, "Write the exact id of one model, such as gpt-4o-mini.")


def _check_top_level_values(
    document: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]], findings: Findings
) -> None:
    check_duration(document.get("request_timeout"), "request_timeout", findings)
    for key in ("batch_target", "responses_target"):
        if word(document.get(key)):
            check_reference(word(document[key]), key, targets, findings)
    compatibility, observability = document.get("compatibility"), document.get("observability")
    if isinstance(compatibility, dict):
        path = "compatibility.on_unsupported_param"
        check_choice(compatibility.get("on_unsupported_param"), path, ("warn", "drop", "reject"), findings)
    tracing = observability.get("tracing") if isinstance(observability, dict) else None
    if isinstance(tracing, dict):
        path = "observability.tracing.privacy_level"
        check_choice(tracing.get("privacy_level"), path, ("none", "metadata", "full"), findings)
    version = word(document.get("apiVersion", "v1"))
    if version not in ("", "v1"):
        message = f"apiVersion is {show(version)}; the gateway knows v1 and would read the document as that."
        findings.warning("K302", "apiVersion", message, "Write `apiVersion: v1` or remove the key.")


def _check_aliases(document: Mapping[str, Any], findings: Findings) -> None:
    aliases = document.get("aliases", {})
    if not isinstance(aliases, dict):
        return
    for name, model in aliases.items():
        path, target = join("aliases", name), word(model)
        if not name or not target:
            findings.error("K303", path, "An alias has an empty name or an empty model.", "Write both, or remove it.")
        elif target in aliases:
            message = f"The alias {show(name)} points to the alias {show(target)}; aliases cannot be chained."
            findings.error("K305", path, message, "Point it to the id of a model.")


def _check_mcp_servers(document: Mapping[str, Any], checker: Checker) -> None:
    findings = checker.findings
    names: set[str] = set()
    for server, path in mappings(document, "mcp_servers", findings):
        checker.fields(server, MCP_SERVER, path, Severity.ERROR, complete=True)
        name = word(server.get("name"))
        if not name.strip():
            checker.missing("name", path, "Give the server a name of its own.")
        elif name in names:
            message = f"The server name {show(name)} is used twice."
            findings.error("K205", join(path, "name"), message, "Give each server a name of its own.")
        names.add(name)
        transports = [key for key in ("url", "command") if word(server.get(key))]
        if len(transports) != 1:
            message = f"{path} must have exactly one of url and command; it has {listing(transports)}."
            findings.error("K305", path, message, "Keep `url` for a remote server, `command` for a local process.")


def _env_names(document: Mapping[str, Any]) -> frozenset[str]:
    """Variables that the gateway needs to start: it refuses a document that names one that is not set."""
    return frozenset(name for text in _expanded_strings(document) for name in _ENV_REFERENCE.findall(text))


def _expanded_strings(document: Mapping[str, Any]) -> Iterator[str]:
    observability = document.get("observability")
    exporters = observability.get("exporters") if isinstance(observability, dict) else None
    entries = [plugin for plugin, _ in enabled_plugins(document)]
    if isinstance(exporters, list):
        entries.extend(entry for entry in exporters if isinstance(entry, dict) and entry.get("enabled") is True)
    waiting: list[Any] = [entry.get("config") for entry in entries]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
