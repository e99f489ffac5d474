"""Putting a batch together while it is still being sampled."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from samplerkit.episodes.batch_buffer import BatchBuffer, same_layout
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
from samplerkit.episodes.finals import as_slice
from samplerkit.episodes.info_types import agree, in_agreement
from samplerkit.episodes.joining import as_few, merged
from samplerkit.episodes.placed import Placed
from samplerkit.episodes.recycling import RecycledMemory
from samplerkit.episodes.scattered import Part, copy_rows, no_rows, put_finals, scattered
from samplerkit.episodes.slices import (
    Assembled,
    EpisodeSlice,
    EpisodeStore,
    Span,
    Spans,
    episodes_of_each,
    lengths_of_each,
    span_of,
)
from samplerkit.episodes.tick_recording import LARGE

_BYTES = 1 << 22
"""Pieces are copied when there is so much of them: far less than a large batch has."""

_ROOM = 1.05
"""Room for so many times as many episodes as there probably will be."""


class Assembly:
    """Episodes on their way into one batch, in order.

    Where a batch is large its rows are copied as they come, so that the places they come from (memory of
    workers, messages) are free again long before the batch is whole, and no row is in memory twice for long.

    Args:
        expected_steps: says, given how many pieces and steps there are so far, how many steps there will
            probably be; memory is reserved for as many.
        memory: where a large batch is put.
        buffer: where its observations are put, if that was decided before the first unit ran.
    """

    def __init__(
        self,
        expected_steps: Callable[[int, int], int],
        memory: RecycledMemory | None = None,
        buffer: BatchBuffer | None = None,
    ) -> None:
        self._expected_steps = expected_steps
        self._memory = RecycledMemory() if memory is None else memory
        self._buffer = buffer
        self._n_episodes: list[int] = []
        self._n_steps = 0
        self._waiting: list[Span] = []
        self._bytes = 0
        self._rows: _Rows | None = None

    def add(self, spans: list[Span]) -> None:
        """Take the next pieces.

        Args:
            spans: of them, in order; taken off the list as they are copied, so that what they stand in can
                go.

        Raises:
            ValueError: where columns do not fit to those before.
        """
        sizes = [span.n_steps * _step_bytes(span.store) for span in spans]
        if self._bytes + sum(sizes) < _BYTES:
            self._waiting += spans
            self._bytes += sum(sizes)
            return
        spans.reverse()
        for size in sizes:
            self._waiting.append(spans.pop())
            self._bytes += size
            if self._bytes >= _BYTES:
                self._copy()

    def leave_buffer(self) -> None:
        """Put the observations elsewhere, since units may be written to their places again."""
        if self._buffer is None:
            return
        if self._waiting:
            self._copy()
        self._buffer = None
        if self._rows is not None:
            self._rows.leave_buffer()

    def finish(self) -> Sequence[EpisodeSlice]:
        """Return all pieces: as they came, or as slices of one batch that `join` returns as it is.

        Called once: nothing is kept, since the memory is used again when the batch is dropped.

        Raises:
            ValueError: where columns do not fit together.
        """
        if self._waiting and (self._rows is not None or self._buffer is not None):
            self._copy()
        rows, waiting = self._rows, self._waiting
        self._rows, self._buffer, self._waiting = None, None, []
        return Spans(waiting if rows is None else [span_of(Assembled(rows.finish()), self._n_episodes)])

    def _copy(self) -> None:
        waiting = Spans(self._waiting)
        # How many are copied together is a matter of chance: infos must not show it.
        runs = [waiting] if agree(as_few(waiting), widths=False) else in_agreement(waiting, widths=False)
        for run in runs:
            self._copy_run(run)
        self._waiting = []
        self._bytes = 0

    def _copy_run(self, run: Sequence[EpisodeSlice]) -> None:
        lengths = lengths_of_each(run)
        self._n_episodes += episodes_of_each(run)
        self._n_steps += sum(lengths)
        if self._buffer is not None or run[0].store.env_spec.step_bytes >= LARGE:
            light, parts = scattered(run)
            if self._rows is None:
                every = parts[0].standing.every
                self._rows = _Rows.like(light, every, self._expected(), self._memory, self._buffer)
            self._rows.append_scattered(light, parts, lengths)
        else:
            batch = merged(run)
            if self._rows is None:
                self._rows = _Rows.like(batch, batch.observations, self._expected(), self._memory)
            self._rows.append(batch)

    def _expected(self) -> int:
        return max(self._expected_steps(len(self._n_episodes), self._n_steps), self._n_steps)


def _step_bytes(store: EpisodeStore) -> int:
    """Return what a step takes that is to be copied."""
    return 0 if isinstance(store, Placed) else store.env_spec.step_bytes  # what is placed is nobody's to free


class _Rows:
    """Observations and actions with room for more; what is small beside them is joined at the end.

    Args:
        capacity: how many steps there is room for.
        episodes: how many final observations.
        memory: of what.
        columns: without rows: observations, final observations, actions.
        buffer: where the observations go, if that was decided.
    """

    def __init__(
        self,
        capacity: int,
        episodes: int,
        memory: RecycledMemory,
        columns: tuple[Column, Column, Column],
        buffer: BatchBuffer | None,
    ) -> None:
        self._memory = memory
        self._n_steps = self._n_episodes = self._n_units = 0
        self._capacity = capacity
        self._episodes = episodes
        self._buffer = buffer
        if buffer is None:
            self._observations = map_column(self._with_room, columns[0])
        else:
            self._observations = buffer.column
        self._finals = map_column(self._with_final_room, columns[1])
        self._actions = map_column(self._with_room, columns[2])
        self._rest: list[EpisodeBatch] = []

    @classmethod
    def like(
        cls,
        batch: EpisodeBatch,
        observations: Column,
        expected: int,
        memory: RecycledMemory,
        buffer: BatchBuffer | None = None,
    ) -> Self:
        """Return room for as many steps as are expected, given the first ones."""
        if buffer is not None and not same_layout(buffer.column, observations):
            buffer = None
        # Pages that are never written cost nothing.
        episodes = math.ceil(len(batch.lengths) / len(batch.rewards) * expected * _ROOM)
        none = no_rows(observations)
        return cls(expected, episodes, memory, (none, none, no_rows(batch.actions)), buffer)

    def append(self, batch: EpisodeBatch) -> None:
        """Add a batch."""
        start, _, first = self._make_room(batch)
        _put(self._observations, batch.observations, start, "observations")
        _put(self._finals, batch.last_observations, first, "last_observations")
        self._note(batch)

    def append_scattered(self, light: EpisodeBatch, parts: Sequence[Part], n_steps: Sequence[int]) -> None:
        """Add what `scattered` returned, given how many steps each of its slices has."""
        start, _, first = self._make_room(light)
        for standing, _, episodes in parts:
            _check(self._observations, standing.every, "observations")
            put_finals(self._finals, first + episodes, standing)
        stops = start + np.cumsum(n_steps)
        if self._buffer is not None and not self._buffer.holds(self._n_units, stops):
            # Units are longer than those before. What lies there is copied, as if it lay anywhere.
            self.leave_buffer()
        if self._buffer is None:
            for standing, rows, _ in parts:
                copy_rows(self._observations, start + rows, standing.every, standing.steps)
        else:
            self._settle(self._buffer, parts, [start, *stops.tolist()])
        self._note(light)
        self._n_units += len(n_steps)

    def _settle(self, buffer: BatchBuffer, parts: Sequence[Part], firsts: Sequence[int]) -> None:
        """Bring the rows of units together; in their order, since they may come from where others go."""
        moved: dict[int, Column] = {}
        for standing, rows, _ in parts:
            rows = firsts[0] + rows
            if standing.every is not buffer.column or not np.array_equal(rows, standing.steps):
                begins = np.flatnonzero(np.isin(rows, firsts))
                for begin, steps in zip(begins.tolist(), np.split(standing.steps, begins[1:]), strict=True):
                    moved[int(rows[begin])] = rows_of(standing.every, as_slice(steps))
        for first, stop in itertools.pairwise(firsts):
            if first in moved:
                buffer.settle(moved[first], first, stop - first)

    def _make_room(self, batch: EpisodeBatch) -> tuple[int, int, int]:
        """Return the rows of a batch that comes next, and its first episode."""
        start, stop = self._n_steps, self._n_steps + len(batch.rewards)
        if stop > self._capacity:
            self._capacity = max(stop, self._capacity + self._capacity // 4)
            if self._buffer is None:
                self._observations = map_column(self._with_room, self._observations)
            self._actions = map_column(self._with_room, self._actions)
        first = self._n_episodes
        if first + len(batch.lengths) > self._episodes:
            self._episodes = max(first + len(batch.lengths), self._episodes + self._episodes // 4)
            self._finals = map_column(self._with_final_room, self._finals)
        return start, stop, first

    def _note(self, batch: EpisodeBatch) -> None:
        _put(self._actions, batch.actions, self._n_steps, "actions")
        self._rest.append(_rest_of(batch))
        self._n_steps += len(batch.rewards)
        self._n_episodes += len(batch.lengths)

    def leave_buffer(self) -> None:
        """See `Assembly.leave_buffer`."""
        if self._buffer is not None:
            self._buffer = None
            self._observations = map_column(self._with_room, self._observations)

    def finish(self) -> EpisodeBatch:
        """Return the batch."""
        return EpisodeBatch.concatenate(*self._rest).with_columns(
            observations=map_column(self._without_room, self._observations),
            actions=map_column(self._without_room, self._actions),
            last_observations=map_column(self._without_final_room, self._finals),
        )

    def _with_room(self, array: Array) -> Array:
        roomy = self._memory.array((self._capacity, *array.shape[1:]), array.dtype)
        roomy[: self._n_steps] = array[: self._n_steps]
        return roomy

    def _with_final_room(self, array: Array) -> Array:
        roomy = self._memory.array((self._episodes, *array.shape[1:]), array.dtype)
        roomy[: self._n_episodes] = array[: self._n_episodes]
        return roomy

    def _without_room(self, array: Array) -> Array:
        return _shortened(array, self._n_steps)

    def _without_final_room(self, array: Array) -> Array:
        return _shortened(array, self._n_episodes)


def _shortened(array: Array, n_rows: int) -> Array:
    if array.base is not None:
        return array[:n_rows]
    array.resize((n_rows, *array.shape[1:]), refcheck=False)  # moves nothing
    return array


def _put(column: Column, rows: Column, start: int, name: str) -> None:
    """Copy rows into a column, or raise a ValueError where they do not fit."""
    _check(column, rows, name)

    def copied(into: Array, part: Array) -> Array:
        into[start : start + len(part)] = part
        return into

    map_pair(copied, column, rows)


def _check(column: Column, rows: Column, name: str) -> None:
    concatenate_columns([no_rows(column), no_rows(rows)], name)


def _rest_of(batch: EpisodeBatch) -> EpisodeBatch:
    """Return a copy without observations, final ones and actions."""
    return EpisodeBatch.unchecked(
        env_spec=batch.env_spec,
        episode_infos=map_columns(np.array, batch.episode_infos_by_episode),
        observations=(),
        last_observations=(),
        actions=(),
        rewards=batch.rewards.copy(),
        env_infos=map_columns(np.array, batch.env_infos),
        agent_infos=map_columns(np.array, batch.agent_infos),
        step_types=batch.step_types.copy(),
        lengths=batch.lengths.copy(),
    )
