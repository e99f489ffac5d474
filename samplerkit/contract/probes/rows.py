"""A policy that keeps watch over its rows: what a vectorized worker calls it with."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplerkit.contract.probes.policies import ProbePolicy
from samplerkit.contract.probes.tattoo import mark_of


class RowWatcher(ProbePolicy):
    """Acts like `ProbePolicy`, and raises an AssertionError that says what was wrong with a call.

    The infos tell how many calls there were before (``tick``).

    Args:
        n_rows: how many rows there must be.
        scribbles: whether it writes to its observations, and uses its arrays of actions and infos again.
    """

    def __init__(self, n_rows: int, *, scribbles: bool = False) -> None:
        super().__init__(1)
        self._n_rows = n_rows
        self._scribbles = scribbles
        self._tick = 0
        self._before: list[tuple[int, int]] = [(-1, -1)] * n_rows
        self._begin = [True] * n_rows
        self._own = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)

    def get_action(self, observation: Any) -> Any:
        raise AssertionError("get_action was called, where a worker has several environments")

    def reset(self, do_resets: Any = None) -> None:
        flags = np.asarray(do_resets)
        assert flags.dtype == np.bool_, f"do_resets must be an array of booleans, not {do_resets!r}"
        assert flags.shape == (self._n_rows,), f"do_resets must have {self._n_rows} flags, got {flags.shape}"
        assert flags.any(), "reset() was called for no row"
        super().reset(do_resets)
        for row in np.flatnonzero(flags).tolist():
            self._begin[row] = True

    def get_actions(self, observations: Any) -> Any:
        marks = mark_of(observations)
        assert len(marks) == self._n_rows, f"expected {self._n_rows} rows in every call, got {len(marks)}"
        now = [(int(mark[1]), int(mark[2])) for mark in marks]
        for row, (key, time) in enumerate(now):
            self._check(row, key, time, now)
        self._before, self._begin = now, [False] * self._n_rows
        actions, infos = super().get_actions(observations)
        infos["tick"] = np.full(self._n_rows, self._tick)
        self._tick += 1
        if self._scribbles:
            _scribble(observations)
            self._own[0][:], self._own[1][:] = actions, infos["count"]
            actions, infos["count"] = self._own
        return actions, infos

    def _check(self, row: int, key: int, time: int, now: list[tuple[int, int]]) -> None:
        if self._begin[row]:
            if time == 0:
                return
            what = f"row {row} was reset, and is at step {time} of its episode"
        elif (key, time) == (self._before[row][0], self._before[row][1] + 1):
            return
        elif now.count((key, time)) > 1:
            return  # an idle row repeats another one
        elif time == 0:
            what = f"row {row} begins an episode, and was not reset"
        else:
            before = self._before[row]
            what = f"row {row} was at step {before[1]} of episode {before[0]}, and is now at {time} of {key}"
        raise AssertionError(f"call {self._tick}: {what}")


def _scribble(observations: Any) -> None:
    for column in observations.values() if isinstance(observations, dict) else [observations]:
        if isinstance(column, np.ndarray):
            column[...] = 111
