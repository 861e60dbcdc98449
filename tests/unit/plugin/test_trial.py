"""Behaviour tests by HTTP status: what an answer says, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from keeptrusts_operator.api.policy import BehaviourTest, Expectation, Message
from keeptrusts_operator.api.profiles import FERRO, KEEPTRUSTS
from keeptrusts_operator.plugin.failure import Exit
from keeptrusts_operator.plugin.trial import Answer, Verdict, address, judge
from tests.unit.plugin.terminal import Terminal
from tests.unit.plugin.web import Asked, serving

PASSED, FAILED, UNKNOWN = Verdict.PASSED, Verdict.FAILED, Verdict.UNKNOWN
BLOCKED = 409


def case(expect: Expectation, code: str | None = None) -> BehaviourTest:
    return BehaviourTest("t", (Message("user", "hello"),), expect, code)


CASES = [
    (case(Expectation.ALLOW), Answer(200), PASSED),
    (case(Expectation.ALLOW), Answer(BLOCKED), FAILED),
    (case(Expectation.BLOCK), Answer(BLOCKED), PASSED),
    (case(Expectation.BLOCK), Answer(200), FAILED),
    (case(Expectation.BLOCK, "input_blocked"), Answer(BLOCKED, "input_blocked"), PASSED),
    (case(Expectation.BLOCK, "input_blocked"), Answer(BLOCKED, "other"), FAILED),
    (case(Expectation.REDACT), Answer(200), UNKNOWN),
    (case(Expectation.REDACT), Answer(BLOCKED), FAILED),
    (case(Expectation.ESCALATE), Answer(200), UNKNOWN),
    (case(Expectation.ESCALATE), Answer(BLOCKED), UNKNOWN),
    *((case(e), Answer(s), UNKNOWN) for e in Expectation for s in (0, 301, 400, 401, 404, 429, 500, 503)),
]


@pytest.mark.parametrize(("test", "answer", "verdict"), CASES, ids=lambda v: "")
def test_what_an_answer_says(test: BehaviourTest, answer: Answer, verdict: Verdict) -> None:
    result = judge(test, answer, (BLOCKED,))
    assert result.verdict is verdict
    assert bool(result.message) == (verdict is not PASSED)


def test_the_profile_says_where_tests_are_sent() -> None:
    assert address("http://x:1", KEEPTRUSTS) == "http://x:1/v1/chat/completions"
    assert address("http://x:1/", FERRO) == "http://x:1/v1/chat/completions"
    assert address("https://x/mine", KEEPTRUSTS) == "https://x/mine"
    for wrong in ("x:1", "ftp://x", "http://", ""):
        with pytest.raises(ValueError, match="is not a URL"):
            address(wrong, KEEPTRUSTS)


def manifest(folder: Path, *tests: dict[str, Any]) -> str:
    file = folder / "policy.yaml"
    config = {"pack": {"name": "p", "version": "1.0.0", "enabled": True}, "providers": {"targets": [{"model": "m-1"}]}}
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "gateway.keeptrusts.com/v1alpha1",
                "kind": "GatewayPolicy",
                "metadata": {"name": "support"},
                "spec": {"config": config, "tests": list(tests)},
            }
        )
    )
    return str(file)


def asks(content: str, expect: str) -> dict[str, Any]:
    return {"name": content, "messages": [{"role": "user", "content": content}], "expect": expect}


def gateway(asked: Asked) -> tuple[int, Any]:
    """Blocks what is bad, has no time for what is late."""
    said = asked.body["messages"][0]["content"]
    if said == "late":
        return 503, "<html>"
    return (409, {"error": {"code": "input_blocked"}}) if said == "bad" else (200, {"choices": []})


def test_all_passed(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "k-1")
    file = manifest(tmp_path, asks("good", "Allow"), asks("bad", "Block"))
    with serving(gateway) as web:
        ran = terminal.run("test", "-f", file, "--url", web.url, "--key-env", "GATEWAY_KEY")
    assert ran.code == Exit.OK, ran.out + ran.err
    assert "2 passed." in ran.out
    assert {a.path for a in web.asked} == {"/v1/chat/completions"}
    assert web.asked[0].body["model"] == "m-1"
    assert web.asked[0].headers["authorization"] == "Bearer k-1"


def test_unknown_is_its_own_outcome(terminal: Terminal, tmp_path: Path) -> None:
    with serving(gateway) as web:
        unknown = terminal.run(
            "test", "-f", manifest(tmp_path, asks("good", "Allow"), asks("late", "Block")), "--url", web.url
        )
        failed = terminal.run(
            "test",
            "-f",
            manifest(tmp_path, asks("good", "Block"), asks("late", "Block")),
            "--url",
            web.url,
            "-o",
            "json",
        )
    assert unknown.code == Exit.UNKNOWN
    assert "1 passed, 1 unknown." in unknown.out
    assert failed.code == Exit.ERROR
    assert [r["verdict"] for r in json.loads(failed.out)] == ["Failed", "Unknown"]


def test_nothing_listens(terminal: Terminal, tmp_path: Path) -> None:
    ran = terminal.run("test", "-f", manifest(tmp_path, asks("good", "Allow")), "--url", "http://127.0.0.1:1")
    assert ran.code == Exit.UNKNOWN
    assert "no answer (ConnectError" in ran.out


def test_a_manifest_without_tests(terminal: Terminal, tmp_path: Path) -> None:
    ran = terminal.run("test", "-f", manifest(tmp_path), "--url", "http://127.0.0.1:1")
    assert ran.code == Exit.ERROR
    assert "The file holds no behaviour tests." in ran.err


@pytest.mark.parametrize("options", [("--url", "nonsense"), ("--url", "http://x", "--key-env", "NOT_SET_AT_ALL"), ()])
def test_wrong_usage(terminal: Terminal, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert terminal.run("test", "-f", manifest(tmp_path, asks("good", "Allow")), *options).code == Exit.USAGE
