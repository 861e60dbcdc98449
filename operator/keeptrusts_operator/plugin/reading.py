"""Commands that only read: status, history, diff, explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from keeptrusts_operator.api import names
from keeptrusts_operator.kube.port import CONFIG_MAPS, GATEWAYS, INCIDENTS, Obj
from keeptrusts_operator.plugin import changes, explain, story
from keeptrusts_operator.plugin.failure import Failure
from keeptrusts_operator.plugin.options import At, complete_names, gateway_argument, printed, with_cluster, with_output
from keeptrusts_operator.plugin.screen import draw, table, words
from keeptrusts_operator.plugin.view import Section, quiet, row, state, strong
from keeptrusts_operator.plugin.watch import Source, watch
from keeptrusts_operator.plugin.words import ago, pack, status_of

SECONDS = click.FloatRange(0.2, 3600)


@click.command()
@click.argument("name", metavar="[NAME]", required=False, default="", shell_complete=complete_names)
@click.option("-A", "--all-namespaces", is_flag=True, help="The fleet of all namespaces.")
@click.option("-w", "--watch", "watching", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--interval", type=SECONDS, default=1.0, show_default=True, metavar="SECONDS", help="Of --watch.")
@with_output
@with_cluster
def status(at: At, name: str, all_namespaces: bool, watching: bool, interval: float, output: str | None) -> None:
    """The story of one gateway, or a line for each of the fleet."""
    if name and all_namespaces:
        raise click.UsageError("NAME and -A exclude each other.")
    name = name.rpartition("/")[2]

    def look() -> Sequence[Obj]:
        if name:
            return [at.cluster.get(GATEWAYS, at.namespace, name)]
        return at.cluster.list(GATEWAYS, "" if all_namespaces else at.namespace)

    def shown(found: Sequence[Obj]) -> Any:
        now = at.session.clock.now()
        if name:
            return draw(story.story(found[0], now, explain.advice(found[0], now)))
        if not found:
            where = "in any namespace" if all_namespaces else f"in namespace {at.namespace} (all: -A)"
            return words(f"There is no GatewayDeployment {where}.")
        return table(story.fleet(found, now, namespaces=all_namespaces))

    def data(found: Sequence[Obj]) -> Any:
        return _data(found[0]) if name else {"items": [_data(g) for g in found]}

    source = Source(look, shown, data)
    if watching:
        watch(at.session, source, interval, output)
    elif output:
        printed(at.session, source.data(look()), output)
    else:
        at.session.out.print(shown(look()))


@click.command()
@gateway_argument
@with_output
@with_cluster
def history(at: At, name: str, output: str | None) -> None:
    """Rollouts that ended, and incidents, newest first."""
    gateway = at.cluster.get(GATEWAYS, at.namespace, name)
    kept = changes.revisions(_config_maps(at, name))
    incidents = _incidents(at, name)
    found = status_of(gateway)
    if output:
        data = {k: found.get(k) or [] for k in ("history", "quarantined", "requests")}
        printed(at.session, {**data, "incidents": incidents, "kept": sorted(kept)}, output)
        return
    now = at.session.clock.now()
    active, candidate = found.get("activeRevision"), found.get("candidateRevision")
    rows = []
    for entry in reversed(found.get("history") or ()):
        revision = str(entry.get("revision", ""))
        role = "active" if revision == active else "candidate" if revision == candidate else ""
        note = " ".join(
            p for p in (entry.get("reason"), "unproven" if entry.get("baseline") == "Unproven" else "") if p
        )
        rows.append(
            row(
                strong(revision),
                pack(entry.get("pack")),
                state(str(entry.get("outcome", ""))),
                ago(now, entry.get("at")),
                role,
                "" if revision in kept else quiet("not kept"),
                note,
            )
        )
        active = None if role == "active" else active
    header = ("REVISION", "PACK", "OUTCOME", "ENDED", "NOW", "", "NOTE")
    at.session.out.print(table(Section("", tuple(rows), header)) if rows else words("No rollout has ended yet."))
    if incidents:
        lines = tuple(
            row(
                strong(i["name"]),
                str(i.get("type", "")),
                state(str(i.get("phase", ""))),
                ago(now, i.get("startedAt")),
                str(i.get("message", "")),
            )
            for i in incidents
        )
        at.session.out.print()
        at.session.out.print(table(Section("", lines, ("INCIDENT", "TYPE", "PHASE", "STARTED", "MESSAGE"))))


@click.command()
@click.argument("targets", metavar="[NAME] [REV [REV]]", nargs=-1, shell_complete=complete_names)
@with_output
@with_cluster
def diff(at: At, targets: tuple[str, ...], output: str | None) -> None:
    """What differs between two revisions: documents and pod templates.

    REV is (the beginning of) a revision, or active, candidate, desired, previous. One REV is compared with the active
    revision; without any, what serves with what comes. NAME may be left out where a revision is named.
    """
    name, wanted = _targets(at, targets)
    gateway = at.cluster.get(GATEWAYS, at.namespace, name)
    known = changes.revisions(_config_maps(at, name))
    first, second = changes.pair(wanted, gateway, known)
    old, new = changes.named(first, gateway, known), changes.named(second, gateway, known)
    if output:
        data = {what: changes.changes(getattr(old, what), getattr(new, what)) for what in ("document", "template")}
        printed(at.session, {"from": old.name, "to": new.name, **data}, output)
        return
    lines = [*changes.unified(old, new, "document"), *changes.unified(old, new, "template")]
    for text in lines:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(text[:1], "")
        at.session.say(text, "bold" if text.startswith(("+++", "---")) else style)
    if not lines:
        at.session.say(f"{old.name} and {new.name} have the same document and the same pod template.")


@click.command(name="explain")
@gateway_argument
@with_output
@with_cluster
def explain_(at: At, name: str, output: str | None) -> None:
    """Why it is in its state; policy, provider, attack, stale config or cluster; and what to do."""
    gateway = at.cluster.get(GATEWAYS, at.namespace, name)
    now = at.session.clock.now()
    explanation = explain.explain(gateway, now)
    if output:
        data = asdict(explanation)
        data["suspects"] = [{**s, "likelihood": str(s["likelihood"])} for s in data["suspects"]]
        printed(at.session, {k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}, output)
    else:
        at.session.out.print(draw(explain.page(explanation, now)))


def _data(gateway: Obj) -> Obj:
    """What programs get of one gateway: its name, and the status as the API has it."""
    metadata = gateway["metadata"]
    return {k: metadata.get(k) for k in ("name", "namespace", "generation")} | {"status": dict(status_of(gateway))}


def _config_maps(at: At, name: str) -> Sequence[Obj]:
    return at.cluster.list(CONFIG_MAPS, at.namespace, {names.LABEL_DEPLOYMENT: name})


def _incidents(at: At, name: str) -> list[Obj]:
    """Incidents of a gateway, newest first. Who may not read them gets none, and is told."""
    try:
        found = at.cluster.list(INCIDENTS, at.namespace)
    except Failure as failure:
        at.session.hint(f"Incidents are left out: {failure.message}")
        return []
    of = [i for i in found if ((i.get("status") or {}).get("deploymentRef") or {}).get("name") == name]
    rows = [{"name": i["metadata"]["name"], **(i.get("status") or {})} for i in of]
    return sorted(rows, key=lambda i: str(i.get("startedAt", "")), reverse=True)


def _targets(at: At, targets: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The gateway's name and at most two revisions; the name is found where only a revision is given."""
    if not targets:
        raise click.UsageError("Name a GatewayDeployment: diff NAME [REV [REV]].")
    name, rest = targets[0].rpartition("/")[2], targets[1:]
    if changes.LOOKS_LIKE_A_REVISION.fullmatch(name):
        found = at.cluster.list(CONFIG_MAPS, at.namespace)
        labels = [c["metadata"].get("labels") or {} for c in found]
        owners = {
            label.get(names.LABEL_DEPLOYMENT, "")
            for label in labels
            if label.get(names.LABEL_REVISION, "").startswith(name)
        } - {""}
        if len(owners) == 1:
            name, rest = owners.pop(), targets
        elif owners:
            raise Failure(
                f"Several gateways have a revision {name}: {', '.join(sorted(owners))}.", "Name one of them first."
            )
    if len(rest) > 2:
        raise click.UsageError("At most two revisions can be compared.")
    return name, rest
