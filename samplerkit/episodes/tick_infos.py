"""Info columns that are written a whole tick at a time: one row for each slot, in slot order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array, Column, Columns, rows_of_array, spread_rows
from samplerkit.episodes.dtypes import DType, native
from samplerkit.episodes.vector_infos import is_flags

Rows = Any
"""A slice or an array of row numbers."""


class TickInfos:
    """Columns of (ticks × n_slots, …) for dicts of columns with `n_slots` rows, nested as one likes.

    A key that some rows lack has a boolean column ``_key`` beside it in what is put, as in gymnasium's vector
    environments, or is missing from the whole tick.

    Args:
        n_slots: rows of a tick.
        capacity: how many ticks there is room for.
        strings: whether columns of strings are taken, in the width that they come in. A string alone is only
            as wide as it is, and so is a column of those of one episode.
    """

    __slots__ = ("_capacity", "_columns", "_n_slots", "_plain", "_strings")

    def __init__(self, n_slots: int, capacity: int, *, strings: bool = False) -> None:
        self._n_slots = n_slots
        self._capacity = capacity
        self._strings = strings
        self._columns: dict[str, _Values | _Nested] = {}
        # For each key what its column takes as it is, and where; None where not all are so simple.
        self._plain: list[tuple[str, DType, tuple[int, ...], Array]] | None = []

    @property
    def empty(self) -> bool:
        """Whether nothing was ever put here."""
        return not self._columns

    def put(self, tick: int, infos: Mapping[str, Any]) -> bool:
        """Record the infos of a tick; ticks come in order.

        Returns:
            False if these do not fit into columns of one dtype and shape, or not to those before, or a key
            has the name of the mask of another. Nothing of this tick may be used then.
        """
        plain = self._plain
        if plain is not None and len(plain) == len(infos):
            start, stop = tick * self._n_slots, (tick + 1) * self._n_slots
            # The common case: the same keys as ever, and every row has them.
            for key, dtype, shape, rows in plain:
                value = infos.get(key)
                if type(value) is not np.ndarray or value.dtype != dtype or value.shape != shape:
                    break
                rows[start:stop] = value
            else:
                return True
        return self._put_slowly(tick, infos)

    def _put_slowly(self, tick: int, infos: Mapping[str, Any]) -> bool:
        masks = {"_" + key for key in infos if _is_mask("_" + str(key), infos, self._n_slots)}
        for key, value in infos.items():
            if key in masks:
                continue
            column = self._columns.get(key) or self._open(key, value, tick)
            if column is None or not column.put(tick, value):
                return False
            column.mark(tick, infos["_" + key] if "_" + key in masks else None)
        for key, column in self._columns.items():
            if key not in infos:
                column.mark(tick, False)
        self._learn()
        return True

    def _learn(self) -> None:
        items = self._columns.items()
        plain = [
            (key, it.dtype, it.shape, it.buffer)
            for key, it in items
            if isinstance(it, _Values) and it.mask is None
        ]
        self._plain = plain if len(plain) == len(items) else None

    def _open(self, key: Any, value: Any, tick: int) -> _Values | _Nested | None:
        if not isinstance(key, str) or f"_{key}" in self._columns or self._is_a_mask(key):
            return None
        column: _Values | _Nested
        if isinstance(value, Mapping):
            column = _Nested(self._n_slots, self._capacity, self._strings)
        elif _is_column(value, self._n_slots) and (self._strings or not _is_strings(value)):
            column = _Values(self._n_slots, self._capacity, native(value[:0]).dtype, value.shape)
        else:
            return None
        if tick > 0:
            column.open_mask()
        self._columns[key] = column
        return column

    def _is_a_mask(self, key: str) -> bool:
        return key[:1] == "_" and key[1:] in self._columns

    def grow(self, capacity: int) -> None:
        """Make room for this many ticks, and keep those there are."""
        old, self._columns = self._columns, {}
        self._capacity, present = capacity, min(self._capacity, capacity)
        self._take(old, 0, present)

    def take_ticks(self, other: TickInfos, start: int, stop: int) -> None:
        """Copy ticks of another one to the beginning of this one, which is empty."""
        self._take(other._columns, start, stop)

    def _take(self, columns: Mapping[str, _Values | _Nested], start: int, stop: int) -> None:
        for key, column in columns.items():
            self._columns[key] = column.moved(self._capacity, start, stop)
        self._learn()

    def cut(self, rows: Rows) -> Columns:
        """Return the columns of some rows; a key that none of them has is left out."""
        columns: Columns = {}
        for key, column in self._columns.items():
            mask = None if column.mask is None else column.mask[rows]
            if mask is None or mask.all():
                columns[key] = column.cut(rows)
            elif mask.any():
                present = np.arange(len(column.mask))[rows][mask]  # type: ignore[arg-type]
                columns[key], columns["_" + key] = spread_rows(column.cut(present), mask), mask.copy()
        return columns


class _Column:
    """Who has a value, beside the values themselves: everybody, as long as `mask` is None."""

    def __init__(self, n_slots: int, capacity: int) -> None:
        self.n_slots = n_slots
        self.capacity = capacity
        self.mask: Array | None = None

    def open_mask(self) -> None:
        self.mask = np.zeros(self.capacity * self.n_slots, np.bool_)

    def mark(self, tick: int, present: Any) -> None:
        """Say which slots have a value at a tick: an array of flags, None for all, False for none."""
        if self.mask is None:
            if present is None or (present is not False and present.all()):
                return
            self.open_mask()
            self.mask[: tick * self.n_slots] = True  # type: ignore[index]
        self.mask[tick * self.n_slots : (tick + 1) * self.n_slots] = (  # type: ignore[index]
            True if present is None else present
        )

    def _move_mask(self, into: _Column, start: int, stop: int) -> None:
        if self.mask is not None:
            into.open_mask()
            rows = self.mask[start * self.n_slots : stop * self.n_slots]
            into.mask[: len(rows)] = rows  # type: ignore[index]


class _Values(_Column):
    """Numbers, strings or arrays, all of one dtype and shape."""

    def __init__(self, n_slots: int, capacity: int, dtype: DType, shape: tuple[int, ...]) -> None:
        super().__init__(n_slots, capacity)
        self.dtype = dtype
        self.shape = shape
        self.buffer: Array = np.empty((capacity * n_slots, *shape[1:]), dtype)

    def put(self, tick: int, value: Any) -> bool:
        if (
            type(value) is not np.ndarray
            or native(value[:0]).dtype != self.dtype
            or value.shape != self.shape
        ):
            return False
        start = tick * self.n_slots
        self.buffer[start : start + self.n_slots] = value
        return True

    def cut(self, rows: Rows) -> Column:
        return rows_of_array(self.buffer, rows)

    def moved(self, capacity: int, start: int, stop: int) -> _Values:
        into = _Values(self.n_slots, capacity, self.dtype, self.shape)
        rows = self.buffer[start * self.n_slots : stop * self.n_slots]
        into.buffer[: len(rows)] = rows
        self._move_mask(into, start, stop)
        return into


class _Nested(_Column):
    """A dict of columns under a key."""

    def __init__(self, n_slots: int, capacity: int, strings: bool) -> None:
        super().__init__(n_slots, capacity)
        self.strings = strings
        self.infos = TickInfos(n_slots, capacity, strings=strings)

    def put(self, tick: int, value: Any) -> bool:
        return isinstance(value, Mapping) and self.infos.put(tick, value)

    def cut(self, rows: Rows) -> Column:
        return self.infos.cut(rows)

    def moved(self, capacity: int, start: int, stop: int) -> _Nested:
        into = _Nested(self.n_slots, capacity, self.strings)
        into.infos.take_ticks(self.infos, start, stop)
        self._move_mask(into, start, stop)
        return into


def _is_mask(key: str, infos: Mapping[str, Any], n_rows: int) -> bool:
    return key in infos and is_flags(infos[key]) and len(infos[key]) == n_rows


def _is_column(value: Any, n_rows: int) -> bool:
    if type(value) is not np.ndarray or value.ndim == 0 or len(value) != n_rows:
        return False
    return not value.dtype.hasobject


def _is_strings(value: Array) -> bool:
    """Whether each row is a string, and no array of them."""
    return value.dtype.kind in "US" and value.ndim == 1
