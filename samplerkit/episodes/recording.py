"""Where a recorder writes: rows of consecutive episodes, which stay where they are until a batch is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from samplerkit.episodes.batch_buffer import Place
from samplerkit.episodes.columns import Array, Columns
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.infos import concatenate_infos
from samplerkit.episodes.kept_infos import KeptInfos
from samplerkit.episodes.slices import EpisodeSlice, slice_of
from samplerkit.episodes.space_columns import space_column
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType

_BYTES = 1 << 18
"""What a recording takes unless one episode needs more: several hundred short episodes."""

_MOST_ROWS, _FEWEST_ROWS = 4096, 16

# As numpy takes them at once: it asks a member of an enumeration what it is.
_MID, _TERMINAL = int(StepType.MID), int(StepType.TERMINAL)

_MIDDLES = bytearray([_MID])


class Recording:
    """Columns for the steps of episodes, one after the other. Rows that were kept are never written again.

    Args:
        env_spec: the spaces of the values.
        capacity: how many steps there is room for.
        warned: see `space_column`.
        place: where the observations go, of a single episode; memory of its own if there is none.

    Attributes:
        observations: one row more than `capacity`: the observation that follows the last step.
        actions, rewards, env_infos, agent_infos: one row a step.
        placed: whether the observations are in the place that was given.
    """

    __slots__ = (
        "_episode_infos",
        "_last_observations",
        "_lengths",
        "_step_types",
        "actions",
        "agent_infos",
        "capacity",
        "env_infos",
        "env_spec",
        "observations",
        "placed",
        "rewards",
    )

    def __init__(
        self, env_spec: EnvSpec, capacity: int, warned: set[str], place: Place | None = None
    ) -> None:
        self.env_spec = env_spec
        self.capacity = capacity
        self.placed = place is not None
        own_rows = capacity + 1 if place is None else 0
        self.observations = space_column(env_spec.observation_space, "observation", own_rows, warned)
        if place is not None:
            self.observations.use(place.rows)
        self.actions = space_column(env_spec.action_space, "action", capacity, warned)
        self.rewards: Array = np.empty(capacity, np.float64)
        self._lengths: list[int] = []
        self._step_types = _MIDDLES * capacity
        most = capacity if place is None else 1
        self._last_observations = space_column(env_spec.observation_space, "observation", most, warned)
        self._episode_infos: list[Columns] = []
        self.env_infos = KeptInfos("env_infos", self._lengths)
        self.agent_infos = KeptInfos("agent_infos", self._lengths)

    @property
    def n_episodes(self) -> int:
        """How many episodes were kept."""
        return len(self._lengths)

    def grow(self, capacity: int) -> None:
        """Make room for this many steps, and keep those there are."""
        self.observations.grow(capacity + 1)
        self.actions.grow(capacity)
        self._last_observations.grow(capacity)
        rewards = np.empty(capacity, np.float64)
        rewards[: self.capacity] = self.rewards
        self.rewards = rewards
        self._step_types = self._step_types + _MIDDLES * (capacity - self.capacity)
        self.capacity = capacity
        self.placed = False

    def drop_infos(self, start: int) -> None:
        """Forget the infos of the running episode, which begins at `start`."""
        for infos in (self.env_infos, self.agent_infos):
            if infos.rows or infos.columns:
                infos.drop(start)

    def put_last(self, observation: Any) -> None:
        """Take the observation that follows the last step of an episode that is kept next.

        Raises:
            ValueError, TypeError: where it does not fit its space.
        """
        self._last_observations.put(len(self._lengths), observation)

    def copy_last(self, row: int) -> None:
        """Take it from the row behind the last step."""
        self._last_observations.copy_row(len(self._lengths), self.observations, row)

    def take_rows(self, other: Recording, start: int, stop: int) -> None:
        """Copy the steps of an episode that outgrows another recording to the beginning of this one."""
        self.observations.take_rows(other.observations, start, stop + 1)
        self.actions.take_rows(other.actions, start, stop)
        self.rewards[: stop - start] = other.rewards[start:stop]
        self.env_infos.take(other.env_infos, start)
        self.agent_infos.take(other.agent_infos, start)

    def keep(self, start: int, stop: int, first: StepType, last: StepType, info: Columns) -> EpisodeSlice:
        """Note that these rows are an episode, whose final observation was taken before.

        Args:
            start: its first row.
            stop: the row after its last one.
            first: the type of its first step.
            last: the type of its last step.
            info: of the episode.

        Raises:
            ValueError, TypeError: where infos of its steps do not fit together.
        """
        for infos in (self.env_infos, self.agent_infos):
            if infos.rows or infos.columns:
                infos.keep(start, stop)
        lengths = self._lengths
        episode = len(lengths)
        types = self._step_types
        types[start] = first
        if last >= _TERMINAL:
            types[stop - 1] = last
        self._episode_infos.append(info)
        lengths.append(stop - start)
        return slice_of((self, episode, episode + 1, start, stop))

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """Return consecutive episodes, given with their rows, as a batch of views.

        It lacks the observations where these are in a place that was given: whoever gave it has them.

        Raises:
            ValueError: where infos of different episodes do not fit into one column.
        """
        ones = [1] * (episodes.stop - episodes.start)
        return EpisodeBatch.unchecked(
            env_spec=self.env_spec,
            episode_infos=concatenate_infos(self._episode_infos[episodes], ones, "episode_infos"),
            observations=() if self.placed else self.observations.rows(rows),
            last_observations=self._last_observations.rows(episodes),
            actions=self.actions.rows(rows),
            rewards=self.rewards[rows],
            env_infos=self.env_infos.view(episodes, rows),
            agent_infos=self.agent_infos.view(episodes, rows),
            step_types=np.frombuffer(self._step_types, np.int8)[rows],
            lengths=np.array(self._lengths[episodes], np.int64),
        )

    def infos_of(self, episodes: range) -> Iterator[tuple[str, Columns]]:
        """Yield infos of some episodes with their names, so that each dtype is there that one has alone.

        How many rows there are plays no part.
        """
        some = slice(episodes.start, episodes.stop)
        for name, parts in (
            ("episode_infos", self._episode_infos[some]),
            ("env_infos", self.env_infos.types(some)),
            ("agent_infos", self.agent_infos.types(some)),
        ):
            for columns in parts:
                if columns:
                    yield name, columns


def is_placed(piece: EpisodeSlice) -> bool:
    """Whether the observations of a slice are in a place that was given, and not in its store."""
    return isinstance(piece.store, Recording) and piece.store.placed


def step_types(
    lengths: Sequence[int] | Array, first: Sequence[int] | Array, last: Sequence[int] | Array
) -> Array:
    """Return the step types of episodes whose first and last ones are given; `last` wins where both meet."""
    stops = np.cumsum(lengths)
    column = np.full(stops[-1], _MID, np.int8)
    column[stops - lengths] = _as_column(first)
    ends = _as_column(last)
    ended = ends >= _TERMINAL
    if ended.all():
        column[stops - 1] = ends
    else:
        column[stops[ended] - 1] = ends[ended]
    return column


def _as_column(types: Sequence[int] | Array) -> Array:
    return types if isinstance(types, np.ndarray) else np.frombuffer(bytes(types), np.int8)


def usual_capacity(env_spec: EnvSpec) -> int:
    """Return how many steps a recording is made for, unless one episode needs more."""
    return max(_FEWEST_ROWS, min(_MOST_ROWS, _BYTES // max(1, env_spec.step_bytes)))
