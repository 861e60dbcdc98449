"""The end of the story: a table, a JSON file and a picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from tests.demo.told import Bypass, Told
from tests.traffic.answers import outcome, outcomes_over_time

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = ("#4c78a8", "#59a14f", "#b279a2", "#edc948", "#9c755f", "#76b7b2")


def table(console: Console, told: Told) -> None:
    """One line a chapter; times in seconds after `kubectl apply`."""
    out = Table(
        title=f"What happened ({told.gateway}{', simulated' if told.simulated else ''}); seconds after the change was applied"
    )
    for column in ("change", "outcome", "exposed", "detected", "issued", "its last answer", "done"):
        out.add_column(column, overflow="fold")
    for column in ("answered by it", "wrongly blocked", "requests", "lost"):
        out.add_column(column, justify="right")
    for c in told.chapters:
        colour = "green" if c.ok else "red"
        times = [
            f"{t:.1f}" if t is not None else "-" for t in (c.exposed, c.detected, c.issued, c.last_answer, c.finished)
        ]
        out.add_row(
            c.title,
            f"[{colour}]{c.outcome}[/]",
            *times,
            str(c.served),
            str(c.wrongly_blocked),
            str(c.requests),
            str(c.lost),
        )
    console.print(out)
    trip = next((c for c in told.chapters if c.revision and c.detected and c.wrongly_blocked), None)
    if trip and trip.exposed is not None and trip.detected is not None:
        console.print(
            "The incident this was built for: 12 minutes to detect, two hours to recover, 5,602 requests blocked.\n"
            f"Here: {trip.detected - trip.exposed:.1f} s from exposure to detection, {trip.finished or 0:.1f} s from kubectl "
            f"apply to rolled back, {trip.wrongly_blocked} requests wrongly blocked."
        )
    for c in told.chapters:
        if c.bypass:
            console.print(_bypass_table(c.bypass))
    for c in told.chapters:
        for problem in c.problems:
            console.print(f"[red]{c.title}: {problem}[/]")


def _bypass_table(seen: Bypass) -> Table:
    """The emergency passthrough, as the GatewayIncident has it; seconds after `kubectl annotate`."""
    out = Table(
        title=f"The bypass: asked for by {seen.by}, approved by {seen.approved_by}, {seen.ticket}; seconds after it"
    )
    for column in (
        "effective",
        "last answer that may be blocked",
        "its end",
        "protections back",
        "on revision",
        "last answer without",
        "passed",
        "of these wrongly blocked before",
        "still blocked",
    ):
        out.add_column(column, justify="right", overflow="fold")
    times = (seen.effective, seen.last_blocking_answer, seen.expires, seen.rearmed)
    cells = [f"{t:.1f}" if t is not None else "-" for t in times]
    last = f"{seen.last_passing_answer:.1f}" if seen.last_passing_answer is not None else "-"
    out.add_row(*cells, seen.rearmed_on, last, str(seen.passed), str(seen.passed_near), str(seen.blocked))
    return out


def write(folder: Path, told: Told) -> None:
    """`report.json` and `traffic.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "gateway": told.gateway,
        "simulated": told.simulated,
        "ok": told.ok,
        "requests": len(told.answers),
        "lost": sum(a.lost for a in told.answers),
        "chapters": [{**asdict(c), "ok": c.ok} for c in told.chapters],
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    picture(folder / "traffic.png", told)


def picture(path: Path, told: Told) -> None:
    """Answers a second by revision, and below what became of the requests."""
    counts = outcomes_over_time(told.answers, told.started)
    seconds = range(1 + max((s for c in counts.values() for s in c), default=0))
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(12, 7), sharex=True, height_ratios=(2, 1))
    revisions = list(dict.fromkeys(a.revision for a in sorted(told.answers, key=lambda a: a.done) if a.revision))
    shares = [[sum(c[s] for (r, _), c in counts.items() if r == revision) for s in seconds] for revision in revisions]
    top.stackplot(seconds, shares, labels=revisions, colors=COLOURS, step="mid")
    top.set_ylabel("answers a second, by revision")
    top.legend(loc="lower left", fontsize=8)
    for number, (at, title) in enumerate(told.marks):
        second, height = at - told.started, 4 + 10 * (len(told.marks) - 1 - number)  # points: no two on one line
        top.axvline(second, color="#333", linewidth=0.8, linestyle="--")
        place = {"xytext": (2, height), "textcoords": "offset points", "fontsize": 7}
        top.annotate(title, (second, top.get_ylim()[1]), **place)
    for word, colour in (("answered", "#59a14f"), ("blocked", "#f28e2b"), ("failed", "#e15759"), ("lost", "#000000")):
        total = [sum(c[s] for (_, o), c in counts.items() if o == word) for s in seconds]
        if any(total) or word == "lost":
            bottom.plot(seconds, total, color=colour, label=f"{word} ({sum(outcome(a) == word for a in told.answers)})")
    bottom.set_ylabel("outcomes a second")
    bottom.set_xlabel("seconds")
    bottom.set_yscale("symlog")
    bottom.legend(loc="center left", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
