"""A merge patch turns one status into the other, and is empty when nothing has changed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from keeptrusts_operator.loop.mergepatch import diff
from tests.sim.api import merged

leaves = st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
objects = st.dictionaries(
    st.sampled_from("abc"), st.recursive(leaves, lambda c: st.dictionaries(st.sampled_from("abc"), c, max_size=3))
)


@given(objects, objects)
def test_applied_it_gives_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert merged(before, diff(before, after)) == after


@given(objects)
def test_nothing_changed_nothing_written(status: dict[str, Any]) -> None:
    assert diff(status, status) == {}
