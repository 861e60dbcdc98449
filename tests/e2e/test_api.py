"""What the API server makes of the CRDs. Needs no node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster
from tests.e2e.objects import gateway, policy
from tests.sim.api import merged

pytestmark = pytest.mark.apiserver

CASES = yaml.safe_load((Path(__file__).parents[1] / "unit" / "api" / "cel_cases.yaml").read_text())


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
def test_the_server_refuses_and_says_what_to_write(cluster: Cluster, case: dict[str, Any]) -> None:
    obj = merged(CASES["bases"][case["kind"]], case["patch"])
    done = cluster.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(obj))
    assert (done.returncode != 0) == case["refused"], done.stderr
    if case["refused"]:
        assert case["message-contains"] in done.stderr


def test_one_line_tells_the_story(cluster: Cluster) -> None:
    cluster.apply(policy(), gateway())
    columns = cluster.kubectl("get", "gwd").splitlines()[0].split()
    assert columns == [
        "NAME",
        "AVAILABLE",
        "PHASE",
        "ACTIVE",
        "CANDIDATE",
        "SHARE",
        "BLOCKED",
        "LIMIT",
        "BYPASS",
        "READY",
        "AGE",
    ]


def test_category_short_names_and_explain(cluster: Cluster) -> None:
    cluster.apply(policy(), gateway())
    assert {"gatewaypolicy", "gatewaydeployment"} <= {
        line.split(".")[0] for line in cluster.kubectl("get", "keeptrusts", "-o", "name").splitlines()
    }
    assert cluster.kubectl("get", "gwp,gwd,gwi", "-o", "name")
    assert "minDuration" in cluster.kubectl("explain", "gwd.spec.rollout.steps")


def test_scale_subresource(cluster: Cluster) -> None:
    cluster.apply(policy(), gateway())
    cluster.kubectl("scale", "gwd/gw", "--replicas=5")
    assert cluster.get("gwd", "gw")["spec"]["replicas"] == 5
