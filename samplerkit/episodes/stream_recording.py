"""Where a stream of episodes is recorded: slots that step together, cut into episodes by index arithmetic."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from samplerkit.episodes.columns import Array, fits, map_column, map_pair, row_of, rows_of, rows_of_array
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.recorded_infos import RecordedInfos
from samplerkit.episodes.recording import step_types
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType
from samplerkit.episodes.tick_recording import TickRecording


class StreamRecording(TickRecording):
    """A `TickRecording` whose episodes begin and end many at a time, in arrays.

    They are numbered 0, 1, 2, … by (tick of the first step, slot), and taken in this order, as copies: rows
    of what was taken are written again. So one such recording serves for ever, and stays in caches.

    Args:
        env_spec, n_slots, capacity, warned: see `TickRecording`.
    """

    __slots__ = ("_ends", "_n_steps", "_n_taken", "_places", "episode_infos", "n_begun", "n_ended")

    _places: Array
    _n_steps: Array
    _ends: Array

    def __init__(self, env_spec: EnvSpec, n_slots: int, capacity: int, warned: set[str]) -> None:
        super().__init__(env_spec, n_slots, capacity, warned)
        self._table(max(4 * n_slots, self._finals_room))
        self.restart()

    def restart(self) -> None:
        """Forget all there is."""
        n, capacity = self.n_slots, self.capacity
        self.env_infos = RecordedInfos("env_infos", n, capacity, strings=True)
        self.agent_infos = RecordedInfos("agent_infos", n, capacity, strings=True)
        self.episode_infos = RecordedInfos("episode_infos", n, capacity + 1, strings=True)
        """Written at the tick of an episode's first step."""
        self.n_begun = self.n_ended = self._n_taken = 0
        """How many episodes have begun, ended, and been taken, of those that are numbered."""

    def _table(self, room: int) -> None:
        """Make room for episodes: row of the first step, length (0 while it runs), how it ended."""
        self._finals_room = room
        self._finals.grow(room)
        for name, dtype in (("_places", np.int64), ("_n_steps", np.int64), ("_ends", np.int8)):
            column: Array = np.zeros(room, dtype)
            before: Array = getattr(self, name, column[:0])
            column[: len(before)] = before
            setattr(self, name, column)

    # -- episodes begin and end ------------------------------------------------------------------

    def begin(self, tick: int, slots: Array) -> Array:
        """Let episodes begin at a tick, in slots that are in order; returns their numbers."""
        first, stop = self.n_begun, self.n_begun + len(slots)
        if stop > self._finals_room:
            self._table(2 * stop)
        self._places[first:stop] = tick * self.n_slots + slots
        self._n_steps[first:stop] = 0
        self.n_begun = stop
        return np.arange(first, stop)

    def end(self, numbers: Array, lengths: Array, last_step_types: Array, tick: int, slots: Array) -> None:
        """Note that episodes ended with the step before a tick, at which their final observations stand."""
        self._n_steps[numbers] = lengths
        self._ends[numbers] = last_step_types
        self.n_ended += len(numbers)
        rows = tick * self.n_slots + slots

        def copied(into: Array, observations: Array) -> Array:
            into[numbers] = observations.take(rows, 0)
            return into

        map_pair(copied, self._finals.rows(slice(None)), self.observations.rows(slice(None)))

    def put_finals(self, numbers: Array, observations: Any, slots: Array) -> None:
        """Take final observations that stand elsewhere: in a column with a row for each slot."""
        if fits(self.observations.rows(slice(0, self.n_slots)), observations):

            def copied(into: Array, rows: Array) -> Array:
                into[numbers] = rows_of_array(rows, slots)
                return into

            map_pair(copied, self._finals.rows(slice(None)), observations)
            return
        for number, slot in zip(numbers.tolist(), slots.tolist(), strict=True):
            self._finals.put(number, row_of(observations, slot))

    # -- episodes are taken ----------------------------------------------------------------------

    def has(self, n_episodes: int) -> bool:
        """Whether the next so many episodes have ended."""
        first, stop = self._n_taken, self._n_taken + n_episodes
        return self.n_ended >= stop and bool(self._n_steps[first:stop].all())

    def take(self, n_episodes: int) -> EpisodeBatch:
        """Return the next episodes, which have ended, in fresh arrays."""
        episodes = slice(self._n_taken, self._n_taken + n_episodes)
        self._n_taken = episodes.stop
        starts, lengths = self._places[episodes].copy(), self._n_steps[episodes].copy()
        steps = self._rows_from(starts, lengths)
        first = np.full(len(lengths), StepType.FIRST, np.int8)
        return EpisodeBatch.unchecked(
            env_spec=self.env_spec,
            episode_infos=self.episode_infos.ticks.cut(starts),
            observations=self.observations.rows(steps),
            last_observations=map_column(np.array, rows_of(self._finals.rows(slice(None)), episodes)),
            actions=self.actions.rows(steps),
            rewards=self.rewards.take(steps),
            env_infos=self.env_infos.ticks.cut(steps),
            agent_infos=self.agent_infos.ticks.cut(steps),
            step_types=step_types(lengths, first, self._ends[episodes]),
            lengths=lengths,
        )

    def make_room(self, tick: int) -> tuple[int, int]:
        """Forget what was taken, before a tick for which there is no room, or make more room.

        Returns:
            How many ticks and how many episodes were forgotten: what was number n is now so many less.
        """
        taken, open_ = self._n_taken, slice(self._n_taken, self.n_begun)
        first = int(self._places[taken]) // self.n_slots if taken < self.n_begun else tick
        if 2 * (tick - first) > self.capacity:
            self.grow(2 * self.capacity)
            return 0, 0
        self.take_ticks(self, first, tick)
        count = open_.stop - taken
        for column in (self._places, self._n_steps, self._ends):
            column[:count] = column[open_]
        self._places[:count] -= first * self.n_slots
        self._finals.take_rows(self._finals, taken, open_.stop)
        self.n_begun, self.n_ended, self._n_taken = count, self.n_ended - taken, 0
        return first, taken

    def grow(self, capacity: int) -> None:
        """See `TickRecording.grow`."""
        super().grow(capacity)
        self.episode_infos.grow(capacity + 1)

    def take_ticks(self, other: TickRecording, start: int, stop: int) -> None:
        """See `TickRecording.take_ticks`."""
        super().take_ticks(other, start, stop)
        self.episode_infos.take_ticks(cast(StreamRecording, other).episode_infos, start, stop + 1)
