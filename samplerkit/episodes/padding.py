"""Episodes of different lengths as rectangles."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array, Column, Columns, map_column, map_columns
from samplerkit.episodes.dtypes import fill_value
from samplerkit.episodes.spec import EnvSpec

# What stands in padded step types where there is no step: no StepType.
STEP_TYPE_PADDING = -1


def padded_length(lengths: Array, max_episode_length: float | None) -> int:
    """Return the width of the padded arrays: the limit on episodes, or the longest where there is no finite
    limit.

    An episode longer than the limit makes the arrays wider, with a UserWarning.
    """
    longest = int(lengths.max())
    if max_episode_length is None or math.isinf(max_episode_length):
        return longest
    if longest > max_episode_length:
        warnings.warn(
            f"Creating a padded array with longer length than requested: an episode has {longest} steps, but "
            f"max_episode_length is {max_episode_length}.",
            UserWarning,
            stacklevel=4,
        )
        return longest
    return int(max_episode_length)


def valid_steps(lengths: Array, width: int) -> Array:
    """Return (n_episodes, width) bool: which entries of a padded array are steps."""
    valid: Array = np.arange(width) < lengths[:, np.newaxis]
    return valid


def pad(array: Array, valid: Array, filling: Any = None) -> Array:
    """Return (n_episodes, width, *shape): the rows of an array spread over the entries that are steps.

    The other entries hold the filling, by default zero, the empty string or (among objects) None.
    """
    filling = fill_value(array.dtype) if filling is None else filling
    padded = np.full((*valid.shape, *array.shape[1:]), filling, array.dtype)
    padded[valid] = array
    return padded


class PaddedColumns:
    """The columns of a batch of episodes as rectangles, (n_episodes, width, ...).

    The width is the spec's max_episode_length, or the length of the longest episode where there is no finite
    limit.
    """

    env_spec: EnvSpec
    lengths: Array
    rewards: Array
    step_types: Array
    observations: Column
    actions: Column
    agent_infos: Columns
    env_infos: Columns

    @property
    def padded_observations(self) -> Column:
        """(N, width, *observation_shape), zero where an episode has no step."""
        return self._padded(self.observations)

    @property
    def padded_actions(self) -> Column:
        """(N, width, *action_shape), zero where an episode has no step."""
        return self._padded(self.actions)

    @property
    def padded_rewards(self) -> Array:
        """(N, width) float64, zero where an episode has no step."""
        return pad(self.rewards, self._valid())

    @property
    def padded_step_types(self) -> Array:
        """(N, width) int8, -1 (which is no StepType) where an episode has no step."""
        return pad(self.step_types, self._valid(), STEP_TYPE_PADDING)

    @property
    def padded_agent_infos(self) -> Columns:
        """Dict of columns (N, width, ...), zero where an episode has no step."""
        valid = self._valid()
        return map_columns(lambda array: pad(array, valid), self.agent_infos)

    @property
    def padded_env_infos(self) -> Columns:
        """Dict of columns (N, width, ...), zero where an episode has no step."""
        valid = self._valid()
        return map_columns(lambda array: pad(array, valid), self.env_infos)

    @property
    def valids(self) -> Array:
        """(N, width) float64: 1 where an episode has a step, else 0."""
        return self._valid().astype(self.rewards.dtype)

    def _valid(self) -> Array:
        return valid_steps(self.lengths, padded_length(self.lengths, self.env_spec.max_episode_length))

    def _padded(self, column: Column) -> Column:
        valid = self._valid()
        return map_column(lambda array: pad(array, valid), column)
