"""How a change reaches the gateways: spec.rollout."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from keeptrusts_operator.api.fields import Fields
from keeptrusts_operator.api.quantities import IntOrPercent, format_duration, format_percent

MAX_STEPS = 20
MAX_WEIGHT = 0.5


class OnInconclusive(StrEnum):
    HOLD = "Hold"
    PROMOTE = "Promote"
    ROLL_BACK = "RollBack"


class TrafficRouting(StrEnum):
    REPLICAS = "Replicas"
    GATEWAY_API = "GatewayAPI"


@dataclass(frozen=True)
class Step:
    """`weight` of the traffic (a fraction) for at least `min_duration`."""

    weight: float
    min_duration: timedelta = timedelta(seconds=30)


@dataclass(frozen=True)
class Soak:
    """All traffic on the candidate; `standby_replicas` of the previous revision's replicas stay warm."""

    duration: timedelta = timedelta(minutes=30)
    standby_replicas: IntOrPercent = field(default_factory=lambda: IntOrPercent(100, is_percent=True))


@dataclass(frozen=True)
class Rollout:
    paused: bool = False
    steps: tuple[Step, ...] = (
        Step(weight=0.1, min_duration=timedelta(seconds=30)),
        Step(weight=0.5, min_duration=timedelta(minutes=1)),
    )
    step_deadline: timedelta = timedelta(minutes=15)
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD
    progress_deadline: timedelta = timedelta(minutes=5)
    soak: Soak = Soak()
    drain_seconds: int = 2
    connection_drain_timeout: timedelta = timedelta(seconds=60)
    max_share: float = 0.5
    traffic_routing: TrafficRouting = TrafficRouting.REPLICAS


def parse_rollout(fields: Fields) -> Rollout:
    default = Rollout()
    soak = fields.child("soak")
    rollout = Rollout(
        paused=fields.boolean("paused", default.paused),
        steps=_parse_steps(fields, default.steps),
        step_deadline=fields.duration("stepDeadline", default.step_deadline),
        on_inconclusive=fields.choice("onInconclusive", default.on_inconclusive),
        progress_deadline=fields.duration("progressDeadline", default.progress_deadline),
        soak=Soak(
            duration=soak.duration("duration", default.soak.duration, positive=False),
            standby_replicas=soak.count_or_percent("standbyReplicas", default.soak.standby_replicas),
        ),
        drain_seconds=fields.integer("drainSeconds", default.drain_seconds, 1, 300),
        connection_drain_timeout=fields.duration("connectionDrainTimeout", default.connection_drain_timeout),
        max_share=fields.percent("maxShare", default.max_share, above=0.0),
        traffic_routing=fields.child("trafficRouting").choice("type", default.traffic_routing),
    )
    if rollout.traffic_routing is TrafficRouting.GATEWAY_API:
        fields.fail("GatewayAPI is not supported yet; write Replicas, or leave it out", "trafficRouting", "type")
    _check_steps(fields, rollout)
    return rollout


def _parse_steps(fields: Fields, default: tuple[Step, ...]) -> tuple[Step, ...]:
    steps = fields.objects("steps", MAX_STEPS)
    if steps is None:
        return default
    return tuple(_parse_step(step) for step in steps)


def _parse_step(fields: Fields) -> Step:
    if not fields.has("weight"):
        fields.fail("is required: write a share of the traffic, e.g. 10%", "weight")
    return Step(
        weight=fields.percent("weight", MAX_WEIGHT, above=0.0, at_most=MAX_WEIGHT),
        min_duration=fields.duration("minDuration", Step.min_duration, positive=False),
    )


def _check_steps(fields: Fields, rollout: Rollout) -> None:
    for index, step in enumerate(rollout.steps):
        name = f"steps[{index}]"
        if index and step.weight <= rollout.steps[index - 1].weight:
            fields.fail("weights must ascend; sort the steps, and drop equal ones", name, "weight")
        if step.weight > rollout.max_share:
            fields.fail(
                f"is {format_percent(step.weight)}, more than maxShare {format_percent(rollout.max_share)}; "
                "write smaller steps, or raise maxShare",
                name,
                "weight",
            )
        if step.min_duration > rollout.step_deadline:
            fields.fail(
                f"is {format_duration(step.min_duration)}, longer than stepDeadline "
                f"{format_duration(rollout.step_deadline)}; write a shorter one, or raise stepDeadline",
                name,
                "minDuration",
            )
