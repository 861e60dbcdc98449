"""What every policy must keep enforcing, by the real loop in the simulated world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.kube.port import GATEWAYS, POLICIES, SERVICES, Obj
from tests.demo import objects
from tests.sim.bypass import Bypass
from tests.sim.world import SimWorld

REQUIRED = ["dlp-filter", "audit-logger"]


async def serving(required: list[str] | None = None, **spec: Any) -> SimWorld:
    world = SimWorld(1)
    await world.kube.create(POLICIES, objects.policy(objects.STANDIN))
    gateway = objects.deployment(objects.STANDIN)
    gateway["spec"].update(spec, protections={"required": required or []}, circuitBreaker={"mode": "Off"})
    await world.kube.create(GATEWAYS, gateway)
    await world.run(30.0)
    return world


async def require(world: SimWorld, *kinds: str) -> None:
    patch = {"spec": {"protections": {"required": list(kinds)}}}
    await world.kube.merge(GATEWAYS, world.namespace, world.name, patch)


def without(kind: str) -> Callable[[Obj], None]:
    def change(document: Obj) -> None:
        document["policies"]["chain"].remove(kind)
        del document["policy"][kind]
        document["pack"]["version"] = "2.0.0"

    return change


def redacting(document: Obj) -> None:
    document["policy"]["dlp-filter"]["action"] = "redact"
    document["pack"]["version"] = "3.0.0"


async def condition(world: SimWorld, kind: str) -> dict[str, Any]:
    return next(c for c in (await world.status())["conditions"] if c["type"] == kind)


async def test_a_policy_that_drops_a_required_kind_is_rejected_until_the_list_changes() -> None:
    world = await serving(REQUIRED)
    before = await world.status()
    assert before["phase"] == "Stable"
    await world.replace_policy(without("dlp-filter"))
    await world.run(60.0)
    status = await world.status()
    assert (status["phase"], status["activeRevision"]) == ("Rejected", before["activeRevision"])
    assert "dlp-filter is not enforced" in status["message"]
    assert """kubectl patch gwd kt-gateway -n demo --type=merge -p '{"spec":{"protections":""" in status["message"]
    for kind, value in (("Accepted", "False"), ("Stalled", "True"), ("Ready", "False"), ("Available", "True")):
        assert (await condition(world, kind))["status"] == value, kind
    assert (await condition(world, "Stalled"))["reason"] == "ProtectionDropped"
    await require(world, "audit-logger")
    await world.run(200.0)
    status = await world.status()
    assert status["phase"] == "Stable", status["message"]
    assert status["activeRevision"] != before["activeRevision"]


async def test_a_list_that_grows_in_mid_rollout_takes_the_candidate_back() -> None:
    world = await serving(
        rollout={"steps": [{"weight": "50%", "minDuration": "10m"}], "maxShare": "60%", "soak": {"duration": "1m"}}
    )
    before = (await world.status())["activeRevision"]
    await world.replace_policy(without("prompt-injection"))
    await world.run(60.0)
    assert (await world.status())["phase"] == "Canary"
    await require(world, "prompt-injection")
    await world.run(30.0)
    status = await world.status()
    assert (status["phase"], status["activeRevision"]) == ("Rejected", before)
    service = await world.kube.get(SERVICES, world.namespace, world.name)
    assert before in service["spec"]["selector"].values(), "all traffic is back"


async def test_one_that_enforces_less_is_marked_and_not_refused() -> None:
    world = await serving(
        rollout={"steps": [{"weight": "50%", "minDuration": "60s"}], "maxShare": "60%", "soak": {"duration": "1m"}}
    )
    assert (await condition(world, "ProtectionsReduced"))["status"] == "False"
    await world.replace_policy(redacting)
    await world.run(30.0)
    marked = await condition(world, "ProtectionsReduced")
    assert (marked["status"], marked["reason"]) == ("True", "EnforcesLess")
    assert "dlp-filter: action was block, is redact" in marked["message"]
    await world.run(900.0)
    status = await world.status()
    assert status["phase"] == "Stable", status["message"]
    assert status["desiredRevision"] == status["activeRevision"]
    assert (await condition(world, "ProtectionsReduced"))["reason"] == "NothingToCompare", "it is what serves now"


async def test_nobody_goes_back_to_a_revision_that_drops_what_is_required_by_now() -> None:
    world = await serving()
    await world.replace_policy(without("dlp-filter"))
    await world.run(200.0)
    weak = (await world.status())["activeRevision"]
    await world.replace_policy(lambda document: document["pack"].update(version="4.0.0"))
    await world.run(200.0)
    strong = (await world.status())["activeRevision"]
    assert weak != strong
    await require(world, "dlp-filter")
    notes = {Verb.ROLLBACK.annotation: weak}
    await world.kube.merge(GATEWAYS, world.namespace, world.name, {"metadata": {"annotations": notes}})
    await world.run(60.0)
    status = await world.status()
    assert (status["phase"], status["activeRevision"]) == ("Stable", strong)
    refused = next(r for r in status["requests"] if r["verb"] == Verb.ROLLBACK.value)
    assert refused["outcome"] == "Refused"
    assert f"{weak} drops what spec.protections.required names: dlp-filter is not enforced" in refused["message"]


async def test_what_cannot_be_told_is_refused_where_it_is_required_and_said_where_it_is_not() -> None:
    custom = {
        "profile": "Custom",
        "port": 41002,
        "configFile": "/etc/gateway/policy.yaml",
        "args": ["serve"],
        "metrics": {"decisions": {"counter": "c", "label": "decision", "blocked": ["block"], "allowed": ["allow"]}},
    }
    world = await serving(gateway=custom)
    assert (await world.status()).get("phase") == "Stable", (await world.status())["message"]
    await world.replace_policy(redacting)
    await world.run(3.0)
    assert (await condition(world, "ProtectionsReduced"))["status"] == "Unknown"
    await require(world, "dlp-filter")
    await world.run(60.0)
    status = await world.status()
    assert status["phase"] == "Rejected"
    assert (await condition(world, "Accepted"))["reason"] == "ProtectionsUnknown"


async def test_a_passthrough_is_exempt() -> None:
    told = Bypass()
    await told.begin()
    await require(told.world, *REQUIRED)
    await told.world.run(10.0)
    await told.ask("2m")
    await told.world.run(60.0)
    assert told.passing_since is not None
