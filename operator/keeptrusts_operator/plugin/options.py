"""What commands share: the session, where to look, and how to print."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
import yaml
from click.shell_completion import CompletionItem
from rich.console import Console

from keeptrusts_operator.api.names import GATEWAY_DEPLOYMENT
from keeptrusts_operator.kube.port import GATEWAYS
from keeptrusts_operator.plugin.ask import Clock
from keeptrusts_operator.plugin.cluster import Cluster, Connection
from keeptrusts_operator.plugin.failure import Failure
from keeptrusts_operator.plugin.screen import words

Command = Callable[..., Any]
PREFIXES = tuple(f"{n}/" for n in (GATEWAY_DEPLOYMENT.short, GATEWAY_DEPLOYMENT.singular, GATEWAY_DEPLOYMENT.plural))


@dataclass(frozen=True)
class Session:
    """How a command reaches the world: a cluster by kubeconfig and context, time, the terminal."""

    connect: Callable[[str, str], Connection]
    clock: Clock
    out: Console
    errors: Console
    nonce: Callable[[], str]  # what makes a request new

    def say(self, text: str, style: str = "") -> None:
        """A line on standard output, wrapped by the terminal only, so that commands in it can be copied."""
        self.out.print(words(text, style), soft_wrap=True)

    def hint(self, text: str, style: str = "dim") -> None:
        """A line for people on standard error."""
        self.errors.print(words(text, style), soft_wrap=True)


@dataclass(frozen=True)
class At:
    """Where a command looks."""

    session: Session
    cluster: Cluster
    namespace: str


def with_cluster(command: Command) -> Command:
    """Options as kubectl's; the command gets `At` as its first argument."""

    @click.option("-n", "--namespace", default="", metavar="NAMESPACE", help="Default: the context's.")
    @click.option(
        "--context", default="", metavar="CONTEXT", help="Context of the kubeconfig. Default: its current one."
    )
    @click.option("--kubeconfig", default="", metavar="FILE", help="Default: $KUBECONFIG, or ~/.kube/config.")
    @click.pass_obj
    @functools.wraps(command)
    def run(session: Session, /, *args: Any, namespace: str, context: str, kubeconfig: str, **options: Any) -> Any:
        connection = session.connect(kubeconfig, context)
        return command(At(session, connection.cluster, namespace or connection.namespace), *args, **options)

    return run


def with_output(command: Command) -> Command:
    """`-o json|yaml`; the command gets `output`, empty for people."""
    choice = click.Choice(["json", "yaml"])
    return click.option("-o", "--output", type=choice, default=None, help="For programs.")(command)


def gateway_argument(command: Command) -> Command:
    """The name of a GatewayDeployment, also as `gwd/<name>`."""
    return click.argument("name", metavar="NAME", callback=_plain_name, shell_complete=complete_names)(command)


def printed(session: Session, value: Any, output: str) -> None:
    """A value as JSON or YAML, without colours and never wrapped."""
    text = json.dumps(value, indent=2) + "\n" if output == "json" else yaml.safe_dump(value, sort_keys=False)
    click.echo(text, nl=False, file=session.out.file)


def complete_names(context: click.Context, _: click.Parameter, incomplete: str) -> Sequence[CompletionItem[str]]:
    """Names of GatewayDeployments, for the shell; none where the cluster cannot be asked."""
    session = context.find_object(Session)
    if session is None:
        return []
    options = {k: str(context.params.get(k) or "") for k in ("kubeconfig", "context", "namespace")}
    try:
        connection = session.connect(options["kubeconfig"], options["context"])
        found = connection.cluster.list(GATEWAYS, options["namespace"] or connection.namespace)
    except Failure:
        return []
    phases = {str(g["metadata"]["name"]): str((g.get("status") or {}).get("phase", "")) for g in found}
    return [CompletionItem(name, help=phases[name]) for name in sorted(phases) if name.startswith(incomplete)]


def _plain_name(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    for prefix in PREFIXES:
        value = value.removeprefix(prefix)
    return value
