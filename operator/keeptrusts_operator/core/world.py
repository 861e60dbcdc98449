"""What one look at the cluster showed: the input of a decision.

The loop builds a `World` from fresh reads (no cache that could be stale) and from the newest samples of the gateways.
Everything that could not be read is a value of its own here, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from keeptrusts_operator.api.deployment import GatewayDeploymentSpec
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.policy import BehaviourTest
from keeptrusts_operator.core.grant_checks import Attribution
from keeptrusts_operator.core.grants import Spent
from keeptrusts_operator.core.judgement import Judgement
from keeptrusts_operator.core.passed import Passed
from keeptrusts_operator.core.signals import Signals


class GatewayHealth(StrEnum):
    """What a gateway says of itself on its status path."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    UNHEALTHY = "Unhealthy"
    UNKNOWN = "Unknown"


class TestVerdict(StrEnum):
    """How a behaviour test ended. No answer, 429 and 5xx say nothing about the policy: they are tried again."""

    __test__ = False  # not one of pytest's

    PASSED = "Passed"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class TestResult:
    """What became of one behaviour test; `message` says what was expected and what came, for people."""

    __test__ = False

    name: str
    verdict: TestVerdict
    message: str = ""


@dataclass(frozen=True)
class TestReport:
    """Results of the behaviour tests of one rollout so far; a test that is not in it has not been tried."""

    __test__ = False

    rollout_id: str
    results: tuple[TestResult, ...] = ()

    def first(self, verdict: TestVerdict) -> TestResult | None:
        """The first test that ended like this."""
        return next((r for r in self.results if r.verdict is verdict), None)


@dataclass(frozen=True)
class Pack:
    """Name and version of a policy document, as people call it."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Content:
    """What the user wants to run now: addressed by its content, linted, accepted by the API server's dry run."""

    revision: str
    policy_hash: str
    pack: Pack | None = None
    warnings: tuple[str, ...] = ()
    tests: tuple[BehaviourTest, ...] = ()
    model: str = ""  # that behaviour tests name
    expected_increase: float = 0.0  # of the block rate, by the policy's own word; fractions of all requests
    expected_decrease: float = 0.0
    bypassed: tuple[str, ...] = ()  # of a passthrough: the policies that it leaves out, or only flags
    config_map: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    deployment: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Unusable:
    """What the user wants cannot be run: `reason` is CamelCase, `message` says what is wrong and what to do."""

    reason: str
    message: str


@dataclass(frozen=True)
class Unreadable:
    """What the user wants is unknown (a reference missing, the API server silent): nothing may change because of it."""

    reason: str
    message: str


Desired = Content | Unusable | Unreadable


@dataclass(frozen=True)
class Exposure:
    """What a Service selector lets traffic reach: one revision, every live pod (active and candidate), or nothing."""

    kind: str  # Nothing | Only | Live | Foreign
    revision: str = ""

    def __str__(self) -> str:
        return f"Only({self.revision})" if self.kind == "Only" else self.kind


NOTHING = Exposure("Nothing")
LIVE = Exposure("Live")
FOREIGN = Exposure("Foreign")  # a selector that nobody of us writes: edited by hand, or a Service that is being adopted


def only(revision: str) -> Exposure:
    """All traffic to one revision."""
    return Exposure("Only", revision)


@dataclass(frozen=True)
class Service:
    """The Service that users call. Its annotations carry the truth about exposure and are read before `status`."""

    resource_version: str
    exposure: Exposure
    rollout_id: str = ""
    exposure_reason: str = ""
    tripped_revision: str = ""
    in_shape: bool = True  # ports, type, labels, owner as we render them


@dataclass(frozen=True)
class ServiceConflict:
    """A Service of our name belongs to somebody else: it is not touched."""

    message: str


@dataclass(frozen=True)
class Crash:
    """How often a gateway's process ended by itself with a failure, and how it went the last time."""

    count: int
    at: datetime  # the last time
    exit_code: int
    reason: str  # Error, OOMKilled, …
    message: str = ""  # last lines of its log, where the kubelet gives them


@dataclass(frozen=True)
class Pod:
    """One gateway pod."""

    name: str
    uid: str
    created_at: datetime
    ip: str = ""
    ready: bool = False
    ready_since: datetime | None = None  # by the cluster's clock, as all times of a pod
    terminating: bool = False
    evicted: bool = False
    live: bool = True  # carries the label by which a Service selects active and candidate pods together
    crash: Crash | None = None
    waiting: str = ""  # why it does not start: "ImagePullBackOff: …", "Unschedulable: 0/1 nodes …"
    health: GatewayHealth = GatewayHealth.UNKNOWN
    loaded: Pack | None = None  # what it says it has loaded, None: it does not say


@dataclass(frozen=True)
class Workload:
    """The Deployment of a revision."""

    replicas: int
    drifted: bool = False  # its pod template is not the one we created: somebody edited it
    failure: str = ""  # ReplicaFailure's message: quota, admission
    settled: bool = True  # the Deployment controller has replaced every pod of an older template
    restarted_at: datetime | None = None  # the mark of a restart in its pod template


class Budget(StrEnum):
    """The PodDisruptionBudget of a revision."""

    ABSENT = "Absent"
    IN_SHAPE = "InShape"
    OUTDATED = "Outdated"


@dataclass(frozen=True)
class Revision:
    """What exists of one revision. A revision whose ConfigMap is gone cannot start new pods."""

    name: str
    created_at: datetime | None = None
    config_map: bool = True
    workload: Workload | None = None
    restorable: bool = True  # the stored rendering is at hand, so that a lost or edited Deployment can be put back
    pods: tuple[Pod, ...] = ()
    budget: Budget = Budget.ABSENT
    standby: bool = False  # made to be a passthrough
    drops: str = ""  # what it does not enforce of spec.protections.required, in words

    @property
    def running(self) -> tuple[Pod, ...]:
        """Pods that are not on their way out."""
        return tuple(p for p in self.pods if not p.terminating and not p.evicted)

    @property
    def ready(self) -> int:
        """Number of pods that take traffic when the Service selects them."""
        return sum(p.ready for p in self.running)


@dataclass(frozen=True)
class Asked:
    """A request by annotation. `value` is the annotation as it is: the same value is the same request."""

    value: str
    id: str = ""  # stamped at admission, where it is
    by: str = ""

    @property
    def argument(self) -> str:
        """The value without what follows a `#`, which only tells two equal requests apart."""
        return self.value.partition("#")[0].strip()


@dataclass(frozen=True)
class Notes:
    """Annotations that go with a request; a change of them alone is none."""

    reason: str = ""
    scope: str = ""
    ticket: str = ""


@dataclass(frozen=True)
class Flow:
    """Requests that the pods of a revision have counted from `since` to now, all of them having been read."""

    requests: float
    since: datetime


@dataclass(frozen=True)
class Scrape:
    """Whether the gateways' counters can be read: of how many pods, and why not of the others."""

    read: int
    of: int
    why: str = ""


@dataclass(frozen=True)
class Compared:
    """What a candidate enforces, beside the active revision. `less`: what it enforces less, in words; None: that cannot
    be told, `why`."""

    revision: str
    active: str
    less: tuple[str, ...] | None
    why: str = ""


@dataclass(frozen=True)
class AdoptedPod:
    """A pod of the Deployment that `spec.adoptFrom` names."""

    name: str
    labelled: bool  # with our labels of the revision `adopted`
    live: bool


@dataclass(frozen=True)
class World:
    """One look at everything that a decision about one GatewayDeployment may depend on."""

    now: datetime
    name: str
    namespace: str
    generation: int
    spec: GatewayDeploymentSpec
    desired: Desired
    service: Service | ServiceConflict | None
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    judgement: Judgement | None = None  # None: nothing has been counted yet, or nobody counts
    uid: str = ""
    requests: Mapping[Verb, Asked] = field(default_factory=dict)
    tests: TestReport | None = None
    flows: Mapping[str, Flow] = field(default_factory=dict)  # by revision; one that is not in it is not known
    scrape: Scrape | None = None  # None: not tried yet
    signals: Signals = field(default_factory=dict)  # of health
    last_answers: Mapping[str, datetime] = field(default_factory=dict)  # by revision: when a counter moved last
    endpoints: frozenset[str] | None = None  # revisions that EndpointSlices of the Service hold; None: not looked at
    notes: Notes = Notes()
    parachute: Desired | None = None  # the passthrough of the active revision; None: nothing is active
    attribution: Attribution = Attribution.NONE
    passed: Passed | None = None  # what has passed in the passthrough that is in force; None: none is, or nobody counts
    spent: tuple[Spent, ...] | None = None  # by earlier grants; None: not read
    adopted: tuple[AdoptedPod, ...] = ()
    compared: Compared | None = None  # None: there is no candidate, or nothing to compare it with
    foreign_budget: str = ""  # somebody else's PodDisruptionBudget that covers our pods

    def revision(self, name: str) -> Revision:
        """The named revision; one of which nothing exists is empty, not an error."""
        return self.revisions.get(name) or Revision(name, config_map=False, restorable=False)
