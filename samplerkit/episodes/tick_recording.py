"""Where slots that step together are recorded: columns of (ticks × slots, …), with episodes cut out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from samplerkit.episodes.beginnings import Beginning, columns_of
from samplerkit.episodes.columns import Array, Columns, map_pair
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.infos import concatenate_infos
from samplerkit.episodes.recording import step_types
from samplerkit.episodes.slices import EpisodeSlice, GatheringStore
from samplerkit.episodes.space_columns import space_column
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType
from samplerkit.episodes.tick_infos import TickInfos

_BYTES = 1 << 20
"""What a recording takes, unless the episodes that are open need more."""

_MOST_TICKS, _FEWEST_TICKS = 1024, 32


class TickRecording(GatheringStore):
    """Steps of `n_slots` slots, tick after tick. Row ``tick * n_slots + slot`` is the slot's step of a tick.

    Rows of episodes that were kept are never written again, except for the row after the last step: there
    the slot's next episode begins, and the final observation is kept apart.

    An `EpisodeSlice` of it counts rows in the order in which episodes were kept, as if they stood one after
    the other.

    Args:
        env_spec: the spaces of the values.
        n_slots: how many.
        capacity: how many ticks there is room for.
        warned: see `space_column`.
    """

    __slots__ = (
        "_episode_infos",
        "_finals",
        "_finals_room",
        "_first_step_types",
        "_kept_rows",
        "_last_step_types",
        "_lengths",
        "_starts",
        "actions",
        "agent_infos",
        "capacity",
        "env_infos",
        "env_spec",
        "n_slots",
        "observations",
        "rewards",
    )

    def __init__(self, env_spec: EnvSpec, n_slots: int, capacity: int, warned: set[str]) -> None:
        self.env_spec = env_spec
        self.n_slots = n_slots
        self.capacity = capacity
        rows = capacity * n_slots
        space = env_spec.observation_space
        self.observations = space_column(space, "observation", rows + n_slots, warned)
        self.actions = space_column(env_spec.action_space, "action", rows, warned)
        self.rewards: Array = np.empty(rows, np.float64)
        self.env_infos = RecordedInfos("env_infos", n_slots, capacity)
        self.agent_infos = RecordedInfos("agent_infos", n_slots, capacity)
        self._starts: list[int] = []
        self._lengths: list[int] = []
        self._first_step_types: list[int] = []
        self._last_step_types: list[int] = []
        self._episode_infos: list[Columns | Beginning] = []
        self._kept_rows = 0
        self._finals_room = 16
        self._finals = space_column(space, "observation", self._finals_room, warned)

    @property
    def n_episodes(self) -> int:
        """How many episodes were kept."""
        return len(self._lengths)

    def grow(self, capacity: int) -> None:
        """Make room for this many ticks, and keep those there are."""
        rows = capacity * self.n_slots
        self.observations.grow(rows + self.n_slots)
        self.actions.grow(rows)
        rewards = np.empty(rows, np.float64)
        rewards[: len(self.rewards)] = self.rewards
        self.rewards = rewards
        self.env_infos.grow(capacity)
        self.agent_infos.grow(capacity)
        self.capacity = capacity

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
        start, stop = ticks
        episode, first_row = len(self._lengths), self._kept_rows
        self._reserve_finals(1)
        final = stop * self.n_slots + slot
        place = self._finals.rows(slice(episode, episode + 1))
        map_pair(_copy_into, place, self.observations.rows(slice(final, final + 1)))
        self._starts.append(start * self.n_slots + slot)
        self._lengths.append(stop - start)
        self._first_step_types.append(types[0])
        self._last_step_types.append(types[1])
        self._episode_infos.append(infos[0])
        self.env_infos.keep(infos[1])
        self.agent_infos.keep(infos[2])
        self._kept_rows = first_row + stop - start
        return EpisodeSlice(self, episode, episode + 1, first_row, self._kept_rows)

    def keep_all(
        self,
        slots: Sequence[int],
        ticks: tuple[Sequence[int], int],
        types: tuple[Sequence[StepType], Sequence[StepType]],
        episode_infos: Sequence[Columns | Beginning],
    ) -> list[EpisodeSlice]:
        """Note several episodes that end with the same tick, as `keep` does, where all infos are of ticks.

        Args:
            slots: of the episodes.
            ticks: of their first steps, and after their last one.
            types: of their first and last steps.
            episode_infos: of each.
        """
        starts, stop = ticks
        n, episode, row = self.n_slots, len(self._lengths), self._kept_rows
        self._reserve_finals(len(slots))
        finals = [stop * n + slot for slot in slots]
        place = self._finals.rows(slice(episode, episode + len(slots)))
        map_pair(
            lambda into, rows: _copy_into(into, rows[finals]), place, self.observations.rows(slice(None))
        )
        kept = []
        for number, (slot, start) in enumerate(zip(slots, starts, strict=True), episode):
            self._starts.append(start * n + slot)
            self._lengths.append(stop - start)
            kept.append(EpisodeSlice(self, number, number + 1, row, row + stop - start))
            row += stop - start
        self._first_step_types += types[0]
        self._last_step_types += types[1]
        self._episode_infos += episode_infos
        self.env_infos.keep_all(len(slots))
        self.agent_infos.keep_all(len(slots))
        self._kept_rows = row
        return kept

    def _reserve_finals(self, n: int) -> None:
        while len(self._lengths) + n > self._finals_room:
            self._finals_room *= 2
            self._finals.grow(self._finals_room)

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """Return consecutive episodes as a batch: of views where it is one, of fresh arrays otherwise.

        Raises:
            ValueError: where infos of different episodes do not fit into one column.
        """
        del rows
        if episodes.stop - episodes.start == 1:
            start, length = self._starts[episodes.start], self._lengths[episodes.start]
            steps = slice(start, start + length * self.n_slots, self.n_slots)
            return self._batch(range(episodes.start, episodes.stop), episodes, steps)
        return self.gather(range(episodes.start, episodes.stop))

    def gather(self, episodes: Sequence[int]) -> EpisodeBatch:
        """Return episodes, in any order, as a batch of fresh arrays.

        Raises:
            ValueError: as `view`.
        """
        starts = np.array([self._starts[episode] for episode in episodes])
        lengths = np.array([self._lengths[episode] for episode in episodes])
        before = np.cumsum(lengths) - lengths
        steps = np.repeat(starts - self.n_slots * before, lengths)
        steps += self.n_slots * np.arange(len(steps))
        return self._batch(episodes, np.array(episodes), steps)

    def _batch(self, episodes: Sequence[int], finals: Any, steps: Any) -> EpisodeBatch:
        lengths = [self._lengths[episode] for episode in episodes]
        first = [self._first_step_types[episode] for episode in episodes]
        last = [self._last_step_types[episode] for episode in episodes]
        infos = [self._episode_infos[episode] for episode in episodes]
        return EpisodeBatch.unchecked(
            env_spec=self.env_spec,
            episode_infos=columns_of(infos, "episode_infos"),
            observations=self.observations.rows(steps),
            last_observations=self._finals.rows(finals),
            actions=self.actions.rows(steps),
            rewards=self.rewards[steps],
            env_infos=self.env_infos.cut(episodes, lengths, steps),
            agent_infos=self.agent_infos.cut(episodes, lengths, steps),
            step_types=step_types(lengths, first, last),
            lengths=np.array(lengths, np.int64),
        )


class RecordedInfos:
    """The infos of a recording: columns of all ticks, or, where rows differ too much, of each episode.

    Args:
        name: what errors call them.
        n_slots, capacity: see `TickRecording`.
    """

    def __init__(self, name: str, n_slots: int, capacity: int) -> None:
        self.name = name
        self.ticks = TickInfos(n_slots, capacity)
        self._of_episodes: list[Columns] = []
        self._any = False

    def keep(self, columns: Columns | None) -> None:
        """Note the columns of the next episode; None where they are those of the ticks."""
        self._any = self._any or bool(columns)
        self._of_episodes.append(columns or {})

    def keep_all(self, n: int) -> None:
        """Note that the next `n` episodes have the columns of the ticks."""
        self._of_episodes += [{}] * n

    def forget_ticks(self) -> None:
        """Have no columns of ticks any more."""
        self.ticks = TickInfos(1, 0)

    def grow(self, capacity: int) -> None:
        """See `TickRecording.grow`."""
        self.ticks.grow(capacity)

    def take_ticks(self, other: RecordedInfos, start: int, stop: int) -> None:
        """See `TickRecording.take_ticks`."""
        self.ticks.take_ticks(other.ticks, start, stop)

    def cut(self, episodes: Sequence[int], lengths: Sequence[int], steps: Any) -> Columns:
        """Return the columns of some episodes, whose steps stand in these rows."""
        if not self._any:
            return self.ticks.cut(steps)
        return concatenate_infos([self._of_episodes[episode] for episode in episodes], lengths, self.name)


def usual_ticks(env_spec: EnvSpec, n_slots: int) -> int:
    """Return how many ticks a recording is made for, unless open episodes need more."""
    return max(_FEWEST_TICKS, min(_MOST_TICKS, _BYTES // max(1, env_spec.step_bytes * n_slots)))


def _copy_into(into: Array, rows: Array) -> Array:
    into[:] = rows
    return into
