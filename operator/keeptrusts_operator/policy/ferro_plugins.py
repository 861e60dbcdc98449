"""The plugins of a Ferro document: which there are, where they work, and what their settings mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keeptrusts_operator.policy.check import Checker
from keeptrusts_operator.policy.document import canonical_json
from keeptrusts_operator.policy.ferro_fields import PLUGIN
from keeptrusts_operator.policy.ferro_settings import PLUGINS, acts, check_settings, stages_of
from keeptrusts_operator.policy.ferro_values import check_choice, mappings, word
from keeptrusts_operator.policy.finding import Findings, Severity, did_you_mean, join, listing, show

STAGES = ("before_request", "after_request", "on_error")


def enabled_plugins(document: object) -> Iterator[tuple[dict[str, Any], str]]:
    """The plugin entries that are switched on, with their paths."""
    entries = document.get("plugins") if isinstance(document, dict) else None
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict) and entry.get("enabled") is True:
            yield entry, join("plugins", index)


def blocking_plugins(document: object, stage: str = "before_request") -> tuple[str, ...]:
    """The enabled guardrails that refuse requests at a stage, each once, in the order of the document.

    Limits (rate-limit, budget) refuse too, but protect the gateway and not the conversation: they are not named. Nor
    are guardrails set to redact, warn or log. In doubt, as for plugins we do not know, a guardrail blocks.
    """
    names = (
        word(entry.get("name"))
        for entry, _ in enabled_plugins(document)
        if entry.get("stage") == stage and _is_guardrail(entry) and "block" in acts(entry)
    )
    return tuple(dict.fromkeys(names))


def _is_guardrail(entry: Mapping[str, Any]) -> bool:
    # The gateway goes by what the plugin is, and ignores what the document calls it.
    known = PLUGINS.get(word(entry.get("name")))
    return (known.type if known else entry.get("type")) == "guardrail"


def check_plugins(document: Mapping[str, Any], checker: Checker) -> None:
    """Check every entry. Of plugins that are switched off the gateway looks at the fields only."""
    findings = checker.findings
    for entry, path in mappings(document, "plugins", findings):
        checker.fields(entry, PLUGIN, path, Severity.ERROR, complete=True)
        if entry.get("enabled") is True:
            _check_enabled(entry, path, checker)
    _check_instances(document, findings)


def _check_enabled(entry: Mapping[str, Any], path: str, checker: Checker) -> None:
    findings, name = checker.findings, word(entry.get("name"))
    if not word(entry.get("stage")):
        checker.missing("stage", path, "Write `stage: before_request` to check requests.")
    check_choice(entry.get("stage"), join(path, "stage"), STAGES, findings)
    if not name:
        checker.missing("name", path, f"Name a plugin: {', '.join(PLUGINS)}.")
        return
    if name not in PLUGINS:
        near = did_you_mean(name, PLUGINS, findings)
        hint = f"Did you mean {show(near)}?" if near else f"Use a known plugin: {', '.join(PLUGINS)}."
        message = f"{show(name)} is not a plugin of ferrogw 1.5.10; a gateway that does not have it will not start."
        findings.unknown("K601", join(path, "name"), message, hint)
        return
    known, stage = PLUGINS[name], entry.get("stage")
    declared = word(entry.get("type"))
    if declared not in ("", known.type):
        message = f"{path} calls {name} a {show(declared)}, but it is a {known.type}; the gateway ignores the type."
        findings.warning("K302", join(path, "type"), message, f"Write `type: {known.type}`.")
    stages = stages_of(entry)
    if stage in STAGES and stage not in stages:
        message = f"The plugin {name} does nothing at the stage {stage}, so the gateway refuses it there."
        findings.error("K602", join(path, "stage"), message, f"Write `stage: {listing(stages)}`.")
    config = entry.get("config")
    if config is None or isinstance(config, dict):
        check_settings(name, config or {}, join(path, "config"), checker)


def _check_instances(document: Mapping[str, Any], findings: Findings) -> None:
    """Entries of one plugin with equal settings are one instance; the gateway refuses entries that disagree."""
    stages: dict[str, dict[str, set[str]]] = {}  # plugin → settings → stages
    ids: dict[str, tuple[str, str]] = {}
    names: dict[tuple[str, str], str] = {}
    for entry, path in enabled_plugins(document):
        name, stage = word(entry.get("name")), word(entry.get("stage"))
        settings = canonical_json(entry.get("config"))
        known = stages.setdefault(name, {}).setdefault(settings, set())
        if stage in known:
            message = f"The plugin {show(name)} is listed twice at the stage {show(stage)} with equal settings."
            findings.error("K603", path, message, "Remove one of the two entries.")
        known.add(stage)
        instance = word(entry.get("id"))
        if instance and names.setdefault((name, settings), instance) != instance:
            message = f"The plugin {show(name)} has two ids, but its entries have equal settings and are one instance."
            findings.error("K603", join(path, "id"), message, f"Write `id: {names[name, settings]}` for all of them.")
        if instance and ids.setdefault(instance, (name, settings)) != (name, settings):
            message = f"The plugin id {show(instance)} names two different plugins or settings."
            findings.error("K205", join(path, "id"), message, "Give each plugin an id of its own.")
    for name, by_settings in stages.items():
        if len(by_settings) > 1 and len(set().union(*by_settings.values())) > 1:
            message = f"The plugin {show(name)} is listed at several stages with different settings."
            hint = "Give all entries of the plugin the same config, or keep it at one stage."
            findings.error("K603", "plugins", message, hint)
