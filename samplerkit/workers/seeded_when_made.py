"""Vector environments that are told their seed when they are made, and not when they are reset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.vector.utils import batch_space

from samplerkit.interfaces import VectorEnv


class SeededWhenMade(gymnasium.vector.VectorEnv[Any, Any, Any]):
    """A vector environment that is made anew where it is seeded, as EnvPool's must be::

        SeededWhenMade(
            lambda seed: envpool.make("Pong-v5", env_type="gymnasium", num_envs=32, seed=seed)
        )

    Args:
        make: returns the environment for a seed, of 31 bits.
    """

    def __init__(self, make: Callable[[int], VectorEnv]) -> None:
        self._make = make
        self._take(make(0))

    def _take(self, env: VectorEnv) -> None:
        self._env = env
        self.num_envs = env.num_envs
        self.metadata = env.metadata
        self.spec = env.spec
        self.single_observation_space = env.single_observation_space
        self.single_action_space = env.single_action_space
        self.observation_space = batch_space(env.single_observation_space, env.num_envs)
        self.action_space = batch_space(env.single_action_space, env.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all slots; where there is a seed, of an environment that is made with it."""
        if seed is not None:
            self._env.close()
            self._take(self._make(seed))
        return self._env.reset(options=options) if options else self._env.reset()

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all slots."""
        return self._env.step(actions)

    def close_extras(self, **arguments: Any) -> None:
        """Close the environment."""
        self._env.close()


def takes_no_seed(env: VectorEnv) -> bool:
    """Whether it is one that is known to ignore the seed of a reset: EnvPool's."""
    return any(cls.__module__.partition(".")[0] == "envpool" for cls in type(env.unwrapped).__mro__)
