"""Completion as kubectl asks a plugin for it: words and a directive, one a line."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.shell_completion import ShellComplete

from keeptrusts_operator.plugin.options import Session

ONLY_THESE, ALSO_FILES = ":4", ":0"  # directives of the library that kubectl completes with


def completions(cli: click.Command, session: Session, arguments: Sequence[str]) -> list[str]:
    """What the last argument may become, `word<tab>description`, and last the directive."""
    *before, incomplete = arguments or [""]
    found = ShellComplete(cli, {"obj": session}, "kubectl keeptrusts", "").get_completions(list(before), incomplete)
    words = [f"{item.value}\t{item.help}" if item.help else str(item.value) for item in found if item.type == "plain"]
    return [*words, ALSO_FILES if any(item.type == "file" for item in found) else ONLY_THESE]
