"""What the demo applies: one good policy, one good change, bad ones; for the stand-in and for ferrogw."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.cluster import images
from tests.traffic.generator import BROAD_TERM

NAMESPACE = "demo"
UPSTREAM = "http://10.245.0.80:8080"
Obj = dict[str, Any]


@dataclass(frozen=True)
class Cast:
    """One gateway and its changes. `headers` are what clients send."""

    name: str
    port: int
    document: Obj
    good: Callable[[Obj], None]
    refused_by_lint: Callable[[Obj], None]
    refused_by_gateway: Callable[[Obj], None]
    over_broad: Callable[[Obj], None]
    sick_after_exposure: Callable[[Obj], None]
    over_broad_again: Callable[[Obj], None]  # what was taken back is quarantined
    stops_process: bool  # the third bad change is made sick by a signal to its process
    gateway: Obj
    container: Obj
    headers: dict[str, str]


def policy(cast: Cast, change: Callable[[Obj], None] | None = None) -> Obj:
    """The GatewayPolicy, with one change to its document."""
    document = copy.deepcopy(cast.document)
    if change:
        change(document)
    return {
        "apiVersion": "gateway.keeptrusts.com/v1alpha1",
        "kind": "GatewayPolicy",
        "metadata": {"name": cast.name, "namespace": NAMESPACE},
        "spec": {"config": document},
    }


def deployment(cast: Cast) -> Obj:
    """The GatewayDeployment: short steps, so that a demo is short."""
    return {
        "apiVersion": "gateway.keeptrusts.com/v1alpha1",
        "kind": "GatewayDeployment",
        "metadata": {"name": cast.name, "namespace": NAMESPACE},
        "spec": {
            "policyRef": {"name": cast.name},
            "replicas": 3,
            "gateway": cast.gateway,
            "rollout": {
                "steps": [{"weight": "25%", "minDuration": "5s"}],
                "soak": {"duration": "6s"},
                "connectionDrainTimeout": "3s",
            },
            "circuitBreaker": {"tolerance": {"points": "4%"}},  # clear sooner than by the default of 2 %
            "template": {
                "spec": {"containers": [{"name": "gateway", "imagePullPolicy": "IfNotPresent", **cast.container}]}
            },
        },
    }


def _version(document: Obj, version: str, description: str = "") -> None:
    document["pack"]["version"] = version
    if description:
        document["pack"]["description"] = description


def _typo(document: Obj) -> None:
    _version(document, "1.2.0")
    document["policy"]["dlp-filter"]["action"] = "blok"


def _wider(document: Obj) -> None:
    _version(document, "1.1.0")
    document["policy"]["dlp-filter"]["blocked_terms"].append("project falcon")


def _over_broad(document: Obj, version: str = "1.2.0") -> None:
    """One word instead of two: the content filter of the incident, which blocks 45 % instead of 2 %."""
    _version(document, version)
    document["policy"]["dlp-filter"]["blocked_terms"].append(BROAD_TERM)


REVISION_LABEL = "metadata.labels['gateway.keeptrusts.com/revision']"

STANDIN = Cast(
    name="kt-gateway",
    port=41002,
    document={
        "pack": {"name": "support-gateway", "version": "1.0.0", "enabled": True},
        "policies": {"chain": ["prompt-injection", "dlp-filter", "audit-logger"]},
        "policy": {
            "prompt-injection": {},
            "dlp-filter": {"action": "block", "blocked_terms": ["project phoenix"]},
            "audit-logger": {"retention_days": 365},
        },
        "providers": {
            "targets": [{"id": "openai-primary", "provider": "openai", "model": "gpt-4o-mini", "base_url": UPSTREAM}]
        },
    },
    good=_wider,
    refused_by_lint=_typo,
    refused_by_gateway=lambda d: _version(d, "1.3.0", "mode=crash"),
    over_broad=_over_broad,
    sick_after_exposure=lambda d: _version(d, "1.4.0", "mode=unhealthy-after:2s"),
    over_broad_again=lambda d: _over_broad(d, "1.5.0"),
    stops_process=False,
    gateway={},
    container={
        "image": images.STANDIN,
        "env": [{"name": "GATEWAY_REVISION", "valueFrom": {"fieldRef": {"fieldPath": REVISION_LABEL}}}],
    },
    headers={},
)

WORD_FILTER: Obj = {
    "name": "word-filter",
    "type": "guardrail",
    "stage": "before_request",
    "enabled": True,
    "config": {"blocked_words": ["project phoenix"], "case_sensitive": False},
}


def _words(document: Obj, *words: str) -> None:
    document["plugins"][0]["config"]["blocked_words"].extend(words)


def _unknown_strategy(document: Obj) -> None:
    document["strategy"]["mode"] = "singel"


def _regex_too_long(document: Obj) -> None:
    """Valid for our rules (and in Python); Go, in which the gateway is written, limits repetitions to 1,000."""
    rule = {"name": "long-base64", "pattern": "[A-Za-z0-9+/]{2000,}"}
    document["plugins"].append({**WORD_FILTER, "name": "regex-guard", "config": {"rules": [rule]}})


FERRO = Cast(
    name="ferro",
    port=8080,
    document={
        "strategy": {"mode": "single"},
        "targets": [{"virtual_key": "openai"}],
        "plugins": [WORD_FILTER],
    },
    good=lambda d: _words(d, "project falcon"),
    refused_by_lint=_unknown_strategy,
    refused_by_gateway=_regex_too_long,
    over_broad=lambda d: _words(d, BROAD_TERM),
    sick_after_exposure=lambda d: _words(d, "project falcon", "project condor"),
    over_broad_again=lambda d: _words(d, "project falcon", BROAD_TERM),
    stops_process=True,
    gateway={"profile": "Ferro", "authorization": {"secretKeyRef": {"name": "ferro", "key": "master-key"}}},
    container={
        "image": images.FERRO,
        "env": [
            {"name": "MASTER_KEY", "value": "demo"},
            {"name": "OPENAI_API_KEY", "value": "none-needed"},
            {"name": "OPENAI_BASE_URL", "value": UPSTREAM},
            {"name": "RATE_LIMIT_RPS", "value": "10000"},
            {"name": "RATE_LIMIT_BURST", "value": "10000"},
        ],
    },
    headers={"authorization": "Bearer demo"},
)

CASTS = {"standin": STANDIN, "ferro": FERRO}
