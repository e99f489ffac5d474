"""What carriers share with their pool."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from samplerkit.sampling.numbering import runs


@given(st.lists(st.integers(0, 9), max_size=30))
def test_numbers_as_runs_are_the_same_numbers_in_as_few_runs_as_there_can_be(numbers):
    found = list(runs(numbers))
    assert [number for run in found for number in run] == numbers
    assert all(found)
    assert all(before.stop != after.start for before, after in pairwise(found))
