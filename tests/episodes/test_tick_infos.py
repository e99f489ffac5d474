"""Columns of infos that are written a tick at a time."""

from __future__ import annotations

import numpy as np
import pytest

from samplerkit.episodes.tick_infos import TickInfos
from samplerkit.episodes.vector_infos import row_infos


def put(infos, *ticks):
    return [infos.put(tick, values) for tick, values in enumerate(ticks)]


def test_rows_come_back_as_they_were_put():
    infos = TickInfos(2, 4)
    assert put(infos, {"a": np.array([1, 2])}, {"a": np.array([3, 4])}) == [True, True]
    np.testing.assert_array_equal(infos.cut(slice(1, 4, 2))["a"], [2, 4])
    np.testing.assert_array_equal(infos.cut(np.array([3, 0]))["a"], [4, 1])


def test_a_key_that_comes_late_has_a_mask():
    infos = TickInfos(2, 4)
    put(infos, {}, {"a": np.array([3.0, 4.0])})
    columns = infos.cut(slice(0, 4, 2))
    assert columns["a"].tolist() == [0.0, 3.0]
    assert columns["_a"].tolist() == [False, True]


def test_a_key_that_goes_has_a_mask():
    infos = TickInfos(2, 4)
    put(infos, {"a": np.array([3.0, 4.0])}, {})
    assert infos.cut(slice(0, 4, 2))["_a"].tolist() == [True, False]


def test_a_mask_that_all_rows_of_an_episode_satisfy_is_left_out():
    infos = TickInfos(2, 4)
    put(infos, {"a": np.array([3, 4]), "_a": np.array([True, False])})
    assert list(infos.cut(slice(0, 1))) == ["a"]
    assert infos.cut(slice(1, 2)) == {}


def test_nested_masks_are_those_of_the_rows_that_have_the_dict():
    infos = TickInfos(2, 4)
    inner = {"x": np.array([1, 0]), "_x": np.array([True, False])}
    put(infos, {"in": inner, "_in": np.array([True, False])})
    columns = infos.cut(slice(0, 2))
    assert columns["_in"].tolist() == [True, False]
    assert columns["in"]["x"].tolist() == [1, 0]
    assert "_x" not in columns["in"]


def test_what_fits_into_no_column_is_refused():
    assert put(TickInfos(2, 4), {"a": np.array([1, 2])}, {"a": np.array([1.5, 2])}) == [True, False]
    assert put(TickInfos(2, 4), {"a": np.array([object(), None])}) == [False]
    assert put(TickInfos(2, 4), {"a": [1, 2]}) == [False]
    assert put(TickInfos(2, 4), {"a": np.zeros(3)}) == [False]
    assert put(TickInfos(2, 4), {"a": np.zeros((2, 3))}, {"a": np.zeros((2, 1))}) == [True, False]


def test_strings_are_refused_unless_their_width_may_be_that_of_all():
    names, nested = np.array(["left", "a"]), {"in": {"a": np.array([b"left", b"a"])}}
    assert put(TickInfos(2, 4), {"a": names}) == put(TickInfos(2, 4), nested) == [False]
    assert put(TickInfos(2, 4), {"a": names[:, np.newaxis]}) == [True], "arrays of them are as they are"
    infos = TickInfos(2, 4, strings=True)
    assert put(infos, {"a": names, **nested}, {"a": names, **nested}) == [True, True]


def test_numbers_in_another_byte_order_come_in_that_of_the_machine():
    infos = TickInfos(2, 4)
    assert put(infos, {"a": np.array([1, 2], ">i4")}, {"a": np.array([3, 4], "<i4")}) == [True, True]
    assert infos.cut(slice(0, 4))["a"].tolist() == [1, 2, 3, 4]
    assert infos.cut(slice(0, 4))["a"].dtype == np.int32


@pytest.mark.parametrize(("first", "then"), [("a", "_a"), ("_a", "a")])
def test_a_key_with_the_name_of_anothers_mask_is_refused_whenever_it_comes(first, then):
    infos = TickInfos(2, 4)
    assert infos.put(0, {first: np.array([1, 2])})
    assert not infos.put(1, {then: np.array([1, 2])})


def test_columns_that_moved_or_grew_are_the_same():
    infos = TickInfos(2, 2)
    put(infos, {"a": np.array([1, 2])}, {"b": {"c": np.array([3, 4])}})
    before = infos.cut(slice(0, 4))
    infos.grow(8)
    moved = TickInfos(2, 8)
    moved.take_ticks(infos, 0, 2)
    for after in (infos.cut(slice(0, 4)), moved.cut(slice(0, 4))):
        assert list(after) == list(before) == ["a", "_a", "b", "_b"]
        assert after["a"].tolist() == [1, 2, 0, 0]
        assert after["b"]["c"].tolist() == [0, 0, 3, 4]


def test_a_row_has_the_keys_that_its_masks_say():
    infos = {"a": np.array([1, 2]), "_a": np.array([True, False]), "in": {"x": np.array([3, 4])}, "_": [5, 6]}
    assert row_infos(infos, 0) == {"a": 1, "in": {"x": 3}, "_": 5}
    assert row_infos(infos, 1) == {"in": {"x": 4}, "_": 6}


def test_a_row_of_a_nested_column_is_nested_as_it_is():
    assert row_infos({"a": (np.array([1, 2]), [3, 4])}, 1) == {"a": (2, 4)}


def test_keys_that_are_no_strings_are_left_to_who_records_them():
    assert row_infos({3: np.array([1, 2]), (): np.array([True, False])}, 0) == {3: 1, (): True}
