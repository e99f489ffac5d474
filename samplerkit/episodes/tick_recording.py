"""Where slots that step together are recorded: columns of (ticks × slots, …), with episodes cut out."""

from __future__ import annotations

import array
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from samplerkit.episodes.beginnings import Beginning, columns_of
from samplerkit.episodes.columns import Array, Column, Columns, map_column, map_pair, rows_of
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.finals import Finals, Standing, as_slice, picked
from samplerkit.episodes.recorded_infos import RecordedInfos
from samplerkit.episodes.recording import step_types
from samplerkit.episodes.recycling import RecycledMemory
from samplerkit.episodes.slices import EpisodeSlice, GatheringStore, Span, slice_of
from samplerkit.episodes.space_columns import plain_array, plain_rows, plain_vectors, space_column
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType

_BYTES = 1 << 20
"""What a recording takes, unless the episodes that are open need more."""

T = TypeVar("T")

LARGE = 1 << 10
"""Bytes of a step from which on its observations are copied as seldom as possible."""

_MOST_TICKS, _FEWEST_TICKS = 1024, 32

_numbers = functools.partial(array.array, "q")


class TickRecording(GatheringStore):
    """Steps of `n_slots` slots, tick after tick. Row ``tick * n_slots + slot`` is the slot's step of a tick.

    Rows of episodes that were kept are never written again, except for the row after the last step: there
    the slot's next episode begins, and the final observation is kept apart. Where an episode was cut, and
    goes on, it stays in that row.

    An `EpisodeSlice` of it counts rows in the order in which episodes were kept, as if they stood one after
    the other.

    Args:
        env_spec: the spaces of the values.
        n_slots: how many.
        capacity: how many ticks there is room for.
        warned: see `space_column`.
        memory: for observations, where these are large.
    """

    __slots__ = (
        "_episode_infos",
        "_final_rows",
        "_finals",
        "_finals_room",
        "_first_step_types",
        "_kept_rows",
        "_last_step_types",
        "_lengths",
        "_n_finals",
        "_starts",
        "actions",
        "agent_infos",
        "capacity",
        "env_infos",
        "env_spec",
        "line",
        "n_slots",
        "observations",
        "plain",
        "plain_actions",
        "plain_observations",
        "reward_line",
        "rewards",
        "width",
    )

    def __init__(
        self,
        env_spec: EnvSpec,
        n_slots: int,
        capacity: int,
        warned: set[str],
        memory: RecycledMemory | None = None,
    ) -> None:
        self.env_spec = env_spec
        self.n_slots = n_slots
        self.capacity = capacity
        rows = capacity * n_slots
        space = env_spec.observation_space
        self.observations = space_column(space, "observation", 0, warned)
        room = _room_of(memory or RecycledMemory(), rows + n_slots)
        self.observations.use(map_column(room, self.observations.rows(slice(None))))
        self.actions = space_column(env_spec.action_space, "action", rows, warned)
        self.rewards: Array = np.empty(rows, np.float64)
        self._draw_lines()
        self.env_infos = RecordedInfos("env_infos", n_slots, capacity)
        self.agent_infos = RecordedInfos("agent_infos", n_slots, capacity)
        # Arrays, since numpy takes them as they are: of a list it asks each number what it is.
        self._starts, self._lengths = _numbers(), _numbers()
        self._first_step_types, self._last_step_types = bytearray(), bytearray()
        self._episode_infos: list[Columns | Beginning] = []
        self._kept_rows = 0
        # Where each final observation stands: a row of the observations; -1 - i for row i of `_finals`.
        self._final_rows = _numbers()
        self._n_finals = 0
        self._finals_room = 16
        self._finals = space_column(space, "observation", self._finals_room, warned)

    @property
    def n_episodes(self) -> int:
        """How many episodes were kept."""
        return len(self._lengths)

    @property
    def is_full(self) -> bool:
        """Whether the last of its ticks is over, and an episode was cut there that goes on elsewhere."""
        return bool(self._final_rows) and self._final_rows[-1] >= self.capacity * self.n_slots

    def grow(self, capacity: int) -> None:
        """Make room for this many ticks, and keep those there are."""
        rows = capacity * self.n_slots
        self.observations.grow(rows + self.n_slots)
        self.actions.grow(rows)
        rewards = np.empty(rows, np.float64)
        rewards[: len(self.rewards)] = self.rewards
        self.rewards = rewards
        self._draw_lines()
        self.env_infos.grow(capacity)
        self.agent_infos.grow(capacity)
        self.capacity = capacity

    def _draw_lines(self) -> None:
        self.line, self.width = plain_vectors(self.observations)
        self.plain = plain_array(self.observations)
        self.plain_actions = plain_rows(self.actions, self.n_slots)
        self.plain_observations = plain_rows(self.observations, self.n_slots)
        self.reward_line: Any = self.rewards.data

    def take_ticks(self, other: TickRecording, start: int, stop: int) -> None:
        """Copy ticks of another recording to the beginning of this one, which is empty."""
        n = self.n_slots
        self.observations.take_rows(other.observations, start * n, (stop + 1) * n)
        self.actions.take_rows(other.actions, start * n, stop * n)
        self.rewards[: (stop - start) * n] = other.rewards[start * n : stop * n]
        self.env_infos.take_ticks(other.env_infos, start, stop)
        self.agent_infos.take_ticks(other.agent_infos, start, stop)

    def tick_rows(self, tick: int) -> slice:
        """Return the rows of a tick."""
        return slice(tick * self.n_slots, (tick + 1) * self.n_slots)

    def rows_of_steps(self, slot: int, start: int, stop: int) -> slice:
        """Return the rows of a slot's steps from tick `start` to before `stop`."""
        return slice(start * self.n_slots + slot, stop * self.n_slots + slot, self.n_slots)

    def keep(
        self,
        slot: int,
        ticks: tuple[int, int],
        types: tuple[StepType, StepType],
        infos: tuple[Columns | Beginning, Columns | None, Columns | None],
    ) -> EpisodeSlice:
        """Note that a slot's steps are an episode.

        Args:
            slot: of the steps.
            ticks: of its first step, and after its last one; the final observation stands there.
            types: of its first and last step.
            infos: of the episode; of the environment and of the policy, where these come row by row.
        """
        (start, stop), n = ticks, self.n_slots
        self._keep_final(stop * n + slot)
        # What `_noted` does, for one: every unit of slots that are stepped in turn passes here.
        episode, row = len(self._lengths), self._kept_rows
        if infos[1]:
            self.env_infos.keep(episode, infos[1])
        if infos[2]:
            self.agent_infos.keep(episode, infos[2])
        after = self._kept_rows = row + stop - start
        self._starts.append(start * n + slot)
        self._first_step_types.append(types[0])
        self._last_step_types.append(types[1])
        self._episode_infos.append(infos[0])
        self._lengths.append(stop - start)
        return slice_of((self, episode, episode + 1, row, after))

    def keep_all(
        self,
        slots: Sequence[int],
        ticks: tuple[Sequence[int], int],
        types: tuple[Sequence[StepType], Sequence[StepType]],
        episode_infos: Sequence[Columns | Beginning],
    ) -> EpisodeSlice:
        """Note several episodes that end with the same tick, as `keep` does, where all infos are of ticks.

        Args:
            slots: of the episodes, in order.
            ticks: of their first steps, and after their last one.
            types: of their first and last steps.
            episode_infos: of each.
        """
        starts, stop = ticks
        n = self.n_slots
        every, last = len(slots) == n, stop * n
        self._keep_finals(range(last, last + n) if every else [last + slot for slot in slots])
        first = starts[0]
        if every and starts.count(first) == n:
            return self._noted(range(first * n, first * n + n), [stop - first] * n, types, episode_infos)
        rows = [start * n + slot for slot, start in zip(slots, starts, strict=True)]
        return self._noted(rows, [stop - start for start in starts], types, episode_infos)

    def cut_all(
        self,
        slots: Sequence[int],
        ticks: tuple[Sequence[int], int],
        first_step_types: Sequence[StepType],
        infos: tuple[Sequence[Columns | Beginning], Sequence[Columns] | None, Sequence[Columns] | None],
    ) -> EpisodeSlice:
        """Note several parts of episodes that go on, without a copy of what follows their last steps.

        Args:
            slots: of the parts.
            ticks: of their first steps, and after their last one.
            first_step_types: of each.
            infos: of each episode; of the environment and of the policy, where these come row by row.
        """
        starts, stop = ticks
        n = self.n_slots
        self._final_rows.extend([stop * n + slot for slot in slots])
        self.env_infos.keep_each(len(self._lengths), infos[1] or ())
        self.agent_infos.keep_each(len(self._lengths), infos[2] or ())
        rows = [start * n + slot for slot, start in zip(slots, starts, strict=True)]
        last = [StepType.MID] * len(slots)
        return self._noted(rows, [stop - start for start in starts], (first_step_types, last), infos[0])

    def _noted(
        self,
        rows: Sequence[int],
        lengths: Sequence[int],
        types: tuple[Sequence[StepType], Sequence[StepType]],
        episode_infos: Sequence[Columns | Beginning],
    ) -> EpisodeSlice:
        episode, row = len(self._lengths), self._kept_rows
        self._starts.extend(rows)
        self._first_step_types.extend(types[0])
        self._last_step_types.extend(types[1])
        self._episode_infos += episode_infos
        self._kept_rows = row + sum(lengths)
        self._lengths.extend(lengths)  # the last: threads that send look here
        return EpisodeSlice(self, episode, episode + len(lengths), row, self._kept_rows)

    def _keep_finals(self, rows: range | list[int]) -> None:
        """Copy final observations from rows that will be written again."""
        first, stop = self._n_finals, self._n_finals + len(rows)
        self._make_room_for_finals(stop)
        place, every = self._finals.rows(slice(first, stop)), self.observations.rows(slice(None))
        which = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
        map_pair(lambda into, column: _copy_into(into, column[which]), place, every)
        self._final_rows.extend(range(-1 - first, -1 - stop, -1))
        self._n_finals = stop

    def _keep_final(self, row: int) -> None:
        """Copy one."""
        index = self._n_finals
        if index >= self._finals_room:
            self._make_room_for_finals(index + 1)
        self._finals.copy_row(index, self.observations, row)
        self._final_rows.append(-1 - index)
        self._n_finals = index + 1

    def _make_room_for_finals(self, n: int) -> None:
        while n > self._finals_room:
            self._finals_room *= 2
            self._finals.grow(self._finals_room)

    def leave(self, row: int) -> None:
        """Let a row be written again where an episode was cut that does not go on after all."""
        for episode in range(len(self._final_rows) - 1, -1, -1):
            if self._final_rows[episode] == row:
                self._keep_final(row)
                self._final_rows[episode] = self._final_rows.pop()
                return
            if self._final_rows[episode] >= 0 and self._final_rows[episode] < row - 2 * self.n_slots:
                return

    def arranged(self, parts: Sequence[EpisodeSlice]) -> EpisodeSlice | None:
        """Put the episodes that were kept last in another order, and return them as one slice.

        Args:
            parts: of one episode or several each, in the order in which they are to stand. Nobody else may
                have slices of these.

        Returns:
            None where these are not the episodes that were kept last.
        """
        order = [episode for part in parts for episode in range(part.first_episode, part.stop_episode)]
        first = len(self._lengths) - len(order)
        if any(part.store is not self for part in parts) or sorted(order) != [
            *range(first, first + len(order))
        ]:
            return None
        for numbers in (self._starts, self._lengths, self._final_rows):
            numbers[first:] = _numbers([numbers[episode] for episode in order])
        for types in (self._first_step_types, self._last_step_types):
            types[first:] = bytes([types[episode] for episode in order])
        self._episode_infos[first:] = [self._episode_infos[episode] for episode in order]
        self.env_infos.arrange(first, order)
        self.agent_infos.arrange(first, order)
        row = min(part.first_row for part in parts)
        return EpisodeSlice(self, first, first + len(order), row, self._kept_rows)

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """Return consecutive episodes as a batch: of views where their rows are evenly apart, else of fresh
        arrays.

        Raises:
            ValueError: where infos of different episodes do not fit into one column.
        """
        del rows
        return self._batch(range(episodes.start, episodes.stop), fresh=False)

    def gather(self, episodes: Sequence[int]) -> EpisodeBatch:
        """Return episodes, in any order, as a batch of fresh arrays.

        Raises:
            ValueError: as `view`.
        """
        return self._batch(episodes, fresh=True)

    def has_infos_of_ticks_only(self, episodes: range) -> bool:
        """Whether some episodes have no infos but those of ticks, which all have the same types."""
        by_ticks = self.env_infos.by_ticks and self.agent_infos.by_ticks
        return by_ticks and not any(_some(self._episode_infos, episodes))

    def infos_of(self, episodes: range) -> Iterator[tuple[str, Columns]]:
        """Yield infos of some episodes with their names, so that each dtype is there that one has alone.

        How many rows there are plays no part.
        """
        begun = [
            it.columns if isinstance(it, Beginning) else it for it in _some(self._episode_infos, episodes)
        ]
        shared = {id(columns): columns for columns in begun if columns}
        for name, parts in (
            ("episode_infos", shared.values()),
            ("env_infos", self.env_infos.types(episodes)),
            ("agent_infos", self.agent_infos.types(episodes)),
        ):
            for columns in parts:
                yield name, columns

    def steps_of(self, episodes: Sequence[int]) -> Array:
        """Return the rows of all steps of some episodes."""
        starts, lengths = _some(self._starts, episodes), _some(self._lengths, episodes)
        return self._rows_from(np.array(starts), np.array(lengths))

    def _rows_from(self, starts: Array, lengths: Array) -> Array:
        """Return the rows of all steps of episodes, given where each begins, and how many steps it has."""
        before = np.cumsum(lengths) - lengths
        steps: Array = np.repeat(starts - self.n_slots * before, lengths)
        steps += self.n_slots * np.arange(len(steps))
        return steps

    def light(self, episodes: Sequence[int]) -> EpisodeBatch:
        """See `GatheringStore.light`."""
        return self._light(episodes, self.steps_of(episodes))

    def standing(self, episodes: Sequence[int]) -> Standing:
        """See `GatheringStore.standing`."""
        every, apart = self.observations.rows(slice(None)), self._finals.rows(slice(None))
        return Standing(
            every, self.steps_of(episodes), apart, np.array(_some(self._final_rows, episodes), np.int64)
        )

    def _batch(self, episodes: Sequence[int], *, fresh: bool) -> EpisodeBatch:
        steps: Any = self.steps_of(episodes)
        if fresh:
            finals = self._finals_of(episodes, fresh=True)
            light = self._light(episodes, steps)
            return light.with_columns(observations=self.observations.rows(steps), last_observations=finals)
        rows = as_slice(steps)
        batch = self._light(episodes, rows).with_columns(observations=self.observations.rows(rows))
        if len(episodes) > 1 and self.env_spec.step_bytes >= LARGE:
            return batch.with_finals(self._among(episodes, steps))
        return batch.with_columns(last_observations=self._finals_of(episodes, fresh=False))

    def _light(self, episodes: Sequence[int], steps: Any) -> EpisodeBatch:
        lengths = _some(self._lengths, episodes)
        types = _some(self._first_step_types, episodes), _some(self._last_step_types, episodes)
        return EpisodeBatch.unchecked(
            env_spec=self.env_spec,
            episode_infos=columns_of(_some(self._episode_infos, episodes), "episode_infos"),
            observations=(),
            last_observations=(),
            actions=self.actions.rows(steps),
            rewards=self.rewards[steps],
            env_infos=self.env_infos.cut(episodes, lengths, steps),
            agent_infos=self.agent_infos.cut(episodes, lengths, steps),
            step_types=step_types(lengths, *types),
            lengths=np.array(lengths, np.int64),
        )

    def _among(self, episodes: Sequence[int], steps: Array) -> Finals:
        """Say which final observations stand among those of some steps."""
        finals = np.array(_some(self._final_rows, episodes), np.int64)
        order = np.argsort(steps, kind="stable")
        found = np.minimum(np.searchsorted(steps, finals, sorter=order), len(steps) - 1)
        there = (finals >= 0) & (steps[order[found]] == finals)
        rows = np.where(there, order[found], 0)
        rows[~there] = np.arange(-1, -1 - np.count_nonzero(~there), -1)
        every, apart = self.observations.rows(slice(None)), self._finals.rows(slice(None))
        return Finals(rows, picked(every, apart, finals[~there]))

    def _finals_of(self, episodes: Sequence[int], *, fresh: bool) -> Column:
        rows: Any = np.array(_some(self._final_rows, episodes), np.int64)
        every, apart = self.observations.rows(slice(None)), self._finals.rows(slice(None))
        if rows.max() < 0 or rows.min() >= 0:
            column, rows = (every, rows) if rows.min() >= 0 else (apart, -1 - rows)
            return rows_of(column, rows if fresh else as_slice(rows))
        return picked(every, apart, rows)


def usual_ticks(env_spec: EnvSpec, n_slots: int) -> int:
    """Return how many ticks a recording is made for, unless open episodes need more."""
    return max(_FEWEST_TICKS, min(_MOST_TICKS, _BYTES // max(1, env_spec.step_bytes * n_slots)))


def _copy_into(into: Array, rows: Array) -> Array:
    into[:] = rows
    return into


def _room_of(memory: RecycledMemory, rows: int) -> Callable[[Array], Array]:
    return lambda array: memory.array((rows, *array.shape[1:]), array.dtype)


def _some(table: Sequence[T], episodes: Sequence[int]) -> Sequence[T]:
    if isinstance(episodes, range) and episodes.step == 1:
        return table[episodes.start : episodes.stop]
    return [table[episode] for episode in episodes]


def lengths_of(kept: EpisodeSlice) -> list[int]:
    """Return the lengths of the episodes of a slice of a recording."""
    assert isinstance(kept.store, TickRecording), "it is a slice of one"
    return kept.store._lengths[kept.first_episode : kept.stop_episode].tolist()


def one_by_one(kept: EpisodeSlice) -> Span:
    """Return the episodes of a slice of a recording as a slice each."""
    rows = [*itertools.accumulate(lengths_of(kept), initial=kept.first_row)]
    return Span(kept.store, range(kept.first_episode, kept.stop_episode + 1), rows)
