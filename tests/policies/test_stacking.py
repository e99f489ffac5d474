"""Values and infos of rows become columns in which each row is what it was."""

from __future__ import annotations

import numpy as np
import pytest

from samplerkit.episodes.columns import row_of
from samplerkit.policies.stacking import rows_in, stack_infos, stack_rows


@pytest.mark.parametrize(
    "column",
    [
        np.zeros((3, 2)),
        ["of", "a", "list"],
        {"a": np.zeros(3)},
        {"a": {}, "b": ({}, (), np.zeros(3))},
        ((), np.zeros(3)),
    ],
)
def test_rows_are_counted_where_there_are_any(column):
    assert rows_in(column, 7) == 3


@pytest.mark.parametrize("column", [{}, (), {"a": ({}, {})}])
def test_where_there_are_none_one_must_know(column):
    assert rows_in(column, 7) == 7


@pytest.mark.parametrize(
    ("values", "dtype", "shape"),
    [
        ([1, 2], np.int64, ()),
        ([0.5, np.float64(2)], np.float64, ()),
        ([True, np.bool_(False)], np.bool_, ()),
        ([np.float16(1), np.float16(2)], np.float16, ()),
        (["ab", "cd"], np.dtype("<U2"), ()),
        ([[1, 2], (3, 4)], np.int64, (2,)),
        ([np.zeros((2, 1), ">i2"), np.ones((2, 1), ">i2")], np.dtype(">i2"), (2, 1)),
        ([np.zeros(0), np.zeros(0)], np.float64, (0,)),
        ([None, "object"], object, ()),
        ([[None, 1], [2, None]], object, (2,)),
    ],
)
def test_rows_that_are_alike_become_an_array_of_their_dtype(values, dtype, shape):
    for column in (stack_infos([{"x": value} for value in values])["x"], stack_rows(values)):
        assert column.dtype == dtype
        assert column.shape == (2, *shape)
        for row, value in enumerate(values):
            np.testing.assert_array_equal(column[row], value)


@pytest.mark.parametrize(
    "values",
    [
        [1, 0.5],
        [True, 2],
        [1, 2**63],
        ["a", "longer"],
        [np.float32(1), 1.5],
        [np.zeros(2), np.zeros(2, np.int8)],
        [np.zeros(2), np.zeros(3)],
        [np.zeros((1, 2)), np.zeros(2)],
        [np.zeros(2), 0.0],
        [np.datetime64(1, "s"), np.datetime64(1, "ms")],
        [{"a": 1}, 1],
        [[1, 2], [[1], [1, 2]]],
        [None, 1],
    ],
)
def test_rows_that_are_not_keep_their_own_values(values):
    for column in (stack_infos([{"x": value} for value in values])["x"], stack_rows(values)):
        assert column.dtype == object
        assert column.shape == (2,)
        assert all(kept is value for kept, value in zip(column, values, strict=True))


@pytest.mark.parametrize("others", [{"x": 1}, {"x": 1, "y": 2, "z": 3}, (1, 2), 1])
def test_rows_of_another_structure_keep_it(others):
    dicts = stack_rows([{"x": 1, "y": 2}, others])
    assert [row_of(dicts, row) for row in range(2)] == [{"x": 1, "y": 2}, others]


def test_tuples_of_another_length_keep_theirs():
    tuples = stack_rows([(1, 2), (1, 2, 3)])
    assert [row_of(tuples, row) for row in range(2)] == [(1, 2), (1, 2, 3)]


def test_a_tuple_among_infos_is_an_array_as_everywhere():
    assert stack_infos([{"x": (1, 2)}, {"x": (3, 4)}])["x"].tolist() == [[1, 2], [3, 4]]


def test_rows_that_lack_a_key_are_filled_beside_a_mask_whatever_the_others_have():
    infos = stack_infos([{}, {"x": 1, "in": {"y": 1}}, {"x": 2.5, "in": {}}, {"s": "a"}])
    assert infos["x"].tolist() == [None, 1, 2.5, None]
    assert infos["_x"].tolist() == infos["_in"].tolist() == [False, True, True, False]
    assert infos["in"]["y"].tolist() == [0, 1, 0, 0]
    assert infos["in"]["_y"].tolist() == [False, True, False, False]
    assert infos["s"].tolist() == ["", "", "", "a"]


@pytest.mark.parametrize("infos", [[{"x": 1, "_x": True}], [{"x": 1}, {"_x": 0.5}]])
def test_a_key_that_would_be_the_mask_of_another_is_refused(infos):
    with pytest.raises(ValueError, match=r"agent_infos\['in'\] has the keys 'x' and '_x'"):
        stack_infos([{"in": info} for info in infos])
