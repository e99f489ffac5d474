"""Recording info dicts, row by row."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array, Columns, spread_rows
from samplerkit.episodes.dtypes import DType, common_dtype, native, unify_numbers
from samplerkit.episodes.info_errors import mixed_dtypes, mixed_shapes, mixed_with_dict, refuse_clash

_FIRST_CAPACITY = 32
_PYTHON_DTYPES = {bool: np.dtype(np.bool_), int: np.dtype(np.int64), float: np.dtype(np.float64)}


class InfoTable:
    """Growing columns for info dicts; used again from episode to episode.

    Values are copied when they are added, so an environment may write to its buffers afterwards.

    Most infos have the same keys at every step, and values of the same types. Once a first row has shown
    which, `add` takes such rows on a short path: a type check and an append for each value, a sixth of what
    the general path costs. Whatever does not fit leaves that path for the rest of the episode.
    """

    __slots__ = ("_columns", "_name", "_order", "_regular", "_regular_rows", "count", "rows")

    def __init__(self, name: str) -> None:
        self._name = name
        self._columns: dict[str, InfoTable | _InfoColumn] = {}
        self._order: list[str] = []
        # Key, type and how to append: what a regular row looks like; and how many came, if only such came.
        self._regular: list[tuple[str, type, Callable[[Any], object]]] = []
        self._regular_rows = 0
        self.count = 0
        self.rows: list[int] | None = None

    def clear(self) -> None:
        """Forget all rows, and keep the memory."""
        for column in self._columns.values():
            column.clear()
        self._order = []
        self._regular_rows = 0
        self.count = 0
        self.rows = None

    def put(self, row: int, info: Any) -> None:
        """Add a nested dict as the value at a row of the table that this one is nested in."""
        if not isinstance(info, Mapping):
            raise mixed_with_dict(self._name)
        _note_row(self, row)
        self.add(self.count, info)
        self.count += 1

    def add(self, row: int, info: Mapping[str, Any]) -> None:
        """Add the info dict of a row; rows come in order, and rows without any info may be left out."""
        regular = self._regular
        if row == self._regular_rows and len(info) == len(regular):
            for key, kind, append in regular:
                value = info.get(key)
                if type(value) is not kind:
                    break
                append(value)
            else:
                self._regular_rows = row + 1
                return
        self._add_slowly(row, info)

    def _add_slowly(self, row: int, info: Mapping[str, Any]) -> None:
        if self._regular_rows > 0:
            self._order = [key for key, _, _ in self._regular]
        self._regular_rows = -1
        columns = self._columns
        for key, value in info.items():
            column = columns.get(key)
            if column is None or key not in self._order:
                column = self._open_column(key, value)
            # A row that turned out not to be regular has some of its values already.
            if column.rows is not None or column.count <= row:
                column.put(row, value)
        if row == 0:
            self._learn()

    def _learn(self) -> None:
        """See from the first row what regular rows will look like."""
        self._regular = []
        for key in self._order:
            column = self._columns[key]
            refuse_clash(key, set(self._order), self._name)
            shape = None if isinstance(column, InfoTable) else column.regular()
            if shape is None:
                self._regular = []
                return
            self._regular.append((key, *shape))
        self._regular_rows = 1

    def add_regular(self, columns: Mapping[str, list[Any] | Array]) -> None:
        """Add the first rows all at once, given by key: numbers of one type, or an array of arrays."""
        for key, values in columns.items():
            column = self._open_column(key, values[0])
            assert isinstance(column, _InfoColumn), "no dicts"
            column.fill(values)
        self._regular_rows = -1

    def finish(self, rows: int) -> Columns:
        """Return fresh columns of this many rows."""
        if self._regular_rows == rows:
            return {key: self._columns[key].finish() for key, _, _ in self._regular}  # type: ignore[call-arg]
        if self._regular_rows > 0:
            self._order = [key for key, _, _ in self._regular]
        if not self._order:
            return {}
        present = set(self._order)
        columns: Columns = {}
        for key in self._order:
            column = self._columns[key]
            refuse_clash(key, present, self._name)
            dense = column.finish(column.count) if isinstance(column, InfoTable) else column.finish()
            if column.count == rows:
                columns[key] = dense
                continue
            mask = np.zeros(rows, np.bool_)
            mask[: column.count] = True
            if column.rows is not None:
                mask[: column.count] = False
                mask[column.rows] = True
            columns[key], columns["_" + key] = spread_rows(dense, mask), mask
        return columns

    def _open_column(self, key: str, value: Any) -> InfoTable | _InfoColumn:
        if not isinstance(key, str):
            raise TypeError(
                f"{self._name} has the key {key!r}, but keys of infos must be strings: use {str(key)!r}."
            )
        nested = isinstance(value, Mapping)
        column = self._columns.get(key)
        if column is None or nested is not isinstance(column, InfoTable):
            path = f"{self._name}[{key!r}]"
            column = self._columns[key] = InfoTable(path) if nested else _InfoColumn(path)
            self._regular = []  # it would append to the column that stood here
        self._order.append(key)
        return column


class _InfoColumn:
    """The values of one key: those rows that have it, without gaps, and which rows these are.

    Numbers of one type wait in a list, which takes them faster than an array; anything else goes to the
    buffer, and so do they as soon as something else comes.
    """

    __slots__ = ("_array_dtype", "_buffer", "_dtype", "_numbers", "_path", "_shape", "_stored", "rows")

    def __init__(self, path: str) -> None:
        self._path = path
        self._shape: tuple[int, ...] = ()
        self._dtype: DType = np.dtype(np.float64)
        self._array_dtype: DType | None = None  # what may be assigned to the buffer without another look
        self._buffer: Array = np.empty(0)
        self._stored = 0
        self._numbers: list[Any] = []
        self.rows: list[int] | None = None

    @property
    def count(self) -> int:
        """How many values there are."""
        return self._stored + len(self._numbers)

    def clear(self) -> None:
        self._stored = 0
        self._numbers.clear()
        self.rows = None
        if self._dtype.kind == "O":
            self._buffer = np.empty(0)

    def put(self, row: int, value: Any) -> None:
        count = self.count
        if row != count or self.rows is not None:
            _note_row(self, row)
        numbers = self._numbers
        if type(value) is type(numbers[0]) if numbers else count == 0 and number_dtype(type(value)):
            numbers.append(value)
            return
        if numbers:
            self._move_numbers()
        self._store(value)

    def fill(self, values: list[Any] | Array) -> None:
        """Put the first values."""
        if isinstance(values, list):
            self._numbers.extend(values)
            return
        self._start(values[0])
        self._buffer = np.concatenate([values, np.empty_like(values)])  # room for as many again
        self._array_dtype = values.dtype
        self._stored = len(values)

    def regular(self) -> tuple[type, Callable[[Any], object]] | None:
        """Return the type of the only value and what takes more of that type; None where it is not plain."""
        if self._numbers:
            return type(self._numbers[0]), self._numbers.append
        return (np.ndarray, self._append_array) if self._array_dtype is not None and self._shape else None

    def finish(self) -> Array:
        if self._numbers:
            try:
                return np.array(self._numbers, number_dtype(type(self._numbers[0])))
            except OverflowError:
                self._move_numbers()
        column = self._buffer[: self._stored].copy()
        return unify_numbers(column) if column.dtype.kind == "O" else column

    def _append_array(self, value: Array) -> None:
        count = self._stored
        if 0 < count < len(self._buffer) and value.dtype is self._array_dtype and value.shape == self._shape:
            self._buffer[count] = value
            self._stored = count + 1
        else:
            self._store(value)

    def _move_numbers(self) -> None:
        numbers = self._numbers[:]
        self._numbers.clear()
        for number in numbers:
            self._store(number)

    def _store(self, value: Any) -> None:
        """Put a value into the buffer, which becomes what it takes to hold it."""
        array = self._as_array(value)
        count = self._stored
        if count == 0:
            self._start(array)
        elif array.shape != self._shape:
            raise mixed_shapes(self._path, self._shape, array.shape)
        dtype = common_dtype(self._dtype, array.dtype)
        if dtype is None:
            raise mixed_dtypes(self._path, self._dtype, array.dtype)
        self._reserve(dtype)
        self._buffer[count : count + 1] = array.reshape((1, *self._shape))
        self._array_dtype = None if dtype.hasobject else dtype
        self._stored = count + 1

    def _start(self, array: Array) -> None:
        self._shape = array.shape
        buffer = self._buffer
        if not len(buffer) or buffer.dtype != array.dtype or buffer.shape[1:] != array.shape:
            self._buffer = np.empty((_FIRST_CAPACITY, *array.shape), array.dtype)
        self._dtype = array.dtype

    def _reserve(self, dtype: DType) -> None:
        count, capacity = self._stored, len(self._buffer)
        if dtype == self._buffer.dtype and count < capacity:
            return
        buffer = np.empty((capacity * 2 if count == capacity else capacity, *self._shape), dtype)
        buffer[:count] = self._buffer[:count]
        self._buffer, self._dtype = buffer, dtype

    def _as_array(self, value: Any) -> Array:
        if isinstance(value, Mapping):
            raise mixed_with_dict(self._path)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(
                f"{self._path} is a ragged sequence ({error}): give arrays of one shape, or put the "
                "parts under different keys."
            ) from None
        if not array.dtype.hasobject:
            return native(array)
        try:
            return copy.deepcopy(array)
        except Exception as error:
            raise TypeError(
                f"{self._path} is an object of type {type(value).__name__} that cannot be copied "
                f"({type(error).__name__}: {error}): leave it out, or give its numbers."
            ) from error


def number_dtype(kind: type) -> DType | None:
    """Return the dtype of a column of numbers of one type, None for any other type."""
    if kind in _PYTHON_DTYPES:
        return _PYTHON_DTYPES[kind]
    if issubclass(kind, (np.number, np.bool_)):
        return np.dtype(kind)
    return None


def _note_row(column: InfoTable | _InfoColumn, row: int) -> None:
    if column.rows is not None:
        column.rows.append(row)
    elif row != column.count:
        column.rows = [*range(column.count), row]
