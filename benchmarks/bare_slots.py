"""The limit for vectorized workers: one native vector environment, one policy call a tick, nothing sent."""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np
import threadpoolctl

from samplerkit.bench import Contestant, Measurement
from samplerkit.sampling.numbering import seeds_of_block

_CHUNK = 16
"""Ticks between two looks at the clock."""


class BareSlots(Contestant):
    """Steps a vector environment and stores what comes into arrays that were touched before.

    Slots that end are reset together, with a seed for each, and the policy with them: reset, and seeded.

    Args:
        env: ``module:callable`` of what makes the vector environment; it takes a seed for each slot.
        policy: ``module:callable`` of what makes the policy.
        num_samples: steps that the arrays hold; after these it writes from the first row again.
        first: number of the first of the seeds, which come in blocks of 256.
    """

    distributions = ("numpy", "gymnasium", "tensorflow")

    def __init__(self, env: str, policy: str, num_samples: int, *, first: int = 0) -> None:
        super().__init__("bare loop")
        self._makers = env, policy
        self._num_samples = num_samples
        self._block = first
        self._seeds: Any = np.empty((0, 3), np.uint64)

    def start(self) -> float:
        """Construct all, touch the arrays, fill them once."""
        began = time.perf_counter()
        self._one_thread = threadpoolctl.threadpool_limits(1)
        self._env, self._policy = (_made(name) for name in self._makers)
        self._n = self._env.num_envs
        self._allocate(-(-self._num_samples // self._n))
        self._reset(np.ones(self._n, np.bool_))
        self._ticks(len(self._rewards))
        return time.perf_counter() - began

    def _allocate(self, ticks: int) -> None:
        space, n = self._env.single_observation_space, self._n
        self._observations = np.full((ticks, n, *space.shape), 0, space.dtype)
        self._actions = np.full((ticks, n), 0, self._env.single_action_space.dtype)
        self._log_probs = np.full((ticks, n), 0, np.float32)
        self._rewards = np.full((ticks, n), 0.0)
        self._terminated = np.full((ticks, n), False)
        self._truncated = np.full((ticks, n), False)
        self._finals = np.full((ticks * n, *space.shape), 0, space.dtype)
        self._tick = self._final = 0

    def measure(self, seconds: float) -> Measurement:
        """Step on from where it stood."""
        began, ticks = time.perf_counter(), 0
        while True:
            self._ticks(_CHUNK)
            ticks += _CHUNK
            passed = time.perf_counter() - began
            if passed >= seconds:
                return Measurement(ticks * self._n, passed)

    def _ticks(self, n: int) -> None:
        act, step, observation = self._policy.get_actions, self._env.step, self._observation
        for _ in range(n):
            tick = self._tick
            self._observations[tick] = observation
            actions, infos = act(observation)
            observation, rewards, terminated, truncated, _ = step(actions)
            self._actions[tick] = actions
            self._log_probs[tick] = infos["log_prob"]
            self._rewards[tick] = rewards
            self._terminated[tick] = terminated
            self._truncated[tick] = truncated
            self._tick = (tick + 1) % len(self._rewards)
            over = terminated | truncated
            if over.any():
                self._keep_finals(observation[over])
                self._reset(over)
                observation = self._observation
        self._observation = observation

    def _keep_finals(self, finals: Any) -> None:
        if self._final + len(finals) > len(self._finals):
            self._final = 0
        self._finals[self._final : self._final + len(finals)] = finals
        self._final += len(finals)

    def _reset(self, mask: Any) -> None:
        seeds = self._next_seeds(np.count_nonzero(mask))
        self._observation, _ = self._env.reset(seed=seeds[:, 0], options={"reset_mask": mask})
        self._policy.reset(mask)
        self._policy.seed(seeds[:, 1])

    def _next_seeds(self, n: int) -> Any:
        """Three for each slot, in blocks, as a sampler draws them."""
        while len(self._seeds) < n:
            self._seeds = np.concatenate([self._seeds, seeds_of_block(0, self._block)])
            self._block += 1
        taken, self._seeds = self._seeds[:n], self._seeds[n:]
        return taken

    def stop(self) -> None:
        """Close the environment."""
        env = self.__dict__.pop("_env", None)
        if env is not None:
            env.close()


def _made(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)()
