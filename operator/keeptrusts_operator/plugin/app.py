"""`kubectl keeptrusts`: its commands put together, and every failure as a sentence with an exit code."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import Console

from keeptrusts_operator.plugin import asking, checking, reading
from keeptrusts_operator.plugin.ask import Clock
from keeptrusts_operator.plugin.cluster import connect
from keeptrusts_operator.plugin.completion import completions
from keeptrusts_operator.plugin.failure import Exit, Failure
from keeptrusts_operator.plugin.options import Session

PROGRAM = "kubectl keeptrusts"
TRACEBACK = "KEEPTRUSTS_TRACEBACK"  # in the environment: show where a bug is
PIPE_WIDTH = 240  # columns where nothing is drawn: lines are for grep
EXIT_CODES = "Exit codes: 0 done, 1 error, 2 usage, 3 refused, 4 no answer in time, 5 (test) unknown."


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="keeptrusts-operator")
def cli() -> None:
    """Gateways under the Keeptrusts operator: what goes on, and what to do about it."""


for command in (
    *(reading.status, reading.explain_, reading.history, reading.diff),
    *(asking.rollback, asking.promote, asking.pause, asking.resume, asking.retry, asking.restart, asking.bypass),
    *(checking.lint, checking.test),
):
    cli.add_command(command)


def session() -> Session:
    """The session of a real terminal."""
    logging.getLogger().addHandler(logging.NullHandler())  # the client logs what it then raises as well
    clock = Clock(lambda: datetime.now(UTC), time.monotonic, time.sleep)
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Session(connect, clock, Console(highlight=False, width=width), Console(stderr=True, highlight=False), _nonce)


def run(arguments: Sequence[str], session: Session) -> int:
    """One command; gives its exit code. Raises nothing."""
    try:
        code = cli.main(args=list(arguments), prog_name=PROGRAM, obj=session, standalone_mode=False)
        return code if isinstance(code, int) else Exit.OK
    except Failure as failure:
        session.hint(failure.message, "bold red")
        if failure.next_step:
            session.hint(failure.next_step, "")
        return failure.code
    except click.ClickException as error:  # usage: click's own words
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        session.hint(f"This is a bug of the plugin: {type(error).__name__}: {error}", "bold red")
        session.hint(
            f"Please report it with what {TRACEBACK}=1 shows. kubectl get gwd -o yaml has all that it reads.", ""
        )
        return Exit.ERROR


def main() -> None:
    """Entry point of `kubectl-keeptrusts`."""
    sys.exit(run(sys.argv[1:], session()))


def complete() -> None:
    """Entry point of `kubectl_complete-keeptrusts`, which kubectl calls when somebody presses the tab key."""
    print("\n".join(completions(cli, session(), sys.argv[1:])))


def _nonce() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
