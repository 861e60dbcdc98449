"""Replica-ratio arithmetic: how many candidate pods make which share of traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from keeptrusts_operator.api.rollout import Step


@dataclass(frozen=True)
class PlannedStep:
    """One step of a canary as the pods can carry it out.

    `weight` is what the user asked for (of the last step merged into it), `real_weight` what `pods` candidate pods
    beside N active ones amount to.
    """

    weight: float
    real_weight: float
    pods: int
    min_duration: timedelta
    merged: int = 1  # how many steps of the spec need the same number of pods


def candidate_pods(weight: float, replicas: int) -> int:
    """Candidate pods that come nearest to `weight` beside `replicas` active pods; at least one."""
    return max(1, round(weight / (1 - weight) * replicas))


def plan(steps: Sequence[Step], replicas: int) -> tuple[PlannedStep, ...]:
    """The steps that can be told apart with `replicas` active pods; those that need the same pods become one.

    A merged step lasts as long as its parts together.
    """
    planned: list[PlannedStep] = []
    for step in steps:
        pods = candidate_pods(step.weight, replicas)
        real = pods / (pods + replicas)
        if planned and planned[-1].pods == pods:
            last = planned.pop()
            planned.append(PlannedStep(step.weight, real, pods, last.min_duration + step.min_duration, last.merged + 1))
        else:
            planned.append(PlannedStep(step.weight, real, pods, step.min_duration))
    return tuple(planned)
