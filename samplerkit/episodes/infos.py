"""How info dicts become columns.

One dict per row (per step, or per episode) becomes a dict of columns, nested dicts nested. A column has the dtype
and the shape of its values; Python's bool, int and float become bool, int64 and float64. A key that only some rows
have is zero-filled (None among objects), and a boolean column ``_key`` beside it says which rows had it, as in
gymnasium's vector environments. Inside a nested dict that is itself missing from some rows, the mask of the
nested dict is enough.

Putting columns together again gives the same columns as building them from all rows at once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from samplerkit.episodes.columns import Array, Column, Columns, map_column, rows_of
from samplerkit.episodes.dtypes import common_dtype, fill_value

_FIRST_CAPACITY = 32
_PYTHON_DTYPES = {bool: np.dtype(np.bool_), int: np.dtype(np.int64), float: np.dtype(np.float64)}


def stack_infos(rows: Iterable[Mapping[str, Any]], name: str = "infos") -> Columns:
    """Return the columns of these info dicts, one row each; `name` is what errors call them.

    Raises:
        ValueError, TypeError: where values of one key do not fit into one column; the sentence names the key.
    """
    table = InfoTable(name)
    count = 0
    for count, info in enumerate(rows, start=1):
        if info:
            table.add(count - 1, info)
    return table.finish(count)


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
            raise _mixed_with_dict(self._name)
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
            _refuse_clash(key, present, self._name)
            dense = column.finish(column.count) if isinstance(column, InfoTable) else column.finish()
            if column.count == rows:
                columns[key] = dense
                continue
            mask = np.zeros(rows, np.bool_)
            mask[: column.count] = True
            if column.rows is not None:
                mask[: column.count] = False
                mask[column.rows] = True
            columns[key], columns["_" + key] = _scatter(dense, mask), mask
        return columns

    def _open_column(self, key: str, value: Any) -> InfoTable | _InfoColumn:
        if not isinstance(key, str):
            raise TypeError(
                f"{self._name} has the key {key!r}, but the keys of infos must be strings: use {str(key)!r}."
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

    __slots__ = ("_buffer", "_dtype", "_path", "_scalar_type", "_shape", "count", "rows")

    def __init__(self, path: str) -> None:
        self._path = path
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype[Any] = np.dtype(np.float64)
        self._scalar_type: type | None = None
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
                kind is np.ndarray
                and value.dtype is self._dtype
                and value.shape == self._shape
                and self._plain()
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
        return _unify_numbers(column) if column.dtype.kind == "O" else column

    def _plain(self) -> bool:
        return not self._dtype.hasobject

    def _put_slowly(self, value: Any) -> None:
        array = self._as_array(value)
        if self.count == 0:
            self._start(array)
        elif array.shape != self._shape:
            raise _mixed_shapes(self._path, self._shape, array.shape)
        dtype = common_dtype(self._dtype, array.dtype)
        if dtype is None:
            raise _mixed_dtypes(self._path, self._dtype, array.dtype)
        self._reserve(dtype)
        self._buffer[self.count : self.count + 1] = array.reshape((1, *self._shape))
        self._scalar_type = _scalar_type(value, dtype)

    def _start(self, array: Array) -> None:
        self._shape = array.shape
        if self._buffer.dtype != array.dtype or self._buffer.shape[1:] != array.shape:
            self._buffer = np.empty((_FIRST_CAPACITY, *array.shape), array.dtype)
        self._dtype = array.dtype

    def _reserve(self, dtype: np.dtype[Any]) -> None:
        count, capacity = self.count, len(self._buffer)
        if dtype == self._buffer.dtype and count < capacity:
            return
        buffer = np.empty((capacity * 2 if count == capacity else capacity, *self._shape), dtype)
        buffer[:count] = self._buffer[:count]
        self._buffer, self._dtype = buffer, dtype

    def _as_array(self, value: Any) -> Array:
        if isinstance(value, Mapping):
            raise _mixed_with_dict(self._path)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ValueError(
                f"{self._path} is a ragged sequence ({error}): give arrays of one shape, or put the parts under "
                "different keys."
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


def concatenate_infos(parts: Sequence[Columns], rows: Sequence[int], name: str = "infos") -> Columns:
    """Return the columns of all parts, one after the other, in fresh arrays.

    Args:
        parts: dicts of columns, whose keys may differ.
        rows: the number of rows of each part.
        name: what errors call the infos.

    Raises:
        ValueError: where values of one key do not fit into one column; the sentence names the key.
    """
    if not any(parts):
        return {}
    if _alike(parts):
        return {key: _join([part[key] for part in parts], rows, f"{name}[{key!r}]") for key in parts[0]}
    own = [[key for key in part if not is_mask(key, part)] for part in parts]
    order = dict.fromkeys(key for keys in own for key in keys)
    columns: Columns = {}
    for key in order:
        _refuse_clash(key, order.keys(), name)
        dense, counts, masks = [], [], []
        for part, keys, count in zip(parts, own, rows, strict=True):
            mask = _presence(key, part, count) if key in keys else np.zeros(count, np.bool_)
            masks.append(mask)
            if key in keys:
                dense.append(part[key] if mask.all() else rows_of(part[key], mask))
                counts.append(int(mask.sum()))
        joined, present = _join(dense, counts, f"{name}[{key!r}]"), np.concatenate(masks)
        if present.all():
            columns[key] = joined
        else:
            columns[key], columns["_" + key] = _scatter(joined, present), present
    return columns


def is_mask(key: str, columns: Columns) -> bool:
    """Return whether a key of these columns is the mask of another one, not a key of the infos themselves."""
    if key[:1] != "_" or key[1:] not in columns or is_mask(key[1:], columns):
        return False
    column = columns[key]
    return isinstance(column, np.ndarray) and column.dtype == np.bool_ and column.ndim == 1


def _alike(parts: Sequence[Columns]) -> bool:
    """Return whether all parts have the same keys and no row lacks one: the common case, joined key by key."""
    keys = parts[0].keys()
    return not any(key[:1] == "_" for key in keys) and all(part.keys() == keys for part in parts)


def _presence(key: str, part: Columns, rows: int) -> Array:
    mask_key = "_" + key
    if mask_key in part and is_mask(mask_key, part):
        return cast("Array", part[mask_key])
    return np.ones(rows, np.bool_)


def _join(parts: Sequence[Column], rows: Sequence[int], path: str) -> Column:
    if all(isinstance(part, dict) for part in parts):
        return concatenate_infos(cast("Sequence[Columns]", parts), rows, path)
    if any(isinstance(part, dict) for part in parts):
        raise _mixed_with_dict(path)
    arrays = cast("Sequence[Array]", parts)
    dtype, shape = arrays[0].dtype, arrays[0].shape[1:]
    for array in arrays[1:]:
        if array.shape[1:] != shape:
            raise _mixed_shapes(path, shape, array.shape[1:])
        if array.dtype is not dtype:
            joint = common_dtype(dtype, array.dtype)
            if joint is None:
                raise _mixed_dtypes(path, dtype, array.dtype)
            dtype = joint
    joined = np.concatenate(arrays, dtype=dtype, casting="unsafe")
    return _unify_numbers(joined) if dtype.kind == "O" else joined


def _scatter(dense: Column, present: Array) -> Column:
    """Return the column with the values in those rows that are present, and filled elsewhere."""

    def spread(array: Array) -> Array:
        full = np.full((len(present), *array.shape[1:]), fill_value(array.dtype), array.dtype)
        full[present] = array
        return full

    return map_column(spread, dense)


def _unify_numbers(column: Array) -> Array:
    """Give the Python numbers among the objects of a column one type, whichever rows were put together first."""
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


def _scalar_type(value: Any, dtype: np.dtype[Any]) -> type | None:
    """Return the type whose values can be assigned to a column of this dtype without another look."""
    kind = type(value)
    if _PYTHON_DTYPES.get(kind) == dtype:
        return kind
    return kind if isinstance(value, (np.number, np.bool_)) and value.dtype == dtype else None


def _note_row(column: InfoTable | _InfoColumn, row: int) -> None:
    if column.rows is not None:
        column.rows.append(row)
    elif row != column.count:
        column.rows = [*range(column.count), row]


def _refuse_clash(key: str, keys: Any, name: str) -> None:
    if "_" + key in keys:
        raise ValueError(
            f"{name} has the keys {key!r} and {'_' + key!r}, but {'_' + key!r} is the name of the mask that says which "
            f"rows have {key!r}: rename one of the two."
        )


def _mixed_shapes(path: str, one: tuple[int, ...], other: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"{path} has shape {one} in some rows and shape {other} in others, but all values of one key must have "
        "one shape: pad them, or put them under different keys."
    )


def _mixed_dtypes(path: str, one: np.dtype[Any], other: np.dtype[Any]) -> ValueError:
    return ValueError(
        f"{path} has dtype {one} in some rows and dtype {other} in others, which have no common dtype: give values "
        "of one kind, or put them under different keys."
    )


def _mixed_with_dict(path: str) -> ValueError:
    return ValueError(
        f"{path} is a dict in some rows and a value in others: give one of the two, or put them under different keys."
    )
