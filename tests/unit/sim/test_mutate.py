"""Every field of both resources, changed in every way its schema suggests: no change leaves a trace."""

from __future__ import annotations

import pytest

from tests.sim.mutate import Patient, mutations

PARTS = 4
ALL = tuple(mutations())


@pytest.mark.parametrize("part", range(PARTS))
async def test_any_change_converges_or_says_why_not_and_leaves_no_trace(part: int) -> None:
    patient = Patient()
    await patient.begin()
    said = [await patient.suffer(mutation) for mutation in ALL[part::PARTS]]
    assert any(said)


def test_every_kind_of_change_is_among_them() -> None:
    assert {m.kind for m in ALL} == {"null", "removed", "reordered", "bound", "beyond", "another"}
    assert len(ALL) > 1000


async def test_a_leftover_is_found() -> None:
    """The harness itself: a child that a change leaves behind breaks it."""
    patient = Patient()
    await patient.begin()
    patient.healthy["services"] = {**patient.healthy["services"], "left": "behind"}
    with pytest.raises(AssertionError, match="other children"):
        await patient.suffer(ALL[0])
