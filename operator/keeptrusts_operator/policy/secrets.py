"""Secrets: how a document may refer to them, which environment variables it needs, and the provider targets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from keeptrusts_operator.policy.check import Checker
from keeptrusts_operator.policy.finding import Findings, join, show, type_name
from keeptrusts_operator.policy.sections import PROVIDERS, TARGET

_STORE_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)  # without the hyphens that pasted keys have
_REF_HINT = "Write `secret_key_ref: {env: OPENAI_API_KEY}`, and supply that variable from a Secret in the pod template."


def check_secret_refs(document: object, findings: Findings) -> frozenset[str]:
    """Check every `secret_key_ref`, wherever it stands; the environment variables they name."""
    names: set[str] = set()
    for value, path in _secret_refs(document):
        name = _plain_env_name(value, path) if isinstance(value, str) else _env_name(value, path, findings)
        if isinstance(value, str) and name is None:
            # The value is not shown: people put the secret itself here.
            message = f"{path} must be a mapping with `env` or `store`, but it is a string."
            findings.error("K402", path, message, _REF_HINT)
        if name is not None:
            names.add(name)
    return frozenset(names)


def _secret_refs(document: object) -> Iterator[tuple[object, str]]:
    waiting: list[tuple[object, str]] = [(document, "")]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, dict):
            for key, item in value.items():
                if key == "secret_key_ref":
                    yield item, join(path, key)
                else:
                    waiting.append((item, join(path, key)))
        elif isinstance(value, list):
            waiting.extend((item, join(path, index)) for index, item in enumerate(value))


def _plain_env_name(value: str, path: str) -> str | None:
    """For external-moderation the vendor documents a plain string, the name of an environment variable.

    Accepted in the settings of every kind: for the others no page says which of the two forms they take.
    """
    return value if path.startswith("policy.") and _ENV_NAME.fullmatch(value) else None


def _env_name(value: object, path: str, findings: Findings) -> str | None:
    if not isinstance(value, dict):
        findings.error("K402", path, f"{path} must be a mapping, but it is {type_name(value)}.", _REF_HINT)
        return None
    if len(value) != 1 or not value.keys() <= {"env", "store"}:
        keys = ", ".join(sorted(show(key) for key in value)) or "none"
        message = f"{path} must have exactly one key, env or store; it has {keys}."
        findings.error("K402", path, message, _REF_HINT)
        return None
    (source, name), *_ = value.items()
    pattern, allowed = (_ENV_NAME, "ASCII letters, digits and _, and no digit first")
    if source == "store":
        pattern, allowed = (_STORE_NAME, "ASCII letters, digits, _, - and .")
    if not isinstance(name, str) or not pattern.fullmatch(name):
        message = f"{join(path, source)} is not a valid name; only {allowed} are allowed."
        findings.error("K402", join(path, source), message, "Write the name of the secret here, never the secret.")
        return None
    return name if source == "env" else None


def check_providers(document: dict[str, object], checker: Checker) -> None:
    """Check `providers`: its fields, and its targets one by one."""
    findings = checker.findings
    providers = document.get("providers")
    if "providers" in document and not isinstance(providers, dict):
        message = f"providers must be a mapping, but it is {type_name(providers)}."
        findings.error("K301", "providers", message, "Write `providers: {targets: [...]}`.")
    if not isinstance(providers, dict):
        return
    rest = {key: value for key, value in providers.items() if key != "targets"}
    checker.fields(rest, PROVIDERS, "providers", findings.if_strict, complete=False)
    targets = providers.get("targets", [])
    if not isinstance(targets, list):
        message = f"providers.targets must be a list, but it is {type_name(targets)}."
        findings.error("K301", "providers.targets", message, "Write a list of targets, each beginning with `- id:`.")
        return
    seen: dict[str, str] = {}
    for index, target in enumerate(targets):
        _check_target(target, join("providers.targets", index), seen, checker)


def _check_target(target: object, path: str, seen: dict[str, str], checker: Checker) -> None:
    findings = checker.findings
    if not isinstance(target, dict):
        message = f"{path} must be a mapping, but it is {type_name(target)}."
        findings.error("K301", path, message, "Write a target such as `{id: openai-primary, provider: openai}`.")
        return
    checker.fields(target, TARGET, path, findings.if_strict, complete=False)
    name = target.get("id")
    if isinstance(name, str):
        if name in seen:
            message = f"The target id {show(name)} is used twice; {seen[name]} has it already."
            findings.error("K205", join(path, "id"), message, "Give each target an id of its own.")
        seen.setdefault(name, path)
    if "api_key" in target:
        message = f"{path} holds a literal api_key, which anybody who can read the ConfigMap would see."
        findings.error("K401", join(path, "api_key"), message, _REF_HINT)
    if "escalation_routing" in target:
        _check_escalation_routing(target["escalation_routing"], join(path, "escalation_routing"), findings)


def _check_escalation_routing(value: object, path: str, findings: Findings) -> None:
    named = [key for key in ("team_id", "user_id") if isinstance(value, dict) and value.get(key) is not None]
    if len(named) != 1:
        message = f"{path} must name exactly one of team_id and user_id; it names {' and '.join(named) or 'none'}."
        findings.error("K403", path, message, "Keep one of the two, for example `{team_id: on-call}`.")
