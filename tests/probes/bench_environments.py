"""Environments and policies for tests of the bench, found by name."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from samplerkit.bench.policies import ConstantPolicy


class Plain(gymnasium.Env):
    """Episodes of 5 steps that say how they were seeded: observation = [seed % 1000, steps so far]."""

    max_episode_length = 5
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._state = np.array([(seed or 0) % 1000, 0.0])
        return self._state.copy(), {}

    def step(self, action: Any) -> Any:
        self._state[1] += 1
        return self._state.copy(), float(self._state[1]), False, bool(self._state[1] >= 5), {}


class Nested(gymnasium.Env):
    """Endless; observations are dicts of a tuple and a number."""

    observation_space = spaces.Dict(
        pair=spaces.Tuple([spaces.Box(0, 9, (2,), np.int64), spaces.Discrete(9)]), n=spaces.Discrete(10_000)
    )
    action_space = spaces.MultiDiscrete([2, 3])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self._n = 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self._n += 1
        return self._observation(), 0.5, False, False, {}

    def _observation(self) -> Any:
        return {"pair": (np.array([self._n % 10, 1]), self._n % 9), "n": self._n}


def breaks() -> Any:
    raise RuntimeError("no power")


def not_an_env() -> Any:
    return {}


def takes_nothing() -> Any:
    return ConstantPolicy(None, spaces.Discrete(2))


a_policy = takes_nothing()
number = 3
