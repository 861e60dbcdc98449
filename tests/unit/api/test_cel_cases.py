"""The parser refuses what the CRDs' rules refuse. An API server runs the same cases against the rules themselves."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from keeptrusts_operator.api.deployment import parse_deployment
from keeptrusts_operator.api.errors import InvalidSpec
from keeptrusts_operator.api.policy import parse_policy
from tests.sim.api import merged

DOCUMENT = yaml.safe_load((Path(__file__).parent / "cel_cases.yaml").read_text())
PARSERS = {"GatewayPolicy": parse_policy, "GatewayDeployment": parse_deployment}


@pytest.mark.parametrize("case", DOCUMENT["cases"], ids=lambda case: case["name"])
def test_the_parser_agrees(case: dict[str, Any]) -> None:
    obj = merged(DOCUMENT["bases"][case["kind"]], case["patch"])
    if case["refused"]:
        with pytest.raises(InvalidSpec):
            PARSERS[case["kind"]](obj)
    else:
        PARSERS[case["kind"]](obj)


def test_names_are_unique() -> None:
    names = [(case["kind"], case["name"]) for case in DOCUMENT["cases"]]
    assert len(set(names)) == len(names)
