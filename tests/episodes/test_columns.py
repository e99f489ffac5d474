from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.episodes.columns import (
    arrays_of,
    concatenate_columns,
    map_column,
    row_of,
    rows_of,
    spread_rows,
)
from samplerkit.episodes.space_columns import space_column

NESTED = {"a": np.arange(6).reshape(3, 2), "b": (np.zeros(3, np.int8), {"c": np.ones((3, 1), bool)})}


def test_mapping_keeps_the_structure():
    doubled = map_column(lambda array: array * 2, NESTED)
    np.testing.assert_array_equal(doubled["a"], NESTED["a"] * 2)
    assert doubled["b"][1]["c"].shape == (3, 1)


def test_arrays_are_named_by_their_paths():
    paths = [path for path, _ in arrays_of(NESTED, "observations")]
    assert paths == ["observations['a']", "observations['b'][0]", "observations['b'][1]['c']"]


@pytest.mark.parametrize("kind", [dict, MappingProxyType])
def test_a_row_is_nested_as_its_column_is(kind):
    row = row_of({**NESTED, "b": (NESTED["b"][0], kind(NESTED["b"][1]))}, 1)
    assert row["a"].tolist() == [2, 3]
    assert row["b"] == (0, {"c": np.array([True])})
    assert row_of(["of", "a", "list"], 1) == "a"


def test_a_slice_of_rows_is_a_view():
    part = rows_of(NESTED, slice(1, 2))
    assert part["a"].base is not None
    assert np.shares_memory(part["a"], NESTED["a"])


def test_indexed_rows_are_copies():
    assert not np.shares_memory(rows_of(NESTED, [0, 2])["a"], NESTED["a"])


@given(st.data())
def test_rows_are_found_by_numbers_flags_and_slices_alike(data):
    n, width = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 3))
    array = np.arange(n * 2 * width if width else n * 2).reshape(n * 2, *[width] * bool(width))
    array = data.draw(st.sampled_from([array, array[::2], array.astype(object), array.astype(">i2")]))
    numbers = np.array(data.draw(st.lists(st.integers(-len(array), len(array) - 1))), np.int64)
    flags = np.array(data.draw(st.lists(st.booleans(), min_size=len(array), max_size=len(array))))
    for rows in (numbers, flags, numbers.tolist(), data.draw(st.slices(len(array)))):
        found = rows_of({"a": array}, rows)["a"]
        assert found.dtype == array.dtype
        assert found.tolist() == array[rows].tolist()
        assert isinstance(rows, slice) or not np.shares_memory(found, array)
    with pytest.raises(IndexError):
        rows_of(array, np.array([len(array)]))


def test_the_column_of_a_space_is_nested_as_the_space_is():
    space = spaces.Dict(
        {"x": spaces.Box(0, 255, (2, 3), np.uint8), "y": spaces.Tuple([spaces.Discrete(4), spaces.Dict({})])}
    )
    column = space_column(space, "observation", 5, set()).rows(slice(None))
    assert column["x"].shape == (5, 2, 3)
    assert column["x"].dtype == np.uint8
    assert column["y"][0].shape == (5,)
    assert column["y"][1] == {}


def test_concatenation_gives_all_rows_in_fresh_arrays():
    joined = concatenate_columns([NESTED], "observations")
    np.testing.assert_array_equal(joined["a"], NESTED["a"])
    assert not np.shares_memory(joined["a"], NESTED["a"])
    twice = concatenate_columns([NESTED, NESTED], "observations")
    assert twice["b"][1]["c"].shape == (6, 1)


@pytest.mark.parametrize(
    ("other", "place"),
    [
        ({**NESTED, "a": np.zeros((3, 2), np.float32)}, r"observations\['a'\] has dtype int64"),
        ({**NESTED, "a": np.zeros((3, 5), np.int64)}, r"observations\['a'\] .* shape \(5,\)"),
        ({**NESTED, "b": (np.zeros(3, np.int8),)}, r"observations\['b'\] has not the same entries"),
        ({**NESTED, "b": NESTED["a"]}, r"observations\['b'\] has not the same entries"),
        ({**NESTED, "a": {"z": NESTED["a"]}}, r"observations\['a'\] is an array in one batch and nested"),
        ({"a": NESTED["a"]}, "observations has not the same keys"),
    ],
)
def test_columns_that_do_not_fit_are_never_widened(other, place):
    with pytest.raises(ValueError, match=place):
        concatenate_columns([NESTED, other], "observations")


def test_spreading_fills_the_rows_between():
    column = {"n": np.array([5, 6], np.int8), "s": np.array(["x", "y"]), "o": np.array(["p", {}], object)}
    spread = spread_rows(column, np.array([False, True, False, True]))
    assert spread["n"].tolist() == [0, 5, 0, 6]
    assert spread["n"].dtype == np.int8
    assert spread["s"].tolist() == ["", "x", "", "y"]
    assert spread["o"].tolist() == [None, "p", None, {}]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u1", "i2", "f4", "f8"])
def test_arrays_of_the_machine_are_recorded_as_they_are(monkeypatch, kind, order):
    column = space_column(spaces.Box(0, 9, (2, 3), np.dtype(order + kind)), "observation", 2, set())
    monkeypatch.setattr(type(column), "converted", None)
    value = np.full((2, 3), 5, np.dtype(kind))
    column.put(0, value)
    column.cast(1, value)
    assert np.array_equal(column.rows(slice(None)), [value, value])
