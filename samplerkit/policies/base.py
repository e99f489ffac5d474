"""What the built-in policies share: rows, their random streams, resets, and the state of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from samplerkit.policies.rows import Rows, RowStreams

State = dict[str, npt.NDArray[Any]]
RowIndex = npt.NDArray[np.intp]


class RowPolicy:
    """A policy acting on n rows, each with its own random stream.

    `reset(None)` makes it a policy of one row for `get_action`; `reset(mask)` one of len(mask) rows for
    `get_actions`. `seed(seeds)` then seeds the rows that were reset. Not safe for use by several threads at
    once.
    """

    def __init__(self, *, stream_seed: int = 0) -> None:
        self._streams = RowStreams(1, seed=stream_seed)
        self._reset_rows: RowIndex = np.zeros(1, np.intp)

    @property
    def n_rows(self) -> int:
        """How many rows the policy acts on."""
        return self._streams.n_rows

    def reset(self, do_resets: npt.ArrayLike | None = None) -> None:
        """Begin new episodes: None for a single row, else a boolean for each of n rows."""
        if do_resets is None:
            if self._streams.n_rows != 1:
                self._resize(1)
            self._reset_rows = _FIRST_ROW
        else:
            mask = np.asarray(do_resets)
            if mask.ndim != 1 or mask.dtype != np.bool_ or not len(mask):
                raise ValueError(
                    f"do_resets must be None or a boolean array (n_rows,), "
                    f"not shape {mask.shape} and dtype {mask.dtype}"
                )
            if len(mask) != self._streams.n_rows:
                self._resize(len(mask))
            self._reset_rows = np.flatnonzero(mask)
        self._clear(self._reset_rows)

    def seed(self, seeds: npt.ArrayLike) -> None:
        """Start the streams of the rows reset last: one unsigned 64-bit integer for each of them."""
        if len(np.atleast_1d(seeds)) != len(self._reset_rows):
            raise ValueError(
                f"the last reset was of {len(self._reset_rows)} rows, "
                f"so seed() takes as many integers, not {np.shape(seeds)}"
            )
        self._streams.seed(seeds, self._reset_rows)

    def get_state(self, rows: Rows = None) -> State:
        """Everything of `rows` (None: all) that the next action depends on, but the weights; fresh arrays."""
        return {**self._streams.get_state(rows)}

    def set_state(self, rows: Rows, state: Mapping[str, npt.ArrayLike]) -> None:
        """Put what `get_state` gave into `rows` (None: all)."""
        self._streams.set_state(rows, state)

    def _resize(self, n_rows: int) -> None:
        """Hook: change the number of rows."""
        self._streams.resize(n_rows)

    def _clear(self, rows: RowIndex) -> None:
        """Hook: forget what `rows` remember of their episodes."""

    def _check_rows(self, n: int) -> None:
        if n != self._streams.n_rows:
            raise ValueError(
                f"this policy was reset for {self._streams.n_rows} rows and got {n}: call reset() before "
                f"get_action, reset(np.ones({n}, bool)) before get_actions with {n} observations"
            )


_FIRST_ROW: RowIndex = np.zeros(1, np.intp)
_FIRST_ROW.flags.writeable = False
