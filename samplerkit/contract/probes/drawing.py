"""An environment that draws from the global generators, as many do."""

from __future__ import annotations

import random
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from samplerkit.contract.probes.tattoo import N_ACTIONS


class _NoDrawEnv(gymnasium.Env[Any, Any]):
    """Says that it draws from none of them, which does not count for its subclasses."""

    draws_from_global_random = False


class GlobalDrawEnv(_NoDrawEnv):
    """Episodes of three steps; observations are a draw of numpy's, one of `random`'s, and the tag.

    Args:
        tag: of this environment.
        fails: whether a reset raises, after drawing.
    """

    def __init__(self, tag: int = 0, *, fails: bool = False) -> None:
        self.tag, self.fails = tag, fails
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = spaces.Discrete(N_ACTIONS)
        np.random.random()
        random.random()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        observation = self._observe()
        if self.fails:
            raise ValueError("the probe raised this")
        return observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._observe(), 0.0, self.t == 3, False, {}

    def close(self) -> None:
        np.random.random()
        random.random()

    def _observe(self) -> np.ndarray:
        return np.array([np.random.random(), random.random(), self.tag])
