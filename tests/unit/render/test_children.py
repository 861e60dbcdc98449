"""Children as pure functions."""

from __future__ import annotations

from typing import Any

import pytest

from keeptrusts_operator.api.deployment import parse_deployment
from keeptrusts_operator.core.world import FOREIGN, LIVE, NOTHING, only
from keeptrusts_operator.render import children
from tests.demo.objects import FERRO, STANDIN, deployment

REVISION = "0123456789"


def rendered(**container: Any) -> dict[str, Any]:
    gateway = deployment(STANDIN)
    gateway["metadata"]["uid"] = "u"
    gateway["spec"]["template"]["spec"]["containers"][0].update(container)
    return children.deployment(gateway, parse_deployment(gateway), REVISION)


def gateway_container(rendered_deployment: dict[str, Any]) -> dict[str, Any]:
    return dict(rendered_deployment["spec"]["template"]["spec"]["containers"][0])


@pytest.mark.parametrize("exposure", [LIVE, NOTHING, only(REVISION)])
def test_a_selector_and_what_it_exposes_are_each_others_reverse(exposure: Any) -> None:
    assert children.exposure_of("kt", children.selector("kt", exposure)) == exposure
    assert children.exposure_of("kt", {**children.selector("kt", exposure), "extra": "x"}) == FOREIGN
    assert children.exposure_of("other", children.selector("kt", exposure)) == FOREIGN


def test_the_gateway_gets_what_it_does_not_set_itself() -> None:
    container = gateway_container(rendered())
    assert container["args"][-3:] == ["/etc/keeptrusts/policy-config.yaml", "--fail-mode", "block"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/health", "port": 41002, "scheme": "HTTP"}
    assert container["livenessProbe"]["tcpSocket"] == {"port": 41002}
    assert container["lifecycle"]["preStop"] == {"sleep": {"seconds": 10}}
    assert container["volumeMounts"][0]["readOnly"] is True


def test_what_it_sets_itself_stays() -> None:
    own = {"args": ["mine"], "readinessProbe": {"exec": {"command": ["x"]}}, "lifecycle": {"preStop": {"exec": {}}}}
    container = gateway_container(rendered(**own))
    assert {k: container[k] for k in own} == own


def test_ferro_is_told_by_its_environment() -> None:
    gateway = deployment(FERRO)
    gateway["metadata"]["uid"] = "u"
    container = gateway_container(children.deployment(gateway, parse_deployment(gateway), REVISION))
    environment = {e["name"]: e["value"] for e in container["env"]}
    assert environment["GATEWAY_CONFIG"] == container["volumeMounts"][0]["mountPath"]
    assert environment["PORT"] == "8080"


@pytest.mark.parametrize(("grace", "seconds"), [(30, 10), (12, 6), (2, 1)])
def test_pre_stop_leaves_half_of_the_grace(grace: int, seconds: int) -> None:
    gateway = deployment(STANDIN)
    gateway["metadata"]["uid"] = "u"
    gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = grace
    container = gateway_container(children.deployment(gateway, parse_deployment(gateway), REVISION))
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == seconds


def test_a_mount_over_the_policy_is_refused_with_its_path() -> None:
    with pytest.raises(children.TemplateError, match=r"containers\[0\].volumeMounts: /etc/keeptrusts"):
        rendered(volumeMounts=[{"name": "x", "mountPath": "/etc/keeptrusts/policy-config.yaml"}])
