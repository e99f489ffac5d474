"""The infos of the episodes that one recording keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array, Columns
from samplerkit.episodes.info_errors import refuse_clash
from samplerkit.episodes.info_table import InfoTable, number_dtype
from samplerkit.episodes.infos import concatenate_infos

_FIRST_CAPACITY = 64


class KeptInfos:
    """Info dicts of the rows of a recording, episode after episode.

    Most programs give the same keys, with numbers of the same types, at every step of every episode, or no
    infos at all. Then a value's place in its list is its row in the recording, an episode needs no more than
    its rows, and nothing is made of the values until somebody looks. The first row that is different ends
    that for the recording: from then on each episode has columns of its own, made by an `InfoTable`.

    Args:
        name: what errors call the infos.
        lengths: of the episodes that the recording keeps; it grows when one is kept.
    """

    __slots__ = ("_episodes", "_lengths", "_name", "_table", "columns", "rows")

    def __init__(self, name: str, lengths: list[int]) -> None:
        self._name = name
        self._lengths = lengths
        self.columns: list[tuple[str, type, Callable[[Any], object], list[Any] | _Rows]] = []
        """Key, type, how to append, and where the values are; without any and rows there are no infos."""
        self._table: InfoTable | None = None
        self._episodes: list[Columns] = []
        self.rows = 0
        """How many rows came, from the recording's first on, and all alike; -1 once one was different."""

    def add(self, start: int, row: int, info: Mapping[str, Any]) -> None:
        """Add the info dict of a row of the running episode, which begins at `start`.

        Raises:
            ValueError, TypeError: where a value does not fit to those before it in the episode.
        """
        columns = self.columns
        if row == self.rows and len(info) == len(columns):
            for key, kind, append, _ in columns:
                value = info.get(key)
                if type(value) is not kind or append(value):
                    break
            else:
                self.rows = row + 1
                return
        if not (row == 0 and self.rows == 0 and not columns and self._learn(info)):
            self._own_table(start).add(row - start, info)

    def drop(self, start: int) -> None:
        """Forget what came of the running episode, which begins at `start`."""
        if start == 0:
            self.rows = 0
            self.columns = []
        elif self.rows > start:
            self.rows = start
            for _, _, _, values in self.columns:
                del values[start:]
        if self._table is not None:
            self._table.clear()

    def keep(self, start: int, stop: int) -> None:
        """End the running episode; called before its length is appended to `lengths`.

        Raises:
            ValueError, TypeError: where values do not fit together.
        """
        if self.rows != stop and (self.rows != 0 or self.columns):
            table = self._own_table(start)
            self._episodes.append(table.finish(stop - start))
            table.clear()

    def running(self, start: int, stop: int) -> Columns:
        """Return fresh columns of the running episode.

        Raises:
            ValueError, TypeError: where values do not fit together.
        """
        if self.rows == stop or (self.rows == 0 and not self.columns):
            return self._regular(slice(start, stop))
        return self._own_table(start).finish(stop - start)

    def view(self, episodes: slice, rows: slice) -> Columns:
        """Return columns of consecutive episodes that were kept, given with their rows.

        Raises:
            ValueError: where values of different episodes do not fit into one column.
        """
        if self.rows >= 0:
            return self._regular(rows)
        return concatenate_infos(self._episodes[episodes], self._lengths[episodes], self._name)

    def types(self, episodes: slice) -> Sequence[Columns]:
        """Return columns of the dtypes that consecutive episodes have alone, of any number of rows."""
        return [self._regular(slice(0, 0))] if self.rows >= 0 else self._episodes[episodes]

    def take(self, other: KeptInfos, start: int) -> None:
        """Take over the running episode of a recording that it outgrew."""
        if other.rows < 0:
            self.rows, self._table, other._table = -1, other._table, None
            return
        for key, kind, _, values in other.columns:
            self._add_column(key, kind, values[start : other.rows])
        self.rows = max(0, other.rows - start)

    def _regular(self, rows: slice) -> Columns:
        return {key: _column(self._name, key, kind, values, rows) for key, kind, _, values in self.columns}

    def _learn(self, info: Mapping[str, Any]) -> bool:
        """See from the first row what all will probably look like; return whether this one is plain."""
        if not all(isinstance(key, str) and _is_plain(value) for key, value in info.items()):
            return False
        for key, value in info.items():
            refuse_clash(key, set(info), self._name)
            self._add_column(key, type(value), value[None] if isinstance(value, np.ndarray) else [value])
        self.rows = 1
        return True

    def _add_column(self, key: str, kind: type, values: Any) -> None:
        if isinstance(values, np.ndarray):
            rows = _Rows(values)
            self.columns.append((key, kind, rows.append, rows))
        else:
            self.columns.append((key, kind, values.append, values))

    def _own_table(self, start: int) -> InfoTable:
        """Return the table of the running episode, which from now on is different."""
        if self._table is None:
            self._table = InfoTable(self._name)
        if self.rows >= 0:
            stops = np.cumsum(self._lengths).tolist()
            self._episodes = [self._regular(slice(*ends)) for ends in zip([0, *stops], stops, strict=False)]
            if self.rows > start:
                rows = slice(start, self.rows)
                self._table.add_regular({key: values[rows] for key, _, _, values in self.columns})
            self.rows = -1  # last of all: another thread may be looking
        return self._table


class _Rows:
    """A growing array of arrays that are alike."""

    __slots__ = ("_buffer", "_count", "_dtype", "_shape")

    def __init__(self, first: Array) -> None:
        self._dtype = first.dtype
        self._shape = first.shape[1:]
        self._buffer = np.empty((max(_FIRST_CAPACITY, 2 * len(first)), *self._shape), self._dtype)
        self._buffer[: len(first)] = first
        self._count = len(first)

    def append(self, value: Array) -> bool:
        """Take an array; return True if it is not like the others."""
        count = self._count
        if value.dtype is not self._dtype or value.shape != self._shape:
            return True
        if count == len(self._buffer):
            self._buffer = np.concatenate([self._buffer, np.empty_like(self._buffer)])
        self._buffer[count] = value
        self._count = count + 1
        return False

    def __getitem__(self, rows: slice) -> Array:
        return self._buffer[rows]

    def __delitem__(self, rows: slice) -> None:
        self._count = rows.start


def _is_plain(value: Any) -> bool:
    if type(value) is np.ndarray:
        return value.ndim > 0 and value.dtype.isnative and not value.dtype.hasobject
    return number_dtype(type(value)) is not None


def _column(name: str, key: str, kind: type, values: list[Any] | _Rows, rows: slice) -> Array:
    """Return a fresh column of some rows."""
    if isinstance(values, _Rows):
        return values[rows].copy()
    try:
        return np.array(values[rows], number_dtype(kind))
    except OverflowError:
        table = InfoTable(name)
        table.add_regular({key: values[rows]})
        column = table.finish(rows.stop - rows.start)[key]
        assert isinstance(column, np.ndarray), "one value a row"
        return column
