import re
import time

import pytest

from keeptrusts_operator.api.patterns import problem_of_pattern


@pytest.mark.parametrize(
    "pattern", ["(.*)", "oidc:(.*)@example.com", "(?:oidc|ldap):(.+)", "^([^@]+)@[a-z.]+$", r"(\w{2,8})\)*"]
)
def test_identity_patterns(pattern: str) -> None:
    assert problem_of_pattern(pattern, captures=True) is None


@pytest.mark.parametrize("pattern", ["", "INC-[0-9]+", "(INC|CHG)-[0-9]{4,8}", "https://[^ )+*{]+", r"[\])*+]x(a)?"])
def test_ticket_patterns(pattern: str) -> None:
    assert problem_of_pattern(pattern, captures=False) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "not a regular expression"),
        ("a{99999999999999999999}", "not a regular expression"),
        ("(a+)+$", "repeats a group"),
        ("(a|aa){9}", "repeats a group"),
        ("(?:a*)*b", "repeats a group"),
        (".*.*.*.*x", "more than 3 repetitions"),
        ("a?" * 30 + "a" * 30, "more than 6 alternatives"),
        ("(a|a)" * 20, "more than 6 alternatives"),
    ],
)
def test_patterns_that_could_block_the_operator(pattern: str, problem: str) -> None:
    assert problem in (problem_of_pattern(pattern, captures=False) or "")


@pytest.mark.parametrize("pattern", ["", ".*", "(a)(b)"])
def test_a_person_is_one_group(pattern: str) -> None:
    assert "exactly one group" in (problem_of_pattern(pattern, captures=True) or "")


def test_the_worst_that_is_accepted_is_quick() -> None:
    pattern = "a*a*a*a?a?a?a?a?a?b"
    assert problem_of_pattern(pattern, captures=False) is None
    started = time.perf_counter()
    assert not re.match(pattern, "a" * 100)
    assert time.perf_counter() - started < 5
