"""The common dtype of info values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

DType = np.dtype[Any]

_NUMERIC = "biufc"
# A signed integer that holds every value of the unsigned one.
_SIGNED = {1: "i2", 2: "i4", 4: "i8", 8: "f8"}


def common_dtype(one: DType, other: DType) -> DType | None:
    """Return the dtype that holds the values of both, or None where there is none.

    It is numpy's common type, with one exception that makes the answer for many dtypes independent of the
    order in which they come: where an unsigned integer meets a float it counts as the signed integer that
    holds it (numpy says float16 for uint8 with float16, and for int8, but float32 for both together). Python
    objects take in everything; strings and numbers have nothing in common.
    """
    if one == other:
        return one
    if one.kind == "O" or other.kind == "O":
        return np.dtype(object)
    if one.kind in _NUMERIC and other.kind in _NUMERIC:
        return np.promote_types(_beside(one, other), _beside(other, one))
    if one.kind == other.kind and one.kind in "USMm":
        return np.promote_types(one, other)
    return None


def native(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array in this machine's byte order: numpy keeps another one in some operations only."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def fill_value(dtype: DType) -> Any:
    """Return what stands in a row where there is no value: zero, the empty string, or None among objects."""
    if dtype.kind == "O":
        return None
    zero: Any = np.zeros((), dtype)
    return zero[()]


def unify_numbers(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Give the Python numbers among objects one type, whichever rows were put together first."""
    flat = column.reshape(-1)
    kinds = {type(item) for item in flat}
    numeric = [kind for kind in (bool, int, float, complex) if kind in kinds]
    if len(numeric) > 1:
        for index, item in enumerate(flat):
            if type(item) in numeric:
                try:
                    flat[index] = numeric[-1](item)
                except OverflowError:  # an integer beyond the range of floats stays what it is
                    continue
    return column


def _beside(one: DType, other: DType) -> DType:
    return np.dtype(_SIGNED[one.itemsize]) if one.kind == "u" and other.kind in "fc" else one
