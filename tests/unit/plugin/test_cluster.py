"""The client over HTTP, with a kubeconfig as people have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from keeptrusts_operator.api.names import LABEL_DEPLOYMENT
from keeptrusts_operator.kube.port import CONFIG_MAPS, GATEWAYS
from keeptrusts_operator.plugin.cluster import connect
from keeptrusts_operator.plugin.failure import Exit, Failure
from tests.unit.plugin.web import Asked, serving

PATH = "/apis/gateway.keeptrusts.com/v1alpha1/namespaces/platform/gatewaydeployments"


def kubeconfig(folder: Path, server: str) -> str:
    file = folder / "config"
    context = {"cluster": "c", "user": "u", "namespace": "platform"}
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
                "contexts": [
                    {"name": "here", "context": context},
                    {"name": "there", "context": {**context, "namespace": "other"}},
                ],
                "current-context": "here",
            }
        )
    )
    return str(file)


def refusal(status: int, message: str) -> tuple[int, Any]:
    return status, {"kind": "Status", "code": status, "message": message}


def test_reads_and_writes_as_the_user_of_the_kubeconfig(tmp_path: Path) -> None:
    with serving(lambda asked: (200, {"items": [{"metadata": {"name": "gw"}}]})) as web:
        connection = connect(kubeconfig(tmp_path, web.url), "")
        (found,) = connection.cluster.list(CONFIG_MAPS, "platform", {LABEL_DEPLOYMENT: "gw"})
        connection.cluster.get(GATEWAYS, "platform", "gw")
        connection.cluster.merge(GATEWAYS, "platform", "gw", {"metadata": {"annotations": {"a": None}}})
    assert connection.namespace == "platform"
    assert (found["kind"], found["metadata"]["name"]) == ("ConfigMap", "gw")
    listed, read, written = web.asked
    assert (
        listed.path == "/api/v1/namespaces/platform/configmaps?labelSelector=gateway.keeptrusts.com%2Fdeployment%3Dgw"
    )
    assert listed.headers["authorization"] == "Bearer secret"
    assert read.path == f"{PATH}/gw"
    assert (written.method, written.path) == ("PATCH", f"{PATH}/gw?fieldManager=kubectl-keeptrusts")
    assert written.headers["content-type"] == "application/merge-patch+json"
    assert written.body == {"metadata": {"annotations": {"a": None}}}


def test_the_namespace_is_the_contexts(tmp_path: Path) -> None:
    assert connect(kubeconfig(tmp_path, "http://127.0.0.1:1"), "there").namespace == "other"


FAILURES = [
    (401, "Unauthorized", "does not know who you are", Exit.ERROR),
    (403, 'User "jane" cannot get resource "gatewaydeployments"', "jane may not get gatewaydeployments", Exit.ERROR),
    (422, "annotations: too long", "The API server refuses it: annotations: too long", Exit.NOT_DONE),
    (403, 'admission webhook "w" denied the request: no', "The API server refuses it: no", Exit.NOT_DONE),
    (503, "not now", "cannot be asked: not now", Exit.ERROR),
]


@pytest.mark.parametrize(("status", "message", "words", "code"), FAILURES)
def test_errors_are_sentences(tmp_path: Path, status: int, message: str, words: str, code: Exit) -> None:
    with serving(lambda asked: refusal(status, message)) as web:
        cluster = connect(kubeconfig(tmp_path, web.url), "").cluster
        with pytest.raises(Failure) as failure:
            cluster.get(GATEWAYS, "platform", "gw")
    assert words in failure.value.message
    assert failure.value.code == code


def test_of_what_is_missing_it_says_what_there_is(tmp_path: Path) -> None:
    def answer(asked: Asked) -> tuple[int, Any]:
        if asked.path.endswith("/gw"):
            return refusal(404, "not found")
        return 200, {"items": [{"metadata": {"name": n}} for n in ("b", "a")]}

    with serving(answer) as web, pytest.raises(Failure) as failure:
        connect(kubeconfig(tmp_path, web.url), "").cluster.get(GATEWAYS, "platform", "gw")
    assert failure.value.message == "There is no GatewayDeployment gw in namespace platform."
    assert failure.value.next_step == "There are: a, b."


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    cluster = connect(kubeconfig(tmp_path, "http://127.0.0.1:1"), "").cluster
    with pytest.raises(Failure) as failure:
        cluster.get(GATEWAYS, "platform", "gw")
    assert failure.value.passing
    assert "http://127.0.0.1:1 does not answer" in failure.value.message
    assert "refused" in failure.value.message
    assert "\n" not in failure.value.message


def test_something_that_is_no_api_server(tmp_path: Path) -> None:
    with serving(lambda asked: (200, "<html>log in</html>")) as web, pytest.raises(Failure, match="cannot be asked"):
        connect(kubeconfig(tmp_path, web.url), "").cluster.list(GATEWAYS, "")


def test_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="There is no cluster to talk to"):
        connect(str(tmp_path / "none"), "")


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failure:
        connect(kubeconfig(tmp_path, "http://127.0.0.1:1"), "nowhere")
    assert failure.value.next_step == "Choose a --context: here, there."


@pytest.mark.parametrize("text", ["", "[]", "{", "contexts: 3", "a: &x [*x]"])
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(Failure, match="There is no cluster to talk to"):
        connect(str(file), "")
