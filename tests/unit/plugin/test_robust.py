"""Whatever fits the CRD has a story and an explanation: a status may be older or newer than the plugin, or half written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from keeptrusts_operator.plugin import explain, story
from keeptrusts_operator.plugin.failure import Exit
from keeptrusts_operator.plugin.screen import draw, table
from tests.unit.api import crd
from tests.unit.plugin.statuses import NOW, after, before
from tests.unit.plugin.terminal import Terminal

WORDS = [
    *("", "garbage", "\x1b[2J", "[/]", "12.5%", "0%", "1h30m", "2280", "aaaaaaaaaa", "bbbbbbbbbb", before(minutes=1)),
    *(
        after(minutes=1),
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "Canary",
        "Soaking",
        "RolledBack",
        "Passthrough",
    ),
    *("Held", "Active", "Pending", "Starting", "Ended", "Trip", "Hold", "Paused", "Promoted", "Candidate", "BlockRate"),
    *("Warning", "Ok", "Unknown", "Available", "Healthy", "InSync", "RunningConfigDrift", "NoReadyPod"),
]


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            known = {k: values(v) for k, v in schema.get("properties", {}).items()}
            required = {k: known.pop(k) for k in schema.get("required", ())}
            return st.fixed_dictionaries(required, optional=known)
        case "array":
            return st.lists(values(schema["items"]), max_size=3)
        case "integer":
            return st.integers(0, 10**6)
        case "boolean":
            return st.booleans()
    return st.sampled_from(WORDS)


STATUS = crd.version("gatewaydeployments")["schema"]["openAPIV3Schema"]["properties"]["status"]


@settings(max_examples=150, deadline=None)
@given(status=values(STATUS))
def test_every_status_that_the_api_takes(status: dict[str, Any]) -> None:
    gateway = {"metadata": {"name": "gw", "namespace": "n", "uid": "u", "generation": 1}, "spec": {}, "status": status}
    console = Console(width=80, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(draw(story.story(gateway, NOW, explain.advice(gateway, NOW))))
        console.print(draw(explain.page(explain.explain(gateway, NOW), NOW)))
        console.print(table(story.fleet([gateway], NOW, namespaces=True)))
    assert "\x1b[2J" not in captured.get()
    assert story.line(gateway)


def test_a_bug_is_no_traceback(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.serve()
    monkeypatch.setattr(story, "story", lambda *_: 1 / 0)
    ran = terminal.run("status", "kt-gateway")
    assert ran.code == Exit.ERROR
    assert "This is a bug of the plugin: ZeroDivisionError" in ran.err
    monkeypatch.setenv("KEEPTRUSTS_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        terminal.run("status", "kt-gateway")
