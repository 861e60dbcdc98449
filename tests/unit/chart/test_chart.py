"""The chart renders what it should, with helm 3 and with helm 4."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.chart.kubernetes_types import misfits, model_of
from tests.unit.chart.render import CHART, EVERYTHING, NAME, ROOT, Helm, Obj, find, kinds, pod_specs

LEASE_ROLE = f"{NAME}-lease"


def plain(kind: str, name: str = "keeptrusts-operator") -> Obj:
    """An object of charts/plain: what the test cluster runs."""
    texts = [p.read_text() for p in sorted((ROOT / "charts" / "plain").glob("*.yaml"))]
    return find([o for text in texts for o in yaml.safe_load_all(text) if o], kind, name)


def test_generated_templates_are_up_to_date() -> None:
    pages = runpy.run_path(str(ROOT / "charts" / "generate.py"))["pages"]()
    stale = [path.name for path, text in pages if not path.exists() or path.read_text() != text]
    assert not stale, f"run charts/generate.py: {stale}"


def test_helm_finds_nothing_to_complain_about(helm: Helm) -> None:
    done = helm.run("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_default_objects(helm: Helm) -> None:
    objects = [o for o in helm.template("admission.enabled=false") if o["kind"] != "CustomResourceDefinition"]
    assert kinds(objects) == {
        ("ServiceAccount", NAME),
        ("ClusterRole", NAME),
        ("ClusterRoleBinding", NAME),
        ("Role", LEASE_ROLE),
        ("RoleBinding", LEASE_ROLE),
        ("Deployment", NAME),
        ("Service", f"{NAME}-metrics"),
        ("PodDisruptionBudget", NAME),
        ("NetworkPolicy", NAME),
        ("Job", f"{NAME}-cleanup"),
        ("Pod", f"{NAME}-test"),
    }
    cluster_wide = {"ClusterRole", "ClusterRoleBinding"}
    assert {o["kind"] for o in objects if "namespace" not in o["metadata"]} == cluster_wide
    assert all(o["metadata"]["namespace"] == "system" for o in objects if o["kind"] not in cluster_wide)


def test_objects_have_only_fields_that_kubernetes_has(helm: Helm) -> None:
    objects = helm.template(EVERYTHING, "watch.namespaces={a}", "serviceAccount.annotations.a=b", "podLabels.c=d")
    objects += helm.template(
        "image.pullSecrets[0].name=x", "extraEnv[0].name=A", "extraEnv[0].value=B", "podAnnotations.a=b"
    )
    ours = [
        o for o in objects if o["apiVersion"].split("/")[0] not in ("monitoring.coreos.com", "apiextensions.k8s.io")
    ]
    assert len(ours) > 20
    assert not [text for o in ours for text in misfits(o, model_of(o), o["kind"])]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spec": {"podSelecter": {}}}, "NetworkPolicy.spec.podSelecter: V1NetworkPolicySpec has no such field"),
        ({"spec": {"policyTypes": "Ingress"}}, "NetworkPolicy.spec.policyTypes: not a list"),
        ({"metadata": {"name": 1}}, "NetworkPolicy.metadata.name: 1 is not str"),
    ],
)
def test_wrong_fields_are_found(change: Obj, said: str) -> None:
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", **change}
    assert list(misfits(policy, model_of(policy), "NetworkPolicy")) == [said]


def test_crds_are_those_of_the_project(helm: Helm) -> None:
    rendered = {o["metadata"]["name"]: o for o in helm.template() if o["kind"] == "CustomResourceDefinition"}
    for path in (ROOT / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        ours = rendered.pop(crd["metadata"]["name"])
        assert ours["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert ours == crd
    assert not rendered


def test_crds_may_be_left_to_others_or_go_with_the_release(helm: Helm) -> None:
    assert not [o for o in helm.template("crds.install=false") if o["kind"] == "CustomResourceDefinition"]
    going = [o for o in helm.template("crds.keep=false") if o["kind"] == "CustomResourceDefinition"]
    assert len(going) == 3
    assert not any(o["metadata"]["annotations"] for o in going)


def test_rules_are_those_that_the_test_cluster_proves(helm: Helm) -> None:
    objects = helm.template()
    assert find(objects, "ClusterRole", NAME)["rules"] == plain("ClusterRole")["rules"]
    assert find(objects, "Role", LEASE_ROLE)["rules"] == plain("Role", "keeptrusts-operator-lease")["rules"]


def test_no_secret_can_be_read_and_nothing_is_a_wildcard_by_default(helm: Helm) -> None:
    rules = [rule for o in helm.template() if o["kind"] in ("Role", "ClusterRole") for rule in o["rules"]]
    assert rules
    words = [word for rule in rules for key in ("apiGroups", "resources", "verbs") for word in rule.get(key, [])]
    assert "secrets" not in words
    assert not [word for word in words if "*" in word]
    assert not {"escalate", "bind", "impersonate"} & set(words)


def test_namespaced_mode_has_no_cluster_wide_right(helm: Helm) -> None:
    objects = helm.template("watch.namespaces={a,b}", "admission.enabled=false")
    assert not [o for o in objects if o["kind"].startswith("ClusterRole")]
    for namespace in ("a", "b"):
        there = [o for o in objects if o["metadata"].get("namespace") == namespace]
        assert kinds(there) == {("Role", NAME), ("RoleBinding", NAME)}
        assert find(there, "Role")["rules"] == plain("ClusterRole")["rules"]
        binding = find(there, "RoleBinding")
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": "system"}]
    for kind in ("Deployment", "Job"):
        arguments = pod_specs(objects)[kind]["spec"]["containers"][0]["args"]
        assert [a for a in arguments if a.startswith("--namespace")] == ["--namespace=a", "--namespace=b"]


ADMISSION = sorted((ROOT / "charts" / "plain").glob("admission*.yaml"))


@pytest.mark.parametrize("path", ADMISSION, ids=lambda p: p.stem)
def test_admission_is_what_the_test_cluster_proves(helm: Helm, path: Path) -> None:
    wanted = [o for o in yaml.safe_load_all(path.read_text()) if o]
    names = kinds(wanted)
    done = helm.template("fullnameOverride=keeptrusts-operator", "admission.stamps=On", namespace="keeptrusts-system")
    found = {(o["kind"], o["metadata"]["name"]): o for o in done}
    assert [found[key] for key in sorted(names)] == sorted(wanted, key=lambda o: (o["kind"], o["metadata"]["name"]))
    assert not names & kinds(helm.template("admission.enabled=false"))


def test_generated_admission_names_the_release() -> None:
    plain = "subjects:\n- kind: ServiceAccount\n  name: keeptrusts-operator\n  namespace: keeptrusts-system\n"
    text = runpy.run_path(str(ROOT / "charts" / "generate.py"))["admission"](f"{plain}name: keeptrusts-operator-x\n")
    assert (
        'name: {{ include "keeptrusts-operator.serviceAccountName" . }}\n  namespace: {{ .Release.Namespace }}' in text
    )
    assert 'name: {{ include "keeptrusts-operator.fullname" . }}-x' in text
    assert "keeptrusts-system" not in text


def test_secrets_are_opened_by_namespace_and_by_name(helm: Helm) -> None:
    objects = helm.template("rbac.secrets[0].namespace=a,rbac.secrets[0].names={token},rbac.secrets[1].namespace=b")
    roles = {
        o["metadata"]["namespace"]: o["rules"]
        for o in objects
        if o["metadata"]["name"] == f"{NAME}-secrets" and o["kind"] == "Role"
    }
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    assert roles == {"a": [{**secrets, "resourceNames": ["token"]}], "b": [secrets]}


def test_every_pod_meets_pod_security_restricted(helm: Helm) -> None:
    pods = pod_specs(helm.template())
    assert set(pods) == {"Deployment", "Job", "Pod"}
    for pod in pods.values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        assert all(set(v) <= {"name", "emptyDir"} for v in spec.get("volumes", []))
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "cpu" not in container["resources"]["limits"], "a throttled operator rolls back late"
            assert container["resources"]["limits"]["memory"]


def test_operator_runs_as_in_the_test_cluster(helm: Helm) -> None:
    ours = pod_specs(helm.template())["Deployment"]["spec"]["containers"][0]
    theirs = plain("Deployment")["spec"]["template"]["spec"]["containers"][0]
    for key in ("env", "ports", "livenessProbe", "readinessProbe", "resources", "volumeMounts"):
        assert ours[key] == theirs[key], key
    assert ours["args"][0] == theirs["args"][0] == "run"


def test_two_replicas_with_a_budget_one_without(helm: Helm) -> None:
    objects = helm.template()
    assert find(objects, "Deployment")["spec"]["replicas"] == 2
    selector = find(objects, "Deployment")["spec"]["selector"]
    assert find(objects, "PodDisruptionBudget")["spec"] == {"maxUnavailable": 1, "selector": selector}
    assert not [o for o in helm.template("replicas=1") if o["kind"] == "PodDisruptionBudget"]


def test_selectors_take_the_operators_pods_and_no_other(helm: Helm) -> None:
    objects = helm.template(EVERYTHING)
    pods = {kind: pod["metadata"]["labels"] for kind, pod in pod_specs(objects).items()}
    policy = find(objects, "NetworkPolicy", NAME)["spec"]["podSelector"]["matchLabels"]
    assert all(policy.items() <= labels.items() for labels in pods.values())
    only_operator: list[dict[str, str]] = [
        find(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        find(objects, "Service")["spec"]["selector"],
        find(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        find(objects, "PodMonitor", NAME)["spec"]["selector"]["matchLabels"],
    ]
    for selector in only_operator:
        assert {kind for kind, labels in pods.items() if selector.items() <= labels.items()} == {"Deployment"}


def test_cleanup_runs_before_the_rights_are_gone(helm: Helm) -> None:
    job = find(helm.template(), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == NAME
    assert pod["containers"][0]["args"] == ["cleanup"]
    assert "POD_NAMESPACE" in {e["name"] for e in pod["containers"][0]["env"]}, "where the Lease is"
    assert not [o for o in helm.template("cleanup.enabled=false") if o["kind"] == "Job"]


def test_gateways_are_opened_to_the_operator_in_named_namespaces_only(helm: Helm) -> None:
    objects = helm.template("gateways.networkPolicy.namespaces={platform}")
    policy = find(objects, "NetworkPolicy", f"{NAME}-scrape")
    assert policy["metadata"]["namespace"] == "platform"
    peer = policy["spec"]["ingress"][0]["from"][0]
    assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "system"}}
    operator = pod_specs(objects)["Deployment"]["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"].items() <= operator.items()


def test_monitors_keep_the_gateways_namespace_and_name(helm: Helm) -> None:
    assert not [o for o in helm.template() if o["apiVersion"].startswith("monitoring.coreos.com")]
    objects = helm.template(EVERYTHING, "monitoring.labels.release=prom")
    operator = find(objects, "PodMonitor", NAME)["spec"]["podMetricsEndpoints"][0]
    assert operator["honorLabels"] is True, "else `namespace` would be the operator's"
    gateways = find(objects, "PodMonitor", f"{NAME}-gateways")["spec"]
    targets = {r["targetLabel"] for r in gateways["podMetricsEndpoints"][0]["relabelings"]}
    assert targets == {"job", "name", "revision"}
    monitoring = [o for o in objects if o["apiVersion"].startswith("monitoring.coreos.com")]
    assert len(monitoring) == 3
    assert all(o["metadata"]["labels"]["release"] == "prom" for o in monitoring)


def test_next_command_is_said(helm4: Helm) -> None:
    notes = helm4.notes()
    assert "helm test kt --namespace system" in notes
    assert "kubectl apply -f docs/examples/quickstart.yaml" in notes
    assert (ROOT / "docs" / "examples" / "quickstart.yaml").exists()
    assert "Cleanup is off" in helm4.notes("cleanup.enabled=false")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"a": 1.0, "b": 0.0}, ""),
        ({"a": 0.0, "b": 0.0}, "0 replicas lead"),
        ({"a": 1.0, "b": 1.0}, "2 replicas lead"),
        ({"a": 1.0}, "1 of 2 replicas are ready"),
    ],
)
def test_helm_test_wants_one_leader(answers: dict[str, float], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: dict[str, Any] = runpy.run_path(str(CHART / "files" / "leader.py"))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (a, 8080)) for a in answers])
    metrics = {a: f"# TYPE x gauge\nkeeptrusts_operator_leader {value}\n" for a, value in answers.items()}
    module["problem"].__globals__["get"] = lambda address, path: metrics[address] if path == "/metrics" else "ok"
    found = module["problem"]("host", 2)
    assert found.startswith(said)
    assert bool(found) == bool(said)
