"""How a Ferro document routes: `strategy`, and the weights of targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keeptrusts_operator.policy.check import Checker, is_number
from keeptrusts_operator.policy.ferro_fields import MODES
from keeptrusts_operator.policy.ferro_values import check_choice, check_duration, check_reference, word
from keeptrusts_operator.policy.finding import Findings, join, show

_Targets = Mapping[str, Mapping[str, Any]]

_PROTECTED_STATUS_CODES = (400, 401, 403, 404, 422)
_CONDITION_KEYS = ("model", "model_prefix", "user", "stream", "has_tools", "metadata")
_CONTENT_TYPES = ("prompt_contains", "prompt_not_contains", "prompt_regex")


def check_strategy(document: Mapping[str, Any], targets: _Targets, checker: Checker) -> None:
    """Check what the mode makes of the rest; the types of the fields were checked before."""
    findings = checker.findings
    strategy = document.get("strategy", {})
    if not isinstance(strategy, dict):
        return
    mode = word(strategy.get("mode")) or "single"
    check_choice(mode, "strategy.mode", MODES, findings)
    _check_sticky(strategy, mode, findings)
    _check_failover(strategy, findings)
    match mode:
        case "single":
            if len(targets) > 1:
                message = "The mode single uses the first target only; the others never receive a request."
                findings.warning("K606", "strategy.mode", message, "Use the mode fallback or load-balance.")
        case "load-balance" | "loadbalance":
            weights = {key: target.get("weight", 0) for key, target in targets.items()}
            _check_weights(weights, "targets", findings, need_positive=True)
        case "cost-optimized":
            weights = {key: target.get("weight", 0) for key, target in targets.items()}
            _check_weights(weights, "targets", findings, need_positive=False)
            choices = ("fallback", "skip", "allow")
            check_choice(strategy.get("unpriced_strategy"), "strategy.unpriced_strategy", choices, findings)
        case "conditional":
            for rule, path in _rules(strategy, "conditions", findings):
                _check_condition(rule, path, findings)
                _check_rule_targets(rule, path, targets, findings)
        case "content-based":
            for rule, path in _rules(strategy, "content_conditions", findings):
                _check_content_condition(rule, path, checker)
                _check_rule_targets(rule, path, targets, findings)
        case "ab-test":
            _check_variants(strategy, targets, findings)


def _check_sticky(strategy: Mapping[str, Any], mode: str, findings: Findings) -> None:
    sticky = strategy.get("sticky")
    if not isinstance(sticky, dict):
        return
    if mode not in ("load-balance", "loadbalance", "ab-test"):
        message = f"strategy.sticky works with the modes load-balance and ab-test only, not with {show(mode)}."
        findings.error("K305", "strategy.sticky", message, "Remove strategy.sticky or change the mode.")
    if word(sticky.get("on")) != "user":
        message = f"strategy.sticky.on is {show(sticky.get('on'))}, but only user is allowed."
        findings.error("K302", "strategy.sticky.on", message, "Write `on: user`.")
    check_duration(sticky.get("ttl"), "strategy.sticky.ttl", findings)


def _check_failover(strategy: Mapping[str, Any], findings: Findings) -> None:
    codes = strategy.get("failover_on_status_codes")
    for index, code in enumerate(codes if isinstance(codes, list) else ()):
        if code in _PROTECTED_STATUS_CODES:
            path = join("strategy.failover_on_status_codes", index)
            message = f"{path} is {code}, an error of the client that another target cannot cure."
            findings.error("K302", path, message, "Remove it; list codes such as 429, 500 or 503.")


def _check_weights(weights: Mapping[str, Any], path: str, findings: Findings, *, need_positive: bool) -> None:
    numbers = {name: weight for name, weight in weights.items() if is_number(weight)}
    for name, weight in numbers.items():
        if weight < 0:
            message = f"The weight of {show(name)} in {path} is {show(weight)}; weights cannot be negative."
            findings.error("K303", path, message, "Write 0 to send no requests there.")
    if need_positive and numbers and len(numbers) == len(weights) and sum(numbers.values()) <= 0:
        message = f"The weights in {path} sum to zero: no request could be routed."
        findings.error("K303", path, message, "Give at least one of them a positive weight.")


def _rules(strategy: Mapping[str, Any], key: str, findings: Findings) -> list[tuple[dict[str, Any], str]]:
    rules, path = strategy.get(key, []), join("strategy", key)
    if rules == []:
        message = f"The mode {word(strategy.get('mode'))} needs at least one entry in {path}."
        findings.error("K204", path, message, f"Add an entry to {path} or change strategy.mode.")
    entries = enumerate(rules if isinstance(rules, list) else ())
    return [(rule, join(path, index)) for index, rule in entries if isinstance(rule, dict)]


def _check_condition(rule: Mapping[str, Any], path: str, findings: Findings) -> None:
    key, value = word(rule.get("key")), word(rule.get("value"))
    if key not in _CONDITION_KEYS:
        message = f"{path}.key is {show(key)}, but only {', '.join(_CONDITION_KEYS)} are allowed."
        findings.error("K302", join(path, "key"), message, "Write the name of what the rule compares, such as model.")
    if key in ("stream", "has_tools") and value not in ("true", "false"):
        message = f"{path}.value is {show(value)}, but {key} is either true or false."
        findings.error("K302", join(path, "value"), message, 'Write "true" or "false".')
    if key in ("model", "model_prefix", "user") and (not value.strip() or (key != "user" and value != value.strip())):
        message = f"{path}.value is {show(value)}; a rule on {key} needs a value without outer spaces."
        findings.error("K303", join(path, "value"), message, "Write the value that requests are compared with.")
    if (key == "metadata") != bool(word(rule.get("field"))):
        message = f"{path}.field goes with the key metadata, and with no other."
        findings.error("K305", join(path, "field"), message, "Name the metadata entry in `field`, or remove the field.")


def _check_content_condition(rule: Mapping[str, Any], path: str, checker: Checker) -> None:
    kind = word(rule.get("type"))
    if kind not in _CONTENT_TYPES:
        message = f"{path}.type is {show(kind)}, but only {', '.join(_CONTENT_TYPES)} are allowed."
        checker.findings.error("K302", join(path, "type"), message, f"Write one of: {', '.join(_CONTENT_TYPES)}.")
    elif kind == "prompt_regex":
        checker.regex(word(rule.get("value")), join(path, "value"))


def _check_rule_targets(rule: Mapping[str, Any], path: str, targets: _Targets, findings: Findings) -> None:
    single, several = word(rule.get("target_key")), rule.get("target_keys")
    keys = [word(key) for key in several] if isinstance(several, list) else []
    if bool(single) == bool(keys):
        message = f"{path} must have exactly one of target_key and target_keys."
        findings.error("K305", join(path, "target_key"), message, "Name the target that requests of this rule go to.")
        return
    where = join(path, "target_key") if single else join(path, "target_keys")
    for index, key in enumerate([single] if single else keys):
        check_reference(key, where if single else join(where, index), targets, findings)
        if key in keys[:index]:
            message = f"{where} names {show(key)} twice."
            findings.error("K205", join(where, index), message, "Remove one of the two.")


def _check_variants(strategy: Mapping[str, Any], targets: _Targets, findings: Findings) -> None:
    weights: dict[str, Any] = {}
    seen: dict[str, set[str]] = {"label": set(), "target_key": set()}
    for variant, path in _rules(strategy, "ab_variants", findings):
        values = {"label": word(variant.get("label")).lower(), "target_key": word(variant.get("target_key"))}
        for key, value in values.items():
            if not value:
                message = f"{path} has no {key}."
                findings.error("K203", join(path, key), message, f"Add a {key} that no other variant has.")
            elif value in seen[key]:
                message = f"The {key} {show(value)} is used by two variants."
                findings.error("K205", join(path, key), message, f"Give each variant a {key} of its own.")
            seen[key].add(value)
        if values["target_key"]:
            check_reference(values["target_key"], join(path, "target_key"), targets, findings)
        weights[path] = variant.get("weight", 0)
    _check_weights(weights, "strategy.ab_variants", findings, need_positive=True)
