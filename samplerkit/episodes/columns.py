"""Columns: arrays with one row per step (or per episode), and trees of them for nested spaces.

A column is an array, or a dict or tuple of columns. All arrays of one column have the same number of rows;
a column of an empty Dict space is `{}` and has no arrays at all, so that its number of rows is known only
from its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from samplerkit.episodes.dtypes import fill_value

Array: TypeAlias = npt.NDArray[Any]
Column: TypeAlias = "Array | dict[str, Column] | tuple[Column, ...]"
Columns: TypeAlias = "dict[str, Column]"


def map_column(function: Callable[[Array], Array], column: Column) -> Column:
    """Return the column with the function applied to each of its arrays."""
    if isinstance(column, dict):
        return {key: map_column(function, child) for key, child in column.items()}
    if isinstance(column, tuple):
        return tuple(map_column(function, child) for child in column)
    return function(column)


def map_columns(function: Callable[[Array], Array], columns: Columns) -> Columns:
    """Return the dict of columns with the function applied to each array."""
    return {key: map_column(function, child) for key, child in columns.items()}


def map_pair(function: Callable[[Array, Array], Array], column: Column, other: Column) -> Column:
    """Return the function of the arrays of two columns of the same structure."""
    return map_each(lambda arrays: function(*arrays), (column, other))


def map_each(function: Callable[[Sequence[Array]], Array], columns: Sequence[Column]) -> Column:
    """Return the function of the arrays of several columns, which have the same structure."""
    first = columns[0]
    if isinstance(first, dict):
        dicts = cast("Sequence[dict[str, Column]]", columns)
        return {key: map_each(function, [each[key] for each in dicts]) for key in first}
    if isinstance(first, tuple):
        tuples = cast("Sequence[tuple[Column, ...]]", columns)
        return tuple(map_each(function, children) for children in zip(*tuples, strict=True))
    return function(cast("Sequence[Array]", columns))


def map_columns_of(function: Callable[[Sequence[Array]], Array], batches: Sequence[Columns]) -> Columns:
    """Return the dict of columns with the function of the arrays of several, which are alike."""
    return {key: map_each(function, [columns[key] for columns in batches]) for key in batches[0]}


def arrays_of(column: Column, path: str = "") -> Iterator[tuple[str, Array]]:
    """Yield each array of a column with its path, such as ``observations['camera'][0]``."""
    if isinstance(column, dict):
        for key, child in column.items():
            yield from arrays_of(child, f"{path}[{key!r}]")
    elif isinstance(column, tuple):
        for index, child in enumerate(column):
            yield from arrays_of(child, f"{path}[{index}]")
    else:
        yield path, column


def row_of(column: Any, row: int) -> Any:
    """Return a row of a column, nested as it is; what a policy or an environment gives will do for one."""
    if type(column) is np.ndarray:  # most are, and to ask whether something is a Mapping takes far longer
        return column[row]
    if isinstance(column, Mapping):
        return {key: row_of(child, row) for key, child in column.items()}
    if isinstance(column, tuple):
        return tuple(row_of(child, row) for child in column)
    return column[row]


def rows_of(column: Column, rows: Any) -> Column:
    """Return some rows of a column: views for a slice, copies for an array of indices or of booleans."""
    return map_column(lambda array: rows_of_array(array, rows), column)


def rows_of_array(array: Array, rows: Any) -> Array:
    """Return some rows of an array, as `rows_of` does.

    ``take`` is ten times as fast as an index where a row is a few numbers, but copies all of an array that is
    not contiguous.
    """
    if isinstance(rows, np.ndarray) and rows.dtype.kind == "i" and array.flags.c_contiguous:
        return array.take(rows, 0)
    return cast("Array", array[rows])


def rows_of_each(columns: Columns, rows: Any) -> Columns:
    """Return some rows of each column of a dict."""
    return {key: rows_of(child, rows) for key, child in columns.items()}


def spread_rows(dense: Column, present: Array) -> Column:
    """Return the column with the values in those rows that are present, and filled elsewhere."""

    def spread(array: Array) -> Array:
        full = np.full((len(present), *array.shape[1:]), fill_value(array.dtype), array.dtype)
        full[present] = array
        return full

    return map_column(spread, dense)


def concatenate_columns(parts: Sequence[Column], path: str) -> Column:
    """Return the rows of all parts, one after the other, in fresh arrays.

    Raises:
        ValueError: where structure, dtype or shape differ: observations and actions are never widened.
    """
    first = parts[0]
    if isinstance(first, dict):
        if not all(isinstance(part, dict) and part.keys() == first.keys() for part in parts):
            raise ValueError(
                f"{path} has not the same keys in all batches: concatenate batches of equal spaces."
            )
        dicts = cast("Sequence[dict[str, Column]]", parts)
        return {key: concatenate_columns([part[key] for part in dicts], f"{path}[{key!r}]") for key in first}
    if isinstance(first, tuple):
        if not all(isinstance(part, tuple) and len(part) == len(first) for part in parts):
            raise ValueError(
                f"{path} has not the same entries in all batches: concatenate batches of equal spaces."
            )
        tuples = cast("Sequence[tuple[Column, ...]]", parts)
        return tuple(
            concatenate_columns([part[i] for part in tuples], f"{path}[{i}]") for i in range(len(first))
        )
    return _concatenate_arrays(parts, first, path)


def _concatenate_arrays(parts: Sequence[Column], first: Array, path: str) -> Array:
    dtype, shape = first.dtype, first.shape[1:]
    for part in parts:
        if not isinstance(part, np.ndarray):
            raise ValueError(
                f"{path} is an array in one batch and nested in another: concatenate batches of equal spaces."
            )
        if part.dtype != dtype or part.shape[1:] != shape:
            raise ValueError(
                f"{path} has dtype {dtype} and shape {shape} in one batch and dtype {part.dtype} and shape "
                f"{part.shape[1:]} in another: concatenate batches of equal spaces."
            )
    return np.concatenate(cast("Sequence[Array]", parts))


def fits(place: Column, values: Any) -> bool:
    """Whether values may be assigned to a column as they are: same structure, dtypes and shapes."""
    if isinstance(place, dict):
        same = isinstance(values, Mapping) and values.keys() == place.keys()
        return same and all(fits(child, values[key]) for key, child in place.items())
    if isinstance(place, tuple):
        same = isinstance(values, tuple) and len(values) == len(place)
        return same and all(fits(child, value) for child, value in zip(place, values, strict=True))
    return type(values) is np.ndarray and values.dtype == place.dtype and values.shape == place.shape


def assign(place: Column, values: Any) -> None:
    """Copy values, for which `fits` holds, into a column."""
    if isinstance(place, dict):
        for key, child in place.items():
            assign(child, values[key])
    elif isinstance(place, tuple):
        for child, value in zip(place, values, strict=True):
            assign(child, value)
    else:
        place[...] = values
