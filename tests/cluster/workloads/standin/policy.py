"""What a policy document makes of a prompt. A small, deterministic subset of the real kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

EMAIL = r"[\w.+-]+@[\w-]+\.[\w.]+"
INJECTION = (r"ignore (all |the )?previous instructions", r"reveal your system prompt")
SEVERITY = ("allow", "redact", "escalate", "block")


class ConfigError(Exception):
    """The gateway refuses to load this document."""


@dataclass(frozen=True)
class Detector:
    """One rule: which texts it finds, and what is done then."""

    kind: str
    patterns: tuple[re.Pattern[str], ...]
    action: str  # block, redact, escalate, flag


@dataclass(frozen=True)
class Decision:
    """What becomes of a request, and by which policy."""

    verdict: str  # allow, block, redact, escalate
    policy: str = ""


@dataclass(frozen=True)
class Policy:
    """A loaded document."""

    name: str
    version: str
    chain: tuple[str, ...]
    detectors: tuple[Detector, ...]
    description: str
    upstream: str

    def decide(self, text: str) -> Decision:
        """The most severe action of all rules that find something; flagging lets a request pass."""
        worst = Decision("allow")
        for detector in self.detectors:
            if detector.action == "flag" or not any(p.search(text) for p in detector.patterns):
                continue
            if SEVERITY.index(detector.action) > SEVERITY.index(worst.verdict):
                worst = Decision(detector.action, detector.kind)
        return worst


def load(document: Any) -> Policy:
    """Either documented shape; raises ConfigError with one line why."""
    if not isinstance(document, Mapping):
        raise ConfigError("the config is not a mapping")
    try:
        if isinstance(document.get("policies"), list):
            return _actions(document)
        return _strict(document)
    except (KeyError, TypeError, AttributeError, re.error) as error:
        raise ConfigError(f"the config cannot be used: {type(error).__name__}: {error}") from error


def _strict(document: Mapping[str, Any]) -> Policy:
    pack = document.get("pack") or {}
    for field in ("name", "version", "enabled"):
        if field not in pack:
            raise ConfigError(f"missing field pack.{field}")
    chain = tuple((document.get("policies") or {}).get("chain") or ())
    settings = document.get("policy") or {}
    missing = [kind for kind in chain if kind not in settings]
    if missing:
        raise ConfigError(f"no block policy.{missing[0]} for a kind in the chain")
    detectors = tuple(d for kind in chain for d in _detectors(kind, settings[kind] or {}))
    return Policy(
        pack["name"], str(pack["version"]), chain, detectors, str(pack.get("description", "")), _upstream(document)
    )


def _actions(document: Mapping[str, Any]) -> Policy:
    detectors = []
    for policy in document["policies"]:
        for rule in [*(policy.get("input") or ()), *(policy.get("output") or ())]:
            action = rule["action"] if rule["action"] in (*SEVERITY, "flag") else "flag"
            patterns = _patterns(rule["type"], rule)
            detectors.append(Detector(rule["type"], patterns, action))
    chain = tuple(p["name"] for p in document["policies"])
    pack = document.get("pack") or {}
    description = str(pack.get("description", ""))
    return Policy(
        str(pack.get("name", "")),
        str(pack.get("version", "")),
        chain,
        tuple(detectors),
        description,
        _upstream(document),
    )


def _detectors(kind: str, settings: Mapping[str, Any]) -> Iterator[Detector]:
    default = {
        "prompt-injection": (settings.get("response") or {}).get("action", "block"),
        "pii-detector": "redact",
        "dlp-filter": "redact",
        "safety-filter": "block",
        "itar-ear-filter": "block",
        "entity-list-filter": "block",
        "dual-use-filter": "block",
        "human-oversight": "escalate",
    }.get(kind)
    if default:
        action = str(settings.get("action", default))
        yield Detector(kind, _patterns(kind, settings), action if action in SEVERITY else "flag")


def _patterns(kind: str, settings: Mapping[str, Any]) -> tuple[re.Pattern[str], ...]:
    """Regular expressions and literal terms of a rule; some kinds bring their own."""
    detection = settings.get("detection") or {}
    expressions = [*(settings.get("detect_patterns") or ()), *(settings.get("attack_patterns") or ())]
    expressions += detection.get("attack_patterns") or ()
    keys = ("blocked_terms", "blocked_entities", "block_if", "require_human_for")
    expressions += [re.escape(term) for key in keys for term in settings.get(key) or ()]
    if "pii" in kind:
        expressions.append(EMAIL)
    if "injection" in kind:
        expressions += INJECTION
    return tuple(re.compile(e, re.IGNORECASE) for e in expressions)


def _upstream(document: Mapping[str, Any]) -> str:
    targets = (document.get("providers") or {}).get("targets") or ()
    return str(targets[0].get("base_url", "")) if targets else ""
