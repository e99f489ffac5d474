"""Recording info dicts, row by row."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array, Columns, spread_rows
from samplerkit.episodes.dtypes import DType, common_dtype, unify_numbers
from samplerkit.episodes.info_errors import mixed_dtypes, mixed_shapes, mixed_with_dict, refuse_clash

_FIRST_CAPACITY = 32
_PYTHON_DTYPES = {bool: np.dtype(np.bool_), int: np.dtype(np.int64), float: np.dtype(np.float64)}


class InfoTable:
    """Growing columns for info dicts; used again from episode to episode.

    Values are copied when they are added, so an environment may write to its buffers afterwards.
    """

    __slots__ = ("_columns", "_name", "_order", "count", "rows")

    def __init__(self, name: str) -> None:
        self._name = name
        self._columns: dict[str, InfoTable | _InfoColumn] = {}
        self._order: list[str] = []
        self.count = 0
        self.rows: list[int] | None = None

    def clear(self) -> None:
        """Forget all rows, and keep the memory."""
        for key in self._order:
            self._columns[key].clear()
        self._order = []
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
        columns = self._columns
        for key, value in info.items():
            column = columns.get(key)
            if column is None or not column.count:
                column = self._open_column(key, value)
            column.put(row, value)

    def finish(self, rows: int) -> Columns:
        """Return fresh columns of this many rows."""
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
        self._order.append(key)
        return column


class _InfoColumn:
    """The values of one key: those rows that have it, without gaps, and which rows these are."""

    __slots__ = ("_array_dtype", "_buffer", "_dtype", "_path", "_scalar_type", "_shape", "count", "rows")

    def __init__(self, path: str) -> None:
        self._path = path
        self._shape: tuple[int, ...] = ()
        self._dtype: DType = np.dtype(np.float64)
        # What may be assigned without another look: values of this type, and arrays of this dtype.
        self._scalar_type: type | None = None
        self._array_dtype: DType | None = None
        self._buffer: Array = np.empty(0)
        self.count = 0
        self.rows: list[int] | None = None

    def clear(self) -> None:
        self.count = 0
        self.rows = None
        if self._dtype.kind == "O":
            self._buffer = np.empty(0)

    def put(self, row: int, value: Any) -> None:
        count = self.count
        if row != count or self.rows is not None:
            _note_row(self, row)
        if count and count < len(self._buffer):
            kind = type(value)
            if kind is self._scalar_type or (
                kind is np.ndarray and value.dtype is self._array_dtype and value.shape == self._shape
            ):
                try:
                    self._buffer[count] = value
                except OverflowError:
                    self._put_slowly(value)
                self.count = count + 1
                return
        self._put_slowly(value)
        self.count = count + 1

    def finish(self) -> Array:
        column = self._buffer[: self.count].copy()
        return unify_numbers(column) if column.dtype.kind == "O" else column

    def _put_slowly(self, value: Any) -> None:
        array = self._as_array(value)
        if self.count == 0:
            self._start(array)
        elif array.shape != self._shape:
            raise mixed_shapes(self._path, self._shape, array.shape)
        dtype = common_dtype(self._dtype, array.dtype)
        if dtype is None:
            raise mixed_dtypes(self._path, self._dtype, array.dtype)
        self._reserve(dtype)
        self._buffer[self.count : self.count + 1] = array.reshape((1, *self._shape))
        self._scalar_type = _scalar_type(value, dtype)
        self._array_dtype = None if dtype.hasobject else dtype

    def _start(self, array: Array) -> None:
        self._shape = array.shape
        buffer = self._buffer
        if not len(buffer) or buffer.dtype != array.dtype or buffer.shape[1:] != array.shape:
            self._buffer = np.empty((_FIRST_CAPACITY, *array.shape), array.dtype)
        self._dtype = array.dtype

    def _reserve(self, dtype: DType) -> None:
        count, capacity = self.count, len(self._buffer)
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
            return array
        try:
            return copy.deepcopy(array)
        except Exception as error:
            raise TypeError(
                f"{self._path} is an object of type {type(value).__name__} that cannot be copied "
                f"({type(error).__name__}: {error}): leave it out, or give its numbers."
            ) from error


def _scalar_type(value: Any, dtype: DType) -> type | None:
    """Return the type whose values can be assigned to a column of this dtype without another look."""
    kind = type(value)
    if kind in _PYTHON_DTYPES:
        return kind if _PYTHON_DTYPES[kind] == dtype else None
    return kind if isinstance(value, (np.number, np.bool_)) and value.dtype == dtype else None


def _note_row(column: InfoTable | _InfoColumn, row: int) -> None:
    if column.rows is not None:
        column.rows.append(row)
    elif row != column.count:
        column.rows = [*range(column.count), row]
