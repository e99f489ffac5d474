"""Recording an episode, step by step: the path that every step of every worker takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array, Columns, map_columns
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.info_table import InfoTable
from samplerkit.episodes.infos import stack_infos
from samplerkit.episodes.space_columns import space_column
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType

_FIRST_CAPACITY = 64
_PLAIN_REWARDS = frozenset({int, bool, np.float64, np.float32, np.int64})


class EpisodeRecorder:
    """Growing columns for the steps of one episode at a time; the memory serves episode after episode.

    The calls, in this order::

        recorder.start(observation, episode_info)            # after env.reset
        while ...:
            action = recorder.cast_action(policy_action)     # recorded here, before the environment can touch
            it observation, reward, ..., env_info = env.step(action)
            recorder.add(reward, observation, env_info, agent_info)
        batch = recorder.finish(last_step_type)

    Everything is copied when it is given: the environment and the policy may write to their arrays
    afterwards. What differs from the spaces is cast within its kind, with one warning for each path (float64
    to float32), or refused with an error (float for int, wrong shape or structure). `start` may be called at
    any time: it drops what was recorded.

    Args:
        env_spec: the spaces of the values to come.

    Attributes:
        length: the number of steps recorded since `start`.
    """

    __slots__ = (
        "_action_row",
        "_actions",
        "_agent_infos",
        "_capacity",
        "_env_infos",
        "_episode_info",
        "_first_step_type",
        "_observations",
        "_rewards",
        "_started",
        "env_spec",
        "length",
    )

    def __init__(self, env_spec: EnvSpec) -> None:
        self.env_spec = env_spec
        self.length = 0
        self._capacity = _FIRST_CAPACITY
        # One row more: the observation that follows the last step.
        self._observations = space_column(env_spec.observation_space, "observation", _FIRST_CAPACITY + 1)
        self._actions = space_column(env_spec.action_space, "action", _FIRST_CAPACITY)
        self._rewards: Array = np.empty(_FIRST_CAPACITY, np.float64)
        self._env_infos = InfoTable("env_infos")
        self._agent_infos = InfoTable("agent_infos")
        self._episode_info: Columns = {}
        self._first_step_type = StepType.FIRST
        self._action_row = -1
        self._started = False

    def start(
        self,
        observation: Any,
        episode_info: Mapping[str, Any] | None = None,
        *,
        first_step_type: StepType = StepType.FIRST,
    ) -> Any:
        """Begin an episode with its first observation and the info of `env.reset`.

        Args:
            observation: what the first action will be chosen on.
            episode_info: one value per key for the whole episode.
            first_step_type: MID for a fragment that goes on from an earlier one.

        Returns:
            the observation as it was recorded, in its space's dtype: what the policy is to see.

        Raises:
            ValueError, TypeError: where the observation does not fit its space.
        """
        self._started = False
        self.length = 0
        self._action_row = -1
        self._env_infos.clear()
        self._agent_infos.clear()
        observation = self._observations.put(0, observation)
        self._episode_info = stack_infos((episode_info,), "episode_infos") if episode_info else {}
        self._first_step_type = first_step_type
        self._started = True
        return observation

    def cast_action(self, action: Any) -> Any:
        """Record the action of the coming step, and return it as the environment is to get it.

        Returns:
            a value of the action space's dtype: a fresh array, an integer for Discrete spaces, nested as the
            space is.

        Raises:
            ValueError, TypeError: where the action does not fit its space.
        """
        row = self.length
        if row >= self._capacity:
            self._grow()
        self._action_row = row
        return self._actions.cast(row, action)

    def add(
        self,
        reward: Any,
        next_observation: Any,
        env_info: Mapping[str, Any],
        agent_info: Mapping[str, Any],
    ) -> Any:
        """Record what came of the action last given to `cast_action`.

        Returns:
            the observation as it was recorded, in its space's dtype: what the policy is to see.

        Raises:
            RuntimeError: without an action, or before `start`.
            ValueError, TypeError: where the observation does not fit its space, the reward is no number, or
                an info does not fit to those before it.
        """
        row = self.length
        if self._action_row != row or not self._started:
            raise RuntimeError(
                "Each step is start or add, then cast_action, then add: this add has no action before it."
            )
        observation = self._observations.put(row + 1, next_observation)
        self._rewards[row] = reward if type(reward) is float else _checked_reward(reward)
        if env_info:
            self._env_infos.add(row, env_info)
        if agent_info:
            self._agent_infos.add(row, agent_info)
        self.length = row + 1
        return observation

    def finish(self, last_step_type: StepType) -> EpisodeBatch:
        """Return what was recorded since `start` as a batch of one episode, in fresh arrays.

        Args:
            last_step_type: TERMINAL or TIMEOUT; MID where the episode is still open (a fragment).

        Raises:
            ValueError: where no step was recorded.
        """
        length = self.length
        if length == 0:
            raise ValueError(
                "An episode has at least one step, but none was recorded: add a step before finish."
            )
        return EpisodeBatch.unchecked(
            env_spec=self.env_spec,
            episode_infos=map_columns(np.copy, self._episode_info),
            observations=self._observations.copy_rows(0, length),
            last_observations=self._observations.copy_rows(length, length + 1),
            actions=self._actions.copy_rows(0, length),
            rewards=self._rewards[:length].copy(),
            env_infos=self._env_infos.finish(length),
            agent_infos=self._agent_infos.finish(length),
            step_types=self._step_types(length, last_step_type),
            lengths=np.array([length], np.int64),
        )

    def _step_types(self, length: int, last_step_type: StepType) -> Array:
        step_types = np.full(length, StepType.MID, np.int8)
        step_types[0] = self._first_step_type
        if last_step_type >= StepType.TERMINAL:
            step_types[-1] = last_step_type
        return step_types

    def _grow(self) -> None:
        self._capacity *= 2
        self._observations.grow(self._capacity + 1)
        self._actions.grow(self._capacity)
        self._rewards = np.concatenate([self._rewards, np.empty_like(self._rewards)])


def _checked_reward(reward: Any) -> Any:
    if type(reward) in _PLAIN_REWARDS:
        return reward
    array = np.asarray(reward)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"reward is {reward!r} of type {type(reward).__name__}, but must be a real number.")
    if array.shape != ():
        raise ValueError(
            f"reward has shape {array.shape}, but must be a single number: give reward[0] or its sum."
        )
    return reward
