"""Which of policy, provider, attack, stale config or the cluster it looks like. Pure; by rules that a person can follow.

The rules compare what moved with what did not: a bad policy blocks on the candidate only, an attack on both revisions; a
provider's trouble shows in errors and latency, not in blocks. What is not measured makes nobody innocent: `Unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from keeptrusts_operator.plugin.words import ago, condition, fraction, status_of, time

RECENT = timedelta(minutes=30)  # a rise of the block rate this soon after a change is put down to the change
ALIKE = 1.5  # arms whose block rates differ by less than this factor block alike
ENOUGH = 10  # requests of a candidate before its block rate says something
RAISED = ("Warning", "Critical")
OF_THE_CLUSTER = {"NoReadyPod", "PodsNotReady", "ProgressDeadlineExceeded", "NoActivePod", "BothRevisionsUnhealthy"}
OF_THE_PODS = {"GatewayCrashed", "GatewayCrashes", "GatewayRefusesConfig", "GatewayUnhealthy", "ReadinessLost"}
OF_THE_POLICY = {"BlockRate", "BehaviourTestFailed"}


class Likelihood(StrEnum):
    LIKELY = "Likely"
    POSSIBLE = "Possible"
    UNLIKELY = "Unlikely"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class Suspect:
    """One cause, how likely it is, and what speaks for or against it."""

    cause: str  # Policy | Provider | Attack | StaleConfig | Cluster
    likelihood: Likelihood
    because: str


@dataclass(frozen=True)
class Facts:
    """What the rules ask, read off a GatewayDeployment once."""

    gateway: Mapping[str, Any]
    now: datetime

    @property
    def status(self) -> Mapping[str, Any]:
        return status_of(self.gateway)

    @property
    def held(self) -> str:
        return str(((self.status.get("rollout") or {}).get("held") or {}).get("reason", ""))

    @property
    def trouble(self) -> str:
        """Why the change that is wanted now was taken back or refused; empty when that is not where it stands."""
        if self.status.get("phase") not in ("RolledBack", "Rejected"):
            return ""
        wanted = self.status.get("desiredRevision")
        entries = [q for q in self.status.get("quarantined") or () if q.get("revision") == wanted]
        newest = entries[-1] if entries else self.status.get("retry") or self.status.get("rollback") or {}
        return str(newest.get("reason", ""))

    def signal(self, name: str) -> Mapping[str, Any]:
        signals = (self.status.get("health") or {}).get("signals") or ()
        return next((s for s in signals if s.get("name") == name), {})

    def raised(self, name: str) -> bool:
        return self.signal(name).get("state") in RAISED

    def known(self, name: str) -> bool:
        return self.signal(name).get("state") in ("Ok", *RAISED)

    def says(self, name: str) -> str:
        """A signal in words."""
        signal = self.signal(name)
        if signal.get("message"):
            return f"{name} is {signal.get('state')}: {signal['message']}"
        limit = f" (limit {signal['limit']})" if signal.get("limit") else ""
        return f"{name} is {signal.get('state', 'Unknown')}: {signal.get('value', '?')}{limit}"

    def rate(self, arm: str) -> float | None:
        counted = (self.status.get("breaker") or {}).get(arm) or {}
        return fraction(counted.get("blockRate")) if counted.get("requests", 0) >= ENOUGH else None

    @property
    def candidate_blocks_more(self) -> bool:
        rate, limit = self.rate("canary"), fraction((self.status.get("breaker") or {}).get("limit"))
        return rate is not None and limit is not None and rate > limit

    @property
    def arms_alike(self) -> bool:
        canary, stable = self.rate("canary"), self.rate("stable")
        return canary is not None and stable is not None and canary <= ALIKE * stable and stable <= ALIKE * canary

    @property
    def changed_at(self) -> str:
        """When traffic reached other content the last time."""
        if self.status.get("phase") in ("Canary", "Soaking"):
            return str((self.status.get("rollout") or {}).get("stageStartedAt", ""))
        ended = [h for h in self.status.get("history") or () if h.get("outcome") == "Promoted"]
        return str(ended[-1].get("at", "")) if ended else ""

    @property
    def changed_lately(self) -> bool:
        """Whether the block rate rose, or stands now, so soon after a change that the change is the first suspect."""
        changed, rose = time(self.changed_at), time(self.signal("BlockRate").get("since")) or self.now
        return changed is not None and timedelta(0) <= rose - changed <= RECENT


def suspects(gateway: Mapping[str, Any], now: datetime) -> tuple[Suspect, ...]:
    """Every cause, the most likely first."""
    facts = Facts(gateway, now)
    found = [rule(facts) for rule in (_policy, _stale_config, _cluster, _provider, _attack)]
    return tuple(sorted(found, key=lambda s: list(Likelihood).index(s.likelihood)))


def _policy(facts: Facts) -> Suspect:
    verdict = (facts.status.get("rollout") or {}).get("verdict")
    breaker = facts.status.get("breaker") or {}
    canary, stable = ((breaker.get(a) or {}).get("blockRate", "?") for a in ("canary", "stable"))
    arms = f"the candidate blocks {canary}, the active revision {stable}, tolerated are {breaker.get('limit', '?')}"
    if facts.trouble in OF_THE_POLICY:
        return Suspect("Policy", Likelihood.LIKELY, f"{facts.trouble} is why the newest change does not serve")
    if verdict == "Trip" or facts.candidate_blocks_more:
        return Suspect("Policy", Likelihood.LIKELY, arms)
    if facts.raised("BlockRate") and not facts.arms_alike:
        when = (
            f"traffic reached other content {ago(facts.now, facts.changed_at)}"
            if facts.changed_at
            else "no change is known"
        )
        likelihood = Likelihood.LIKELY if facts.changed_lately else Likelihood.POSSIBLE
        return Suspect("Policy", likelihood, f"{facts.says('BlockRate')}; {when}")
    if verdict in ("Hold", "Inconclusive"):
        return Suspect("Policy", Likelihood.POSSIBLE, f"the breaker says {verdict}: {arms}")
    if facts.arms_alike:
        return Suspect("Policy", Likelihood.UNLIKELY, f"both revisions block alike ({canary} and {stable})")
    if facts.known("BlockRate"):
        return Suspect("Policy", Likelihood.UNLIKELY, facts.says("BlockRate"))
    return Suspect("Policy", Likelihood.UNKNOWN, "the block rate is not measured")


def _attack(facts: Facts) -> Suspect:
    if facts.raised("BlockRate") and facts.arms_alike:
        return Suspect(
            "Attack", Likelihood.LIKELY, f"{facts.says('BlockRate')} on both revisions alike: the requests changed"
        )
    if facts.candidate_blocks_more:
        return Suspect(
            "Attack", Likelihood.UNLIKELY, "only the candidate blocks more; an attack would hit both revisions"
        )
    if facts.raised("BlockRate") and not facts.changed_lately:
        also = f"; {facts.says('Escalations')}" if facts.raised("EscalationBacklog") else ""
        return Suspect("Attack", Likelihood.LIKELY, f"{facts.says('BlockRate')} without a change of the content{also}")
    if facts.raised("EscalationBacklog"):
        return Suspect("Attack", Likelihood.POSSIBLE, facts.says("EscalationBacklog"))
    if facts.raised("BlockRate"):
        return Suspect("Attack", Likelihood.POSSIBLE, "the block rate rose, but soon after a change of the content")
    if facts.known("BlockRate"):
        return Suspect("Attack", Likelihood.UNLIKELY, facts.says("BlockRate"))
    return Suspect("Attack", Likelihood.UNKNOWN, "the block rate is not measured")


def _provider(facts: Facts) -> Suspect:
    errors, slow = facts.raised("ProviderErrors"), facts.raised("LatencyP99")
    if errors:
        also = f"; {facts.says('LatencyP99')}" if slow else ""
        return Suspect("Provider", Likelihood.LIKELY, f"{facts.says('ProviderErrors')}{also}")
    if slow:
        return Suspect("Provider", Likelihood.POSSIBLE, f"{facts.says('LatencyP99')}; too few pods would look the same")
    if condition(facts.status, "Healthy").get("reason") == "Degraded":
        return Suspect("Provider", Likelihood.POSSIBLE, "gateways call themselves degraded, which providers can cause")
    if facts.known("ProviderErrors"):
        return Suspect("Provider", Likelihood.UNLIKELY, facts.says("ProviderErrors"))
    if facts.known("LatencyP99"):
        return Suspect("Provider", Likelihood.UNLIKELY, f"{facts.says('LatencyP99')}; its errors are not measured")
    return Suspect("Provider", Likelihood.UNKNOWN, "neither errors nor latency of providers are measured")


def _stale_config(facts: Facts) -> Suspect:
    status = facts.status
    in_sync, healthy, accepted = (condition(status, t) for t in ("InSync", "Healthy", "Accepted"))
    if "RunningConfigDrift" in (healthy.get("reason"), facts.held):
        return Suspect(
            "StaleConfig", Likelihood.LIKELY, f"RunningConfigDrift: {healthy.get('message') or 'held for it'}"
        )
    if in_sync.get("reason") == "ChildrenChanged":
        return Suspect("StaleConfig", Likelihood.LIKELY, str(in_sync.get("message", "")))
    if status.get("observedGeneration") != facts.gateway["metadata"].get("generation", 0):
        return Suspect("StaleConfig", Likelihood.LIKELY, "the operator has not looked at the newest spec")
    if accepted.get("status") == "Unknown":
        return Suspect(
            "StaleConfig", Likelihood.LIKELY, f"what is wanted cannot be read: {accepted.get('message', '')}"
        )
    if facts.raised("IngestionLag"):
        return Suspect("StaleConfig", Likelihood.POSSIBLE, f"{facts.says('IngestionLag')}: what dashboards show is old")
    if status.get("rollout"):
        return Suspect("StaleConfig", Likelihood.UNLIKELY, "what is wanted is on its way")
    if facts.trouble:
        return Suspect("StaleConfig", Likelihood.UNLIKELY, f"what is wanted was tried and left: {facts.trouble}")
    if in_sync.get("status") == "True":
        return Suspect("StaleConfig", Likelihood.UNLIKELY, "what is wanted is what serves, and no pod says otherwise")
    why = str(in_sync.get("message") or "it is not known whether what is wanted serves")
    return Suspect("StaleConfig", Likelihood.POSSIBLE if in_sync else Likelihood.UNKNOWN, why)


def _cluster(facts: Facts) -> Suspect:
    available, healthy = (condition(facts.status, t) for t in ("Available", "Healthy"))
    reasons = [facts.held, facts.trouble, str(healthy.get("reason", "")), str(available.get("reason", ""))]
    if found := next((r for r in reasons if r in OF_THE_CLUSTER), ""):
        told = next((c for c in (available, healthy) if c.get("reason") == found), {}).get("message")
        return Suspect("Cluster", Likelihood.LIKELY, f"{found}: {told or facts.status.get('message', '')}")
    if found := next((r for r in reasons if r in OF_THE_PODS), ""):
        return Suspect("Cluster", Likelihood.POSSIBLE, f"{found}: the content, the image or the node of its pods")
    if facts.raised("PodHealth"):
        return Suspect("Cluster", Likelihood.POSSIBLE, facts.says("PodHealth"))
    if healthy.get("status") == "True":
        return Suspect("Cluster", Likelihood.UNLIKELY, str(healthy.get("message", "")))
    return Suspect("Cluster", Likelihood.UNKNOWN, str(healthy.get("message") or "pods have not been looked at"))
