"""The multi-armed bandit of the RL2 paper (section 3.1)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from gymnasium.spaces import Discrete

from samplerkit.rl2.task_env import Task, TaskEnv
from samplerkit.sampling import check_count

_NOTHING = np.int64(0)


class BanditEnv(TaskEnv):
    """Bernoulli arms with success probabilities p ~ U[0, 1]; an episode is one pull.

    There is no state: the observation is always 0, of ``Discrete(1)``. Wrapped in ``RL2Env(…,
    episodes_per_trial=n)`` it is the paper's bandit of n pulls. A task is ``{"means": (n_arms,)}``.

    Args:
        n_arms: number of arms, at least 1.
    """

    spec: ClassVar[Any] = GymnasiumSpec(  # type: ignore[misc]
        "samplerkit/Bandit-v0", entry_point="samplerkit.rl2.bandit:BanditEnv", max_episode_steps=1
    )

    def __init__(self, n_arms: int = 5) -> None:
        super().__init__()
        self.n_arms = check_count("n_arms", n_arms)
        self.observation_space = Discrete(1)
        self.action_space = Discrete(self.n_arms)
        self._means: list[float] = []

    def draw_task(self, generator: np.random.Generator) -> Task:
        """Draw the success probabilities."""
        return {"means": generator.random(self.n_arms)}

    def use_task(self, task: Task) -> None:
        """Take the success probabilities ``task["means"]``, shape (n_arms,)."""
        means = np.asarray(task["means"], dtype=np.float64)
        if means.shape != (self.n_arms,):
            raise ValueError(
                f"a task of {self.n_arms} arms has means of shape ({self.n_arms},), not {means.shape}"
            )
        self._means = means.tolist()

    def begin_episode(self) -> np.int64:
        """Nothing to prepare."""
        return _NOTHING

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Pull an arm. The episode terminates."""
        if not 0 <= action < self.n_arms:
            raise ValueError(f"there is no arm {action}: arms are 0 to {self.n_arms - 1}")
        reward = 1.0 if self.np_random.random() < self._means[action] else 0.0
        return _NOTHING, reward, True, False, {}
