from __future__ import annotations

import itertools

import numpy as np
import pytest

from samplerkit.episodes.dtypes import common_dtype, fill_value, unify_numbers

NUMERIC = [np.dtype(code) for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")]
NUMERIC += [np.dtype("c8"), np.dtype("c16")]


def test_numeric_dtypes_join_the_same_in_every_order_and_grouping():
    for one, two, three in itertools.product(NUMERIC, repeat=3):
        left = common_dtype(common_dtype(one, two), three)
        right = common_dtype(one, common_dtype(two, three))
        assert left == right, f"{one}, {two}, {three}: {left} or {right}"
        assert common_dtype(one, two) == common_dtype(two, one)


def test_it_is_numpys_common_type_but_for_unsigned_integers_beside_floats():
    different = {
        (str(one), str(two))
        for one, two in itertools.product(NUMERIC, repeat=2)
        if common_dtype(one, two) != np.promote_types(one, two) and one.kind == "u"
    }
    assert different == {
        ("uint8", "float16"),
        ("uint16", "float16"),
        ("uint16", "float32"),
        ("uint16", "complex64"),
    }


def test_a_dtype_joined_with_itself_is_that_dtype():
    for dtype in [*NUMERIC, np.dtype("U3"), np.dtype("M8[s]"), np.dtype(object), np.dtype(">f4")]:
        assert common_dtype(dtype, dtype) is dtype


def test_strings_take_the_greater_width():
    assert common_dtype(np.dtype("U3"), np.dtype("U8")) == np.dtype("U8")


@pytest.mark.parametrize(
    "pair", [("U3", "f8"), ("U3", "S3"), ("M8[s]", "i8"), ("M8[s]", "m8[s]"), ("?", "U1")]
)
def test_kinds_that_numpy_would_mix_up_have_nothing_in_common(pair):
    assert common_dtype(*map(np.dtype, pair)) is None
    assert common_dtype(*map(np.dtype, reversed(pair))) is None


def test_objects_take_in_everything():
    assert common_dtype(np.dtype("f4"), np.dtype(object)).kind == "O"
    assert common_dtype(np.dtype(object), np.dtype("U4")).kind == "O"


def test_fills_are_zero_the_empty_string_or_none():
    assert fill_value(np.dtype("f4")) == 0
    assert fill_value(np.dtype("U4")) == ""
    assert fill_value(np.dtype(object)) is None


def test_numbers_among_objects_take_one_type():
    column = unify_numbers(np.array([None, True, 2, 2.5, "x"], object))
    assert column.tolist() == [None, 1.0, 2.0, 2.5, "x"]
    assert [type(item) for item in column] == [type(None), float, float, float, str]


def test_integers_beyond_all_floats_stay():
    column = unify_numbers(np.array([10**400, 0.5], object))
    assert column[0] == 10**400
