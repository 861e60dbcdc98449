"""Emergency passthrough, its limits and its watch: spec.passthrough."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from keeptrusts_operator.api.fields import Fields
from keeptrusts_operator.api.formats import MAX_DOCUMENT_KEYS, POLICY_KIND, REGEX
from keeptrusts_operator.api.patterns import problem_of_pattern
from keeptrusts_operator.api.quantities import IntOrPercent, format_duration

MAX_KINDS = 50
MIN_REASON = 15
"""Characters of the annotation `reason` of a request; the admission policies ask for as many."""
OFF = "off"
"""The value of the annotation `emergency-passthrough` that ends one."""


class TwoPerson(StrEnum):
    """When a second person must agree to more than `soloDuration`."""

    AFTERWARDS = "Afterwards"
    BEFORE = "Before"
    OFF = "Off"


class Unattributed(StrEnum):
    """What becomes of requests when the API server cannot say who made them."""

    REFUSE = "Refuse"
    ACCEPT = "Accept"


@dataclass(frozen=True)
class Rearm:
    """How long the first minutes after a passthrough are watched; zero: not at all."""

    max_duration: timedelta = timedelta(minutes=2)


@dataclass(frozen=True)
class Passthrough:
    """`solo_duration` is never longer than `max_duration`. `document` is set with profile Custom only."""

    max_duration: timedelta = timedelta(hours=4)
    solo_duration: timedelta = timedelta(minutes=15)
    two_person: TwoPerson = TwoPerson.AFTERWARDS
    standby_replicas: IntOrPercent = field(default_factory=lambda: IntOrPercent(0))
    never_bypass: tuple[str, ...] = (
        "itar-ear-filter",
        "entity-list-filter",
        "hipaa-phi-detector",
        "gdpr-compliance",
        "cjis-mode",
        "data-routing-policy",
    )
    unattributed: Unattributed = Unattributed.REFUSE
    identity_pattern: str = "(.*)"
    ticket_pattern: str = ""
    rearm: Rearm = Rearm()
    budget_window: timedelta = timedelta(hours=24)
    incident_retention: timedelta = timedelta(hours=2160)
    document: Mapping[str, Any] | None = None


def parse_passthrough(fields: Fields) -> Passthrough:
    default = Passthrough()
    max_duration = fields.duration("maxDuration", default.max_duration)
    passthrough = Passthrough(
        max_duration=max_duration,
        # A short maxDuration alone is a complete sentence: it lowers the default of soloDuration too.
        solo_duration=fields.duration("soloDuration", min(default.solo_duration, max_duration), positive=False),
        two_person=fields.choice("twoPerson", default.two_person),
        standby_replicas=fields.count_or_percent("standbyReplicas", default.standby_replicas),
        never_bypass=fields.strings("neverBypass", default.never_bypass, MAX_KINDS, POLICY_KIND),
        unattributed=fields.choice("unattributed", default.unattributed),
        identity_pattern=_parse_pattern(fields, "identityPattern", default.identity_pattern, captures=True),
        ticket_pattern=_parse_pattern(fields, "ticketPattern", default.ticket_pattern, captures=False),
        rearm=Rearm(
            max_duration=fields.child("rearm").duration("maxDuration", default.rearm.max_duration, positive=False)
        ),
        budget_window=fields.duration("budgetWindow", default.budget_window),
        incident_retention=fields.duration("incidentRetention", default.incident_retention),
        document=fields.raw("document", MAX_DOCUMENT_KEYS) if fields.has("document") else None,
    )
    if passthrough.solo_duration > passthrough.max_duration:
        fields.fail(
            f"is longer than maxDuration ({format_duration(passthrough.max_duration)}); write a shorter one, "
            "or raise maxDuration",
            "soloDuration",
        )
    if passthrough.budget_window < passthrough.max_duration:
        fields.fail(
            f"is shorter than maxDuration ({format_duration(passthrough.max_duration)}), so that one grant could "
            "outlive it; write a longer one",
            "budgetWindow",
        )
    return passthrough


def _parse_pattern(fields: Fields, name: str, default: str, captures: bool) -> str:
    pattern = fields.string(name, default, REGEX)
    problem = problem_of_pattern(pattern, captures)
    if problem:
        fields.fail(problem, name)
    return pattern
