"""Where a stream of episodes is recorded: slots that step together, cut into episodes by index arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from samplerkit.episodes.columns import Array, Column, map_column, map_pair, rows_of
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.native_recorder import fits
from samplerkit.episodes.recording import step_types
from samplerkit.episodes.slices import EpisodeSlice
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType
from samplerkit.episodes.tick_recorder import row_of
from samplerkit.episodes.tick_recording import RecordedInfos, TickRecording


class StreamRecording(TickRecording):
    """A `TickRecording` whose episodes begin and end many at a time, in arrays.

    They are numbered 0, 1, 2, … by (tick of the first step, slot), and taken in this order.

    Args:
        env_spec, n_slots, capacity, warned: see `TickRecording`.
    """

    __slots__ = ("_n_taken", "_rows_taken", "_table", "episode_infos", "n_begun", "n_ended")

    def __init__(self, env_spec: EnvSpec, n_slots: int, capacity: int, warned: set[str]) -> None:
        super().__init__(env_spec, n_slots, capacity, warned)
        self.episode_infos = RecordedInfos("episode_infos", n_slots, capacity + 1)
        """Written at the tick of an episode's first step."""
        self.n_begun = 0
        self.n_ended = 0
        self._n_taken = 0
        self._rows_taken = 0
        self._table = _Table(max(4 * n_slots, self._finals_room))
        self._finals.grow(self._table.room)

    # -- episodes begin and end ------------------------------------------------------------------

    def begin(self, tick: int, slots: Array) -> range:
        """Let episodes begin at a tick, in slots that are in order; returns their numbers."""
        numbers = range(self.n_begun, self.n_begun + len(slots))
        self.n_begun = numbers.stop
        if self.n_begun > self._table.room:
            self._table.grow(2 * self.n_begun)
            self._finals.grow(self._table.room)
        self._table.starts[numbers.start : numbers.stop] = tick * self.n_slots + slots
        return numbers

    def end(self, numbers: Array, tick: int, slots: Array, last_step_types: Array) -> None:
        """Note that episodes ended with the step before a tick, at which their final observations stand."""
        rows = tick * self.n_slots + slots
        table = self._table
        table.lengths[numbers] = (rows - table.starts[numbers]) // self.n_slots
        table.last_step_types[numbers] = last_step_types
        self.n_ended += len(numbers)

        def copied(into: Array, observations: Array) -> Array:
            into[numbers] = observations[rows]
            return into

        map_pair(copied, self._finals.rows(slice(None)), self.observations.rows(slice(None)))

    def put_finals(self, numbers: Array, observations: Any, slots: Array) -> None:
        """Take final observations that stand elsewhere: in a column with a row for each slot."""
        finals, n = self._finals.rows(slice(None)), self.n_slots
        if fits(self.observations.rows(slice(0, n)), observations):

            def copied(into: Array, rows: Array) -> Array:
                into[numbers] = rows[slots]
                return into

            map_pair(copied, finals, observations)
            return
        for number, slot in zip(numbers.tolist(), slots.tolist(), strict=True):
            self._finals.put(number, row_of(observations, slot))

    # -- episodes are taken ----------------------------------------------------------------------

    def has(self, n_episodes: int) -> bool:
        """Whether the next so many episodes have ended."""
        first, stop = self._n_taken, self._n_taken + n_episodes
        return self.n_ended >= stop and bool(self._table.lengths[first:stop].all())

    def take(self, n_episodes: int) -> EpisodeSlice:
        """Return the next episodes, which have ended."""
        first, row = self._n_taken, self._rows_taken
        self._n_taken += n_episodes
        self._rows_taken += int(self._table.lengths[first : self._n_taken].sum())
        return EpisodeSlice(self, first, self._n_taken, row, self._rows_taken)

    @property
    def first_needed(self) -> int:
        """The tick at which the oldest episode begins that was not taken; `capacity` if there is none."""
        if self._n_taken == self.n_begun:
            return self.capacity
        return int(self._table.starts[self._n_taken]) // self.n_slots

    def go_on(self, other: StreamRecording, first: int, tick: int) -> int:
        """Take what another recording, which ends at `tick`, has from a tick on; this one is empty.

        Returns:
            The number that has become 0 of the episodes.
        """
        self.take_ticks(other, first, tick)
        taken, n_open = other._n_taken, other.n_begun - other._n_taken
        self._table.take(other._table, slice(taken, other.n_begun), first * self.n_slots)
        self._finals.grow(self._table.room)
        self._finals.take_rows(other._finals, taken, other.n_begun)
        self.n_begun, self.n_ended = n_open, other.n_ended - taken
        return taken

    def take_ticks(self, other: TickRecording, start: int, stop: int) -> None:
        """See `TickRecording.take_ticks`."""
        super().take_ticks(other, start, stop)
        self.episode_infos.take_ticks(cast(StreamRecording, other).episode_infos, start, stop + 1)

    # -- episodes as a batch ---------------------------------------------------------------------

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """Return consecutive episodes as a batch of fresh arrays."""
        del rows
        return self.gather(range(episodes.start, episodes.stop))

    def gather(self, episodes: Sequence[int]) -> EpisodeBatch:
        """See `TickRecording.gather`."""
        numbers: Any = slice(episodes.start, episodes.stop) if isinstance(episodes, range) else episodes
        table, n = self._table, self.n_slots
        starts, lengths = table.starts[numbers], table.lengths[numbers].copy()
        steps = np.repeat(starts - n * (np.cumsum(lengths) - lengths), lengths)
        steps += n * np.arange(len(steps))
        first: Any = np.full(len(lengths), StepType.FIRST, np.int8)
        last: Any = table.last_step_types[numbers]
        return EpisodeBatch.unchecked(
            env_spec=self.env_spec,
            episode_infos=self.episode_infos.ticks.cut(starts),
            observations=_taken(self.observations.rows(slice(None)), steps),
            last_observations=map_column(np.array, rows_of(self._finals.rows(slice(None)), numbers)),
            actions=_taken(self.actions.rows(slice(None)), steps),
            rewards=self.rewards.take(steps),
            env_infos=self.env_infos.ticks.cut(steps),
            agent_infos=self.agent_infos.ticks.cut(steps),
            step_types=step_types(cast(Any, lengths), first, last),
            lengths=lengths,
        )


class _Table:
    """For each episode the row of its first step, its length (0 while it runs), and how it ended."""

    __slots__ = ("last_step_types", "lengths", "starts")

    def __init__(self, room: int) -> None:
        self.starts = np.zeros(room, np.int64)
        self.lengths = np.zeros(room, np.int64)
        self.last_step_types = np.zeros(room, np.int8)

    @property
    def room(self) -> int:
        return len(self.starts)

    def grow(self, room: int) -> None:
        for name in self.__slots__:
            old = getattr(self, name)
            new = np.zeros(room, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def take(self, other: _Table, episodes: slice, rows_before: int) -> None:
        """Copy episodes of another table to the beginning of this one, whose rows count from later on."""
        count = episodes.stop - episodes.start
        if count > self.room:
            self.grow(2 * count)
        for name in self.__slots__:
            getattr(self, name)[:count] = getattr(other, name)[episodes]
        self.starts[:count] -= rows_before


def _taken(column: Column, rows: Array) -> Column:
    return map_column(lambda array: array.take(rows, 0), column)
