"""Episodes that begin together: their first observations and infos, taken all at once."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from samplerkit.episodes.columns import Column, Columns, rows_of_each
from samplerkit.episodes.infos import concatenate_infos


class Beginning(NamedTuple):
    """The infos of an episode, beside those of others that began with it."""

    columns: Columns
    row: int


def shared_infos(infos: Mapping[str, Any], slots: Sequence[int], n_slots: int) -> Columns | None:
    """Return the infos of some slots as columns with a row for each, in fresh arrays.

    Args:
        infos: as a vector environment returns them.
        slots: those that count, in order.
        n_slots: rows of each column.

    Returns:
        None where these are not plain numbers or arrays of numbers that all slots have.
    """
    for key, column in infos.items():
        if not isinstance(key, str) or key[:1] == "_" or type(column) is not np.ndarray:
            return None
        if (
            not column.ndim
            or len(column) != n_slots
            or column.dtype.kind not in "biufc"
            or not column.dtype.isnative
        ):
            return None
    if len(slots) == n_slots:
        return {key: column.copy() for key, column in infos.items()}
    rows = list(slots)
    return {key: column[rows] for key, column in infos.items()}


def beginnings(columns: Columns, n: int) -> list[Columns | Beginning]:
    """Return the infos of `n` episodes that share columns, of which each has a row."""
    if not columns:
        return [{} for _ in range(n)]
    # What `Beginning._make` does, without a call in Python for each.
    return [*map(tuple.__new__, itertools.repeat(Beginning, n), zip(itertools.repeat(columns), range(n)))]


def put_rows(place: Column, values: Any, rows: Sequence[int]) -> bool:
    """Copy some rows of values, each once, to the same rows of a column.

    Returns:
        False, with anything in these rows, where that would take a cast, or the structures differ.
    """
    if isinstance(place, dict):
        same = isinstance(values, Mapping) and values.keys() == place.keys()
        return same and all(put_rows(child, values[key], rows) for key, child in place.items())
    if isinstance(place, tuple):
        same = isinstance(values, tuple) and len(values) == len(place)
        return same and all(put_rows(child, value, rows) for child, value in zip(place, values, strict=True))
    if type(values) is not np.ndarray or values.dtype != place.dtype or values.shape != place.shape:
        return False
    if len(rows) == len(place):
        place[...] = values
    else:
        place[rows] = values[rows]
    return True


def columns_of(infos: Sequence[Columns | Beginning], name: str) -> Columns:
    """Return the columns of the infos of episodes, a row for each, in fresh arrays.

    Args:
        infos: of each episode: columns of one row, or a row of columns that it shares with others.
        name: what errors call them.

    Raises:
        ValueError: as `concatenate_infos`.
    """
    if not any(infos):
        return {}
    shared, rows = zip(*[it if type(it) is Beginning else (it, 0) for it in infos], strict=True)
    # Where the columns change; a loop over episodes would take five times as long.
    breaks = itertools.compress(itertools.count(1), map(operator.is_not, shared, shared[1:]))
    parts: list[Columns] = []
    counts: list[int] = []
    for start, stop in itertools.pairwise([0, *breaks, len(infos)]):
        parts.append(rows_of_each(shared[start], _as_slice(rows[start:stop])))
        counts.append(stop - start)
    return concatenate_infos(parts, counts, name)


def _as_slice(rows: tuple[int, ...]) -> Any:
    """Return rows that follow each other as a slice."""
    first, n = rows[0], len(rows)
    return slice(first, first + n) if rows == (*range(first, first + n),) else np.array(rows)
