"""Commands that look at files: lint and test. They need no cluster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
import httpx

from keeptrusts_operator.api.gateway import Profile
from keeptrusts_operator.api.profiles import PROFILES
from keeptrusts_operator.plugin import manifests, trial
from keeptrusts_operator.plugin.failure import Exit, Failure
from keeptrusts_operator.plugin.options import Command, Session, printed, with_output
from keeptrusts_operator.plugin.screen import table
from keeptrusts_operator.plugin.view import Cell, Section, Tone, row, state
from keeptrusts_operator.policy import DocumentError, Finding, Severity, parse_yaml


def with_file(command: Command) -> Command:
    """`-f FILE` and `--profile`."""
    profiles = click.Choice([p.value for p in Profile])
    for option in (
        click.option(
            "--profile",
            type=profiles,
            default=None,
            help="Whose rules apply. Default: that of the GatewayDeployment in the file, else Keeptrusts.",
        ),
        click.option(
            "-f",
            "--filename",
            "file",
            required=True,
            type=click.File(encoding="utf-8"),
            metavar="FILE",
            help="A policy document, or manifests with a GatewayPolicy; - is standard input.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@with_file
@click.option("--strict", is_flag=True, help="What is merely unknown is an error, too.")
@with_output
@click.pass_obj
def lint(session: Session, file: Any, profile: str | None, strict: bool, output: str | None) -> None:
    """Check a policy without a cluster. Exit code 1 if there are errors."""
    policies = _policies(file, profile)
    found = [(p, p.findings(strict=strict)) for p in policies]
    errors = sum(f.severity is Severity.ERROR for _, findings in found for f in findings)
    if output:
        data = [{"policy": p.name, "profile": p.profile.value, "findings": [_data(f) for f in fs]} for p, fs in found]
        printed(session, data, output)
    else:
        for policy, findings in found:
            for finding in findings:
                _show(session, finding)
            what = f"GatewayPolicy {policy.name}" if policy.name else "the document"
            session.say(f"{file.name}: {what}: {_counted(findings)}.")
    if errors:
        raise click.exceptions.Exit(Exit.ERROR)


@click.command()
@with_file
@click.option(
    "--url", required=True, metavar="URL", help="The gateway; without a path, the profile's chat path is added."
)
@click.option("--key-env", default="", metavar="NAME", help="Environment variable with a bearer token.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Of each request.",
)
@with_output
@click.pass_obj
def test(
    session: Session, file: Any, profile: str | None, url: str, key_env: str, timeout: float, output: str | None
) -> None:
    """Run a policy's behaviour tests against a URL, by HTTP status only.

    Exit code 1 if one failed; 5 if none failed, but some say nothing about the policy.
    """
    if key_env and not os.environ.get(key_env):
        raise click.BadParameter(f"{key_env} is not set.", param_hint="--key-env")
    headers = {"authorization": f"Bearer {os.environ[key_env]}"} if key_env else {}
    results: list[trial.Result] = []
    with httpx.Client(timeout=timeout, headers=headers) as client:
        for policy in _policies(file, profile):
            results += _run(session, client, policy, url)
    if not results:
        raise Failure("The file holds no behaviour tests.", "Write some under spec.tests of the GatewayPolicy.")
    if output:
        printed(session, [{**asdict(r), "verdict": r.verdict.value} for r in results], output)
    else:
        _summarise(session, results)
    if any(r.verdict is trial.Verdict.FAILED for r in results):
        raise click.exceptions.Exit(Exit.ERROR)
    if any(r.verdict is trial.Verdict.UNKNOWN for r in results):
        raise click.exceptions.Exit(Exit.UNKNOWN)


def _policies(file: Any, profile: str | None) -> list[manifests.Policy]:
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise Failure(f"{file.name} is not UTF-8 text.") from error
    return manifests.read(text, Profile(profile) if profile else None)


def _run(session: Session, client: httpx.Client, policy: manifests.Policy, url: str) -> Sequence[trial.Result]:
    if policy.refused:
        first = policy.refused[0]
        raise Failure(
            f"{first.path}: {first.message}", "Correct it; to see everything: kubectl keeptrusts lint -f FILE"
        )
    if policy.spec is None:
        raise Failure("A plain document has no behaviour tests.", "Give the manifest of a GatewayPolicy.")
    settings = PROFILES[policy.profile]
    if not settings.blocked_status or not settings.chat_path:
        raise Failure("Nothing is known of how a Custom gateway answers.", "Choose --profile Keeptrusts or Ferro.")
    try:
        where = trial.address(url, settings)
        document = parse_yaml(policy.document) if isinstance(policy.document, str) else policy.document
    except DocumentError as error:
        raise Failure(str(error), "To see everything: kubectl keeptrusts lint -f FILE") from error
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--url") from error
    results = []
    with session.errors.status("testing …") as status:
        for test_ in policy.spec.tests:
            status.update(f"testing {test_.name} …")
            answer = trial.send(client, where, trial.body(test_, document))
            results.append(trial.judge(test_, answer, settings.blocked_status))
    return results


def _summarise(session: Session, results: Sequence[trial.Result]) -> None:
    rows = tuple(row(state(r.verdict.value), r.name, r.message) for r in results)
    session.out.print(table(Section("", rows, ("VERDICT", "TEST", ""))))
    counts = [(v, sum(r.verdict is v for r in results)) for v in trial.Verdict]
    session.say(", ".join(f"{n} {v.value.lower()}" for v, n in counts if n) + ".")


def _show(session: Session, finding: Finding) -> None:
    tone = Tone.BAD if finding.severity is Severity.ERROR else Tone.WARNING
    style = {Tone.BAD: "bold red", Tone.WARNING: "yellow"}[tone]
    cell = Cell(f"{finding.severity.value} {finding.code} {finding.path}", tone)
    session.say(cell.text, style)
    session.say(f"  {finding.message}")
    if finding.suggestion:
        session.say(f"  {finding.suggestion}", "dim")


def _data(finding: Finding) -> dict[str, str]:
    return {**asdict(finding), "severity": finding.severity.value}


def _counted(findings: Sequence[Finding]) -> str:
    errors = sum(f.severity is Severity.ERROR for f in findings)
    warnings = len(findings) - errors
    return f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
