"""Commands against the operator's real loop in a simulated cluster."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.kube.port import GATEWAYS, INCIDENTS, PODS, Forbidden, NotFound, Resource, Unavailable
from keeptrusts_operator.plugin.failure import Exit
from tests.unit.plugin.terminal import Terminal, failing

NAME = "kt-gateway"


def test_status_tells_of_the_canary(terminal: Terminal) -> None:
    active = terminal.serve()
    terminal.change(5)
    candidate = terminal.status()["candidateRevision"]
    ran = terminal.run("status", NAME)
    assert ran.code == Exit.OK
    assert "Canary" in ran.out.splitlines()[0]
    assert f"{active}  Active" in ran.out
    assert f"{candidate}  Candidate" in ran.out
    assert "1 of 1: 25% of traffic" in ran.out
    assert f"kubectl keeptrusts rollback {NAME} {candidate} -n demo" in ran.out


def test_status_of_the_fleet(terminal: Terminal) -> None:
    terminal.serve()
    ran = terminal.run("status", "-A")
    header, line = ran.out.splitlines()
    assert header.split()[:3] == ["NAMESPACE", "NAME", "PHASE"]
    assert line.split()[:3] == ["demo", NAME, "Stable"]


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
@pytest.mark.parametrize("command", ["status", "history", "diff", "explain"])
def test_every_reading_command_speaks_to_programs(terminal: Terminal, command: str, form: str, read: Any) -> None:
    terminal.serve()
    terminal.change(5)
    ran = terminal.run(command, NAME, "-o", form)
    assert ran.code == Exit.OK, ran.err
    assert isinstance(read(ran.out), dict)


def test_history_names_outcomes_and_incidents(terminal: Terminal) -> None:
    first = terminal.serve()
    terminal.change(60, mode="unhealthy-after:2s")
    ran = terminal.run("history", NAME)
    newest, oldest = ran.out.splitlines()[1:3]
    assert "RolledBack" in newest
    assert "GatewayUnhealthy" in newest
    assert first in oldest
    assert "active" in oldest


def test_history_without_the_right_to_read_incidents(terminal: Terminal) -> None:
    terminal.serve()
    terminal.before_call = failing(Forbidden('User "jane" cannot list resource', 403), "list", INCIDENTS)
    ran = terminal.run("history", NAME)
    assert ran.code == Exit.OK
    assert "jane may not list gatewayincidents.gateway.keeptrusts.com in namespace demo" in ran.err


def test_diff_shows_what_the_candidate_changes(terminal: Terminal) -> None:
    active = terminal.serve()
    terminal.change(5)
    candidate = terminal.status()["candidateRevision"]
    ran = terminal.run("diff", NAME)
    assert '-  version: "1.0.0"' in ran.out
    assert '+  version: "1.1.0"' in ran.out
    assert "template" not in ran.out
    assert ran == terminal.run("diff", NAME, candidate) == terminal.run("diff", active[:6], candidate[:6])
    data = json.loads(terminal.run("diff", NAME, "-o", "json").out)
    assert {"path": "pack.version", "before": "1.0.0", "after": "1.1.0"} in data["document"]
    assert data["template"] == []


def test_diff_names_the_revisions_there_are(terminal: Terminal) -> None:
    active = terminal.serve()
    ran = terminal.run("diff", NAME, "ffff")
    assert ran.code == Exit.ERROR
    assert f"There are: {active}." in ran.err


def test_promote_skips_the_steps(terminal: Terminal) -> None:
    terminal.serve()
    terminal.change(4)
    candidate = terminal.status()["candidateRevision"]
    ran = terminal.run("promote", NAME)
    assert (ran.code, ran.out) == (Exit.OK, "Done: its remaining steps are skipped.\n"), ran.err
    terminal.pass_time(40)
    assert terminal.status()["activeRevision"] == candidate


def test_promote_without_a_candidate(terminal: Terminal) -> None:
    terminal.serve()
    ran = terminal.run("promote", NAME)
    assert ran.code == Exit.ERROR
    assert "There is no candidate to promote: kt-gateway is Stable." in ran.err


def test_rollback_leaves_the_candidate(terminal: Terminal) -> None:
    active = terminal.serve()
    terminal.change(5)
    ran = terminal.run("rollback", NAME)
    assert ran.code == Exit.OK, ran.err
    assert ran.out.endswith(f"is left, {active} serves.\n")
    assert terminal.status()["phase"] == "RolledBack"


def test_a_refused_request_says_why(terminal: Terminal) -> None:
    terminal.serve()
    ran = terminal.run("rollback", NAME, "ffffffffff")
    assert ran.code == Exit.NOT_DONE
    assert "Refused: ffffffffff is not a revision to go back to" in ran.err


def test_pause_and_resume(terminal: Terminal) -> None:
    terminal.serve()
    terminal.change(5)
    assert terminal.run("pause", f"gwd/{NAME}").out == "Done: paused.\n"
    terminal.pass_time(1)
    assert terminal.status()["phase"] == "Held"
    assert terminal.run("resume", NAME).out == "Done: resumed.\n"
    assert terminal.run("pause", NAME).code == Exit.OK  # the same again is another request
    terminal.pass_time(1)
    assert terminal.status()["phase"] == "Held"


def test_retry_of_what_is_in_quarantine(terminal: Terminal) -> None:
    terminal.serve()
    terminal.change(60, mode="crash")
    wanted = terminal.status()["desiredRevision"]
    ran = terminal.run("retry", NAME)
    assert (ran.code, ran.out) == (Exit.OK, f"Done: {wanted} may be tried again.\n")


def test_retry_of_nothing(terminal: Terminal) -> None:
    terminal.serve()
    assert "What is wanted is not in quarantine" in terminal.run("retry", NAME).err


def test_restart_waits_until_every_pod_is_new_and_ready(terminal: Terminal) -> None:
    terminal.serve()
    before = {p["metadata"]["uid"] for p in terminal.list(PODS, "demo")}
    ran = terminal.run("restart", NAME)
    assert ran.code == Exit.OK, ran.err
    assert "Healthy: 3 new pods are ready behind Service kt-gateway." in ran.out
    after = [p for p in terminal.list(PODS, "demo") if "deletionTimestamp" not in p["metadata"]]
    assert not before & {p["metadata"]["uid"] for p in after}


def test_restart_that_takes_too_long(terminal: Terminal) -> None:
    terminal.serve()
    ran = terminal.run("restart", NAME, "--healthy-within", "0")
    assert ran.code == Exit.TIMEOUT
    assert "Not healthy within 0s: " in ran.err


def test_bypass_is_refused_by_an_operator_that_has_none(terminal: Terminal) -> None:
    terminal.serve()
    ran = terminal.run("bypass", "on", NAME, "15m", "--reason", "INC-1 too strict", "--scope", "a,b", "--scope", "c")
    notes = terminal.gateway()["metadata"]["annotations"]
    assert notes[Verb.EMERGENCY_PASSTHROUGH.annotation] == "15m#test-1"
    assert notes["gateway.keeptrusts.com/reason"] == "INC-1 too strict"
    assert notes["gateway.keeptrusts.com/scope"] == "a,b,c"
    assert ran.code == Exit.NOT_DONE
    assert "Refused: " in ran.err
    terminal.run("bypass", "on", NAME, "15m", "--reason", "again")
    assert "gateway.keeptrusts.com/scope" not in terminal.gateway()["metadata"]["annotations"]  # not the old one's


@pytest.mark.parametrize(
    "wrong", [("15", "--reason", "x"), ("0m", "--reason", "x"), ("15m", "--reason", " "), ("15m",)]
)
def test_a_bypass_is_checked_before_it_is_asked_for(terminal: Terminal, wrong: tuple[str, ...]) -> None:
    terminal.serve()
    assert terminal.run("bypass", "on", NAME, *wrong).code == Exit.USAGE
    assert "annotations" not in terminal.gateway()["metadata"]


def test_no_wait_leaves_the_request_standing(terminal: Terminal) -> None:
    terminal.serve()
    ran = terminal.run("pause", NAME, "--no-wait")
    assert ran.out.startswith("Asked: pause=true#test-1.")
    assert "requests" not in terminal.status()


def test_an_operator_that_does_not_run_is_a_timeout(terminal: Terminal) -> None:
    terminal.serve()
    terminal.pass_time = lambda seconds: setattr(terminal.world, "at", terminal.world.at + seconds)  # type: ignore[method-assign]
    ran = terminal.run("pause", NAME, "--timeout", "5")
    assert ran.code == Exit.TIMEOUT
    assert "No answer to pause=true#test-1 within 5s." in ran.err
    assert "Does the operator run?" in ran.err


def test_a_request_that_is_overtaken(terminal: Terminal) -> None:
    terminal.serve()
    by = Verb.PAUSE.requested_by_annotation

    def overtake() -> None:
        terminal.merge(
            GATEWAYS, "demo", NAME, {"metadata": {"annotations": {Verb.PAUSE.annotation: "false", by: "bob"}}}
        )

    terminal.before_sleep = overtake
    ran = terminal.run("pause", NAME)
    assert ran.code == Exit.NOT_DONE
    assert "another request came before it was answered: pause=false by bob" in ran.err


def test_a_gateway_that_is_not_there(terminal: Terminal) -> None:
    terminal.serve()
    ran = terminal.run("status", "kt-gatway")
    assert ran.code == Exit.ERROR
    assert "There is no GatewayDeployment kt-gatway in namespace demo." in ran.err
    assert "There are: kt-gateway." in ran.err
    elsewhere = terminal.run("pause", NAME, "-n", "other")
    assert "One of that name is in: demo. Choose with -n." in elsewhere.err


def test_no_crd(terminal: Terminal) -> None:
    def absent(verb: str, resource: Resource) -> None:
        raise NotFound("the server could not find the requested resource", 404)

    terminal.before_call = absent
    for command in (["status"], ["status", NAME], ["pause", NAME]):
        ran = terminal.run(*command)
        assert ran.code == Exit.ERROR
        assert "This cluster has no gatewaydeployments.gateway.keeptrusts.com." in ran.err


def test_forbidden_names_verb_and_resource(terminal: Terminal) -> None:
    terminal.serve()
    terminal.before_call = failing(Forbidden('User "jane" cannot patch resource', 403), "patch", GATEWAYS)
    ran = terminal.run("pause", NAME)
    assert ran.code == Exit.ERROR
    assert "jane may not patch gatewaydeployments.gateway.keeptrusts.com in namespace demo." in ran.err
    assert "kubectl auth can-i patch gatewaydeployments.gateway.keeptrusts.com -n demo" in ran.err


def test_an_admission_policy_is_quoted(terminal: Terminal) -> None:
    terminal.serve()
    message = "gwd \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: name a ticket"
    terminal.before_call = failing(Forbidden(message, 403), "patch", GATEWAYS)
    ran = terminal.run("pause", NAME)
    assert (ran.code, ran.err.strip()) == (Exit.NOT_DONE, "The API server refuses it: name a ticket")


def test_waiting_outlives_an_api_server_that_is_away(terminal: Terminal) -> None:
    terminal.serve()
    away = iter([True, True, False])

    def call(verb: str, resource: Resource) -> None:
        if verb == "get" and next(away, False):
            raise Unavailable("no answer")

    terminal.before_call = call
    assert terminal.run("pause", NAME).code == Exit.OK


def test_lint_of_a_document_and_of_a_manifest(terminal: Terminal, tmp_path: Path) -> None:
    document = {"pack": {"name": "p", "version": "1.0.0", "enabled": True}, "policies": {"chain": ["pii-detectr"]}}
    manifest = {
        "apiVersion": "gateway.keeptrusts.com/v1alpha1",
        "kind": "GatewayPolicy",
        "metadata": {"name": "support"},
    }
    plain, wrapped = tmp_path / "plain.yaml", tmp_path / "wrapped.yaml"
    plain.write_text(yaml.safe_dump(document))
    wrapped.write_text(yaml.safe_dump_all([{"kind": "Namespace"}, {**manifest, "spec": {"config": document}}]))
    for file in (plain, wrapped):
        ran = terminal.run("lint", "-f", str(file))
        assert ran.code == Exit.ERROR
        assert "Error E003 policies.chain[0]" in ran.out
        found = json.loads(terminal.run("lint", "-f", str(file), "-o", "json").out)
        assert "E003" in {f["code"] for f in found[0]["findings"]}
    del manifest["metadata"]
    wrapped.write_text(yaml.safe_dump({**manifest, "spec": {}}))
    assert "Error SPEC spec" in terminal.run("lint", "-f", str(wrapped)).out


def test_lint_of_a_good_document(terminal: Terminal) -> None:
    example = Path(__file__).parents[3] / "docs" / "examples" / "quickstart.yaml"
    ran = terminal.run("lint", "-f", str(example))
    assert ran.code == Exit.OK, ran.out
    assert "0 errors" in ran.out


class Approval:
    """Somebody waits for a second person; an operator of a later version has written it into the status."""

    def __init__(self, terminal: Terminal, **grant: str) -> None:
        terminal.serve()
        found = {"requestId": "42", "state": "Pending", "requestedBy": "alice", "reason": "INC-1", **grant}
        get = terminal.get

        def read(resource: Resource, namespace: str, name: str) -> Any:
            obj = get(resource, namespace, name)
            return {**obj, "status": {**obj["status"], "passthrough": found}} if resource == GATEWAYS else obj

        terminal.get = read  # type: ignore[method-assign]
        self._terminal = terminal

    def asked(self) -> str | None:
        """The value of the annotation that approves."""
        notes: dict[str, str] = self._terminal.gateway()["metadata"].get("annotations", {})
        return notes.get(Verb.APPROVE_PASSTHROUGH.annotation)


def test_who_approves_is_shown_what(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    approval = Approval(terminal)
    answers = iter([False, True])
    monkeypatch.setattr("click.confirm", lambda text, err: next(answers))
    ran = terminal.run("bypass", "approve", NAME)
    assert "alice asks to bypass every policy but those that are never bypassed, because: INC-1" in ran.err
    assert (ran.code, approval.asked()) == (Exit.ERROR, None)
    terminal.run("bypass", "approve", NAME)
    assert approval.asked() == "42#test-1"


def test_scripts_name_what_they_approve(terminal: Terminal) -> None:
    approval = Approval(terminal)
    terminal.run("bypass", "approve", NAME, "41")
    assert approval.asked() == "41#test-1"


def test_there_is_nothing_to_approve(terminal: Terminal) -> None:
    Approval(terminal, state="Ended")
    assert "There is no request for a bypass to approve." in terminal.run("bypass", "approve", NAME).err


def test_nobody_at_the_keyboard_approves_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    approval = Approval(terminal)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    ran = terminal.run("bypass", "approve", NAME)
    assert (ran.code, approval.asked()) == (Exit.ERROR, None)
    assert "Scripts name what they approve: bypass approve kt-gateway 42." in ran.err
