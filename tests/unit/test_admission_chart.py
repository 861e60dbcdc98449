"""The admission policies speak of the same annotations, limits and rights as the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.passthrough import MIN_REASON, Passthrough
from keeptrusts_operator.api.quantities import DURATION_PATTERN, format_duration

CHARTS = Path(__file__).parents[2] / "charts" / "plain"
OBJECTS: list[dict[str, Any]] = [
    obj
    for name in ("admission.yaml", "admission-stamps.yaml")
    for obj in yaml.safe_load_all((CHARTS / name).read_text())
]


def policy(kind: str, name: str) -> dict[str, Any]:
    found = [o for o in OBJECTS if o["kind"] == kind and o["metadata"]["name"] == f"{name}.{names.GROUP}"]
    assert len(found) == 1
    spec: dict[str, Any] = found[0]["spec"]
    return spec


def variable(spec: dict[str, Any], name: str) -> str:
    return next(str(v["expression"]) for v in spec["variables"] if v["name"] == name)


REQUESTS = policy("ValidatingAdmissionPolicy", "requests")
CHANGES = policy("ValidatingAdmissionPolicy", "changes")
STAMPS = policy("MutatingAdmissionPolicy", "stamps")


def test_every_verb_is_stamped_and_checked() -> None:
    for spec in (REQUESTS, STAMPS):
        listed = re.findall(r"'([a-z-]+)'", variable(spec, "verbs").split("]")[0])
        assert listed == [verb.value for verb in Verb]


def test_break_glass_may_write_exactly_the_annotations_of_requests() -> None:
    pattern = variable(CHANGES, "requests").strip("'")
    known = [names.ANNOTATION_REASON, names.ANNOTATION_SCOPE, names.ANNOTATION_TICKET]
    for verb in Verb:
        known += [verb.annotation, verb.requested_by_annotation, verb.request_id_annotation]
    assert all(re.fullmatch(pattern, annotation) for annotation in known)
    others = [names.LABEL_REVISION, names.ANNOTATION_ROLLOUT_ID, f"{names.PREFIX}reason-request-id", "reason"]
    assert not any(re.fullmatch(pattern, annotation) for annotation in others)


def test_limits_are_those_of_the_code() -> None:
    text = str(REQUESTS)
    assert f".size() >= {MIN_REASON}" in text
    assert f"at least {MIN_REASON} characters" in text
    assert f"'{format_duration(Passthrough().max_duration)}'" in variable(REQUESTS, "longest")
    assert DURATION_PATTERN in variable(REQUESTS, "lasts")


def test_what_cannot_be_decided_is_denied() -> None:
    for spec in (REQUESTS, CHANGES, STAMPS):
        assert spec["failurePolicy"] == "Fail"
    for binding in (o["spec"] for o in OBJECTS if o["kind"] == "ValidatingAdmissionPolicyBinding"):
        assert binding["validationActions"] == ["Deny"]


def test_every_right_that_is_asked_for_is_in_a_role() -> None:
    asked = set(re.findall(r"\.subresource\('([a-z]+)'\)", str(REQUESTS) + str(CHANGES))) | {"spec"}
    granted = {
        resource.partition("/")[2]
        for role in OBJECTS
        if role["kind"] == "ClusterRole"
        for rule in role["rules"]
        for resource in rule["resources"]
    }
    assert asked <= granted
    for role in re.findall(r"--clusterrole=([a-z-]+)", str(REQUESTS) + str(CHANGES)):
        assert any(o["kind"] == "ClusterRole" and o["metadata"]["name"] == role for o in OBJECTS)


def test_break_glass_roles_can_only_patch() -> None:
    for role in (o for o in OBJECTS if o["metadata"]["name"].startswith("gateway-breakglass")):
        for rule in role["rules"]:
            if rule["resources"] == ["gatewaydeployments"]:
                assert set(rule["verbs"]) == {"get", "list", "watch", "patch"}
