"""Watching: lines where nothing can be redrawn, documents for programs, a screen in a terminal."""

from __future__ import annotations

import io
import itertools
import json
from typing import Any

import pytest
from rich.console import Console

from keeptrusts_operator.kube.port import Resource, Unavailable
from keeptrusts_operator.plugin import app
from keeptrusts_operator.plugin.failure import Exit
from tests.unit.plugin.terminal import Terminal

NAME = "kt-gateway"


def stop_after(terminal: Terminal, looks: int) -> None:
    """Ctrl-C in the n-th sleep."""
    count = itertools.count(1)

    def sleep() -> None:
        if next(count) >= looks:
            raise KeyboardInterrupt

    terminal.before_sleep = sleep


def screen(terminal: Terminal, *arguments: str, width: int = 100, height: int = 50) -> str:
    """What a terminal of that size is sent."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=width, height=height)
    assert app.run(["status", *arguments], terminal.session(console, Console(stderr=True))) == Exit.OK
    return out.getvalue()


def test_a_line_per_change(terminal: Terminal) -> None:
    terminal.serve()
    terminal.change(1)
    stop_after(terminal, 45)
    ran = terminal.run("status", NAME, "--watch")
    assert ran.code == Exit.OK
    phases = [line.split()[2] for line in ran.out.splitlines()]
    assert [p for p, _ in itertools.groupby(phases)] == ["Preparing", "Canary", "Soaking", "Stable"]
    assert len(set(ran.out.splitlines())) == len(phases) < 20


def test_documents_for_programs(terminal: Terminal) -> None:
    terminal.serve()
    terminal.change(1)
    stop_after(terminal, 45)
    documents: list[Any] = [
        json.loads(line) for line in terminal.run("status", NAME, "-w", "-o", "json").out.splitlines()
    ]
    assert documents[0]["status"]["phase"] == "Preparing"
    assert documents[-1]["status"]["phase"] == "Stable"
    assert all(a != b for a, b in itertools.pairwise(documents))


def test_a_screen_ends_with_what_was_seen_last(terminal: Terminal) -> None:
    terminal.serve()
    stop_after(terminal, 3)
    drawn = screen(terminal, NAME, "--watch")
    on, off = "\x1b[?1049h", "\x1b[?1049l"
    assert drawn.count(on) == drawn.count(off) == 1
    assert "every 1s, Ctrl-C ends" in drawn[: drawn.index(off)]
    assert f"{NAME}  demo  Stable" in drawn[drawn.index(off) :]


def test_a_small_screen_says_what_it_leaves_out(terminal: Terminal) -> None:
    terminal.serve()
    terminal.change(5)
    stop_after(terminal, 1)
    drawn = screen(terminal, NAME, "--watch", height=8)
    assert "lines more: make the terminal taller" in drawn


def test_an_api_server_that_is_away_for_a_while(terminal: Terminal) -> None:
    terminal.serve()
    looks = itertools.count(1)

    def call(verb: str, resource: Resource) -> None:
        if next(looks) in (2, 3, 4):
            raise Unavailable("no answer")

    terminal.before_call = call
    stop_after(terminal, 6)
    drawn = screen(terminal, NAME, "--watch")
    assert drawn.index("Seen 1s ago. The API server cannot be asked") < drawn.index("Seen 3s ago.")
    terminal.before_call = lambda verb, resource: None
    stop_after(terminal, 2)
    assert "Seen" not in screen(terminal, NAME, "--watch")


def test_an_api_server_that_is_away_from_the_beginning(terminal: Terminal) -> None:
    def call(verb: str, resource: Resource) -> None:
        raise Unavailable("no answer")

    terminal.before_call = call
    ran = terminal.run("status", NAME, "--watch")
    assert ran.code == Exit.ERROR
    assert "cannot be asked" in ran.err


def test_a_gateway_that_goes(terminal: Terminal) -> None:
    terminal.serve()
    stop_after(terminal, 3)
    terminal.before_sleep()
    objects = terminal.world.kube
    key = next(k for k in objects.stored() if k[0] == "gatewaydeployments")
    sleep = terminal.before_sleep

    def gone() -> None:
        sleep()
        if key in objects.stored():
            objects.remove(key)

    terminal.before_sleep = gone
    ran = terminal.run("status", "--watch")
    assert ran.out.splitlines()[-1].endswith("demo/kt-gateway is gone")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(terminal: Terminal, width: int) -> None:
    terminal.serve()
    terminal.change(5)
    for arguments in ([NAME], ["-A"]):
        lines = screen(terminal, *arguments, width=width).splitlines()
        assert max(len(line) for line in lines) <= width
