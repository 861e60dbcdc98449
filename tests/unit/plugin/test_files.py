"""Policies in files, revisions in ConfigMaps."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from keeptrusts_operator.api.deployment import parse_deployment
from keeptrusts_operator.api.gateway import Profile
from keeptrusts_operator.plugin import manifests
from keeptrusts_operator.plugin.changes import changes, named, pair, previous, revisions, unified
from keeptrusts_operator.plugin.failure import Failure
from keeptrusts_operator.render import children
from tests.unit.api import examples
from tests.unit.plugin import statuses

MANIFEST = """
apiVersion: gateway.keeptrusts.com/v1alpha1
kind: GatewayPolicy
metadata: {name: support}
spec: {config: {pack: {name: p, version: 2026-11-25, enabled: yes}}}
"""
FROM_MAP = """
apiVersion: gateway.keeptrusts.com/v1alpha1
kind: GatewayPolicy
metadata: {name: support}
spec: {validation: Strict, configFrom: {configMapKeyRef: {name: source, key: p.yaml}}}
"""
SOURCE = yaml.safe_dump({"kind": "ConfigMap", "metadata": {"name": "source"}, "data": {"p.yaml": "pack: {name: on}"}})
FERRO = """
apiVersion: gateway.keeptrusts.com/v1alpha1
kind: GatewayDeployment
metadata: {name: gw}
spec: {policyRef: {name: support}, gateway: {profile: Ferro}}
"""


def test_a_manifest_is_read_as_kubectl_reads_it() -> None:
    (policy,) = manifests.read(MANIFEST, None)
    assert policy.document == {"pack": {"name": "p", "version": "2026-11-25", "enabled": True}}


def test_a_list_holds_manifests() -> None:
    text = yaml.safe_dump(
        {"apiVersion": "v1", "kind": "List", "items": [yaml.load(MANIFEST, manifests.ManifestLoader)] * 2}
    )
    assert [p.name for p in manifests.read(text, None)] == ["support", "support"]


def test_the_gateway_in_the_file_says_whose_rules_apply() -> None:
    assert manifests.read(MANIFEST, None)[0].profile is Profile.KEEPTRUSTS
    assert manifests.read(f"{MANIFEST}---{FERRO}", None)[0].profile is Profile.FERRO
    assert manifests.read(f"{MANIFEST}---{FERRO}", Profile.CUSTOM)[0].profile is Profile.CUSTOM


def test_a_document_in_a_config_map_of_the_same_file() -> None:
    (policy,) = manifests.read(f"{FROM_MAP}---\n{SOURCE}", None)
    assert policy.document == "pack: {name: on}"
    with pytest.raises(Failure, match="is in ConfigMap source, which is not in the file"):
        manifests.read(FROM_MAP, None)


def test_strictness_comes_from_the_option_or_the_policy() -> None:
    document = {"pack": {"name": "p", "version": "1.0.0", "enabled": True}, "policies": {"chain": []}, "extra": 1}

    def severities(text: str, *, strict: bool) -> set[str]:
        return {f.severity.value for f in manifests.read(text, None)[0].findings(strict=strict) if f.path == "extra"}

    text = yaml.safe_dump(document)
    assert (severities(text, strict=False), severities(text, strict=True)) == ({"Warning"}, {"Error"})


@pytest.mark.parametrize("text", ["{", "a: b: c", "- 1", "", "\x00", "&a [*a]"])
def test_what_is_no_document_is_a_finding(text: str) -> None:
    (policy,) = manifests.read(text, None)
    assert any(f.severity.value == "Error" for f in policy.findings(strict=False))


def test_a_file_with_gateways_only() -> None:
    with pytest.raises(Failure, match="holds no GatewayPolicy"):
        manifests.read(FERRO, None)


def config_map(revision: str, image: str = "gateway:1", version: str = "1.0.0") -> Any:
    gateway = {"metadata": {"name": "gw", "namespace": "platform", "uid": "u"}}
    spec = spec_with(image)
    rendered = children.deployment(gateway, spec, revision)
    return children.config_map(gateway, revision, {"pack": {"version": version}}, rendered, spec.gateway.config_file)


def spec_with(image: str) -> Any:
    obj = yaml.safe_load(yaml.safe_dump(examples.MINIMAL_DEPLOYMENT))
    obj["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return parse_deployment(obj)


A, B = statuses.ACTIVE, statuses.CANDIDATE


def test_only_what_was_written_differs_between_revisions() -> None:
    known = revisions(
        [config_map(A), config_map(B, version="1.1.0"), {"metadata": {"name": "foreign"}, "data": {"x": "y"}}]
    )
    assert sorted(known) == [A, B]
    assert unified(known[A], known[B], "template") == []
    assert changes(known[A].document, known[B].document) == [
        {"path": "pack.version", "before": "1.0.0", "after": "1.1.0"}
    ]


def test_another_image_is_a_change_of_the_template() -> None:
    known = revisions([config_map(A), config_map(B, image="gateway:2")])
    assert unified(known[A], known[B], "document") == []
    (change,) = changes(known[A].template, known[B].template)
    assert change == {"path": "spec.containers[0].image", "before": "gateway:1", "after": "gateway:2"}


def test_what_came_and_what_went() -> None:
    assert changes("a: 1\nb: [1]", "b: [1, 2]\nc: 3") == [
        {"path": "a", "before": 1},
        {"path": "b", "before": [1], "after": [1, 2]},
        {"path": "c", "after": 3},
    ]


def test_revisions_by_name_and_by_role() -> None:
    known = revisions([config_map(A), config_map(B), config_map("aabbbbbbbb")])
    gateway = statuses.canary()
    assert named("active", gateway, known).name == A
    assert named("candidate", gateway, known).name == B
    assert named("bbb", gateway, known).name == B
    for word, message in (("aa", "several"), ("cccc", "Nothing is kept"), ("previous", "no previous revision")):
        with pytest.raises(Failure, match=message):
            named(word, gateway, known)


def test_what_is_compared_without_being_named() -> None:
    known = revisions([config_map(A), config_map(B)])
    assert pair((), statuses.canary(), known) == ("active", B)
    assert pair((), statuses.gateway(), known) == ("previous", "active")
    assert pair((B,), statuses.gateway(), known) == ("active", B)
    assert pair((B, A), statuses.gateway(), known) == (B, A)


def test_previous_is_the_newest_other_one_that_was_promoted() -> None:
    known = revisions([config_map(A), config_map(B)])
    history = [{"revision": r, "outcome": o} for r, o in ((B, "Promoted"), (A, "RolledBack"), (A, "Promoted"))]
    assert previous({"activeRevision": A, "history": history}, known) == B
    assert previous({"activeRevision": B, "history": history}, known) == A
    assert previous({"activeRevision": A, "history": history}, revisions([config_map(A)])) == ""
