"""Options of the command that decide where a token may go."""

from __future__ import annotations

import pytest

from keeptrusts_operator.cli import ALLOWED_HOSTS, _arguments, _parser


def test_hosts_of_options_and_environment_are_allowed_together() -> None:
    parser = _parser({ALLOWED_HOSTS: "api.example.com, prometheus.monitoring.svc:9090"})
    arguments = _arguments(parser, ["--allow-host", "b.example", "--allow-host=C.example"])
    assert arguments.allowed_hosts.hosts == {
        "api.example.com",
        "prometheus.monitoring.svc:9090",
        "b.example",
        "c.example",
    }
    assert arguments.command == "run"


def test_by_default_no_host_is_allowed() -> None:
    assert not _arguments(_parser({}), []).allowed_hosts.hosts


@pytest.mark.parametrize(("environment", "words"), [({ALLOWED_HOSTS: "https://a"}, []), ({}, ["--allow-host", "*"])])
def test_what_is_no_host_ends_the_command(
    environment: dict[str, str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _arguments(_parser(environment), words)
    assert "is not a host" in capsys.readouterr().err
