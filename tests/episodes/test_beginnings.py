"""Episodes that begin together have the infos that they would have one by one."""

from __future__ import annotations

import numpy as np
import pytest

from samplerkit.episodes.beginnings import Beginning, columns_of, put_rows, shared_infos
from samplerkit.episodes.infos import concatenate_infos, stack_infos
from samplerkit.episodes.vector_infos import row_infos

INFOS = {
    "seed": np.arange(5),
    "place": np.arange(10, dtype=np.float32).reshape(5, 2),
    "lucky": np.array([True, False, True, True, False]),
}


def one_by_one(infos, slots):
    parts = [stack_infos((row_infos(infos, slot),)) for slot in slots]
    return concatenate_infos(parts, [1] * len(parts))


def assert_same(columns, expected):
    assert list(columns) == list(expected)
    for key, column in expected.items():
        assert columns[key].dtype == column.dtype
        np.testing.assert_array_equal(columns[key], column)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0], [1, 1, 0]])
def test_rows_are_those_of_their_slots_in_any_order(order):
    slots = [1, 3, 4]
    shared = shared_infos(INFOS, slots, 5)
    columns = columns_of([Beginning(shared, row) for row in order], "episode_infos")
    assert_same(columns, one_by_one(INFOS, [slots[row] for row in order]))


def test_they_go_together_with_those_of_other_beginnings():
    first, other = shared_infos(INFOS, [0, 1], 5), shared_infos(INFOS, [4], 5)
    alone = stack_infos((row_infos(INFOS, 3),))
    columns = columns_of(
        [Beginning(first, 1), Beginning(other, 0), alone, Beginning(first, 0)], "episode_infos"
    )
    assert_same(columns, one_by_one(INFOS, [1, 4, 3, 0]))


def test_later_infos_do_not_change_them():
    infos = {"seed": np.arange(5)}
    shared = shared_infos(infos, [2], 5)
    infos["seed"][:] = 9
    assert columns_of([Beginning(shared, 0)], "episode_infos")["seed"].tolist() == [2]


@pytest.mark.parametrize(
    "infos",
    [
        {"a": np.arange(5), "_a": np.array([True, True, False, True, True])},
        {"a": np.array(["x", "yy", "z", "x", "x"])},
        {"a": np.array([None] * 5)},
        {"a": {"b": np.arange(5)}},
        {"a": [1, 2, 3, 4, 5]},
        {"a": np.arange(4)},
    ],
    ids=["missing in a slot", "strings", "objects", "nested", "a list", "another length"],
)
def test_infos_that_are_not_plain_numbers_of_all_slots_are_left_to_others(infos):
    assert shared_infos(infos, [0, 1], 5) is None


def test_rows_are_copied_where_no_cast_is_needed():
    place = {"a": np.zeros((4, 2), np.float32), "b": (np.zeros(4, np.int64),)}
    values = {"a": np.ones((4, 2), np.float32), "b": (np.arange(4),)}
    assert put_rows(place, values, [1, 3])
    assert place["a"][:, 0].tolist() == [0, 1, 0, 1]
    assert place["b"][0].tolist() == [0, 1, 0, 3]
    assert not put_rows(place, {**values, "a": values["a"].astype(np.float64)}, [1])
    assert not put_rows(place, {"a": values["a"]}, [1])
    assert not put_rows(place, {**values, "b": values["b"][0]}, [1])
