"""Runbooks, notes and the Dockerfile name what exists: annotations, fields, values, metrics, files."""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from keeptrusts_operator.api import names
from keeptrusts_operator.policy.lint import lint
from tests.unit.api import crd
from tests.unit.chart.metric_names import existing, named
from tests.unit.chart.render import CHART, ROOT, Helm, pod_specs

PAGES = [*sorted((ROOT / "docs" / "runbooks").glob("*.md")), ROOT / "docs" / "gitops" / "README.md"]
RULES = CHART / "rules" / "keeptrusts.rules.yaml"
WORDS_AFTER_PREFIX = {
    *(verb.value for verb in names.Verb),
    *(
        value.removeprefix(names.PREFIX)
        for key, value in vars(names).items()
        if key.startswith(("LABEL_", "ANNOTATION_"))
    ),
}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def texts() -> list[Any]:
    return [pytest.param(path.read_text(), id=path.stem) for path in [*PAGES, RULES]]


@functools.cache
def schemas() -> list[dict[str, Any]]:
    return [crd.version(kind.plural)["schema"]["openAPIV3Schema"] for kind in names.KINDS]


def has_field(path: str) -> bool:
    """Whether a GatewayDeployment, or an incident, has a field such as `status.rollback.effectiveAt`."""
    for root in schemas():
        node: Any = root
        for key in path.split("."):
            node = node.get("properties", {}).get(key)
            if node is None:
                break
        else:
            return True
    return False


@pytest.mark.parametrize("text", texts())
def test_annotations_and_labels_exist(text: str) -> None:
    found = set(re.findall(r"gateway\.keeptrusts\.com/([a-z][-a-z]*)", text))
    assert found <= WORDS_AFTER_PREFIX


@pytest.mark.parametrize("text", texts())
def test_fields_exist(text: str) -> None:
    found = set(re.findall(r"(?<![\w.])\.?((?:spec|status)(?:\.[a-zA-Z0-9]+)+)", text)) - {"spec.selector"}
    assert not [path for path in found if not has_field(path)]


@pytest.mark.parametrize("text", texts())
def test_requests_can_be_made_twice(text: str) -> None:
    commands = re.findall(r"kubectl annotate [^`\n]*", text)
    assert all("--overwrite" in command for command in commands)
    requests = [
        word for c in commands for word in c.split() if re.match(r"gateway\.keeptrusts\.com/(?!reason|pause)", word)
    ]
    assert all("#" in request for request in requests)


@pytest.mark.parametrize("text", texts())
def test_values_of_the_chart_exist(text: str) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = re.findall(r"`((?:gateways|monitoring|rbac|networkPolicy)\.[\w.]+)`", text)
    for path in found:
        node = values
        for key in path.split("."):
            assert key in node, path
            node = node[key]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_queries_in_runbooks_name_metrics_that_exist(path: Path) -> None:
    queries = [
        q
        for q in re.findall(r"`([^`\n]+)`", path.read_text())
        if re.search(r"\b(sum|rate|histogram_quantile)\b.*\(", q)
    ]
    assert set().union(*map(named, queries)) <= existing()


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "gitops").rglob("policy.yaml")), ids=lambda p: p.parts[-4])
def test_example_policies_are_accepted(path: Path) -> None:
    result = lint(yaml.safe_load(path.read_text())["spec"]["config"], strict=True, profile="Keeptrusts")
    assert not result.findings


def test_image_takes_what_is_there() -> None:
    ignore = (ROOT / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignore[0] == "*"
    kept = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        word
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in shlex.split(line)[1:-1]
    }
    assert copied == kept
    assert all((ROOT / path).exists() for path in copied)


def test_image_installs_by_hash_only() -> None:
    installs = re.findall(r"pip (?:--\S+ \S+ )?install((?:.*\\\n)*.*)", DOCKERFILE)
    assert len(installs) == 1
    assert {"--require-hashes", "--only-binary=:all:", "/requirements.lock"} <= set(
        installs[0].replace("\\\n", " ").split()
    )
    entries = re.split(r"\n(?=[a-zA-Z])", (ROOT / "requirements.lock").read_text().strip())
    assert len(entries) > 20
    assert not [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]


def test_image_has_a_user_that_a_kubelet_can_tell_from_root(helm: Helm) -> None:
    user = re.search(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert user
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user[1]), "runAsNonRoot needs a number"
    for pod in pod_specs(helm.template()).values():
        assert "runAsUser" not in pod["spec"]["securityContext"]
