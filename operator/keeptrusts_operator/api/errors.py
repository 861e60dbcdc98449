"""What is wrong with a spec, in sentences for the person who wrote it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SpecError:
    """One problem: where (`spec.rollout.steps[1].weight`) and a sentence that says what to write instead."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidSpec(Exception):
    """A spec with all of its problems, in the order of the fields."""

    def __init__(self, errors: tuple[SpecError, ...]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "; ".join(str(error) for error in self.errors)
