"""Metrics of gateways: what is not known has no series, what happened before is not counted again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import generate_latest

from keeptrusts_operator.api.quantities import format_time
from keeptrusts_operator.core.measured import Name, Source, State
from keeptrusts_operator.core.signals import Signal, to_status
from keeptrusts_operator.loop.telemetry import Telemetry

NOW = 1_764_000_000.0


def time(seconds: float) -> str:
    return format_time(datetime.fromtimestamp(NOW + seconds, UTC))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def telemetry(clock: Clock) -> Telemetry:
    return Telemetry(clock)


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return telemetry.registry.get_sample_value(f"keeptrusts_operator_{name}", {**GW, **labels})


GW: dict[str, Any] = {"namespace": "platform", "name": "kt-gateway"}
JUDGING: dict[str, Any] = {
    "phase": "Canary",
    "readyReplicas": 3,
    "rollout": {"id": "r", "revision": "bad", "stage": "Canary", "stageStartedAt": time(0), "verdict": "Hold"},
    "breaker": {
        "state": "Judging",
        "canary": {"requests": 120, "blocked": 3},
        "stable": {"requests": 0, "blocked": 0},
        "limit": "5%",
        "evidence": "0.4",
        "burst": "1.5",
        "lastSampleAt": time(-3),
    },
}
SIGNAL = Signal(Name.BLOCK_RATE, State.OK, "2.1%", "30%", datetime.fromtimestamp(NOW, UTC), Source.PODS, "", 0.021)


def test_a_condition_has_one_series_for_what_it_is_now(telemetry: Telemetry) -> None:
    for status, other in (("False", "True"), ("True", "False")):
        conditions = [{"type": "InSync", "status": status}, {"type": "Healthy", "status": "Unknown"}]
        telemetry.record(**GW, status={"phase": "Stable", "conditions": conditions}, now=NOW)
        assert value(telemetry, "gateway_condition", type="InSync", status=status) == 1.0
        assert value(telemetry, "gateway_condition", type="InSync", status=other) is None
        assert value(telemetry, "gateway_condition", type="Healthy", status="Unknown") == 1.0
    telemetry.forget(**GW)
    assert value(telemetry, "gateway_condition", type="InSync", status="True") is None


def test_the_breaker_while_it_judges_and_after(telemetry: Telemetry) -> None:
    telemetry.record(**GW, status=JUDGING, now=NOW)
    assert value(telemetry, "breaker_evidence_log10") == pytest.approx(-0.398, abs=0.001)
    assert value(telemetry, "breaker_limit_ratio") == 0.05
    assert value(telemetry, "breaker_burstiness") == 1.5
    assert value(telemetry, "breaker_block_rate_ratio", arm="canary") == 0.025
    assert value(telemetry, "breaker_block_rate_ratio", arm="stable") is None  # no requests: no rate
    assert value(telemetry, "breaker_verdict", verdict="Hold") == 1.0
    clear = {**JUDGING, "rollout": {**JUDGING["rollout"], "verdict": "Clear"}}
    telemetry.record(**GW, status=clear, now=NOW)
    assert value(telemetry, "breaker_verdict", verdict="Clear") == 1.0
    assert value(telemetry, "breaker_verdict", verdict="Hold") is None
    telemetry.record(**GW, status={"phase": "Stable"}, now=NOW)
    assert value(telemetry, "breaker_verdict", verdict="Clear") is None
    assert value(telemetry, "breaker_evidence_log10") is None
    assert value(telemetry, "gateway_phase", phase="Canary") is None
    assert value(telemetry, "gateway_phase", phase="Stable") == 1.0


def test_what_cannot_be_read_has_no_series(telemetry: Telemetry) -> None:
    broken: dict[str, Any] = {
        "breaker": {
            "limit": "?",
            "evidence": "nan",
            "burst": True,
            "lastSampleAt": "soon",
            "canary": [],
            "stable": None,
        },
        "rollout": "x",
        "rollback": [],
        "health": {"signals": ["x"]},
        "passthrough": {"state": "Active", "grantedAt": "x", "expiresAt": "x"},
        "requests": {"a": 1},
    }
    telemetry.record(**GW, status=broken, now=NOW)
    for name in ("breaker_evidence_log10", "breaker_limit_ratio", "breaker_burstiness", "sample_age_seconds"):
        assert value(telemetry, name) is None
    assert value(telemetry, "passthrough_expires_timestamp_seconds") is None
    assert value(telemetry, "passthrough_active") == 1.0
    telemetry.record(**GW, status={"breaker": {"evidence": "0"}}, now=NOW)
    assert value(telemetry, "breaker_evidence_log10") == -9.0


def test_the_age_of_a_sample_grows_while_nothing_is_recorded(telemetry: Telemetry, clock: Clock) -> None:
    telemetry.record(**GW, status=JUDGING, now=NOW)
    assert value(telemetry, "sample_age_seconds") == 3.0
    clock.now += 60.0
    assert value(telemetry, "sample_age_seconds") == 63.0
    telemetry.observe(**GW, sampled_at=NOW + 55.0)
    assert value(telemetry, "sample_age_seconds") == 5.0
    telemetry.record(**GW, status=JUDGING, now=NOW)  # an older checkpoint does not make it older
    assert value(telemetry, "sample_age_seconds") == 5.0
    clock.now = NOW - 3600.0
    assert value(telemetry, "sample_age_seconds") == 0.0
    telemetry.observe(**GW, sampled_at=NOW - 3600.0)
    clock.now = NOW + 100.0
    assert value(telemetry, "sample_age_seconds") == 103.0


def test_signals_as_states_and_numbers(telemetry: Telemetry) -> None:
    now = datetime.fromtimestamp(NOW, UTC)
    for state in (State.OK, State.WARNING):
        signal = replace(SIGNAL, state=state)
        telemetry.record(**GW, status={"health": {"signals": to_status({signal.name: signal}, now)}}, now=NOW)
        telemetry.observe(**GW, signals=[signal])
    assert value(telemetry, "signal_state", signal="BlockRate", state="Warning") == 1.0
    assert value(telemetry, "signal_state", signal="BlockRate", state="Ok") is None
    assert value(telemetry, "signal_value", signal="BlockRate") == 0.021
    telemetry.observe(**GW, signals=[replace(SIGNAL, number=None)])
    assert value(telemetry, "signal_value", signal="BlockRate") is None


def rolled_back(**times: str) -> dict[str, Any]:
    return {"phase": "RolledBack", "rollback": {"revision": "bad", "reason": "BlockRate", **times}}


def test_a_rollback_is_counted_once_and_timed(telemetry: Telemetry) -> None:
    telemetry.record(**GW, status={**JUDGING, "rollout": {**JUDGING["rollout"], "stage": "Testing"}}, now=NOW)
    telemetry.record(**GW, status={**JUDGING, "rollout": {**JUDGING["rollout"], "stageStartedAt": "?"}}, now=NOW)
    telemetry.record(**GW, status=JUDGING, now=NOW)
    soaking = {**JUDGING["rollout"], "stage": "Soaking", "stageStartedAt": time(50)}
    telemetry.record(**GW, status={**JUDGING, "rollout": soaking}, now=NOW)
    for _ in range(3):
        telemetry.record(**GW, status=rolled_back(detectedAt=time(90)), now=NOW)
    assert value(telemetry, "rollback_effective_seconds_count") is None
    for _ in range(3):
        telemetry.record(**GW, status=rolled_back(detectedAt=time(90), effectiveAt=time(91.5)), now=NOW)
    assert value(telemetry, "rollbacks_total", reason="BlockRate") == 1.0
    assert value(telemetry, "rollback_detection_seconds_sum") == 90.0
    assert value(telemetry, "rollback_effective_seconds_sum") == 1.5
    assert value(telemetry, "rollback_effective_seconds_count") == 1.0
    assert value(telemetry, "rollback_effective_seconds_bucket", le="2.0") == 1.0
    assert value(telemetry, "rollback_effective_seconds_bucket", le="7200.0") == 1.0
    telemetry.record(
        **GW, status={"rollback": {"revision": "bad", "reason": "Requested", "detectedAt": time(300)}}, now=NOW
    )
    assert value(telemetry, "rollbacks_total", reason="Requested") == 1.0
    assert value(telemetry, "rollback_detection_seconds_count") == 1.0


def test_a_new_leader_does_not_count_what_happened_before(telemetry: Telemetry) -> None:
    old = rolled_back(detectedAt=time(-900), effectiveAt=time(-899))
    old["requests"] = [
        {"verb": "emergency-passthrough", "value": "45m", "at": time(-800), "id": "1", "outcome": "Done"}
    ]
    telemetry.record(**GW, status=old, now=NOW)
    telemetry.record(**GW, status=old, now=NOW)
    assert value(telemetry, "rollbacks_total", reason="BlockRate") == 0.0
    assert value(telemetry, "rollback_effective_seconds_count") is None
    assert value(telemetry, "passthrough_requests_total", outcome="Done") == 0.0


def test_passthrough(telemetry: Telemetry) -> None:
    telemetry.record(**GW, status={}, now=NOW)
    assert value(telemetry, "passthrough_active") == 0.0
    request = {"verb": "emergency-passthrough", "value": "45m", "at": time(0), "id": "1", "outcome": "Refused"}
    other = {"verb": "rollback", "value": "previous", "at": time(0), "outcome": "Done"}
    for state, active, expires in (
        ("Pending", 0.0, None),
        ("Starting", 0.0, NOW + 900),
        ("Active", 1.0, NOW + 900),
        ("Rearming", 1.0, None),
        ("Ended", 0.0, None),
    ):
        status = {"passthrough": {"state": state, "expiresAt": time(900)}, "requests": [request, other]}
        telemetry.record(**GW, status=status, now=NOW)
        assert value(telemetry, "passthrough_active") == active
        assert value(telemetry, "passthrough_expires_timestamp_seconds") == expires
    again = {**request, "at": time(60), "outcome": "Done"}
    telemetry.record(**GW, status={"requests": [again]}, now=NOW)
    assert value(telemetry, "passthrough_requests_total", outcome="Refused") == 1.0
    assert value(telemetry, "passthrough_requests_total", outcome="Done") == 1.0


def test_all_series_of_an_object_end_with_it_and_no_others(telemetry: Telemetry) -> None:
    other: dict[str, Any] = {"namespace": "platform", "name": "other"}
    for gateway in (GW, other):
        telemetry.record(**gateway, status=JUDGING, now=NOW)
        telemetry.record(**gateway, status=rolled_back(detectedAt=time(9), effectiveAt=time(10)), now=NOW)
        request = {"verb": "emergency-passthrough", "value": "45m", "at": time(0), "outcome": "Done"}
        telemetry.record(**gateway, status={"requests": [request]}, now=NOW)
        telemetry.record(**gateway, status=JUDGING, now=NOW)
        telemetry.observe(**gateway, signals=[SIGNAL], sampled_at=NOW)
        telemetry.transitions.labels(*gateway.values(), "Tripped").inc()
    before = generate_latest(telemetry.registry).decode()
    for _ in range(2):
        telemetry.forget(**GW)
    after = generate_latest(telemetry.registry).decode()
    assert 'name="kt-gateway"' not in after
    assert after.count('name="other"') == before.count('name="kt-gateway"') > 30


def test_names_follow_prometheus(telemetry: Telemetry) -> None:
    for metric in telemetry.described:
        assert metric.name.endswith("_total") == (metric.type == "counter")
        assert metric.help[0].islower() or metric.help[0].isdigit()
        assert not metric.help.endswith(".")
