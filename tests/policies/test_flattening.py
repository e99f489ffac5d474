"""Observations as float32 rows, in gymnasium's own order."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.policies import flat_size, flatten_observations
from samplerkit.policies.stacking import stack_rows

SPACES = [
    spaces.Box(-1, 1, (2, 3), np.float64),
    spaces.Box(-1, 1, (), np.float32),
    spaces.Discrete(4, start=2),
    spaces.MultiBinary([2, 2]),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[1, 0], [0, -3]]),
    spaces.Dict({"z": spaces.Discrete(2), "a": spaces.Tuple([spaces.Box(0, 1, (2,)), spaces.Discrete(3)])}),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("as_list", [True, False])
def test_rows_are_what_gymnasium_flattens_to(space, as_list):
    space.seed(0)
    samples = [space.sample() for _ in range(5)]
    expected = np.stack([spaces.flatten(space, sample).astype(np.float32) for sample in samples])
    flat = flatten_observations(space, samples if as_list else stack_rows(samples))
    assert flat.dtype == np.float32
    assert flat.shape == (5, flat_size(space))
    np.testing.assert_array_equal(flat, expected)


def test_a_column_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="do not fit"):
        flatten_observations(SPACES[0], np.zeros((4, 3, 2)))


def test_a_number_outside_a_discrete_space_is_refused():
    with pytest.raises(ValueError, match="outside"):
        flatten_observations(spaces.Discrete(3), np.array([0, 3]))


def test_a_space_that_cannot_be_flattened_is_refused_by_name():
    with pytest.raises(TypeError, match="Text"):
        flat_size(spaces.Text(4))
