"""An episode that is being sampled by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.recorder import EpisodeRecorder
from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType, get_step_type


class InProgressEpisode:
    """An episode that grows with each `step`, and can be had as a batch at any time after the first.

    Args:
        env: the environment; its own limit on the length of an episode is kept.
        initial_observation: the observation of a reset that was done already; without it the environment is
            reset.
        episode_info: the info of that reset.

    Raises:
        ValueError: where only one of initial_observation and episode_info is given.

    Attributes:
        env: the environment.
        episode_info: the info of the reset.
        last_obs: the newest observation.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        initial_observation: Any = None,
        episode_info: Mapping[str, Any] | None = None,
    ) -> None:
        if (initial_observation is None) != (episode_info is None):
            given, missing = "initial_observation", "episode_info"
            if initial_observation is None:
                given, missing = missing, given
            raise ValueError(
                f"{given} is given without {missing}: give both, or neither to reset the environment."
            )
        if episode_info is None:
            initial_observation, episode_info = env.reset()
        self.env = env
        self.episode_info = dict(episode_info)
        self._spec = EnvSpec.from_env(env)
        self._step_type: StepType | None = None
        self._recorder = EpisodeRecorder(self._spec)
        self.last_obs = self._recorder.start(initial_observation, episode_info)

    @property
    def step_type(self) -> StepType | None:
        """The type of the newest step; None before the first."""
        return self._step_type

    def step(self, action: Any, agent_info: Mapping[str, Any]) -> Any:
        """Take a step with an action, and return the new observation.

        Raises:
            RuntimeError: where the episode is over.
            ValueError, TypeError: where a value does not fit its space.
        """
        if self._step_type is not None and self._step_type >= StepType.TERMINAL:
            raise RuntimeError(
                f"This episode ended {self._step_type.name} after {self._recorder.length} steps: start "
                "another InProgressEpisode."
            )
        observation, reward, terminated, truncated, env_info = self.env.step(
            self._recorder.cast_action(action)
        )
        self.last_obs = self._recorder.add(reward, observation, env_info, agent_info)
        self._step_type = get_step_type(
            self._recorder.length, self._spec.max_episode_length, bool(terminated), bool(truncated)
        )
        return self.last_obs

    def to_batch(self) -> EpisodeBatch:
        """Return the steps so far as a batch of one episode, in fresh arrays.

        Raises:
            AssertionError: where no step was taken.
        """
        if self._step_type is None:
            raise AssertionError("This episode has no steps yet: take a step before asking for its batch.")
        return self._recorder.finish(self._step_type)
