"""Room for the observations of a batch, handed out to units before they run.

A batch of frames is mostly observations. Where the place of each unit's rows is known before it runs, whoever
runs it writes them there, and a batch is whole without any copy. Lengths are not known before: each unit gets
as many rows as a unit probably has at most. Rows of shorter ones are moved together as they are admitted.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias, cast

import numpy as np
from gymnasium import spaces

from samplerkit.episodes.columns import Array, Column, arrays_of, map_pair, rows_of
from samplerkit.episodes.spec import Space

_ALIGNMENT = 64

Layout: TypeAlias = "tuple[tuple[str, str, tuple[int, ...]], ...]"


class Place(NamedTuple):
    """Where the observations of one unit go, but for the final one.

    Attributes:
        rows: a column.
        n_rows: how many rows it has.
    """

    rows: Column
    n_rows: int


class BatchBuffer:
    """Memory laid out as one column for the observations of consecutive units, each with as many rows.

    Args:
        space: of the observations.
        memory: bytes, as many as `size` says.
        unit_rows: rows of each unit.
        n_units: how many units.

    Raises:
        ValueError: for another number of bytes.
    """

    def __init__(self, space: Space, memory: Array, unit_rows: int, n_units: int) -> None:
        if memory.nbytes != self.size(space, unit_rows * n_units):
            raise ValueError(f"{memory.nbytes} bytes are not what {n_units} units of {unit_rows} rows take")
        self.unit_rows = unit_rows
        self.n_units = n_units
        self.column = _laid_out(space, unit_rows * n_units, iter(_split(space, unit_rows * n_units, memory)))

    @staticmethod
    def size(space: Space, n_rows: int) -> int:
        """Return how many bytes so many rows take."""
        return sum(_padded(n_rows * row_bytes) for row_bytes in _row_bytes(space))

    def place(self, index: int) -> Place | None:
        """Return the rows of a unit, counted from the batch's first; None if there are none for it."""
        if not 0 <= index < self.n_units:
            return None
        first = index * self.unit_rows
        return Place(rows_of(self.column, slice(first, first + self.unit_rows)), self.unit_rows)

    def holds(self, index: int, stops: Array) -> bool:
        """Whether units fit in without reaching into rows of units that are still to come.

        Args:
            index: of the first of them.
            stops: (N,) the row of the batch at which each ends.
        """
        places = np.minimum(np.arange(index + 1, index + 1 + len(stops)), self.n_units)
        return bool((stops <= places * self.unit_rows).all())

    def settle(self, rows: Column, start: int, n_rows: int) -> None:
        """Bring rows of a unit, in their place or anywhere else, to where the batch has them.

        Args:
            rows: the unit's.
            start: the row of the batch at which they begin, no later than their place does.
            n_rows: how many there are.
        """
        map_pair(_moved, rows_of(self.column, slice(start, start + n_rows)), rows)


def _moved(into: Array, rows: Array) -> Array:
    target, source = into.ctypes.data, rows.ctypes.data
    if target == source:
        return into
    if rows.flags.c_contiguous and rows.dtype == into.dtype and np.may_share_memory(into, rows):
        ctypes.memmove(target, source, rows.nbytes)  # numpy would copy them aside first
    else:
        into[...] = rows
    return into


def layout(space: Space) -> Layout:
    """Return the path, dtype and shape of a row of each array of a space's column."""
    return tuple(_leaves(space, ""))


def same_layout(column: Column, rows: Column) -> bool:
    """Return whether arrays of a column and of rows have the same names, dtypes and shapes."""
    return [(path, a.dtype, a.shape[1:]) for path, a in arrays_of(column)] == [
        (path, a.dtype, a.shape[1:]) for path, a in arrays_of(rows)
    ]


def _leaves(space: Space, path: str) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    if isinstance(space, spaces.Dict):
        for key, child in space.spaces.items():
            yield from _leaves(child, f"{path}[{key!r}]")
    elif isinstance(space, spaces.Tuple):
        for index, child in enumerate(space.spaces):
            yield from _leaves(child, f"{path}[{index}]")
    else:
        yield path, np.dtype(space.dtype).str, cast("tuple[int, ...]", space.shape)


def _row_bytes(space: Space) -> Iterator[int]:
    """Yield what a value takes in each array of its column."""
    for _, dtype, shape in _leaves(space, ""):
        yield math.prod(shape) * np.dtype(dtype).itemsize


def _split(space: Space, n_rows: int, memory: Array) -> Iterator[Array]:
    at = 0
    for row_bytes in _row_bytes(space):
        yield memory[at : at + n_rows * row_bytes]
        at += _padded(n_rows * row_bytes)


def _laid_out(space: Space, n_rows: int, parts: Iterator[Array]) -> Column:
    if isinstance(space, spaces.Dict):
        return {key: _laid_out(child, n_rows, parts) for key, child in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_laid_out(child, n_rows, parts) for child in space.spaces)
    dtype = np.dtype(space.dtype)
    return np.frombuffer(next(parts).data, dtype).reshape(n_rows, *cast("tuple[int, ...]", space.shape))


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
