"""The program as it is installed: help, completion, usage errors; and never a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from keeptrusts_operator.plugin import entry
from keeptrusts_operator.plugin.app import cli
from keeptrusts_operator.plugin.completion import completions
from keeptrusts_operator.plugin.failure import Exit
from tests.unit.plugin.terminal import Terminal

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "how-to" / "kubectl.md"


def commands() -> list[tuple[str, ...]]:
    """Every command by its words."""
    found: list[tuple[str, ...]] = []
    for name, command in sorted(cli.commands.items()):
        nested = sorted(command.commands) if isinstance(command, click.Group) else []
        found += [(name, n) for n in nested] or [(name,)]
    return found


def complete(terminal: Terminal, *arguments: str) -> list[str]:
    from rich.console import Console  # noqa: PLC0415

    return completions(cli, terminal.session(Console(), Console()), arguments)


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_help_and_its_place_in_the_docs(
    terminal: Terminal, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert terminal.run(*command, "--help").code == Exit.OK
    assert "Usage: kubectl keeptrusts" in capsys.readouterr().out
    assert f"kubectl keeptrusts {' '.join(command)}" in PAGE.read_text()


def test_the_docs_list_every_exit_code() -> None:
    listed = {int(c) for c in re.findall(r"^\| (\d) \|", PAGE.read_text(), re.MULTILINE)}
    assert listed == {int(e) for e in Exit}


def test_usage_errors_are_clicks(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    assert terminal.run("statsu").code == Exit.USAGE
    assert "statsu" in capsys.readouterr().err
    assert terminal.run("status", "gw", "-A").code == Exit.USAGE
    assert terminal.run("diff").code == Exit.USAGE


def test_completion_of_commands_names_and_files(terminal: Terminal) -> None:
    terminal.serve()
    assert {"pause", "promote"} <= {w.partition("\t")[0] for w in complete(terminal, "p")}
    assert complete(terminal, "bypass", "of")[0].startswith("off\t")
    assert complete(terminal, "status", "kt") == ["kt-gateway\tStable", ":4"]
    assert complete(terminal, "rollback", "-n", "demo", "") == ["kt-gateway\tStable", ":4"]
    assert complete(terminal, "rollback", "-n", "other", "") == [":4"]
    assert complete(terminal, "lint", "-f", "") == [":0"]


def test_console_scripts_point_at_functions() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    ours = {k: v for k, v in scripts.items() if k.startswith("kubectl")}
    assert sorted(ours) == ["kubectl-keeptrusts", "kubectl_complete-keeptrusts"]
    for target in ours.values():
        module, function = target.split(":")
        assert module == entry.__name__
        assert callable(getattr(entry, function))


def test_without_the_extra_a_sentence_says_so() -> None:
    code = "import sys; sys.modules['rich'] = None; from keeptrusts_operator.plugin.entry import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "rich is not installed. Install the plugin: pip install 'keeptrusts-operator[plugin]'\n"


def test_without_a_cluster_there_is_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from keeptrusts_operator.plugin.entry import main; main()", "status"]
    environment = {"KUBECONFIG": str(tmp_path / "none"), "PATH": "", "PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == Exit.ERROR
    assert len(done.stderr.splitlines()) == 2
    assert done.stderr.startswith("There is no cluster to talk to: ")
