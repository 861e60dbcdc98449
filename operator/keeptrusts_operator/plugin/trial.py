"""Behaviour tests of a policy against any URL, by HTTP status only.

The operator judges by the pod's own decision counters as well; an answer alone shows neither redacting nor escalating, and
whatever says nothing about the policy (no answer, 401, 404, 429, 5xx) is `Unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import httpx

from keeptrusts_operator.api.gateway import GatewaySettings
from keeptrusts_operator.api.policy import BehaviourTest, Expectation

DEFAULT_MODEL = "gpt-4o-mini"  # as the operator's


class Verdict(StrEnum):
    PASSED = "Passed"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class Result:
    """How a test ended; `message` is empty when it passed."""

    name: str
    verdict: Verdict
    message: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back: HTTP status (0: nothing, and why), and `error.code` of the body."""

    status: int
    code: str = ""
    trouble: str = ""


def address(url: str, settings: GatewaySettings) -> str:
    """Where tests are sent: the profile's chat path is added to a URL without a path. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a URL; write e.g. http://localhost:{settings.port or 8080}")
    return url if parts.path not in ("", "/") else f"{url.rstrip('/')}{settings.chat_path}"


def body(test: BehaviourTest, document: object) -> dict[str, Any]:
    """The request of a test, as the operator sends it."""
    return {
        "model": test.model or _model(document),
        "messages": [{"role": m.role, "content": m.content} for m in test.messages],
        "max_tokens": 1,
        "stream": False,
    }


def judge(test: BehaviourTest, answer: Answer, blocked_status: tuple[int, ...]) -> Result:
    """What an answer says about a test."""
    blocked = answer.status in blocked_status
    if not blocked and not 200 <= answer.status < 300:
        return Result(test.name, Verdict.UNKNOWN, _why_unknown(answer))
    seen = f"HTTP {answer.status}{f', {answer.code}' if answer.code else ''}"
    if test.expect is Expectation.ESCALATE:
        return Result(test.name, Verdict.UNKNOWN, f"an answer does not show whether a request was escalated ({seen})")
    if test.expect is Expectation.BLOCK:
        if not blocked:
            return Result(test.name, Verdict.FAILED, f"expected Block, was not blocked ({seen})")
        if test.error_code and answer.code != test.error_code:
            return Result(
                test.name, Verdict.FAILED, f"expected Block with {test.error_code}, was blocked otherwise ({seen})"
            )
        return Result(test.name, Verdict.PASSED)
    if blocked:
        return Result(test.name, Verdict.FAILED, f"expected {test.expect.value}, was blocked ({seen})")
    if test.expect is Expectation.REDACT:
        return Result(test.name, Verdict.UNKNOWN, f"an answer does not show whether a request was redacted ({seen})")
    return Result(test.name, Verdict.PASSED)


def send(client: httpx.Client, url: str, request: Mapping[str, Any]) -> Answer:
    """One request; never raises for what a gateway or a network may do."""
    try:
        response = client.post(url, json=dict(request))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Answer(0, trouble=f"{type(error).__name__}: {error}".removesuffix(": "))
    try:
        code = response.json()["error"]["code"]
    except (ValueError, LookupError, TypeError, RecursionError):
        code = ""
    return Answer(response.status_code, code if isinstance(code, str) else "")


def _why_unknown(answer: Answer) -> str:
    if not answer.status:
        return f"no answer ({answer.trouble})"
    if answer.status in (401, 403):
        return f"the gateway wants a key (HTTP {answer.status}); give one with --key-env"
    if answer.status == 404:
        return "nothing is at this path (HTTP 404); give the whole URL"
    if answer.status == 429 or answer.status >= 500 or answer.status < 400:
        return f"no decision (HTTP {answer.status})"
    return f"the gateway calls the request malformed (HTTP {answer.status})"


def _model(document: object) -> str:
    """The first model that the document's providers name."""
    providers = document.get("providers") if isinstance(document, Mapping) else None
    targets = providers.get("targets") if isinstance(providers, Mapping) else None
    models = [t.get("model") for t in targets or () if isinstance(t, Mapping)]
    return next((m for m in models if isinstance(m, str) and m), DEFAULT_MODEL)
