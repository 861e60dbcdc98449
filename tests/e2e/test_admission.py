"""Who may ask for what, as the API server decides it, in the very requests that people and GitOps tools make.

Identities are impersonated; roles are the ones that ship. That somebody does not approve his own request is the
operator's to check (`core/grant_checks.py`): it knows what a person is.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keeptrusts_operator.api.names import PREFIX
from tests.e2e.cluster import Cluster
from tests.e2e.objects import Obj, gateway

pytestmark = pytest.mark.apiserver

CHARTS = Path(__file__).parents[2] / "charts" / "plain"
STAMPS = CHARTS / "admission-stamps.yaml"
FLUX = "system:serviceaccount:flux-system:kustomize-controller"
ARGO = "system:serviceaccount:argocd:argocd-application-controller"
BOT = "system:serviceaccount:chatops:bot"
OPERATOR = "system:serviceaccount:keeptrusts-system:keeptrusts-operator"
ROLES = {
    "edith": ["edit"],
    "ann": ["gateway-breakglass"],
    "bob": ["gateway-breakglass-approver"],
    "eve": ["gateway-breakglass", "gateway-breakglass-approver"],
    "olga": ["gateway-override"],
    "peter": ["edit", "gateway-protections"],
    "admin-a": ["admin"],
    "vic": ["view"],
    FLUX: ["edit"],
    ARGO: ["edit"],
    BOT: ["gateway-breakglass", "gateway-breakglass-approver"],
}
REASON = "reason=INC-4711 the filter blocks legitimate prompts"
COUNTER = itertools.count(1)


@dataclass(frozen=True)
class Gateway:
    """One GatewayDeployment, and what somebody does to it."""

    cluster: Cluster
    name: str

    def annotate(self, who: str, *annotations: str) -> subprocess.CompletedProcess[str]:
        """`kubectl annotate`, a merge patch; names without prefix are ours."""
        full = [a if a.startswith("example.com/") else f"{PREFIX}{a}" for a in annotations]
        return self.cluster.run("annotate", "--overwrite", "gwd", self.name, *full, "--as", who)

    def patch(self, who: str, patch: object, kind: str = "merge") -> subprocess.CompletedProcess[str]:
        return self.cluster.run("patch", "gwd", self.name, f"--type={kind}", "-p", json.dumps(patch), "--as", who)

    def send(self, who: str, obj: Obj, *command: str) -> subprocess.CompletedProcess[str]:
        """Again, as people would, when the operator has written status between kubectl's read and its write: a conflict
        says nothing of who may."""
        for _ in range(10):
            done = self.cluster.run(*command, "-f", "-", "--as", who, stdin=json.dumps(obj))
            if "the object has been modified" not in done.stderr:
                break
        return done

    def manifest(self, *annotations: str, **spec: Any) -> Obj:
        """As it is in Git."""
        obj = gateway(self.name, **spec)
        pairs = [a.split("=", 1) for a in annotations]
        obj["metadata"]["annotations"] = {f"{PREFIX}{key}": value for key, value in pairs}
        return obj

    @property
    def annotations(self) -> dict[str, str]:
        """Ours, without the prefix."""
        all_ = self.cluster.get("gwd", self.name)["metadata"].get("annotations") or {}
        return {key.removeprefix(PREFIX): value for key, value in all_.items() if key.startswith(PREFIX)}


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """A namespace with people in it, and the policies in force."""
    for name in ("admission.yaml", "admission-stamps.yaml", "rbac.yaml"):
        subprocess.run(["kubectl", "apply", "-f", CHARTS / name], check=True, capture_output=True)
    cluster = Cluster(f"admission-{time.time_ns() % 10**8}")
    subprocess.run(["kubectl", "create", "namespace", cluster.namespace], check=True, capture_output=True)
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"b{index}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": who, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        for index, (who, role) in enumerate((who, role) for who, roles in ROLES.items() for role in roles)
    ]
    cluster.apply(*bindings)
    probe = Gateway(cluster, "probe")
    cluster.apply(gateway("probe"))

    def in_force() -> bool:
        # `edit` is aggregated by a controller, policies are compiled: both take a moment.
        known = probe.annotate("edith", "pause=false").returncode == 0 and "pause-requested-by" in probe.annotations
        probe.annotate("edith", "pause-")
        return known and "may not ask" in probe.annotate("edith", "emergency-passthrough=1m", REASON).stderr

    eventually(in_force, "the admission policies are in force")
    yield cluster
    subprocess.run(
        ["kubectl", "delete", "namespace", cluster.namespace, "--wait=false"], check=True, capture_output=True
    )


@pytest.fixture
def gw(shared: Cluster) -> Gateway:
    name = f"gw-{next(COUNTER)}"
    shared.apply(gateway(name))
    return Gateway(shared, name)


def refused(done: subprocess.CompletedProcess[str], *says: str) -> None:
    assert done.returncode != 0, f"allowed: {done.stdout}"
    for words in says:
        assert words in done.stderr, done.stderr


def allowed(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


PASSTHROUGH = ("emergency-passthrough=45m", REASON)
ALLOW: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("who", "what", "says"),
    [
        # who may
        ("edith", PASSTHROUGH, ("edith may not ask for", "--clusterrole=gateway-breakglass --user=edith")),
        ("vic", PASSTHROUGH, ('User "vic" cannot',)),
        ("bob", PASSTHROUGH, ("bob may not ask for an emergency passthrough",)),
        ("ann", PASSTHROUGH, ALLOW),
        ("ann", ("approve-passthrough=r1",), ("ann may not approve", "--clusterrole=gateway-breakglass-approver")),
        ("edith", ("approve-passthrough=r1",), ("edith may not approve",)),
        ("bob", ("approve-passthrough=r1#x",), ALLOW),
        ("eve", ("approve-passthrough=r1",), ALLOW),
        ("bob", ("approve-passthrough=#x",), ("names the request", "approve-passthrough=<request id>")),
        ("ann", ("emergency-passthrough=off#3",), ALLOW),
        ("edith", ("emergency-passthrough=off",), ("edith may not ask for",)),
        # programs
        (FLUX, PASSTHROUGH, ("is a program; a person has to ask", "kubectl annotate --overwrite gwd")),
        (ARGO, PASSTHROUGH, ("is a program",)),
        (BOT, PASSTHROUGH, ("is a program",)),
        (BOT, ("approve-passthrough=r1",), ("is a program",)),
        (OPERATOR, PASSTHROUGH, ("is a program",)),
        (BOT, ("emergency-passthrough=off",), ALLOW),
        # values
        ("ann", ("emergency-passthrough=soon", REASON), ('"soon" is neither a duration', "emergency-passthrough=15m#")),
        ("ann", ("emergency-passthrough=", REASON), ('"" is neither a duration',)),
        ("ann", ("emergency-passthrough=0s", REASON), ('"0s" is neither a duration',)),
        ("ann", ("emergency-passthrough=5m1h", REASON), ('"5m1h" is neither a duration',)),
        ("ann", ("emergency-passthrough=OFF", REASON), ('"OFF" is neither a duration',)),
        ("ann", ("emergency-passthrough=4h", REASON), ALLOW),
        ("ann", ("emergency-passthrough=4h1s", REASON), ("4h1s is longer than spec.passthrough.maxDuration (4h)",)),
        ("ann", ("emergency-passthrough=999999h", REASON), ("longer than",)),
        ("ann", ("emergency-passthrough=45m",), ("needs a reason of at least 15 characters", 'reason="INC-1234')),
        ("ann", ("emergency-passthrough=45m", "reason=too short      "), ("needs a reason",)),
        # other verbs
        ("edith", ("rollback=previous", "pause=true", "restart=now"), ALLOW),
        ("ann", ("rollback=previous",), ALLOW),
        ("edith", ("promote=9b1e04c7aa",), ("edith may not promote or retry", "--clusterrole=gateway-override")),
        ("ann", ("retry=9b1e04c7aa",), ("ann may not promote or retry",)),
        ("olga", ("promote=9b1e04c7aa", "retry=9b1e04c7aa"), ALLOW),
        ("admin-a", ("promote=9b1e04c7aa",), ALLOW),
        # forged
        ("ann", (*PASSTHROUGH, "emergency-passthrough-requested-by=bob"), ('-requested-by="ann"', "made by ann")),
        ("ann", (*PASSTHROUGH, "emergency-passthrough-requested-by=ann"), ALLOW),
        ("ann", (*PASSTHROUGH, "emergency-passthrough-request-id=r1"), ("A request id is written by the API server",)),
        ("edith", ("pause-requested-by=ann",), ("written by the API server when it is made, and never changed",)),
        ("ann", ("approve-passthrough-requested-by=bob",), ("never changed",)),
        # nothing but requests
        ("ann", ("reason=in advance", "scope=pii-detector", "ticket=INC-1"), ALLOW),
        ("ann", ("example.com/team=x",), ("change nothing else", "annotation example.com/team", "gateway-editor")),
        ("ann", (*PASSTHROUGH, "example.com/team=x"), ("annotation example.com/team",)),
        ("ann", ("unknown-verb=1",), (f"annotation {PREFIX}unknown-verb",)),
        ("edith", ("example.com/team=x",), ALLOW),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value)[:40] or "allowed",
)
def test_who_may_annotate_what(gw: Gateway, who: str, what: tuple[str, ...], says: tuple[str, ...]) -> None:
    done = gw.annotate(who, *what)
    if says:
        refused(done, *says)
        assert gw.annotations == {}, "nothing of a refused request stays"
    else:
        allowed(done)
        for verb in ("emergency-passthrough", "approve-passthrough", "rollback", "promote", "pause", "retry"):
            asked = any(part.startswith(f"{verb}=") for part in what)
            assert gw.annotations.get(f"{verb}-requested-by") == (who if asked else None)


@pytest.mark.parametrize(
    ("who", "patch", "says"),
    [
        ("ann", {"spec": {"replicas": 9}}, ("this would change: spec",)),
        ("ann", {"metadata": {"labels": {"a": "b"}}}, ("this would change: labels",)),
        ("ann", {"metadata": {"finalizers": ["example.com/x"]}}, ("this would change its finalizers",)),
        (
            "bob",
            {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Secret", "name": "x", "uid": "1"}]}},
            ("this would change: ownerReferences",),
        ),
        ("olga", {"spec": {"circuitBreaker": {"mode": "Hold"}}}, ("this would change: spec",)),
        (
            "edith",
            {"spec": {"replicas": 9}, "metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/x"]}},
            ALLOW,
        ),
        (FLUX, {"spec": {"replicas": 9}}, ALLOW),
        (OPERATOR, {"metadata": {"finalizers": ["gateway.keeptrusts.com/loop"]}}, ALLOW),
        (OPERATOR, {"spec": {"replicas": 9}}, ("this would change: spec",)),
        ("edith", {"spec": {"protections": {"required": []}}}, ("may not change spec.protections.required", "[rbac]")),
        ("edith", {"spec": {"protections": None}}, ("--clusterrole=gateway-protections",)),
        (FLUX, {"spec": {"protections": {"required": ["rbac", "dlp-filter"]}}}, ("may not change",)),
        ("peter", {"spec": {"protections": {"required": ["dlp-filter"]}}}, ALLOW),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:40],
)
def test_who_may_change_what(shared: Cluster, who: str, patch: Obj, says: tuple[str, ...]) -> None:
    gw = Gateway(shared, f"gw-{next(COUNTER)}")
    shared.apply(gateway(gw.name, protections={"required": ["rbac"]}))
    done = gw.patch(who, patch)
    refused(done, *says) if says else allowed(done)
    gw.patch("edith", {"metadata": {"finalizers": None}})


def test_the_objects_own_maximum_counts(shared: Cluster) -> None:
    gw = Gateway(shared, f"gw-{next(COUNTER)}")
    shared.apply(gateway(gw.name, passthrough={"maxDuration": "10m"}))
    refused(gw.annotate("ann", "emergency-passthrough=11m", REASON), "maxDuration (10m)", "emergency-passthrough=10m#")
    allowed(gw.annotate("ann", "emergency-passthrough=10m", REASON))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("validatingadmissionpolicy", "requests"),
        ("validatingadmissionpolicybinding", "requests"),
        ("mutatingadmissionpolicy", "stamps"),
        ("mutatingadmissionpolicybinding", "stamps"),
    ],
)
def test_the_operator_can_see_whether_somebody_vouches(shared: Cluster, kind: str, name: str) -> None:
    allowed(shared.run("get", kind, f"{name}.gateway.keeptrusts.com", "--as", OPERATOR))


class TestStamps:
    def test_each_change_is_a_request_of_its_own(self, gw: Gateway) -> None:
        allowed(gw.annotate("ann", *PASSTHROUGH))
        first = gw.annotations
        assert first["emergency-passthrough-request-id"]
        allowed(gw.annotate("eve", "emergency-passthrough=45m#2"))
        second = gw.annotations
        assert second["emergency-passthrough-requested-by"] == "eve"
        assert second["emergency-passthrough-request-id"] != first["emergency-passthrough-request-id"]

    def test_what_goes_with_it_and_other_verbs_are_none(self, gw: Gateway) -> None:
        allowed(gw.annotate("ann", *PASSTHROUGH))
        before = gw.annotations
        allowed(gw.annotate("eve", "reason=another reason, long enough", "rollback=previous"))
        same = {key: value for key, value in gw.annotations.items() if key.startswith("emergency-passthrough")}
        assert same == {key: value for key, value in before.items() if key.startswith("emergency-passthrough")}
        assert gw.annotations["rollback-requested-by"] == "eve"

    def test_a_restored_object_may_bring_its_requests(self, gw: Gateway) -> None:
        """They are ignored: the operator sees this object for the first time."""
        allowed(gw.cluster.run("delete", "gwd", gw.name))
        obj = gw.manifest(*PASSTHROUGH, "emergency-passthrough-requested-by=ann", "pause=true")
        allowed(gw.send("edith", obj, "create"))
        refused(gw.annotate("edith", "emergency-passthrough=46m"), "edith may not ask")

    def test_a_program_may_pause_and_its_manifest_needs_no_stamps(self, gw: Gateway) -> None:
        obj = gw.manifest("pause=true")
        apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller")
        allowed(gw.send(FLUX, obj, *apply))
        before = gw.annotations
        assert before["pause-requested-by"] == FLUX
        allowed(gw.send(FLUX, obj, *apply))
        assert gw.annotations == before, "the same value is the same request, and no drift"
        allowed(gw.send(ARGO, obj, "replace"))
        assert gw.annotations == before


class TestGitOps:
    """What such tools do to what a person wrote. None of it ends a grant; all of it must pass."""

    def asked(self, gw: Gateway) -> None:
        allowed(gw.annotate("ann", *PASSTHROUGH))
        assert "emergency-passthrough-request-id" in gw.annotations

    def test_flux_takes_fields_of_kubectl_over_and_drops_them(self, gw: Gateway) -> None:
        manifest = gw.manifest()
        apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller")
        allowed(gw.send(FLUX, manifest, *apply))
        self.asked(gw)
        live = json.loads(gw.cluster.kubectl("get", "gwd", gw.name, "-o", "json", "--show-managed-fields"))
        fields = [taken_over(entry) for entry in live["metadata"]["managedFields"]]
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": merged_managers(fields)},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        ]
        allowed(gw.patch(FLUX, patch, "json"))
        assert gw.annotations, "so far nothing is lost"
        allowed(gw.send(FLUX, manifest, *apply))
        assert gw.annotations == {}

    def test_argo_cd_applies_three_way_and_leaves_them(self, gw: Gateway) -> None:
        allowed(gw.send(ARGO, gw.manifest(), "apply"))
        self.asked(gw)
        before = gw.annotations
        allowed(gw.send(ARGO, gw.manifest(replicas=3), "apply"))
        assert gw.annotations == before

    def test_argo_cd_applies_server_side_and_leaves_them(self, gw: Gateway) -> None:
        apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller")
        allowed(gw.send(ARGO, gw.manifest(), *apply))
        self.asked(gw)
        before = gw.annotations
        allowed(gw.send(ARGO, gw.manifest(replicas=3), *apply))
        assert gw.annotations == before

    def test_argo_cd_replaces(self, gw: Gateway) -> None:
        self.asked(gw)
        allowed(gw.send(ARGO, gw.manifest(replicas=3), "replace"))
        assert gw.annotations == {}

    @pytest.mark.parametrize("command", [("apply",), ("apply", "--server-side", "--force-conflicts"), ("replace",)])
    def test_a_passthrough_in_git_is_refused(self, gw: Gateway, command: tuple[str, ...]) -> None:
        refused(gw.send(FLUX, gw.manifest(*PASSTHROUGH), *command), "is a program; a person has to ask")

    @pytest.mark.parametrize("who", ["ann", "edith", FLUX])
    def test_whoever_may_edit_may_remove(self, gw: Gateway, who: str) -> None:
        self.asked(gw)
        allowed(gw.annotate(who, "emergency-passthrough-", "reason-"))
        assert gw.annotations == {}, "its stamps go with it"


def taken_over(entry: Obj) -> Obj:
    """As Flux renames what was written with kubectl: an Apply of its own (fluxcd/pkg, ssa/patch.go)."""
    if (
        entry["manager"].startswith("kubectl")
        and entry["operation"] in ("Update", "Apply")
        and not entry.get("subresource")
    ):
        return {**entry, "manager": "kustomize-controller", "operation": "Apply"}
    return entry


def merged_managers(entries: list[Obj]) -> list[Obj]:
    out: dict[tuple[str, str, str], Obj] = {}
    for entry in entries:
        key = (entry["manager"], entry["operation"], entry.get("subresource", ""))
        known = out.setdefault(key, entry)
        out[key] = {**known, "fieldsV1": union(known["fieldsV1"], entry["fieldsV1"])}
    return list(out.values())


def union(one: Obj, other: Obj) -> Obj:
    return {key: union(one.get(key, {}), other.get(key, {})) for key in {**one, **other}}


@pytest.fixture
def without_stamps(shared: Cluster) -> Iterator[Cluster]:
    """As before Kubernetes 1.36."""
    subprocess.run(["kubectl", "delete", "-f", STAMPS], check=True, capture_output=True)

    def stamped() -> bool:
        probe = Gateway(shared, "probe")
        return probe.annotate("edith", f"pause=true#{next(COUNTER)}").returncode == 0

    eventually(lambda: not stamped(), "no stamps are written any more")
    yield shared
    subprocess.run(["kubectl", "apply", "-f", STAMPS], check=True, capture_output=True)
    eventually(stamped, "stamps are written again")


def test_without_the_mutating_policy_callers_write_their_own_name(without_stamps: Cluster) -> None:
    gw = Gateway(without_stamps, f"gw-{next(COUNTER)}")
    without_stamps.apply(gateway(gw.name))
    refused(gw.annotate("ann", *PASSTHROUGH), f'Add: {PREFIX}emergency-passthrough-requested-by="ann"')
    refused(gw.annotate("ann", *PASSTHROUGH, "emergency-passthrough-requested-by=bob"), "made by ann")
    allowed(gw.annotate("ann", *PASSTHROUGH, "emergency-passthrough-requested-by=ann"))
