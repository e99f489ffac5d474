"""An environment and a policy that remember what came before, in spite of any reset: declared stateful."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from samplerkit.contract.probes.faults import Fault


class RememberingEnv(gymnasium.Env[Any, Any]):
    """Episodes of one step and of four, by turns.

    Observation: the episodes before this one, t, and the seed of the last reset, -1 for None.

    Args:
        fault: what goes wrong, and where.
    """

    def __init__(self, *, fault: Fault | None = None) -> None:
        self.fault = fault
        self.episodes = -1
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = spaces.Discrete(2)

    @staticmethod
    def length_of(episode: int) -> int:
        """Return the length of the episode that has so many before it."""
        return 4 if episode % 2 else 1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episodes += 1
        self.t = 0
        self.seeded = -1 if seed is None else seed
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.fault is not None:
            self.fault.strike("step", key=self.episodes, step=self.t)
        self.t += 1
        return self._observe(), 0.0, self.t == self.length_of(self.episodes), False, {}

    def _observe(self) -> np.ndarray:
        return np.array([self.episodes, self.t, self.seeded], np.float64)


class RememberingPolicy:
    """Reports, as ``lifetime``, how often it acted before, ever."""

    def __init__(self) -> None:
        self.lifetime = 0
        self._rows = 1

    def reset(self, do_resets: Any = None) -> None:
        self._rows = 1 if do_resets is None else len(do_resets)

    def get_action(self, observation: Any) -> tuple[int, dict[str, Any]]:
        del observation
        self.lifetime += 1
        return 0, {"lifetime": self.lifetime - 1}

    def get_actions(self, observations: Any) -> tuple[np.ndarray, dict[str, Any]]:
        del observations
        _, info = self.get_action(None)
        return np.zeros(self._rows, np.int64), {"lifetime": np.full(self._rows, info["lifetime"])}

    def get_param_values(self) -> Any:
        return {}

    def set_param_values(self, params: Any) -> None:
        del params
