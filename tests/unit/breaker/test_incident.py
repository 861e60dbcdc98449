"""The incident replayed, in short form: what the breaker does and what the alert rule does not."""

from __future__ import annotations

import json

from tests.bench.incident import SECONDS, replay, told


def test_the_breaker_finds_in_a_minute_what_the_alert_rule_never_sees() -> None:
    result = replay(60)
    canary, fleet = result["canary"], result["whole_fleet"]
    assert canary["operator"]["found"] == 60
    assert canary["operator"]["seconds"]["p50"] <= 90  # 80 in 2,000 runs, see the table
    assert canary["operator"]["wrongly_blocked"]["p50"] < 20
    assert canary["alert_rule"]["found"] == 0
    assert canary["alert_rule"]["wrongly_blocked"] == canary["nobody_for_30_min"]["wrongly_blocked"]
    assert fleet["alert_rule"]["found"] == 60
    assert 420 < fleet["alert_rule"]["seconds"]["p50"] < 600
    assert fleet["operator"]["seconds"]["p95"] < 60
    expected = 1.73 * (0.45 - 0.02)
    assert abs(fleet["rolled_back_after_30_min"]["wrongly_blocked"]["p50"] - expected * SECONDS) < 40
    assert abs(fleet["alerted_after_12_min"]["wrongly_blocked"]["p50"] - expected * 720) < 30
    json.dumps(result, allow_nan=False)


def test_what_it_tells_people_has_its_numbers() -> None:
    result = replay(5)
    said = "\n".join(told(result))
    assert "the fleet blocks 10.6% and 30% is asked for: it never fires" in said
    assert f"found after {result['canary']['operator']['seconds']['p50']:.0f} s" in said
