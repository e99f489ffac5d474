"""The random tabular MDPs of the RL2 paper (section 3.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec as GymnasiumSpec
from gymnasium.spaces import Discrete

from samplerkit.rl2.task_env import Task, TaskEnv
from samplerkit.sampling import check_count


class TabularMDPEnv(TaskEnv):
    """A random MDP: flat Dirichlet transitions, mean rewards N(1, 1), reward noise N(0, 1).

    Episodes start in state 0 and are truncated after `horizon` steps. A task is
    ``{"transitions": (n_states, n_actions, n_states), "means": (n_states, n_actions)}``.

    Args:
        n_states: number of states.
        n_actions: number of actions.
        horizon: steps of an episode.
    """

    def __init__(self, n_states: int = 10, n_actions: int = 5, horizon: int = 10) -> None:
        super().__init__()
        self.n_states = check_count("n_states", n_states)
        self.n_actions = check_count("n_actions", n_actions)
        self.horizon = check_count("horizon", horizon)
        self.observation_space = Discrete(self.n_states)
        self.action_space = Discrete(self.n_actions)
        self.spec = GymnasiumSpec(
            "samplerkit/TabularMDP-v0",
            entry_point="samplerkit.rl2.tabular_mdp:TabularMDPEnv",
            max_episode_steps=self.horizon,
        )
        self._cumulative: npt.NDArray[np.float64] = np.empty((0, 0, 0))
        self._means: npt.NDArray[np.float64] = np.empty((0, 0))
        self._state = 0
        self._steps = 0

    def draw_task(self, generator: np.random.Generator) -> Task:
        """Draw transitions and mean rewards."""
        shape = (self.n_states, self.n_actions)
        transitions = generator.dirichlet(np.ones(self.n_states), size=shape)
        return {"transitions": transitions, "means": generator.normal(1.0, 1.0, size=shape)}

    def use_task(self, task: Task) -> None:
        """Take transitions and mean rewards."""
        transitions, means = np.asarray(task["transitions"]), np.asarray(task["means"])
        shape = (self.n_states, self.n_actions)
        if transitions.shape != (*shape, self.n_states) or means.shape != shape:
            raise ValueError(
                f"a task has transitions of shape {(*shape, self.n_states)} and means of shape {shape}, "
                f"not {transitions.shape} and {means.shape}"
            )
        self._cumulative = transitions.cumsum(axis=-1)
        # Rounding must not leave a gap below 1, into which a draw could fall.
        self._cumulative[..., -1] = 1.0
        self._means = means

    def begin_episode(self) -> np.int64:
        """Go to state 0."""
        self._state = self._steps = 0
        return np.int64(0)

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Earn the noisy reward of (state, action) and move on."""
        if not 0 <= action < self.n_actions:
            raise ValueError(f"there is no action {action}: actions are 0 to {self.n_actions - 1}")
        generator = self.np_random
        reward = float(self._means[self._state, action] + generator.standard_normal())
        row = self._cumulative[self._state, action]
        self._state = int(row.searchsorted(generator.random(), side="right"))
        self._steps += 1
        return np.int64(self._state), reward, False, self._steps >= self.horizon, {}
