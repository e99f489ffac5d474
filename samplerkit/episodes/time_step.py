"""One step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from samplerkit.episodes.spec import EnvSpec
from samplerkit.episodes.step_type import StepType


class _HasStepType:
    """The questions about a step's place in its episode."""

    step_type: StepType

    @property
    def first(self) -> bool:
        """Whether this is the first step of its episode."""
        return self.step_type == StepType.FIRST

    @property
    def mid(self) -> bool:
        """Whether this step is neither the first nor the last of its episode."""
        return self.step_type == StepType.MID

    @property
    def terminal(self) -> bool:
        """Whether the environment's episode is over after this step."""
        return self.step_type == StepType.TERMINAL

    @property
    def timeout(self) -> bool:
        """Whether the episode was broken off after this step."""
        return self.step_type == StepType.TIMEOUT

    @property
    def last(self) -> bool:
        """Whether this step is the last of its episode: terminal or timeout."""
        return self.step_type in (StepType.TERMINAL, StepType.TIMEOUT)


@dataclass(eq=False)
class EnvStep(_HasStepType):
    """What an environment gave for one action.

    Args:
        env_spec: the environment's spaces.
        action: the action taken.
        reward: the reward for it.
        observation: the observation after it.
        env_info: the info dict of `env.step`.
        step_type: the step's place in its episode.
    """

    env_spec: EnvSpec
    action: Any
    reward: float
    observation: Any
    env_info: dict[str, Any]
    step_type: StepType


@dataclass(frozen=True, eq=False)
class TimeStep(_HasStepType):
    """One step of an episode, with the observations on both sides of the action.

    Args:
        env_spec: the environment's spaces.
        episode_info: what was known of the whole episode at its start.
        observation: the observation that the action was chosen on.
        action: the action taken.
        reward: the reward for it.
        next_observation: the observation after it.
        env_info: the info dict of `env.step`.
        agent_info: the info dict of the policy.
        step_type: the step's place in its episode.
    """

    env_spec: EnvSpec
    episode_info: dict[str, Any]
    observation: Any
    action: Any
    reward: float
    next_observation: Any
    env_info: dict[str, Any]
    agent_info: dict[str, Any]
    step_type: StepType

    @classmethod
    def from_env_step(
        cls,
        env_step: EnvStep,
        last_observation: Any,
        agent_info: dict[str, Any],
        episode_info: dict[str, Any],
    ) -> TimeStep:
        """Return an `EnvStep` together with what came before it."""
        return cls(
            env_spec=env_step.env_spec,
            episode_info=episode_info,
            observation=last_observation,
            action=env_step.action,
            reward=env_step.reward,
            next_observation=env_step.observation,
            env_info=env_step.env_info,
            agent_info=agent_info,
            step_type=env_step.step_type,
        )
