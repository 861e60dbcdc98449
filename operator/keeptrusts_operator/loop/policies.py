"""GatewayPolicy.status: what is wrong with a policy, and who uses it. For people; no decision reads it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from keeptrusts_operator.api.errors import InvalidSpec
from keeptrusts_operator.api.gateway import Profile
from keeptrusts_operator.api.policy import GatewayPolicySpec, parse_policy
from keeptrusts_operator.core.report import Condition, with_times
from keeptrusts_operator.core.world import Unreadable
from keeptrusts_operator.kube.port import GATEWAYS, POLICIES, ApiError, Conflict, Kube, NotFound, Obj
from keeptrusts_operator.loop.mergepatch import diff
from keeptrusts_operator.loop.source import RECHECK_SECONDS, Document, check_source, read_source
from keeptrusts_operator.render.revision import policy_hash_of

logger = logging.getLogger(__name__)

MAX_FINDINGS = 100
MAX_USERS = 100
REST_SECONDS = 1.0
"""After each round, or longer, so that reports never take more than a tenth of the time: a policy that hundreds run is
asked for again and again while they change."""


class PolicyReporter:
    """Writes the status of policies that were asked for by `look`, one at a time."""

    def __init__(self, kube: Kube, clock: Callable[[], datetime]) -> None:
        self._kube, self._clock = kube, clock
        self._asked: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._reread: dict[tuple[str, str], float] = {}

    def look(self, namespace: str, name: str) -> None:
        """A policy, or somebody who uses it, has changed."""
        self._asked.add((namespace, name))
        self._wake.set()

    async def run(self) -> None:
        """Report until cancelled. What fails is tried again; nothing that happens here stops anything else."""
        loop = asyncio.get_running_loop()
        while True:
            due = [key for key, at in self._reread.items() if at <= loop.time()]
            self._asked.update(due)
            asked, self._asked = self._asked, set()
            began = loop.time()
            for key in asked:
                self._reread.pop(key, None)
                try:
                    again = await self.report(*key)
                except ApiError as error:
                    logger.warning("the status of GatewayPolicy %s/%s could not be written: %s", *key, error)
                    again = True
                except Exception:
                    logger.exception("the status of GatewayPolicy %s/%s could not be made", *key)
                    again = True
                if again:
                    self._reread[key] = loop.time() + RECHECK_SECONDS
            await asyncio.sleep(min(max(REST_SECONDS, 9 * (loop.time() - began)), RECHECK_SECONDS))
            if not self._asked:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), RECHECK_SECONDS if self._reread else None)

    async def report(self, namespace: str, name: str) -> bool:
        """Write what changed in one policy's status. True: look again soon, no watch tells of its source."""
        try:
            policy = await self._kube.get(POLICIES, namespace, name)
        except NotFound:
            return False
        gateways = [
            g for g in await self._kube.list(GATEWAYS, namespace) if _of(g["spec"], "policyRef").get("name") == name
        ]
        status, again = await self._status(policy, gateways)
        patch = diff(policy.get("status") or {}, status)
        if patch:
            body = {"metadata": {"resourceVersion": policy["metadata"]["resourceVersion"]}, "status": patch}
            try:
                await self._kube.merge(POLICIES, namespace, name, body, subresource="status")
            except Conflict:
                return True
            except NotFound:
                return False
        return again

    async def _status(self, policy: Obj, gateways: list[Obj]) -> tuple[dict[str, Any], bool]:
        generation = policy["metadata"].get("generation", 0)
        status: dict[str, Any] = {"observedGeneration": generation, "usedBy": _users(gateways)}
        again = False
        try:
            spec = parse_policy(policy)
        except InvalidSpec as error:
            condition = Condition("Accepted", "False", "Invalid", str(error))
        else:
            again = spec.config_from is not None
            profiles = sorted({_profile(g) for g in gateways}) or [Profile.KEEPTRUSTS]
            source = await read_source(self._kube, policy["metadata"]["namespace"], spec)
            document = source if isinstance(source, Unreadable) else check_source(source, spec, profiles[0])
            condition = _condition(document, spec)
            if isinstance(document, Document):
                status.update(_described(policy, document))
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [condition, *_for_tools(condition)]
        status["conditions"] = with_times(conditions, policy.get("status") or {}, generation, now)
        return {k: v for k, v in status.items() if v not in ([], None)}, again


def _described(policy: Obj, document: Document) -> dict[str, Any]:
    out: dict[str, Any] = {
        "findings": [
            {
                "severity": f.severity.value,
                "code": f.code,
                "path": f.path,
                "message": f.message,
                "suggestion": f.suggestion,
            }
            for f in document.findings[:MAX_FINDINGS]
        ]
    }
    if document.value is not None and not document.errors:
        out["policyHash"] = policy_hash_of(document.value, policy["spec"])
    if document.result and document.result.pack:
        out["pack"] = {"name": document.result.pack.name, "version": document.result.pack.version}
    return out


def _condition(document: Document | Unreadable, spec: GatewayPolicySpec) -> Condition:
    if isinstance(document, Unreadable):
        return Condition("Accepted", "Unknown", document.reason, document.message)
    if document.errors:
        first = document.errors[0]
        more = f" (and {len(document.errors) - 1} more in status.findings)" if len(document.errors) > 1 else ""
        return Condition("Accepted", "False", "Invalid", f"{first.code} {first.path}: {first.message}{more}")
    warnings = len(document.findings)
    tests = f"; its {len(spec.tests)} behaviour tests are not run yet by this version" if spec.tests else ""
    return Condition("Accepted", "True", "Valid", f"the document is valid with {warnings} warnings{tests}")


def _for_tools(accepted: Condition) -> list[Condition]:
    """What kstatus reads: a policy that is refused has failed, one whose source cannot be read is waited for."""
    reason, message = accepted.reason, accepted.message
    return [
        Condition("Reconciling", "True" if accepted.status == "Unknown" else "False", reason, message),
        Condition("Stalled", "True" if accepted.status == "False" else "False", reason, message),
    ]


def _users(gateways: list[Obj]) -> list[dict[str, str]]:
    """Who runs a policy, by the status of the GatewayDeployments that name it."""
    users = []
    for gateway in sorted(gateways, key=lambda g: str(g["metadata"]["name"]))[:MAX_USERS]:
        status: Mapping[str, Any] = gateway.get("status") or {}
        desired, active = status.get("desiredRevision", ""), status.get("activeRevision", "")
        state = "Active" if desired and desired == active else status.get("phase", "Pending")
        user = {"name": gateway["metadata"]["name"], "state": state}
        users.append({**user, "revision": desired} if desired else user)
    return users


def _profile(gateway: Obj) -> Profile:
    name = _of(gateway["spec"], "gateway").get("profile")
    return Profile(name) if name in {p.value for p in Profile} else Profile.KEEPTRUSTS


def _of(spec: Obj, key: str) -> Obj:
    """An object in a spec that may be no object at all: its own loop says so."""
    value = spec.get(key)
    return value if isinstance(value, dict) else {}
