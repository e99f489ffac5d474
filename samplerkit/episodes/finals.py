"""Final observations that stand among others: what follows a cut is what the next fragment begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from samplerkit.episodes.columns import Array, Column, map_pair


@dataclass(frozen=True)
class Finals:
    """Where the final observations of a batch's episodes stand, as long as nobody asks for them.

    Attributes:
        rows: (N,) int64: rows of the batch's observations; -1 - i for row i of `apart`.
        apart: column of those that stand nowhere else.
    """

    rows: Array
    apart: Column

    def among(self, observations: Column) -> Column:
        """Return them in fresh arrays, given the batch's observations."""
        return picked(observations, self.apart, self.rows)


class Standing(NamedTuple):
    """Where the observations of some episodes stand.

    Attributes:
        every: column that has those of the steps.
        steps: (T,) rows of it.
        apart: column of final ones that do not stand there.
        finals: (N,) rows of `every`; -1 - i for row i of `apart`.
    """

    every: Column
    steps: Array
    apart: Column
    finals: Array


def picked(every: Column, apart: Column, rows: Array) -> Column:
    """Return rows of two columns of the same kind, in fresh arrays.

    Args:
        every: of which most are.
        apart: the other one.
        rows: of `every`; -1 - i for row i of `apart`.
    """
    others = np.flatnonzero(rows < 0)

    def taken(most: Array, few: Array) -> Array:
        column: Array
        if not len(most):
            column = few[-1 - rows]
            return column
        column = most.take(rows, 0, mode="clip")
        if len(others):
            column[others] = few[-1 - rows[others]]
        return column

    return map_pair(taken, every, apart)


def as_slice(rows: Array) -> Any:
    """Return increasing rows that are evenly apart as a slice; others as they are."""
    if len(rows) == 1:
        return slice(int(rows[0]), int(rows[0]) + 1)
    step = int(rows[1]) - int(rows[0])
    if step < 1 or int(rows[-1]) - int(rows[0]) != step * (len(rows) - 1) or (np.diff(rows) != step).any():
        return rows
    return slice(int(rows[0]), int(rows[-1]) + 1, step)
