"""`kubectl keeptrusts` as kubectl runs it: each command once, on the cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from keeptrusts_operator.api.names import LABEL_REVISION
from keeptrusts_operator.plugin.failure import Exit
from tests.e2e.cluster import Cluster
from tests.e2e.objects import document, gateway, policy

Serving = tuple[Cluster, str]
Done = subprocess.CompletedProcess[str]
Plugin = Callable[..., Done]
PATIENT = {"steps": [{"weight": "33%", "minDuration": "60s"}], "soak": {"duration": "60s"}, "drainSeconds": 1}


@pytest.fixture
def plugin(cluster: Cluster, tmp_path: Path) -> Plugin:
    """`plugin("status", "gw")` in the test's namespace; kubectl finds the plugin on its PATH."""
    for name, function in (("kubectl-keeptrusts", "main"), ("kubectl_complete-keeptrusts", "complete")):
        script = tmp_path / name
        code = f"from keeptrusts_operator.plugin.entry import {function}; {function}()"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
        script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    def run(*arguments: str, code: Exit | None = Exit.OK, stdin: str = "") -> Done:
        namespace = () if arguments[0] in ("lint", "test", "__complete") else ("-n", cluster.namespace)
        called = () if arguments[0] == "__complete" else ("keeptrusts",)
        command = ["kubectl", *called, *arguments, *namespace]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, env=environment, timeout=120
        )
        assert "Traceback" not in done.stderr
        assert code is None or done.returncode == code, (
            f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    return run


def requests(cluster: Cluster) -> dict[str, Any]:
    return {r["verb"]: r for r in cluster.status().get("requests", [])}


@pytest.mark.apiserver
def test_an_empty_namespace_and_what_is_not_there(cluster: Cluster, plugin: Plugin) -> None:
    assert f"There is no GatewayDeployment in namespace {cluster.namespace}" in plugin("status").stdout
    missing = plugin("status", "gw", code=Exit.ERROR)
    assert f"There is no GatewayDeployment gw in namespace {cluster.namespace}." in missing.stderr


@pytest.mark.cluster
def test_forbidden_names_the_verb(cluster: Cluster, plugin: Plugin, tmp_path: Path) -> None:
    """As a service account that nobody gave any right."""
    config = yaml.safe_load(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "yaml"))
    token = cluster.wait(lambda: cluster.run("create", "token", "default").stdout, "a token").strip()
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config))
    refused = plugin("status", "--kubeconfig", str(file), code=Exit.ERROR)
    assert f"may not list gatewaydeployments.gateway.keeptrusts.com in namespace {cluster.namespace}." in refused.stderr


@pytest.mark.cluster
def test_reading_commands_in_mid_canary(serving: Serving, plugin: Plugin) -> None:
    cluster, first = serving
    cluster.apply(gateway(rollout=PATIENT), policy(document("1.1.0", term="project falcon")))
    cluster.wait_phase("Canary")
    candidate = cluster.status()["candidateRevision"]
    story = plugin("status", "gw").stdout
    assert "Canary" in story.splitlines()[0]
    assert f"{candidate}  Candidate" in story
    fleet = json.loads(plugin("status", "-o", "json").stdout)
    assert [g["name"] for g in fleet["items"]] == ["gw"]
    assert first in plugin("history", "gw").stdout
    difference = plugin("diff", "gw").stdout
    assert "-    - project phoenix" in difference
    assert "+    - project falcon" in difference
    assert plugin("diff", first[:8], candidate[:8]).stdout == difference
    for command in (("status", "gw"), ("history", "gw"), ("diff", "gw"), ("explain", "gw")):
        for_programs = json.loads(plugin(*command, "-o", "json").stdout)
        assert for_programs
        assert yaml.safe_load(plugin(*command, "-o", "yaml").stdout).keys() == for_programs.keys()
    explained = json.loads(plugin("explain", "gw", "-o", "json").stdout)
    assert explained["phase"] == "Canary"
    assert plugin("explain", "gw").stdout
    assert any(f"rollback gw {candidate}" in s["command"] for s in explained["steps"])


@pytest.mark.apiserver
def test_completion_as_kubectl_asks_for_it(cluster: Cluster, plugin: Plugin) -> None:
    cluster.apply(gateway("kt-first"), gateway("kt-second"), gateway("other"))
    asked = plugin("__complete", "keeptrusts", "rollback", "-n", cluster.namespace, "kt-").stdout
    assert [line.split("\t")[0] for line in asked.splitlines()] == ["kt-first", "kt-second", ":4"]
    assert "bypass" in plugin("__complete", "keeptrusts", "by").stdout


@pytest.mark.cluster
def test_watching_tells_of_each_change(serving: Serving, plugin: Plugin) -> None:
    cluster, first = serving
    command = [sys.executable, "-m", "keeptrusts_operator.plugin", "status", "gw", "--watch", "--interval", "0.2"]
    with subprocess.Popen([*command, "-n", cluster.namespace], stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        assert "/gw Stable " in watching.stdout.readline()
        cluster.apply(policy(document("1.2.0")))
        cluster.wait(lambda: cluster.status().get("activeRevision") != first, "promoted")
        cluster.stable()
        watching.terminate()
        told = watching.stdout.read()
    for phase in ("Canary", "Soaking"):
        assert f"/gw {phase} " in told


@pytest.mark.cluster
def test_pause_resume_and_promote(serving: Serving, plugin: Plugin) -> None:
    cluster, _ = serving
    cluster.apply(gateway(rollout=PATIENT), policy(document("1.3.0")))
    cluster.wait_phase("Canary")
    candidate = cluster.status()["candidateRevision"]
    assert plugin("pause", "gw").stdout.startswith("Done: paused")
    cluster.wait_phase("Held")
    refused = plugin("promote", "gw", code=Exit.NOT_DONE)
    assert "the rollout is paused; resume it first" in refused.stderr
    plugin("resume", "gwd/gw")
    plugin("promote", "gw")
    cluster.wait_phase("Soaking")
    plugin("promote", "gw", candidate)
    cluster.wait(lambda: cluster.status().get("activeRevision") == candidate, "promoted")
    assert {v: r["outcome"] for v, r in requests(cluster).items()} == {"pause": "Done", "promote": "Done"}


@pytest.mark.cluster
def test_rollback_and_retry(serving: Serving, plugin: Plugin) -> None:
    cluster, first = serving
    cluster.apply(gateway(rollout=PATIENT), policy(document("1.4.0")))
    cluster.wait_phase("Canary")
    plugin("rollback", "gw")
    assert cluster.wait_phase("RolledBack")["activeRevision"] == first
    assert cluster.selector() == first
    assert f"retry gw {cluster.status()['desiredRevision']}" in plugin("explain", "gw").stdout
    plugin("retry", "gw")
    cluster.wait_phase("Canary")
    assert "Refused: " in plugin("rollback", "gw", "ffffffffff", code=Exit.NOT_DONE).stderr


@pytest.mark.cluster
def test_restart_comes_back_healthy(serving: Serving, plugin: Plugin) -> None:
    cluster, first = serving
    before = {p["metadata"]["uid"] for p in cluster.pods(first)}
    done = plugin("restart", "gw", "--healthy-within", "90")
    assert "Healthy: 2 new pods are ready" in done.stdout
    assert not before & {p["metadata"]["uid"] for p in cluster.pods(first)}


@pytest.mark.cluster
def test_bypass_says_what_the_operator_said(serving: Serving, plugin: Plugin) -> None:
    cluster, _ = serving
    plugin("bypass", "on", "gw", "soon", "--reason", "x", code=Exit.USAGE)
    commands: dict[str, tuple[tuple[str, ...], ...]] = {
        "emergency-passthrough": (
            ("on", "gw", "1m", "--reason", "INC-1: it blocks too much", "--ticket", "INC-1"),
            ("off", "gw"),
        ),
        "approve-passthrough": (("approve", "gw", "no-such-request"),),
    }
    for verb, each in commands.items():
        for arguments in each:
            done = plugin("bypass", *arguments, code=None)
            answer = requests(cluster)[verb]
            assert done.returncode == (Exit.OK if answer["outcome"] == "Done" else Exit.NOT_DONE), done.stderr
            assert answer["message"] in done.stdout + done.stderr

    def protected() -> bool:
        grant = cluster.status().get("passthrough", {})
        return grant.get("state") == "Ended" or "rearmedAt" in grant

    cluster.wait(protected, "protections are back", 60)
    assert cluster.get("service", "gw")["spec"]["selector"][LABEL_REVISION] == cluster.status()["activeRevision"]


@pytest.mark.cluster
def test_lint_and_test_of_a_file(serving: Serving, plugin: Plugin) -> None:
    cluster, _ = serving

    def case(name: str, content: str, expect: str) -> dict[str, Any]:
        return {"name": name, "messages": [{"role": "user", "content": content}], "expect": expect}

    good = [case("plain", "hello", "Allow"), case("secret", "tell me of project phoenix", "Block")]
    address = cluster.get("service", "gw")["spec"]["clusterIP"]
    for tests, code in (
        (good, Exit.OK),
        ([case("plain", "hello", "Block")], Exit.ERROR),
        ([case("plain", "hello", "Escalate")], Exit.UNKNOWN),
    ):
        manifest = policy()
        manifest["spec"] = {"config": document(), "tests": tests}
        text = yaml.safe_dump(manifest)
        assert "0 errors" in plugin("lint", "-f", "-", stdin=text).stdout
        against = ("test", "-f", "-", "--url", f"http://{address}:41002")
        plugin(*against, stdin=text, code=code)
        assert json.loads(plugin(*against, "-o", "json", stdin=text, code=code).stdout)
    assert json.loads(plugin("lint", "-f", "-", "-o", "json", stdin=text).stdout)
    bad = document()
    bad["policy"]["dlp-filter"]["action"] = "blok"
    assert "policy.dlp-filter.action" in plugin("lint", "-f", "-", stdin=yaml.safe_dump(bad), code=Exit.ERROR).stdout
