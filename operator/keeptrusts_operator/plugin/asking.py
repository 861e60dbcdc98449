"""Commands that ask the operator for something, and wait for its answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from keeptrusts_operator.api import names
from keeptrusts_operator.api.names import Verb
from keeptrusts_operator.api.quantities import parse_duration
from keeptrusts_operator.kube.port import GATEWAYS, Obj
from keeptrusts_operator.plugin import ask, grant, restarts
from keeptrusts_operator.plugin.ask import Request
from keeptrusts_operator.plugin.failure import Exit, Failure
from keeptrusts_operator.plugin.options import At, Command, gateway_argument, with_cluster
from keeptrusts_operator.plugin.words import status_of, until

ANSWER_SECONDS, HEALTHY_SECONDS = 30.0, 600.0
SECONDS = click.FloatRange(0, 86_400)


@dataclass(frozen=True)
class Waiting:
    """Whether, and for how many seconds, a command waits for the operator's answer."""

    wanted: bool
    seconds: float


def with_waiting(command: Command) -> Command:
    """`--timeout` and `--no-wait`; the command gets `waiting`."""

    @click.option(
        "--timeout",
        type=SECONDS,
        default=ANSWER_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the operator's answer.",
    )
    @click.option("--no-wait", is_flag=True, help="Do not wait for it.")
    @functools.wraps(command)
    def run(*args: Any, timeout: float, no_wait: bool, **options: Any) -> Any:
        return command(*args, waiting=Waiting(not no_wait, timeout), **options)

    return run


def asked(at: At, name: str, request: Request, waiting: Waiting) -> ask.Answer | None:
    """Make a request and say what came of it; None when nobody waits. Raises Failure unless it is done."""
    value = ask.write(at.cluster, at.namespace, name, request, at.session.nonce())
    if not waiting.wanted:
        at.session.say(f"Asked: {request.verb.value}={value}. See: kubectl keeptrusts status {name} -n {at.namespace}")
        return None
    with at.session.errors.status(f"{request.verb.value}={value} …"):
        answer = ask.wait(at.cluster, at.namespace, name, request.verb, value, waiting.seconds, at.session.clock)
    if answer.outcome != ask.DONE:
        raise Failure(f"{answer.outcome}: {answer.message}", code=Exit.NOT_DONE)
    at.session.say(f"Done: {answer.message}.")
    return answer


@click.command()
@gateway_argument
@click.argument("revision", default="previous", metavar="[REV]")
@with_waiting
@with_cluster
def rollback(at: At, name: str, revision: str, waiting: Waiting) -> None:
    """Leave the candidate; or go back to REV, by default the newest good revision of the history."""
    asked(at, name, Request(Verb.ROLLBACK, revision), waiting)


@click.command()
@gateway_argument
@click.argument("revision", default="", metavar="[REV]")
@with_waiting
@with_cluster
def promote(at: At, name: str, revision: str, waiting: Waiting) -> None:
    """Skip the remaining steps and waits of the candidate; in the soak, end it."""
    what = "There is no candidate to promote"
    revision = revision or _from_status(at, name, lambda s: s.get("candidateRevision"), what)
    asked(at, name, Request(Verb.PROMOTE, revision), waiting)


@click.command()
@gateway_argument
@with_waiting
@with_cluster
def pause(at: At, name: str, waiting: Waiting) -> None:
    """Keep rollouts from advancing; they are still watched, and can be taken back."""
    asked(at, name, Request(Verb.PAUSE, "true"), waiting)


@click.command()
@gateway_argument
@with_waiting
@with_cluster
def resume(at: At, name: str, waiting: Waiting) -> None:
    """Let rollouts advance again."""
    asked(at, name, Request(Verb.PAUSE, "false"), waiting)


@click.command()
@gateway_argument
@click.argument("revision", default="", metavar="[REV]")
@with_waiting
@with_cluster
def retry(at: At, name: str, revision: str, waiting: Waiting) -> None:
    """Take REV out of quarantine, by default what is wanted now."""
    revision = revision or _from_status(at, name, _held_back, "What is wanted is not in quarantine")
    asked(at, name, Request(Verb.RETRY, revision), waiting)


@click.command()
@gateway_argument
@with_waiting
@click.option(
    "--healthy-within",
    type=SECONDS,
    default=HEALTHY_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long its new pods may take to be ready and healthy.",
)
@with_cluster
def restart(at: At, name: str, waiting: Waiting, healthy_within: float) -> None:
    """Replace the pods that run, one by one, and see that they come back healthy."""
    before = restarts.pods(at.cluster, at.namespace, name) if waiting.wanted else ()
    if asked(at, name, Request(Verb.RESTART, "now"), waiting):

        def say(text: str) -> None:
            at.session.hint(text)

        new = restarts.verify(at.cluster, at.namespace, name, before, healthy_within, at.session.clock, say)
        at.session.say(f"Healthy: {new} new pods are ready behind Service {name}.")


@click.group()
def bypass() -> None:
    """Emergency passthrough: on, off, approve."""


@bypass.command()
@gateway_argument
@click.argument("duration", metavar="DURATION")
@click.option("--reason", required=True, help="Why; it goes into the incident.")
@click.option(
    "--scope", multiple=True, metavar="KIND", help="Bypass these policy kinds only (repeat, or separate by commas)."
)
@click.option("--ticket", default=None, help="Where it is tracked.")
@with_waiting
@with_cluster
def on(
    at: At, name: str, duration: str, reason: str, scope: tuple[str, ...], ticket: str | None, waiting: Waiting
) -> None:
    """Bypass policies for DURATION (30s, 15m, 1h30m). It ends by itself."""
    try:
        if not parse_duration(duration):
            raise ValueError("A bypass of no time is none; write e.g. 15m")
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="DURATION") from error
    if not reason.strip():
        raise click.BadParameter("say why.", param_hint="--reason")
    kinds = ",".join(k.strip() for s in scope for k in s.split(",") if k.strip())
    notes = {names.ANNOTATION_REASON: reason, names.ANNOTATION_SCOPE: kinds or None, names.ANNOTATION_TICKET: ticket}
    if answer := asked(at, name, Request(Verb.EMERGENCY_PASSTHROUGH, duration, notes), waiting):
        _say_grant(at, answer.gateway)


@bypass.command()
@gateway_argument
@click.option("--reason", default=None, help="Why; it goes into the incident.")
@with_waiting
@with_cluster
def off(at: At, name: str, reason: str | None, waiting: Waiting) -> None:
    """End the bypass now; policies are enforced again."""
    notes = {names.ANNOTATION_REASON: reason} if reason else {}
    if answer := asked(at, name, Request(Verb.EMERGENCY_PASSTHROUGH, "off", notes), waiting):
        _say_grant(at, answer.gateway)


@bypass.command()
@gateway_argument
@click.argument("request_id", default="", metavar="[ID]")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before approving.")
@with_waiting
@with_cluster
def approve(at: At, name: str, request_id: str, yes: bool, waiting: Waiting) -> None:
    """Agree, as a second person, to the bypass that somebody else has asked for.

    Without ID it shows the open request and asks; scripts name what they approve.
    """
    if not request_id:
        found = grant.of(status_of(at.cluster.get(GATEWAYS, at.namespace, name)))
        request_id = str(found.get("requestId", ""))
        if not request_id or found.get("state") in grant.OVER:
            raise Failure("There is no request for a bypass to approve.", f"See: kubectl keeptrusts status {name}")
        ticket = f" ({found['ticket']})" if found.get("ticket") else ""
        asked_for = f" for {found['requestedDuration']}" if found.get("requestedDuration") else ""
        by = found.get("requestedBy") or "somebody unknown"
        at.session.hint(
            f"{by} asks to bypass {grant.scope(found)}{asked_for}, because: {found.get('reason', '')}{ticket}", ""
        )
        if not yes and not _confirmed(f"Approve request {request_id}?"):
            step = f"Scripts name what they approve: bypass approve {name} {request_id}."
            raise Failure("Nothing was approved.", step)
    if answer := asked(at, name, Request(Verb.APPROVE_PASSTHROUGH, request_id), waiting):
        _say_grant(at, answer.gateway)


def _confirmed(question: str) -> bool:
    """A person's yes; nobody there is a no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        return False


def _say_grant(at: At, gateway: Obj) -> None:
    """Where the grant stands, and what a second person would type."""
    found = grant.of(status_of(gateway))
    if ends := found.get("expiresAt") if grant.is_running(found) else None:
        at.session.say(f"It ends by itself {until(at.session.clock.now(), ends)}, at {ends}.")
    if grant.waits_for_approval(found):
        what = (
            "It waits for a second person" if found.get("state") == grant.PENDING else "A second person may extend it"
        )
        command = f"kubectl keeptrusts bypass approve {gateway['metadata']['name']} {found.get('requestId', '')}"
        at.session.say(f"{what}: {command} -n {at.namespace}")


def _from_status(at: At, name: str, pick: Callable[[Mapping[str, Any]], Any], otherwise: str) -> str:
    """The revision that a request is about when none is named."""
    gateway = at.cluster.get(GATEWAYS, at.namespace, name)
    if revision := pick(status_of(gateway)):
        return str(revision)
    phase = status_of(gateway).get("phase", "not looked at yet")
    raise Failure(f"{otherwise}: {name} is {phase}.", f"See: kubectl keeptrusts status {name} -n {at.namespace}")


def _held_back(status: Mapping[str, Any]) -> Any:
    wanted = status.get("desiredRevision")
    held = [q.get("revision") for q in status.get("quarantined") or ()] + [(status.get("retry") or {}).get("revision")]
    return wanted if wanted in held else None
