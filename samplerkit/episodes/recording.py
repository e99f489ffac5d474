"""Where a recorder writes: rows of consecutive episodes, which stay where they are until a batch is made."""

from __future__ import annotations

import numpy as np

from samplerkit.episodes.columns import Array, Column, Columns, concatenate_columns
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.infos import concatenate_infos
from samplerkit.episodes.slices import EpisodeSlice
from samplerkit.episodes.space_columns import space_column
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType

_BYTES = 1 << 18
"""What a recording takes unless one episode needs more: several hundred short episodes."""

_MOST_ROWS, _FEWEST_ROWS = 4096, 16


class Recording:
    """Columns for the steps of episodes, one after the other. Rows that were kept are never written again.

    Args:
        env_spec: the spaces of the values.
        capacity: how many steps there is room for.
        warned: see `space_column`.

    Attributes:
        observations: one row more than `capacity`: the observation that follows the last step.
        actions, rewards: one row a step.
    """

    __slots__ = (
        "_agent_infos",
        "_env_infos",
        "_episode_infos",
        "_first_step_types",
        "_last_observations",
        "_last_step_types",
        "_lengths",
        "actions",
        "capacity",
        "env_spec",
        "observations",
        "rewards",
    )

    def __init__(self, env_spec: EnvSpec, capacity: int, warned: set[str]) -> None:
        self.env_spec = env_spec
        self.capacity = capacity
        self.observations = space_column(env_spec.observation_space, "observation", capacity + 1, warned)
        self.actions = space_column(env_spec.action_space, "action", capacity, warned)
        self.rewards: Array = np.empty(capacity, np.float64)
        self._lengths: list[int] = []
        self._first_step_types: list[int] = []
        self._last_step_types: list[int] = []
        self._last_observations: list[Column] = []
        self._episode_infos: list[Columns] = []
        self._env_infos: list[Columns] = []
        self._agent_infos: list[Columns] = []

    @property
    def n_episodes(self) -> int:
        """How many episodes were kept."""
        return len(self._lengths)

    def grow(self, capacity: int) -> None:
        """Make room for this many steps, and keep those there are."""
        self.observations.grow(capacity + 1)
        self.actions.grow(capacity)
        rewards = np.empty(capacity, np.float64)
        rewards[: self.capacity] = self.rewards
        self.rewards = rewards
        self.capacity = capacity

    def take_rows(self, other: Recording, start: int, stop: int) -> None:
        """Copy the steps of an episode that outgrows another recording to the beginning of this one."""
        self.observations.take_rows(other.observations, start, stop + 1)
        self.actions.take_rows(other.actions, start, stop)
        self.rewards[: stop - start] = other.rewards[start:stop]

    def keep(
        self,
        start: int,
        stop: int,
        step_types: tuple[StepType, StepType],
        infos: tuple[Columns, Columns, Columns],
    ) -> EpisodeSlice:
        """Note that these rows are an episode.

        Args:
            start: its first row.
            stop: the row after its last one; the final observation stands there.
            step_types: of its first and last step.
            infos: of the episode, the environment and the policy.
        """
        episode = len(self._lengths)
        self._lengths.append(stop - start)
        self._first_step_types.append(step_types[0])
        self._last_step_types.append(step_types[1])
        self._last_observations.append(self.observations.copy_rows(stop, stop + 1))
        self._episode_infos.append(infos[0])
        self._env_infos.append(infos[1])
        self._agent_infos.append(infos[2])
        return EpisodeSlice(self, episode, episode + 1, start, stop)

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """Return consecutive episodes, given with their rows, as a batch of views.

        Raises:
            ValueError: where infos of different episodes do not fit into one column.
        """
        lengths, ones = self._lengths[episodes], [1] * (episodes.stop - episodes.start)
        return EpisodeBatch.unchecked(
            env_spec=self.env_spec,
            episode_infos=concatenate_infos(self._episode_infos[episodes], ones, "episode_infos"),
            observations=self.observations.rows(rows),
            last_observations=concatenate_columns(self._last_observations[episodes], "last_observations"),
            actions=self.actions.rows(rows),
            rewards=self.rewards[rows],
            env_infos=concatenate_infos(self._env_infos[episodes], lengths, "env_infos"),
            agent_infos=concatenate_infos(self._agent_infos[episodes], lengths, "agent_infos"),
            step_types=step_types(lengths, self._first_step_types[episodes], self._last_step_types[episodes]),
            lengths=np.array(lengths, np.int64),
        )


def step_types(lengths: list[int], first: list[int], last: list[int]) -> Array:
    """Return the step types of episodes whose first and last ones are given; `last` wins where both meet."""
    stops = np.cumsum(lengths)
    column = np.full(stops[-1], StepType.MID, np.int8)
    column[stops - lengths] = first
    ends = np.array(last)
    ended = ends >= StepType.TERMINAL
    column[stops[ended] - 1] = ends[ended]
    return column


def usual_capacity(env_spec: EnvSpec) -> int:
    """Return how many steps a recording is made for, unless one episode needs more."""
    return max(_FEWEST_ROWS, min(_MOST_ROWS, _BYTES // max(1, env_spec.step_bytes)))
