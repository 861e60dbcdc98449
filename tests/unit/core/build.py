"""Worlds for tests of the decision core, in few words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from keeptrusts_operator.api.circuit_breaker import BreakerMode, CircuitBreaker
from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.quantities import IntOrPercent
from keeptrusts_operator.api.rollout import Rollout as RolloutSettings
from keeptrusts_operator.api.rollout import Soak, Step
from keeptrusts_operator.core.actions import EnsureBudget, RecordIncident, ShiftTraffic
from keeptrusts_operator.core.grant_checks import Attribution
from keeptrusts_operator.core.grants import Spent
from keeptrusts_operator.core.judgement import Judgement, Verdict
from keeptrusts_operator.core.machine import Decision, decide
from keeptrusts_operator.core.state import Stage, State
from keeptrusts_operator.core.world import (
    NOTHING,
    Asked,
    Budget,
    Content,
    Crash,
    Exposure,
    Flow,
    GatewayHealth,
    Notes,
    Pack,
    Pod,
    Revision,
    Service,
    TestReport,
    Workload,
    World,
    only,
)

T0 = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
A, B, C = "aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


def spec(replicas: int = 4, **rollout: Any) -> GatewayDeploymentSpec:
    settings: dict[str, Any] = {
        "steps": (Step(0.2, seconds(10)), Step(0.5, seconds(20))),
        "soak": Soak(seconds(60), IntOrPercent(100, is_percent=True)),
    }
    return GatewayDeploymentSpec(
        policy_ref="support",
        template={"spec": {"containers": [{"name": "gateway", "image": "x"}]}},
        replicas=replicas,
        rollout=RolloutSettings(**{**settings, **rollout}),
        circuit_breaker=CircuitBreaker(mode=BreakerMode.OFF),
    )


def judged(cluster: Cluster, verdict: Verdict, **numbers: Any) -> World:
    """The cluster's world, in which the breaker judges and has said this of the candidate."""
    assert cluster.state.rollout is not None
    cluster.spec = replace(cluster.spec, circuit_breaker=CircuitBreaker())
    said = Judgement(cluster.state.rollout.id, verdict, **{"message": "it blocked 14 of 32", **numbers})
    cluster.judgement = said
    return cluster.world()


def content(revision: str) -> Content:
    return Content(revision, policy_hash=f"policy-{revision}", pack=Pack("support", "1.0.0"))


def packed(active: str) -> Content:
    """The passthrough of an active revision."""
    return Content(f"p{active[1:]}", "", bypassed=("dlp-filter",))


def pod(name: str, **changes: Any) -> Pod:
    return replace(Pod(name, f"uid-{name}", T0 - seconds(600), ip="10.0.0.1", ready=True), **changes)


def crash(at: datetime, count: int = 1) -> Crash:
    return Crash(count=count, at=at, exit_code=1, reason="Error", message="cannot parse config")


def revision(name: str, pods: int = 0, replicas: int | None = None, **changes: Any) -> Revision:
    built = Revision(
        name,
        created_at=T0 - seconds(600),
        workload=Workload(replicas=pods if replicas is None else replicas),
        pods=tuple(pod(f"{name}-{i}") for i in range(pods)),
    )
    return replace(built, **changes)


class Cluster:
    """A world that follows what is decided, as a well-behaved cluster does: pods are ready a moment after a scale."""

    def __init__(self, desired: Any, replicas: int = 4, **rollout: Any) -> None:
        self.now, self.spec, self.desired = T0, spec(replicas, **rollout), desired
        self.service: Any = Service("1", NOTHING)
        self.revisions: dict[str, Revision] = {}
        self.state = State()
        self.transitions: list[str] = []
        self.exposures: list[Exposure] = []
        self.auto_ready = True
        self.drains = True  # the revision that was left is seen to serve nothing
        self.requests: dict[Verb, Asked] = {}
        self.tests: TestReport | None = None
        self.incidents: list[RecordIncident] = []
        self.judgement: Judgement | None = None
        self.parachute: Any = None  # None: packed for whatever is active
        self.notes = Notes("the content filter blocks legitimate prompts")
        self.attribution, self.spent = Attribution.STAMPED, tuple[Spent, ...]()
        self.spent_unknown = False

    def world(self) -> World:
        rollout = self.state.rollout
        flows = {}
        if rollout and rollout.stage is Stage.SOAKING and self.drains:
            flows = {self.state.active: Flow(0, self.now), rollout.revision: Flow(100, self.now)}
        return World(
            now=self.now,
            name="kt",
            namespace="platform",
            generation=1,
            spec=self.spec,
            desired=self.desired,
            service=self.service,
            revisions=dict(self.revisions),
            uid="uid-kt",
            requests=dict(self.requests),
            tests=self.tests,
            flows=flows,
            judgement=self.judgement,
            parachute=self.parachute or (packed(self.state.active) if self.state.active else None),
            notes=self.notes,
            attribution=self.attribution,
            spent=None if self.spent_unknown else self.spent,
            endpoints=frozenset({self.service.exposure.revision}) if isinstance(self.service, Service) else None,
        )

    def step(self) -> Decision:
        """One pass: decide, and let everything happen."""
        decision = decide(self.world(), self.state)
        for action in decision.actions:
            self._follow(action)
        self.state = decision.state
        if decision.transition:
            self.transitions.append(decision.transition)
        return decision

    def run(self, passes: int = 40) -> None:
        """Passes until nothing is to be done any more, without time going by."""
        for _ in range(passes):
            decision = self.step()
            if not decision.actions and not decision.transition:
                return
        raise AssertionError(f"no rest after {passes} passes: {self.transitions}")

    def pass_time(self, n: float) -> None:
        """Let time go by, looking whenever the core asked to."""
        end = self.now + seconds(n)
        while True:
            self.run()
            wait = decide(self.world(), self.state).look_again
            if self.now + wait > end:
                break
            self.now += wait
        self.now = end
        self.run()

    def stable_on(self, name: str) -> None:
        self.desired = content(name)
        self.pass_time(300)
        assert self.state.active == name
        self.transitions.clear()
        self.exposures.clear()

    def sicken(self, name: str, **changes: Any) -> None:
        """Give every pod of a revision these properties."""
        self.revisions[name] = replace(
            self.revisions[name], pods=tuple(replace(p, **changes) for p in self.revisions[name].pods)
        )

    def _follow(self, action: Any) -> None:
        match action.__class__.__name__:
            case "EnsureService":
                self.service = Service("1", NOTHING) if self.service is None else replace(self.service, in_shape=True)
            case "ShiftTraffic":
                self._shift(action)
            case "CreateRevision":
                self._scale(action.content.revision, action.replicas)
            case "ScaleRevision" | "RestoreWorkload":
                self._scale(action.revision, action.replicas)
            case "CutPods":
                self._cut(action.revision)
            case "DeleteRevision":
                del self.revisions[action.revision]
            case "EnsureBudget" | "RemoveBudget":
                budget = Budget.IN_SHAPE if isinstance(action, EnsureBudget) else Budget.ABSENT
                self.revisions[action.revision] = replace(self.revisions[action.revision], budget=budget)
            case "ReplacePod":
                self._replace(action.revision, action.pod)
            case "RestartRevision":
                old = self.revisions[action.revision]
                assert old.workload is not None
                fresh = tuple(replace(p, created_at=self.now) for p in old.pods)
                marked = replace(old.workload, restarted_at=action.at)
                self.revisions[action.revision] = replace(old, workload=marked, pods=fresh)
            case "RecordIncident":
                self.incidents.append(action)

    def _cut(self, name: str) -> None:
        """Its Deployment makes new ones at once."""
        old, new = self.revisions[name], {"created_at": self.now, "ready": self.auto_ready}
        made = [pod(f"{name}-{i}", uid=f"{p.uid}-new", **new) for i, p in enumerate(old.pods)]
        self.revisions[name] = replace(old, pods=tuple(made[: old.workload.replicas if old.workload else 0]))

    def _replace(self, name: str, uid: str) -> None:
        old = self.revisions[name]
        pods = tuple(replace(p, uid=f"{p.uid}-new", created_at=self.now) if p.uid == uid else p for p in old.pods)
        self.revisions[name] = replace(old, pods=pods)

    def ask(self, verb: Verb, value: str, by: str = "ada") -> Decision:
        """Annotate, and let one pass act on it."""
        self.requests[verb] = Asked(value, f"id-{value.replace('#', '-')}", by)
        return self.step()

    def _shift(self, action: ShiftTraffic) -> None:
        moved = action.exposure != self.service.exposure
        version = str(int(self.service.resource_version) + 1)
        self.service = Service(version, action.exposure, action.rollout_id, action.reason, action.tripped_revision)
        if moved:
            self.exposures.append(action.exposure)

    def _scale(self, name: str, replicas: int) -> None:
        old = self.revisions.get(name) or Revision(name, created_at=self.now)
        kept = old.pods[:replicas]
        new = tuple(
            pod(f"{name}-{i}", created_at=self.now - seconds(2), ready=self.auto_ready)
            for i in range(len(kept), replicas)
        )
        self.revisions[name] = replace(old, workload=Workload(replicas), pods=kept + new)


__all__ = [
    "T0",
    "A",
    "B",
    "C",
    "Cluster",
    "GatewayHealth",
    "content",
    "crash",
    "only",
    "pod",
    "revision",
    "seconds",
    "spec",
]
