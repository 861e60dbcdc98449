"""Writes the pages of the docs that are generated from the code; `--check` only says whether they are up to date."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crd_reference import annotations, kind_page

from keeptrusts_operator.api.names import KINDS
from keeptrusts_operator.core.machine import RULES
from keeptrusts_operator.core.requests import TABLE
from keeptrusts_operator.core.state import Stage
from keeptrusts_operator.loop.telemetry import Telemetry

HERE = Path(__file__).parent


def transitions() -> str:
    """The transition table: every rule, in the order of its priority."""
    lines = [
        "# Transitions of a rollout",
        "",
        "<!-- generated from operator/keeptrusts_operator/core/machine.py by `make docs`; do not edit -->",
        "",
        "The first rule that matches fires, so the order of the table is the priority. A rule that only fires while",
        "nothing holds the rollout (paused, no capacity, both revisions unhealthy …) is marked *advances*; every other",
        "rule fires while it is held, too: a held rollout can still be taken back.",
        "",
        "| # | transition | from | to | when | advances |",
        "|---|---|---|---|---|---|",
    ]
    for number, rule in enumerate(RULES, 1):
        stages = ", ".join(s.value for s in Stage if s in rule.stages) or "no rollout"
        mark = "advances" if rule.advances else ""
        lines.append(f"| {number} | `{rule.name}` | {stages} | {rule.to} | {rule.when} | {mark} |")
    return "\n".join(lines) + "\n"


def requests() -> str:
    """State × verb: what every request leads to in every situation."""
    lines = [
        "# Requests of people",
        "",
        "<!-- generated from operator/keeptrusts_operator/core/requests.py by `make docs`; do not edit -->",
        "",
        "A request is an annotation `gateway.keeptrusts.com/<verb>` on a GatewayDeployment. It is acted on once, its outcome",
        "(`Done`, `Refused`, `Ignored`) is kept in `status.requests`. The same value is the same request: end it in",
        "`#<anything>` to ask for the same thing again. Requests found at the first sight of an object (a restore) are",
        "ignored. A rollback request comes before everything; the others come after breaker and health.",
    ]
    for verb, answers in TABLE.items():
        lines += ["", f"## `{verb}`", "", "| when it is … | the request … |", "|---|---|"]
        lines += [f"| {situation} | {does} |" for situation, does in answers.items()]
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Every metric of the operator."""
    lines = [
        "# Metrics of the operator",
        "",
        "<!-- generated from operator/keeptrusts_operator/loop/telemetry.py by `make docs`; do not edit -->",
        "",
        "On port 8080 at `/metrics`, beside `/healthz` (the event loop runs) and `/readyz` (leads or stands by, and the API",
        "server answers; one that waits for the API server is not ready, never dead). Series of a GatewayDeployment end with",
        "it; a value that is not known has no series. Transitions are those of [the table](transitions.md).",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for metric in Telemetry().described:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |")
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "transitions.md": transitions,
    "requests.md": requests,
    "metrics.md": metrics,
    "reference/annotations.md": annotations,
    **{f"reference/{kind.singular}.md": partial(kind_page, kind) for kind in KINDS},
}


def main() -> int:
    stale = []
    for name, page in PAGES.items():
        path, text = HERE / name, page()
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run `make docs`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
