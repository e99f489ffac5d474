"""Putting a batch together while it is still being sampled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samplerkit.episodes.columns import (
    Array,
    Column,
    concatenate_columns,
    map_column,
    map_columns,
    map_pair,
    rows_of,
)
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.ground import Ground, fits
from samplerkit.episodes.joining import merged
from samplerkit.episodes.recycling import RecycledMemory
from samplerkit.episodes.slices import Assembled, EpisodeSlice, cut

_BYTES = 1 << 22
"""Pieces are copied when there is so much of them: far less than a large batch has."""


class Assembly:
    """Episodes on their way into one batch, in order.

    Where a batch is large its rows are copied as they come, so that the places they come from (memory of
    workers, messages) are free again long before the batch is whole, and no row is in memory twice for long.

    Args:
        expected_steps: says, given how many pieces and steps there are so far, how many steps there will
            probably be; memory is reserved for as many.
        memory: where a large batch is put.
        ground: where its observations are put, if that was decided before the first unit ran.
    """

    def __init__(
        self,
        expected_steps: Callable[[int, int], int],
        memory: RecycledMemory | None = None,
        ground: Ground | None = None,
    ) -> None:
        self._expected_steps = expected_steps
        self._memory = RecycledMemory() if memory is None else memory
        self._ground = ground
        self._n_episodes: list[int] = []
        self._n_steps = 0
        self._waiting: list[EpisodeSlice] = []
        self._bytes = 0
        self._rows: _Rows | None = None

    def add(self, piece: EpisodeSlice) -> None:
        """Take the next episodes.

        Raises:
            ValueError: where columns do not fit to those before.
        """
        self._n_episodes.append(piece.n_episodes)
        self._n_steps += piece.n_steps
        self._waiting.append(piece)
        self._bytes += piece.n_steps * piece.store.env_spec.step_bytes
        if self._bytes >= _BYTES or self._ground is not None:
            self._copy()

    def leave_ground(self) -> None:
        """Put the observations elsewhere, since units may be written to their places again."""
        self._ground = None
        if self._rows is not None:
            self._rows.leave_ground()

    def finish(self) -> list[EpisodeSlice]:
        """Return all pieces: as they came, or as slices of one batch that `join` returns as it is.

        Called once: nothing is kept, since the memory is used again when the batch is dropped.

        Raises:
            ValueError: where columns do not fit together.
        """
        if self._rows is not None and self._waiting:
            self._copy()
        rows, waiting = self._rows, self._waiting
        self._rows, self._ground, self._waiting = None, None, []
        return waiting if rows is None else cut(Assembled(rows.finish()), self._n_episodes)

    def _copy(self) -> None:
        batch = merged(self._waiting)
        if self._rows is None:
            expected = self._expected_steps(len(self._n_episodes), self._n_steps)
            self._rows = _Rows(batch, max(expected, self._n_steps), self._memory, self._ground)
        self._rows.append(batch)
        self._waiting.clear()
        self._bytes = 0


class _Rows:
    """Observations and actions with room for more; what is small beside them is joined at the end."""

    def __init__(
        self, like: EpisodeBatch, capacity: int, memory: RecycledMemory, ground: Ground | None
    ) -> None:
        self._memory = memory
        self._n_steps = 0
        self._capacity = capacity
        self._ground = ground if ground is not None and fits(ground.column, like.observations) else None
        if self._ground is None:
            self._observations = map_column(self._with_room, like.observations)
        else:
            self._observations = self._ground.column
        self._actions = map_column(self._with_room, like.actions)
        self._rest: list[EpisodeBatch] = []

    def append(self, batch: EpisodeBatch) -> None:
        start, stop = self._n_steps, self._n_steps + len(batch.rewards)
        if stop > self._capacity:
            self._capacity = max(stop, self._capacity + self._capacity // 4)
            if self._ground is None:
                self._observations = map_column(self._with_room, self._observations)
            self._actions = map_column(self._with_room, self._actions)
        self._append_observations(batch.observations, start, stop)
        _put(self._actions, batch.actions, start, "actions")
        self._rest.append(_rest_of(batch))
        self._n_steps = stop

    def leave_ground(self) -> None:
        if self._ground is not None:
            self._ground = None
            self._observations = map_column(self._with_room, self._observations)

    def _append_observations(self, rows: Column, start: int, stop: int) -> None:
        if self._ground is not None:
            if self._ground.settle(rows, len(self._rest), start, stop - start):
                return
            # Units are longer than those before. What lies there is copied, as if it lay anywhere.
            self.leave_ground()
        _put(self._observations, rows, start, "observations")

    def finish(self) -> EpisodeBatch:
        rest = EpisodeBatch.concatenate(*self._rest)
        rest.__dict__["observations"] = map_column(self._without_room, self._observations)
        rest.__dict__["actions"] = map_column(self._without_room, self._actions)
        return rest

    def _with_room(self, array: Array) -> Array:
        # Pages that are never written cost nothing.
        roomy = self._memory.array((self._capacity, *array.shape[1:]), array.dtype)
        roomy[: self._n_steps] = array[: self._n_steps]
        return roomy

    def _without_room(self, array: Array) -> Array:
        if array.base is not None:
            return array[: self._n_steps]
        array.resize((self._n_steps, *array.shape[1:]), refcheck=False)  # moves nothing
        return array


def _put(column: Column, rows: Column, start: int, name: str) -> None:
    """Copy rows into a column, or raise a ValueError where they do not fit."""
    concatenate_columns([rows_of(column, slice(0)), rows_of(rows, slice(0))], name)

    def copied(into: Array, part: Array) -> Array:
        into[start : start + len(part)] = part
        return into

    map_pair(copied, column, rows)


def _rest_of(batch: EpisodeBatch) -> EpisodeBatch:
    """Return a copy without observations and actions."""
    return EpisodeBatch.unchecked(
        env_spec=batch.env_spec,
        episode_infos=map_columns(np.array, batch.episode_infos_by_episode),
        observations=(),
        last_observations=map_column(np.array, batch.last_observations),
        actions=(),
        rewards=batch.rewards.copy(),
        env_infos=map_columns(np.array, batch.env_infos),
        agent_infos=map_columns(np.array, batch.agent_infos),
        step_types=batch.step_types.copy(),
        lengths=batch.lengths.copy(),
    )
