"""Which cause it looks like: each rule with what speaks for it, and with what acquits."""

from __future__ import annotations

from typing import Any

import pytest

from keeptrusts_operator.plugin.explain import advice, explain, is_wrong
from keeptrusts_operator.plugin.suspects import suspects
from tests.unit.plugin import statuses
from tests.unit.plugin.statuses import ACTIVE, CANDIDATE, NOW, after, before, condition, signal
from tests.unit.plugin.terminal import Terminal

BLOCKS = signal("BlockRate", "Critical", "41%", "30%", since=before(minutes=2))
PROMOTED_LATELY = [{"revision": ACTIVE, "outcome": "Promoted", "at": before(minutes=10)}]


def signals(*found: Any) -> dict[str, Any]:
    return {"health": {"signals": list(found)}}


def quarantined(reason: str) -> dict[str, Any]:
    entry = {"revision": CANDIDATE, "outcome": "RolledBack", "reason": reason, "message": "m", "at": before(minutes=1)}
    return {"desiredRevision": CANDIDATE, "quarantined": [entry]}


CASES: list[tuple[str, Any, dict[str, str]]] = [
    ("only the candidate blocks", statuses.canary(), {"Policy": "Likely", "Attack": "Unlikely"}),
    ("both block", statuses.alike(**signals(BLOCKS)), {"Policy": "Unlikely", "Attack": "Likely"}),
    (
        "the candidate blocks a little more, within what is tolerated",
        statuses.canary(
            breaker={
                "state": "Undecided",
                "canary": {"requests": 100, "blocked": 9, "blockRate": "9%"},
                "stable": {"requests": 100, "blocked": 5, "blockRate": "5%"},
                "limit": "9.5%",
            },
            **signals(BLOCKS),
        ),
        {"Policy": "Likely", "Attack": "Possible"},
    ),
    ("blocks, nothing changed", statuses.gateway(**signals(BLOCKS)), {"Policy": "Possible", "Attack": "Likely"}),
    (
        "blocks soon after a promotion",
        statuses.gateway(**signals(BLOCKS), history=PROMOTED_LATELY),
        {"Policy": "Likely", "Attack": "Possible"},
    ),
    (
        "provider errors",
        statuses.gateway(**signals(signal("ProviderErrors", "Warning", "7%", "5%"), signal("BlockRate", "Ok", "2%"))),
        {"Provider": "Likely", "Policy": "Unlikely", "Attack": "Unlikely"},
    ),
    ("slow", statuses.gateway(**signals(signal("LatencyP99", "Warning", "9s", "5s"))), {"Provider": "Possible"}),
    (
        "another config is loaded",
        statuses.gateway(conditions=[condition("Healthy", "False", "RunningConfigDrift", "pod x says v1")]),
        {"StaleConfig": "Likely"},
    ),
    (
        "edited by hand",
        statuses.gateway(conditions=[condition("InSync", "False", "ChildrenChanged", "Deployment was edited")]),
        {"StaleConfig": "Likely"},
    ),
    ("spec not seen", statuses.gateway(observedGeneration=2), {"StaleConfig": "Likely"}),
    (
        "policy cannot be read",
        statuses.gateway(conditions=[condition("Accepted", "Unknown", "PolicyNotFound", "no GatewayPolicy")]),
        {"StaleConfig": "Likely"},
    ),
    (
        "events are late",
        statuses.gateway(**signals(signal("IngestionLag", "Warning", "4m", "1m"))),
        {"StaleConfig": "Possible"},
    ),
    (
        "no pod",
        statuses.gateway(conditions=[condition("Available", "False", "NoReadyPod", "no ready pod")]),
        {"Cluster": "Likely"},
    ),
    ("crashed under traffic", statuses.gateway("RolledBack", **quarantined("GatewayCrashed")), {"Cluster": "Possible"}),
    (
        "tripped",
        statuses.gateway("RolledBack", **quarantined("BlockRate")),
        {"Policy": "Likely", "StaleConfig": "Unlikely"},
    ),
    ("failed a test", statuses.gateway("Rejected", **quarantined("BehaviourTestFailed")), {"Policy": "Likely"}),
    (
        "nothing is measured",
        statuses.gateway(),
        {"Policy": "Unknown", "Attack": "Unknown", "Provider": "Unknown", "StaleConfig": "Unlikely"},
    ),
    (
        "an escalation backlog",
        statuses.gateway(**signals(signal("EscalationBacklog", "Critical", "70", "50"))),
        {"Attack": "Possible"},
    ),
]


@pytest.mark.parametrize(("gateway", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_suspects(gateway: Any, wanted: dict[str, str]) -> None:
    found = {s.cause: s.likelihood.value for s in suspects(gateway, NOW)}
    assert {cause: found[cause] for cause in wanted} == wanted


def test_a_few_requests_are_no_evidence() -> None:
    young = statuses.canary(
        breaker={"canary": {"requests": 2, "blocked": 2, "blockRate": "100%"}, "limit": "5%", "state": "Undecided"}
    )
    assert {s.cause: s.likelihood.value for s in suspects(young, NOW)}["Policy"] == "Unknown"


def test_nothing_is_wrong_with_a_gateway_that_serves() -> None:
    explanation = explain(statuses.gateway(), NOW)
    assert explanation.suspects == ()
    assert [s.text for s in explanation.steps] == ["There is nothing to do."]
    assert advice(statuses.gateway(), NOW) == ()


def test_a_bad_candidate_is_not_to_be_promoted() -> None:
    bad, good = statuses.canary(health={"signals": [BLOCKS]}), statuses.canary(breaker={"state": "Undecided"})
    commands = [s.command for s in explain(bad, NOW).steps]
    assert commands[0] == "kubectl keeptrusts diff gw -n platform"
    assert f"kubectl keeptrusts rollback gw {CANDIDATE} -n platform" in commands
    assert not any(" promote " in c for c in commands)
    assert any(" promote " in s.command for s in explain(good, NOW).steps)


STEPS: list[tuple[Any, str]] = [
    (
        statuses.gateway("RolledBack", **quarantined("BlockRate")),
        f"kubectl keeptrusts retry gw {CANDIDATE} -n platform",
    ),
    (statuses.bypassed(), "kubectl keeptrusts bypass off gw -n platform"),
    (
        statuses.gateway(passthrough={"state": "Pending", "requestId": "42"}),
        "kubectl keeptrusts bypass approve gw 42 -n platform",
    ),
    (statuses.canary(phase="Held", rollout={"held": {"reason": "Paused"}}), "kubectl keeptrusts resume gw -n platform"),
    (
        statuses.gateway("RolledBack", retry={"revision": CANDIDATE, "attempts": 1, "at": after(minutes=1)}),
        f"kubectl keeptrusts retry gw {CANDIDATE} -n platform",
    ),
]


@pytest.mark.parametrize(("gateway", "command"), STEPS, ids=[c.split()[2] + str(i) for i, (_, c) in enumerate(STEPS)])
def test_the_next_command(gateway: Any, command: str) -> None:
    assert command in advice(gateway, NOW)
    assert command in [s.command for s in explain(gateway, NOW).steps]


def test_a_grant_that_is_shorter_than_what_was_asked_for_can_be_extended() -> None:
    command = "kubectl keeptrusts bypass approve gw 42 -n platform"  # 15 minutes are granted
    assert command in advice(statuses.bypassed(requestedDuration="45m"), NOW)
    assert command not in advice(statuses.bypassed(requestedDuration="15m"), NOW)
    assert command not in advice(statuses.bypassed(requestedDuration="45m", approvedBy="bob"), NOW)


def test_a_pause_in_the_spec_is_not_resumed_by_a_command() -> None:
    gateway = statuses.canary(phase="Held", rollout={"held": {"reason": "Paused"}})
    gateway["spec"]["rollout"] = {"paused": True}
    assert any("spec.rollout.paused" in s.text for s in explain(gateway, NOW).steps)
    assert not any("resume" in s.command for s in explain(gateway, NOW).steps)


@pytest.mark.parametrize("mode", ["crash", "unhealthy-after:2s", "crash-after:3s"])
def test_every_status_of_the_real_loop_is_explained(terminal: Terminal, mode: str) -> None:
    terminal.serve()
    terminal.change(60, mode=mode)
    for status in terminal.world.statuses:
        gateway = {**terminal.gateway(), "status": status}
        explanation = explain(gateway, terminal.now())
        assert explanation.why[0] != "This version of the plugin does not know this phase."
        assert bool(explanation.suspects) == is_wrong(gateway)
        assert explanation.steps
    last = {s.cause: s for s in explanation.suspects}
    assert last["Cluster"].likelihood.value == "Possible"
    assert terminal.status()["quarantined"][-1]["reason"] in last["Cluster"].because
