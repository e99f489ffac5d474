"""Growing columns for the values of a space: where observations and actions are recorded.

A value of exactly the space's dtype and shape is copied in one assignment. Any other value takes the slow
path: a cast within its kind (float64 to float32, int64 to int8 where the numbers fit) with one warning for
each path, and an error for the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
from gymnasium import spaces

from samplerkit.episodes.columns import Array, Column, rows_of_array
from samplerkit.episodes.dtypes import native
from samplerkit.episodes.spec import Space


class SpaceColumn(Protocol):
    """A growing column, or a tree of them, for the values of one space."""

    def put(self, row: int, value: Any) -> Any:
        """Store a value at a row, and return it in the space's dtype: itself where it fits.

        Raises:
            ValueError, TypeError: where the space has no such values.
        """

    def cast(self, row: int, value: Any) -> Any:
        """Store a value at a row, and return it in the space's dtype, in memory of its own."""

    def grow(self, capacity: int) -> None:
        """Make room for this many rows, and keep those there are."""

    def use(self, rows: Column) -> None:
        """Store values in these rows from now on, which are of the space's dtypes and shapes."""

    def take_rows(self, other: Any, start: int, stop: int) -> None:
        """Copy rows of another column of the same space to the beginning of this one."""

    def copy_row(self, row: int, other: Any, its_row: int) -> None:
        """Copy one row of another column of the same space."""

    def rows(self, rows: Any) -> Column:
        """Return some rows: views for a slice, copies for an array of their numbers."""

    def copy_rows(self, start: int, stop: int) -> Column:
        """Return some rows in fresh arrays."""


def space_column(space: Space, path: str, capacity: int, warned: set[str]) -> SpaceColumn:
    """Return an empty growing column for a space.

    Args:
        space: of the values.
        path: what errors call the values.
        capacity: number of rows.
        warned: paths that a warning was given for; shared by columns that follow each other.
    """
    if isinstance(space, spaces.Dict):
        children = {
            key: space_column(child, f"{path}[{key!r}]", capacity, warned)
            for key, child in space.spaces.items()
        }
        return DictColumn(children, path)
    if isinstance(space, spaces.Tuple):
        entries = [
            space_column(child, f"{path}[{index}]", capacity, warned)
            for index, child in enumerate(space.spaces)
        ]
        return TupleColumn(tuple(entries), path)
    # numpy's own object for it, as arrays have it, by which `put` knows theirs: `newbyteorder` makes another.
    dtype = np.dtype(np.dtype(cast("Any", space.dtype).str).newbyteorder("=").str)
    shape = cast("tuple[int, ...]", space.shape)
    if isinstance(space, spaces.Discrete):
        return ScalarColumn(dtype, shape, path, capacity, warned)
    return ArrayColumn(dtype, shape, path, capacity, warned)


class ArrayColumn:
    """Values of a Box, MultiBinary or MultiDiscrete space."""

    __slots__ = ("buffer", "dtype", "path", "shape", "warned")

    def __init__(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], path: str, capacity: int, warned: set[str]
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.path = path
        self.warned = warned
        self.buffer: Array = np.empty((capacity, *shape), dtype)

    def put(self, row: int, value: Any) -> Any:
        if type(value) is not np.ndarray or value.dtype is not self.dtype or value.shape != self.shape:
            value = self.converted(value)
        self.buffer[row] = value
        return value

    def cast(self, row: int, value: Any) -> Any:
        if type(value) is not np.ndarray or value.dtype is not self.dtype or value.shape != self.shape:
            value = self.converted(value)
        self.buffer[row] = value
        return value.copy()

    def grow(self, capacity: int) -> None:
        buffer = np.empty((capacity, *self.shape), self.dtype)
        buffer[: len(self.buffer)] = self.buffer
        self.buffer = buffer

    def use(self, rows: Column) -> None:
        self.buffer = cast("Array", rows)

    def take_rows(self, other: ArrayColumn, start: int, stop: int) -> None:
        self.buffer[: stop - start] = other.buffer[start:stop]

    def copy_row(self, row: int, other: ArrayColumn, its_row: int) -> None:
        self.buffer[row] = other.buffer[its_row]

    def rows(self, rows: Any) -> Column:
        return rows_of_array(self.buffer, rows)

    def copy_rows(self, start: int, stop: int) -> Column:
        return self.buffer[start:stop].copy()

    def converted(self, value: Any) -> Array:
        """Return the value in the column's dtype, or raise an error that says what does not fit."""
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.empty(0, object)
        if array.dtype.kind not in "biufc":
            raise TypeError(f"{self.path} is {_described(value)}, {self.expected()}")
        if array.shape != self.shape:
            raise ValueError(f"{self.path} has shape {array.shape}, {self.expected()}")
        array = native(array)
        if array.dtype == self.dtype:
            return array
        if not (np.can_cast(array.dtype, self.dtype, "same_kind") or _both_integers(array.dtype, self.dtype)):
            raise ValueError(f"{self.path} has dtype {array.dtype}, {self.expected()}")
        converted = array.astype(self.dtype)
        if _both_integers(array.dtype, self.dtype) and not np.array_equal(converted, array):
            raise ValueError(
                f"{self.path} has dtype {array.dtype} and the value {value!r}, out of the range of "
                f"{self.dtype}, {self.expected()}"
            )
        if not self.needs_no_warning(value):
            self.warn(array.dtype)
        return converted

    def needs_no_warning(self, value: Any) -> bool:
        """Return whether a value of another type is an ordinary way of writing values of this space."""
        return type(value) in (int, float) and self.dtype.kind == ("f" if type(value) is float else "i")

    def warn(self, dtype: np.dtype[Any]) -> None:
        if self.path not in self.warned:
            self.warned.add(self.path)
            warnings.warn(
                f"{self.path} has dtype {dtype}, but its space says {self.dtype}: it is cast to the space's "
                "dtype (said once).",
                UserWarning,
                stacklevel=5,
            )

    def expected(self) -> str:
        return f"but its space says dtype {self.dtype} and shape {self.shape}: change the value or the space."


class ScalarColumn(ArrayColumn):
    """Values of a Discrete space: Python's and numpy's integers."""

    __slots__ = ("type",)

    def __init__(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], path: str, capacity: int, warned: set[str]
    ) -> None:
        super().__init__(dtype, shape, path, capacity, warned)
        self.type = dtype.type

    def put(self, row: int, value: Any) -> Any:
        return self.cast(row, value)

    def cast(self, row: int, value: Any) -> Any:
        kind = type(value)
        if kind is not self.type and kind is not int:
            value = self.type(self.converted(value))
        try:
            self.buffer[row] = value
        except OverflowError:
            raise ValueError(f"{self.path} is {value}, {self.expected()}") from None
        return value

    def needs_no_warning(self, value: Any) -> bool:
        return type(value) is int or isinstance(value, np.integer)


def plain_array(column: SpaceColumn) -> tuple[Any, Any, Any]:
    """Return the dtype and shape of arrays that may be assigned to rows as they are, and the rows."""
    if type(column) is ArrayColumn:
        return column.dtype, column.shape, column.buffer
    return None, None, None


def plain_rows(column: SpaceColumn, n_rows: int) -> tuple[Any, Any, Any]:
    """Return the dtype and shape of arrays of `n_rows` values that may be assigned as they are, and the rows.

    None for other columns, and for arrays without dimensions.
    """
    if type(column) is ScalarColumn or (type(column) is ArrayColumn and column.shape):
        return column.dtype, (n_rows, *column.shape), column.buffer
    return None, None, None


def plain_vectors(column: SpaceColumn) -> tuple[Any, int]:
    """Return rows of plain vectors as one line of numbers, and how many make a row; None for other columns.

    A line takes a vector sooner than an array does, and raises a ValueError for another dtype or length.
    """
    if type(column) is not ArrayColumn or len(column.shape) != 1 or not column.buffer.flags.c_contiguous:
        return None, 0
    return column.buffer.reshape(-1).data, column.shape[0]


def plain_scalar(column: SpaceColumn) -> tuple[Any, Any]:
    """Return the type of numbers that may be assigned to rows as they are, and the rows."""
    return (column.type, column.buffer.data) if type(column) is ScalarColumn else (None, None)


class DictColumn:
    """Values of a Dict space: a mapping with exactly the keys of the space."""

    __slots__ = ("children", "items", "path")

    def __init__(self, children: dict[str, SpaceColumn], path: str) -> None:
        self.children = children
        self.items = tuple(children.items())
        self.path = path

    def put(self, row: int, value: Any) -> Any:
        self.check(value)
        return {key: child.put(row, value[key]) for key, child in self.items}

    def cast(self, row: int, value: Any) -> Any:
        self.check(value)
        return {key: child.cast(row, value[key]) for key, child in self.items}

    def grow(self, capacity: int) -> None:
        for _, child in self.items:
            child.grow(capacity)

    def use(self, rows: Column) -> None:
        for key, child in self.items:
            child.use(cast("dict[str, Column]", rows)[key])

    def take_rows(self, other: DictColumn, start: int, stop: int) -> None:
        for key, child in self.items:
            child.take_rows(other.children[key], start, stop)

    def copy_row(self, row: int, other: DictColumn, its_row: int) -> None:
        for key, child in self.items:
            child.copy_row(row, other.children[key], its_row)

    def rows(self, rows: Any) -> Column:
        return {key: child.rows(rows) for key, child in self.items}

    def copy_rows(self, start: int, stop: int) -> Column:
        return {key: child.copy_rows(start, stop) for key, child in self.items}

    def check(self, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise TypeError(f"{self.path} is {_described(value)}, but its space is a Dict: give a dict.")
        if value.keys() != self.children.keys():
            raise ValueError(
                f"{self.path} has the keys {list(value)}, but its space says {list(self.children)}: "
                "give exactly these."
            )


class TupleColumn:
    """Values of a Tuple space: a tuple or list of its length."""

    __slots__ = ("children", "path")

    def __init__(self, children: tuple[SpaceColumn, ...], path: str) -> None:
        self.children = children
        self.path = path

    def put(self, row: int, value: Any) -> Any:
        self.check(value)
        return tuple(child.put(row, entry) for child, entry in zip(self.children, value, strict=True))

    def cast(self, row: int, value: Any) -> Any:
        self.check(value)
        return tuple(child.cast(row, entry) for child, entry in zip(self.children, value, strict=True))

    def grow(self, capacity: int) -> None:
        for child in self.children:
            child.grow(capacity)

    def use(self, rows: Column) -> None:
        for child, part in zip(self.children, cast("tuple[Column, ...]", rows), strict=True):
            child.use(part)

    def take_rows(self, other: TupleColumn, start: int, stop: int) -> None:
        for child, theirs in zip(self.children, other.children, strict=True):
            child.take_rows(theirs, start, stop)

    def copy_row(self, row: int, other: TupleColumn, its_row: int) -> None:
        for child, theirs in zip(self.children, other.children, strict=True):
            child.copy_row(row, theirs, its_row)

    def rows(self, rows: Any) -> Column:
        return tuple(child.rows(rows) for child in self.children)

    def copy_rows(self, start: int, stop: int) -> Column:
        return tuple(child.copy_rows(start, stop) for child in self.children)

    def check(self, value: Any) -> None:
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"{self.path} is {_described(value)}, but its space is a Tuple: give a tuple.")
        if len(value) != len(self.children):
            raise ValueError(
                f"{self.path} has {len(value)} entries, but its space says {len(self.children)}: "
                "give exactly these."
            )


def _both_integers(one: np.dtype[Any], other: np.dtype[Any]) -> bool:
    return one.kind in "iu" and other.kind in "iu"


def _described(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(value).__name__}"
