"""What GitOps tools make of our objects: Argo CD's health and actions, kstatus, and the examples in the docs."""

from __future__ import annotations

import functools
import json
import runpy
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from keeptrusts_operator.api.names import API_VERSION, GATEWAY_DEPLOYMENT, KINDS, PREFIX, Verb
from keeptrusts_operator.kube.port import POLICIES
from keeptrusts_operator.loop.policies import PolicyReporter
from tests.conformance.schema import schemas
from tests.demo import objects
from tests.sim.api import SimKube
from tests.sim.change import change_in
from tests.tools.needed import tool
from tests.unit.api import crd
from tests.unit.chart import lua
from tests.unit.chart.render import ROOT

GITOPS = ROOT / "docs" / "gitops"
CUSTOM = GITOPS / "argocd" / "resource_customizations" / "gateway.keeptrusts.com"
ACTIONS = CUSTOM / "GatewayDeployment" / "actions"
HEALTH = CUSTOM / "GatewayDeployment" / "health.lua"
EXAMPLES = sorted([*(GITOPS / "argocd" / "example").rglob("*.yaml"), *(GITOPS / "flux").rglob("*.yaml")])
STATES = {"Healthy", "Progressing", "Degraded", "Suspended"}


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text(), Loader=Plain)
    return loaded


class Plain(yaml.SafeLoader):
    """Times stay text, as in JSON."""


Plain.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@functools.cache
def schema(plural: str) -> dict[str, Any]:
    found: dict[str, Any] = crd.version(plural)["schema"]["openAPIV3Schema"]
    return found


def health_cases() -> list[Any]:
    return [
        pytest.param(file.parent, case, id=f"{file.parent.name}-{Path(case['inputPath']).stem}")
        for file in sorted(CUSTOM.glob("*/health_test.yaml"))
        for case in load(file)["tests"]
    ]


def kstatus(objects: list[dict[str, Any]]) -> list[str]:
    """Current, InProgress or Failed for each object."""
    given = "\n".join(json.dumps(o) for o in objects)
    done = subprocess.run([tool("kstatus")], input=given, capture_output=True, text=True, check=True)
    return [json.loads(line)["status"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("folder", "case"), health_cases())
def test_argo_cd_health(folder: Path, case: dict[str, Any]) -> None:
    found = lua.run((folder / "health.lua").read_text(), load(folder / case["inputPath"]))
    assert found == case["healthStatus"]


def test_every_kind_has_health_and_every_state_a_case() -> None:
    assert {p.parent.name for p in CUSTOM.glob("*/health.lua")} == {k.kind for k in KINDS}
    cases = load(CUSTOM / "GatewayDeployment" / "health_test.yaml")["tests"]
    assert {c["healthStatus"]["status"] for c in cases} == STATES


@pytest.mark.parametrize("path", sorted(CUSTOM.rglob("testdata/*.yaml")), ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_inputs_are_objects_of_our_api(path: Path) -> None:
    obj = load(path)
    kind = next(k for k in KINDS if k.kind == obj["kind"])
    jsonschema.validate(obj, schema(kind.plural))


@pytest.mark.parametrize(("mode", "end"), [("", "Healthy"), ("unhealthy-after:2s", "Degraded")])
async def test_health_of_what_the_operator_really_writes(mode: str, end: str) -> None:
    world = await change_in(3, mode)
    found = []
    for status in world.statuses:
        obj = {"metadata": {"generation": status["observedGeneration"]}, "status": status}
        found.append(lua.run(HEALTH.read_text(), obj))
    assert {f["status"] for f in found} <= STATES
    assert all(f["message"] for f in found)
    assert found[0]["status"] == "Progressing"
    assert found[-1]["status"] == end


@pytest.mark.parametrize(("mode", "end"), [("", "Current"), ("unhealthy-after:2s", "Failed")])
async def test_kstatus_of_what_the_operator_really_writes(mode: str, end: str) -> None:
    world = await change_in(3, mode)
    head = {"apiVersion": API_VERSION, "kind": GATEWAY_DEPLOYMENT.kind}
    found = kstatus(
        [
            {**head, "metadata": {"name": "kt", "generation": s["observedGeneration"]}, "status": s}
            for s in world.statuses
        ]
    )
    assert found[0] == "InProgress"
    assert found[-1] == end
    assert "Failed" not in found[:-1] or end == "Failed"


@pytest.mark.parametrize(
    ("change", "status"), [(None, "Current"), (objects.STANDIN.refused_by_lint, "Failed")], ids=["good", "refused"]
)
async def test_kstatus_of_a_policy_as_it_is_reported(change: Callable[[dict[str, Any]], None], status: str) -> None:
    def now() -> datetime:
        return datetime(2026, 11, 24, 3, tzinfo=UTC)

    kube = SimKube(now, schemas())
    before = await kube.create(POLICIES, objects.policy(objects.STANDIN, change))
    where = before["metadata"]["namespace"], before["metadata"]["name"]
    await PolicyReporter(kube, now).report(*where)
    assert kstatus([before, await kube.get(POLICIES, *where)]) == ["InProgress", status]


def test_new_objects_are_as_the_server_gives_them() -> None:
    for path in CUSTOM.glob("*/testdata/new.yaml"):
        obj = load(path)
        kind = next(k for k in KINDS if k.kind == obj["kind"])
        assert schemas()[kind.plural].taken({k: v for k, v in obj.items() if k != "status"}) == obj


def test_kstatus_cases() -> None:
    cases = load(GITOPS / "kstatus_test.yaml")["tests"]
    found = kstatus([load(GITOPS / c["inputPath"]) for c in cases])
    assert dict(zip([c["inputPath"] for c in cases], found, strict=True)) == {
        c["inputPath"]: c["status"] for c in cases
    }


def actions_test(part: str) -> list[Any]:
    cases = load(ACTIONS / "action_test.yaml")[part]
    return [pytest.param(c, id=f"{c.get('action', 'discovery')}-{Path(c['inputPath']).stem}") for c in cases]


@pytest.mark.parametrize("case", actions_test("discoveryTests"))
def test_argo_cd_offers_the_actions_that_make_sense(case: dict[str, Any]) -> None:
    found = lua.run((ACTIONS / "discovery.lua").read_text(), load(ACTIONS / case["inputPath"]))
    assert found == {row["name"]: {k: v for k, v in row.items() if k != "name"} for row in case["result"]}
    assert set(found) == {p.parent.name for p in ACTIONS.glob("*/action.lua")}


@pytest.mark.parametrize("case", actions_test("actionTests"))
def test_argo_cd_actions(case: dict[str, Any]) -> None:
    before, after = load(ACTIONS / case["inputPath"]), load(ACTIONS / case["expectedOutputPath"])
    assert lua.run((ACTIONS / case["action"] / "action.lua").read_text(), before) == after
    changed = {
        k: v
        for k, v in after["metadata"]["annotations"].items()
        if before["metadata"].get("annotations", {}).get(k) != v
    }
    assert len(changed) == 1, "one request at a time"
    assert next(iter(changed)).removeprefix(PREFIX) in {v.value for v in Verb}
    assert Verb.EMERGENCY_PASSTHROUGH.annotation not in changed, "a bypass needs a person"


def test_argocd_cm_is_up_to_date() -> None:
    module = runpy.run_path(str(GITOPS / "argocd" / "generate.py"))
    assert (GITOPS / "argocd" / "argocd-cm.yaml").read_text() == module["config_map"](), (
        "run docs/gitops/argocd/generate.py"
    )


def test_argocd_cm_holds_the_scripts_that_are_tested() -> None:
    data = load(GITOPS / "argocd" / "argocd-cm.yaml")["data"]
    assert data["resource.customizations.health.gateway.keeptrusts.com_GatewayDeployment"] == HEALTH.read_text()
    actions = yaml.safe_load(data["resource.customizations.actions.gateway.keeptrusts.com_GatewayDeployment"])
    assert actions["discovery.lua"] == (ACTIONS / "discovery.lua").read_text()
    for definition in actions["definitions"]:
        assert definition["action.lua"] == (ACTIONS / definition["name"] / "action.lua").read_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: str(p.relative_to(GITOPS)))
def test_examples_are_whole(path: Path) -> None:
    objects = [o for o in yaml.load_all(path.read_text(), Loader=Plain) if o]
    assert objects
    for obj in objects:
        assert obj["apiVersion"]
        kind = next((k for k in KINDS if k.kind == obj["kind"]), None)
        if kind:
            jsonschema.validate(obj, schema(kind.plural))
        if obj["kind"] == "Kustomization" and obj["apiVersion"].startswith("kustomize.config"):
            missing = [r for r in obj["resources"] if not (path.parent / r).exists()]
            assert not missing


def test_flux_fails_fast_and_argo_keeps_its_hands_off() -> None:
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for path in EXAMPLES:
        for obj in yaml.load_all(path.read_text(), Loader=Plain):
            by_kind.setdefault(f"{obj['apiVersion'].split('/')[0]} {obj['kind']}", []).append(obj)
    waiting = [
        o for o in by_kind["kustomize.toolkit.fluxcd.io Kustomization"] if o["metadata"]["name"] != "flux-system"
    ]
    assert waiting
    assert all(o["spec"]["wait"] is True for o in waiting)
    assert by_kind["helm.toolkit.fluxcd.io HelmRelease"][0]["spec"]["chart"]["spec"]["chart"].endswith(
        "keeptrusts-operator"
    )
    waves = [
        o["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave")
        for o in by_kind["argoproj.io Application"]
    ]
    assert sorted(map(str, waves)) == ["0", "1"], "the operator and its CRDs come first"
