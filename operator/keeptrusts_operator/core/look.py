"""World and state side by side, with the questions that rules ask of both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from keeptrusts_operator.api.circuit_breaker import BreakerMode
from keeptrusts_operator.api.names import ADOPTED_REVISION, Verb
from keeptrusts_operator.api.quantities import format_duration, format_percent
from keeptrusts_operator.api.rollout import OnInconclusive
from keeptrusts_operator.core import liveness, target
from keeptrusts_operator.core.judgement import BLOCK_RATE, Judgement, Verdict
from keeptrusts_operator.core.shares import PlannedStep, plan
from keeptrusts_operator.core.state import Outcome, Rollout, Stage, State
from keeptrusts_operator.core.world import (
    Asked,
    Content,
    Revision,
    Service,
    ServiceConflict,
    TestResult,
    TestVerdict,
    World,
)

UNEXPOSED = frozenset({Stage.PREPARING, Stage.TESTING})
EXPOSED = frozenset({Stage.CANARY, Stage.SCALE_UP, Stage.SOAKING})
UNDER_WAY = UNEXPOSED | EXPOSED
INCONCLUSIVE = "Inconclusive"
DRAINED_SHARE = 0.01  # of requests: a revision that serves less is drained


@dataclass(frozen=True)
class Hold:
    """Why a rollout does not go on by itself. It keeps being watched, and can still be taken back."""

    reason: str
    message: str


class Look:
    """World and state side by side, with the few questions that rules ask of both."""

    def __init__(self, world: World, state: State) -> None:
        self.world, self.state = world, state

    @property
    def now(self) -> datetime:
        return self.world.now

    @property
    def rollout(self) -> Rollout:
        assert self.state.rollout is not None
        return self.state.rollout

    @property
    def candidate(self) -> Revision:
        return self.world.revision(self.rollout.revision)

    @property
    def active(self) -> Revision:
        return self.world.revision(self.state.active)

    @property
    def exposed_only(self) -> str:
        """The revision that the Service selects, if it selects exactly one."""
        service = self.world.service
        return service.exposure.revision if isinstance(service, Service) and service.exposure.kind == "Only" else ""

    @property
    def pods_wanted(self) -> int:
        return target.candidate_replicas(self.world, self.state, self.rollout)

    @property
    def all_ready(self) -> bool:
        return self.candidate.ready >= self.pods_wanted and (
            self.candidate.workload is not None and self.candidate.workload.settled
        )

    @property
    def ready_since(self) -> datetime:
        """When the last of the candidate's pods became ready, by the cluster's clock: pods are compared with nothing
        else, since the operator's own clock may be off."""
        return max((p.ready_since for p in self.candidate.running if p.ready_since), default=self.now)

    @cached_property
    def steps(self) -> tuple[PlannedStep, ...]:
        return plan(self.world.spec.rollout.steps, target.serving_replicas(self.world, self.state))

    @property
    def content(self) -> Content | None:
        """What the user wants, if that is what this rollout is about."""
        desired, rollout = self.world.desired, self.rollout
        if isinstance(desired, Content) and (desired.revision, desired.policy_hash) == (
            rollout.revision,
            rollout.policy_hash,
        ):
            return desired
        return None

    @property
    def paused(self) -> bool:
        return self.state.paused or self.world.spec.rollout.paused

    def asked(self, verb: Verb) -> Asked | None:
        """A request that has not been answered: its own annotation has changed."""
        asked, answered = self.world.requests.get(verb), self.state.request(verb)
        return None if asked is None or (answered and answered.value == asked.value) else asked

    def test_result(self, verdict: TestVerdict) -> TestResult | None:
        """The first behaviour test of this rollout that ended like this."""
        report = self.world.tests
        return report.first(verdict) if report and report.rollout_id == self.rollout.id else None

    @property
    def tests_passed(self) -> bool:
        """Every behaviour test of the content passed. What cannot be read now has not passed."""
        content, report = self.content, self.world.tests
        if content is None:
            return False
        if not content.tests:
            return True
        if report is None or report.rollout_id != self.rollout.id:
            return False
        passed = {r.name for r in report.results if r.verdict is TestVerdict.PASSED}
        return passed >= {t.name for t in content.tests}

    @property
    def wanted_again(self) -> bool:
        """The user wants content that may be tried: neither active nor in quarantine."""
        desired = self.world.desired
        return (
            isinstance(desired, Content)
            and desired.revision != self.state.active
            and self.state.quarantine_of(desired.revision, desired.policy_hash) is None
        )

    @property
    def serving_without_status(self) -> str | None:
        """The revision that a Service without a status behind it lets traffic reach (a restore loses status)."""
        service = self.world.service
        if self.state.active or not isinstance(service, Service):
            return None
        if service.exposure.kind == "Only" and self.world.revision(service.exposure.revision).ready:
            return service.exposure.revision
        return None

    @property
    def drained(self) -> bool:
        """The revision that was left in the soak serves next to nothing: measured, or all of its pods are new."""
        since, left = self.rollout.stage_started_at, self.active
        pods = [p for p in left.pods if not p.evicted]
        if all(p.created_at > (self.rollout.ready_at or since) and not p.terminating for p in pods):
            return True
        flows = [self.world.flows.get(r) for r in (self.state.active, self.rollout.revision)]
        if any(f is None or f.since < since for f in flows):
            return False
        old, new = (f.requests for f in flows if f)
        return old == 0 or old < DRAINED_SHARE * (old + new)

    def command(self, verb: Verb, value: str) -> str:
        """What to type for a request. Its end tells it from the last one with the same value."""
        answered = self.state.request(verb)
        fresh = int(answered.at.timestamp()) if answered else 1
        name, namespace = self.world.name, self.world.namespace
        return f"kubectl annotate --overwrite gwd {name} -n {namespace} '{verb.annotation}={value}#{fresh}'"

    def previous_good(self) -> str | None:
        """The newest revision beside the active one that was promoted and not left for cause; one that can start."""
        for entry in reversed(self.state.history):
            if entry.revision != self.state.active and self.can_return_to(entry.revision):
                return entry.revision
        return None

    def can_return_to(self, revision: str) -> bool:
        """One that was promoted, can start, and keeps what spec.protections.required names."""
        there = self.world.revision(revision)
        return self.state.outcome_of(revision) is Outcome.PROMOTED and there.config_map and not there.drops

    @property
    def current_step(self) -> PlannedStep | None:
        """The canary step that runs; None when the spec has no steps (any more)."""
        return self.steps[min(self.rollout.step, len(self.steps) - 1)] if self.steps else None

    @cached_property
    def trouble(self) -> liveness.Trouble | None:
        """What is wrong with an exposed candidate."""
        return liveness.trouble(self.candidate, self.rollout.ready_at or self.rollout.stage_started_at)

    @cached_property
    def trouble_is_ours(self) -> bool:
        """The candidate is worse off than the active revision, which can take the traffic."""
        if self.trouble is None or not self.active.ready:
            return False
        both = liveness.trouble(self.active, self.rollout.ready_at or self.rollout.started_at)
        return both is None or both.share < self.trouble.share

    @cached_property
    def failing(self) -> liveness.Trouble | None:
        """What is wrong with a candidate that has no traffic yet."""
        return liveness.failing_start(self.candidate) or liveness.refuted_config(self.candidate, self.rollout.pack)

    @cached_property
    def hold(self) -> Hold | None:
        """What keeps the rollout from going on although nothing is wrong enough to go back."""
        world = self.world
        if isinstance(world.service, ServiceConflict):
            return Hold("ServiceConflict", world.service.message)
        if self.state.rollout is None:
            return self._before_the_first()
        if self.state.frozen and (self.rollout.requested or self.rollout.stage is not Stage.PREPARING):
            return Hold("Passthrough", "it gets no traffic before the passthrough is over and protections are back")
        if self.rollout.requested:
            return None
        if self.rollout.stage in EXPOSED and self.trouble:
            if not self.active.ready:
                return Hold("NoActivePod", "the candidate is in trouble, but no pod of the active revision is ready")
            return Hold(
                "BothRevisionsUnhealthy", f"candidate and active revision are both in trouble: {self.trouble.message}"
            )
        if self.rollout.stage in EXPOSED and self.verdict is Verdict.TRIP:  # else it would have been taken back
            said = self.judgement.message if self.judgement else ""
            return Hold("NoActivePod", f"no pod of {self.state.active} is ready to take the traffic back: {said}")
        if self.paused:
            return Hold("Paused", self._paused_by())
        if self.rollout.stage in EXPOSED and (drift := liveness.refuted_config(self.candidate, self.rollout.pack)):
            return Hold(drift.reason, drift.message)
        if self.rollout.stage in EXPOSED and self.verdict is Verdict.HOLD:
            judged = self.judgement
            return Hold(judged.reason, judged.message) if judged else Hold(BLOCK_RATE, "")
        if self.inconclusive and world.spec.rollout.on_inconclusive is OnInconclusive.HOLD:
            return Hold(INCONCLUSIVE, self.no_answer)
        return self._too_coarse()

    @property
    def judgement(self) -> Judgement | None:
        """The judge's word on this rollout's candidate. A trip is final; a word that says the same as the one that was
        written last is that one, so that status does not change with every sample."""
        kept, fresh = (
            j if j and j.rollout_id == self.rollout.id else None for j in (self.state.judged, self.world.judgement)
        )
        if kept and (fresh is None or kept.verdict is Verdict.TRIP):
            return kept
        return kept if kept and fresh and kept.says_as(fresh) else fresh

    @property
    def verdict(self) -> Verdict:
        """What the breaker lets the rollout do, by spec.circuitBreaker.mode."""
        mode = self.world.spec.circuit_breaker.mode
        if mode in (BreakerMode.OFF, BreakerMode.NOTIFY) or not self.world.spec.gateway.metrics.decisions:
            return Verdict.UNJUDGED
        said = self.judgement.verdict if self.judgement else Verdict.UNDECIDED
        return Verdict.HOLD if said is Verdict.TRIP and mode is BreakerMode.HOLD else said

    @property
    def inconclusive(self) -> bool:
        """The step's deadline, or the time of the soak, has passed without a clear answer. It may still come."""
        rollout = self.rollout
        if self.verdict is not Verdict.UNDECIDED:
            return False
        if rollout.stage is Stage.SOAKING:
            return self.elapsed(rollout.drained_at, self.world.spec.rollout.soak.duration)
        if rollout.stage is not Stage.CANARY:
            return False
        return self.elapsed(rollout.step_started_at, self.world.spec.rollout.step_deadline)

    @property
    def no_answer(self) -> str:
        """Why nothing can be said of the candidate's block rate, and what to do."""
        judged, waited = self.judgement, self.world.spec.rollout.step_deadline
        if judged is None or not judged.canary.requests:
            unread = self.world.scrape.why if self.world.scrape else ""
            why = f"its counters cannot be read: {unread}" if unread else "no request of it has been counted"
        else:
            why = f"{judged.message or 'the counts leave it open'} after {format_duration(waited)}"
        return (
            f"whether it blocks more than is tolerated cannot be said ({why}); it is still measured. To go on anyway: "
            f"{self.command(Verb.PROMOTE, self.rollout.revision)}"
        )

    def _before_the_first(self) -> Hold | None:
        """A gateway that already runs is to be adopted before anything is compared with it."""
        source = self.world.spec.adopt_from
        if not source or self.state.active or self.state.history or self.world.revision(ADOPTED_REVISION).ready:
            return None
        return Hold("AdoptionPending", f"no ready pod of Deployment {source} (spec.adoptFrom) to start from")

    def _paused_by(self) -> str:
        if self.world.spec.rollout.paused:
            return "spec.rollout.paused is true; set it to false to go on"
        return f"paused by request; to go on: {self.command(Verb.PAUSE, 'false')}"

    def _too_coarse(self) -> Hold | None:
        steps, limit = self.steps, self.world.spec.rollout.max_share
        if self.rollout.stage not in UNEXPOSED or not steps or not self.state.active or self.rollout.skip_steps:
            return None
        if (worst := max(s.real_weight for s in steps)) <= limit + 1e-9:
            return None
        return Hold(
            "ShareTooLarge",
            f"with {target.serving_replicas(self.world, self.state)} active pods a step would take {format_percent(worst)} "
            f"of traffic, more than spec.rollout.maxShare {format_percent(limit)}; raise spec.replicas or maxShare",
        )

    @property
    def late(self) -> Hold | None:
        """A deadline has passed without the pods becoming ready; they are still waited for."""
        if self.state.rollout is None or not self.rollout.deadline or self.now < self.rollout.deadline:
            return None
        if self.rollout.stage is Stage.TESTING and self.all_ready:
            unknown = self.test_result(TestVerdict.UNKNOWN)
            why = f"test {unknown.name}: {unknown.message}" if unknown else "they have not all been answered"
            return Hold("TestsInconclusive", f"behaviour tests neither pass nor fail: {why}; they are tried again")
        why = liveness.waiting_for(self.candidate) or "its pods are not all ready"
        return Hold(
            "ProgressDeadlineExceeded",
            f"{self.candidate.ready} of {self.pods_wanted} candidate pods ready after "
            f"{format_duration(self.world.spec.rollout.progress_deadline)}: {why}",
        )

    def elapsed(self, since: datetime | None, wanted: timedelta) -> bool:
        return since is not None and self.now - since >= wanted
