"""What a real API server answered to the script: one line for each call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conformance.told import Answer

PATH = Path(__file__).with_name("recorded.json")


def load() -> dict[str, list[Answer]]:
    answers: dict[str, list[Answer]] = json.loads(PATH.read_text())
    return answers


def save(answers: Mapping[str, Sequence[Answer]]) -> None:
    cases = [
        f"{json.dumps(name)}: [\n" + ",\n".join(f"  {json.dumps(a, sort_keys=True)}" for a in told) + "\n]"
        for name, told in answers.items()
    ]
    PATH.write_text("{\n" + ",\n".join(cases) + "\n}\n")


def lines(answers: Sequence[Answer]) -> list[str]:
    """As they are compared: readable in a diff."""
    return [json.dumps(a, sort_keys=True) for a in answers]
