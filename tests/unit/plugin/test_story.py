"""Pages: what is shown, and what is not."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from rich.console import Console

from keeptrusts_operator.plugin.screen import draw, table
from keeptrusts_operator.plugin.story import fleet, line, story
from keeptrusts_operator.plugin.view import Page
from tests.unit.api import crd
from tests.unit.loop.test_status_schema import closed
from tests.unit.plugin import statuses
from tests.unit.plugin.statuses import ACTIVE, CANDIDATE, NOW, before, condition
from tests.unit.plugin.terminal import Terminal

ALL = [statuses.gateway(), statuses.canary(), statuses.bypassed(), statuses.alike()]


def text(page: Page, width: int = 160) -> str:
    console = Console(width=width, file=None)
    with console.capture() as captured:
        console.print(draw(page))
    return captured.get()


def rows(page: Page, title: str) -> dict[str, str]:
    section = page.section(title)
    assert section, f"no section {title}"
    return {r[0].plain: " ".join(c.plain for c in r[1:]) for r in section.rows}


@pytest.mark.parametrize("gateway", ALL, ids=lambda g: str(g["status"]["phase"]))
def test_the_statuses_of_these_tests_fit_the_crd(gateway: Any) -> None:
    schema = closed(crd.version("gatewaydeployments")["schema"]["openAPIV3Schema"]["properties"]["status"])
    jsonschema.validate(gateway["status"], schema)


@pytest.mark.parametrize("mode", ["", "crash", "unhealthy-after:2s", "crash-after:3s"])
def test_every_status_of_the_real_loop_has_a_story(terminal: Terminal, mode: str) -> None:
    terminal.serve()
    terminal.change(60, mode=mode)
    assert len(terminal.world.statuses) > 5
    for status in terminal.world.statuses:
        gateway = {**terminal.gateway(), "status": status}
        shown = " ".join(text(story(gateway, terminal.now()), 4000).split())
        assert status["phase"] in shown
        assert " ".join(status["message"].split()) in shown


def test_an_object_that_was_never_looked_at() -> None:
    gateway = {"metadata": {"name": "gw", "namespace": "platform", "generation": 1}, "spec": {}}
    assert story(gateway, NOW).sentence == "The operator has not looked at it yet."
    assert [c.text for c in fleet([gateway], NOW, namespaces=False).rows[0]][:2] == ["gw", "New"]


def test_a_status_of_an_older_spec_is_said_to_be_one() -> None:
    assert "has not seen the newest spec" in story(statuses.gateway(observedGeneration=2), NOW).sentence


def test_breaker_in_numbers() -> None:
    shown = rows(story(statuses.canary(), NOW), "Breaker")
    assert shown["canary"] == "43.8% blocked (14 of 32)"
    assert shown["stable"] == "1.8% blocked (22 of 1,200)"
    assert shown["evidence"] == "2,280:1 against the candidate, 4.0 blocked requests count as one"


def test_rollout_says_where_it_is() -> None:
    shown = rows(story(statuses.canary(), NOW), "Rollout")
    assert shown["stages"] == "✓ Preparing → ✓ Testing → ● Canary → ScaleUp → Soaking → Promoted"
    assert shown["step"] == "1 of 2: 33.3% of traffic (10% asked for), for 1m00s"


def test_bypass_says_who_why_and_how_long() -> None:
    shown = rows(story(statuses.bypassed(ticket="INC-1"), NOW), "Bypass")
    assert shown == {
        "state": "Active, ends in 10m00s",
        "asked": "by alice 5m00s ago",
        "because": "INC-4711 (INC-1)",
        "bypasses": "every policy but those that are never bypassed",
        "then": f"{ACTIVE} takes the traffic",
    }


def test_a_bypass_of_last_week_is_no_news() -> None:
    old = statuses.bypassed(state="Ended", endedAt=before(days=7), endReason="Expired")
    assert story(old, NOW).section("Bypass") is None
    assert story(statuses.bypassed(state="Ended", endedAt=before(hours=1)), NOW).section("Bypass")


def test_only_conditions_that_are_off_are_shown() -> None:
    page = story(statuses.gateway(conditions=[condition("Healthy"), condition("Stalled", "False")]), NOW)
    assert page.section("Conditions") is None
    off = condition("Healthy", "False", "PodsNotReady", "1 of 2 pods")
    assert rows(story(statuses.gateway(conditions=[off]), NOW), "Conditions") == {
        "Healthy=False": "PodsNotReady: 1 of 2 pods"
    }


def test_what_a_gateway_printed_cannot_reach_the_terminal() -> None:
    gateway = statuses.gateway(message="it said: \x1b]0;gone\x07 [bold]not markup[/bold]")
    shown = text(story(gateway, NOW))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[bold]not markup[/bold]" in shown


def test_the_fleet_begins_with_what_is_urgent() -> None:
    down = statuses.gateway(conditions=[condition("Available", "False")])
    for number, gateway in enumerate(found := [statuses.gateway(), statuses.canary(), statuses.bypassed(), down]):
        gateway["metadata"]["name"] = f"gw-{number}"
    section = fleet(found, NOW, namespaces=True)
    assert [r[1].text for r in section.rows] == ["gw-3", "gw-2", "gw-1", "gw-0"]
    assert len({len(r) for r in section.rows} | {len(section.header)}) == 1


def test_the_fleet_has_columns_of_rollouts_only_in_rollouts() -> None:
    assert "CANDIDATE" not in fleet([statuses.gateway()], NOW, namespaces=False).header
    section = fleet([statuses.gateway(), statuses.canary()], NOW, namespaces=False)
    first = dict(zip(section.header, (c.text for c in section.rows[0]), strict=True))
    assert (first["CANDIDATE"], first["SHARE"], first["BLOCKED"], first["LIMIT"]) == (
        CANDIDATE,
        "33.3%",
        "43.8%",
        "4.6%",
    )


def test_the_fleet_shows_until_when_it_is_bypassed() -> None:
    section = fleet([statuses.bypassed()], NOW, namespaces=False)
    assert dict(zip(section.header, (c.text for c in section.rows[0]), strict=True))["BYPASS"] == "until 12:10Z"
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table(section))
    assert "Passthrough" in captured.get()


def test_a_line_changes_with_what_matters() -> None:
    assert line(statuses.gateway()) == line(statuses.gateway())
    assert line(statuses.gateway()) != line(statuses.gateway(message="now 1 of 2 pods"))
    assert line(statuses.gateway()).startswith("platform/gw Stable ")
