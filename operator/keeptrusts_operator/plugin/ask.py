"""Requests of people: one annotation each, written once, and the answer that the operator keeps in `status.requests`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.kube.port import GATEWAYS, Obj
from keeptrusts_operator.plugin.cluster import Cluster
from keeptrusts_operator.plugin.failure import Exit, Failure

LOOK_EVERY = 0.5  # seconds
DONE = "Done"


@dataclass(frozen=True)
class Clock:
    """Time, for tests to replace: wall clock in UTC, seconds that only go forward, and sleeping in seconds."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]


@dataclass(frozen=True)
class Request:
    """What is asked for. `notes` are written with it, by annotation; None removes one that an earlier request left."""

    verb: Verb
    argument: str
    notes: Mapping[str, str | None] = field(default_factory=dict)

    def value(self, nonce: str) -> str:
        """The annotation: the same value is the same request, so that each ends in something fresh."""
        return f"{self.argument}#{nonce}"


@dataclass(frozen=True)
class Answer:
    """What became of a request: Done, Refused or Ignored, and why; `gateway` is the object that said so."""

    outcome: str
    message: str
    gateway: Obj


def write(cluster: Cluster, namespace: str, name: str, request: Request, nonce: str) -> str:
    """Make the request; gives the value that the answer will carry. Raises Failure."""
    value = request.value(nonce)
    patch = {"metadata": {"annotations": {**request.notes, request.verb.annotation: value}}}
    cluster.merge(GATEWAYS, namespace, name, patch)
    return value


def answer_in(gateway: Mapping[str, Any], verb: Verb, value: str) -> Answer | None:
    """The answer to this very request, if the operator has given it: its value is like no other."""
    for answered in (gateway.get("status") or {}).get("requests") or ():
        if (answered.get("verb"), answered.get("value")) == (verb.value, value):
            return Answer(str(answered.get("outcome", "")), str(answered.get("message", "")), dict(gateway))
    return None


def overtaken(gateway: Mapping[str, Any], verb: Verb, value: str) -> str:
    """In words, who has replaced the request before it was answered; empty while it stands."""
    now = _asks(gateway, verb)
    if now == value:
        return ""
    if now is None:
        return "somebody has removed the annotation before the operator saw it"
    by = _annotations(gateway).get(verb.requested_by_annotation)
    return f"another request came before it was answered: {verb.value}={now}{f' by {by}' if by else ''}"


def wait(cluster: Cluster, namespace: str, name: str, verb: Verb, value: str, seconds: float, clock: Clock) -> Answer:
    """The answer to a request that was written. Raises Failure when it is overtaken, or not given in time."""
    deadline = clock.monotonic() + seconds
    trouble = ""
    while True:
        try:
            gateway = cluster.get(GATEWAYS, namespace, name)
        except Failure as failure:
            if not failure.passing:
                raise
            trouble = f" ({failure.message})"
        else:
            if answer := answer_in(gateway, verb, value):
                return answer
            if why := overtaken(gateway, verb, value):
                raise Failure(
                    f"Not done: {why}.", f"See: kubectl keeptrusts status {name} -n {namespace}", Exit.NOT_DONE
                )
            trouble = ""
        if clock.monotonic() >= deadline:
            raise _unanswered(verb, value, seconds, trouble)
        clock.sleep(LOOK_EVERY)


def _unanswered(verb: Verb, value: str, seconds: float, trouble: str) -> Failure:
    step = (
        "It stands, and is acted on when the operator sees it. Does the operator run? "
        f"kubectl get pods -A -l app.kubernetes.io/name={names.FIELD_MANAGER}"
    )
    return Failure(f"No answer to {verb.value}={value} within {seconds:g}s{trouble}.", step, Exit.TIMEOUT)


def _annotations(gateway: Mapping[str, Any]) -> Mapping[str, str]:
    return gateway["metadata"].get("annotations") or {}


def _asks(gateway: Mapping[str, Any], verb: Verb) -> str | None:
    return _annotations(gateway).get(verb.annotation)
