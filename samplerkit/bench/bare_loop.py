"""The limit: a loop that steps a policy in an environment, stores what comes, and sends nothing anywhere."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import threadpoolctl

from samplerkit.bench.contestant import Contestant, Measurement
from samplerkit.bench.storage import first_rows, storage
from samplerkit.bench.workload import Workload
from samplerkit.sampling.numbering import UnitSeeds

_CHUNK = 256
"""Steps between two looks at the clock."""

_LAST_ROWS = 64
"""Last observations kept, one for each episode; then from the first row again."""


class BareLoop(Contestant):
    """One process that steps and stores: the most that can be had.

    Resets are seeded, and the policy is reset and seeded for each episode, as a sampler does.

    Args:
        workload: as `Workload.as_dict` gives it.
        n_rows: steps that the arrays hold; after these it writes from the first row again.
        first_unit: number of the first episode; the next is `stride` further.
        stride: how many loops share the episodes.
    """

    distributions = ("numpy", "gymnasium")

    def __init__(
        self, workload: dict[str, Any], n_rows: int, *, first_unit: int = 0, stride: int = 1
    ) -> None:
        super().__init__("bare loop")
        self._workload = Workload(**workload)
        self._n_rows = n_rows
        self._unit = first_unit
        self._stride = stride

    def start(self) -> float:
        """Construct all, touch the arrays, fill them once."""
        began = time.perf_counter()
        self._one_thread = threadpoolctl.threadpool_limits(1)
        self._env = self._workload.make_env()
        self._limit = self._workload.episode_limit(self._env)
        self.policy = self._workload.make_policy(self._env)
        self._seeds = UnitSeeds(self._workload.seed)
        self._allocate()
        self._row = self._episode = 0
        self._observation = self._begin_episode()
        self._length = 0
        self._steps(self._n_rows)
        return time.perf_counter() - began

    def _allocate(self) -> None:
        rows = self._n_rows
        self.observations, self._put_observation = storage(self._env.observation_space, rows)
        self.actions, self._put_action = storage(self._env.action_space, rows)
        self.last_observations, self._put_last = storage(self._env.observation_space, _LAST_ROWS)
        self.rewards = np.full(rows, 0.0)
        self.terminated = np.full(rows, False)
        self.truncated = np.full(rows, False)

    def measure(self, seconds: float) -> Measurement:
        """Step on from where it stood."""
        clock = time.perf_counter
        began = clock()
        steps = 0
        while True:
            self._steps(_CHUNK)
            steps += _CHUNK
            passed = clock() - began
            if passed >= seconds:
                return Measurement(steps, passed)

    def fill(self) -> dict[str, Any]:
        """Fill the arrays once, from the first row; returns them, to be copied before the next call."""
        self._row, episodes = 0, self._episode
        self._steps(self._n_rows)
        ended = min(self._episode - episodes, _LAST_ROWS)
        return {
            "observations": self.observations,
            "actions": self.actions,
            "rewards": self.rewards,
            "terminated": self.terminated,
            "truncated": self.truncated,
            "last_observations": first_rows(self.last_observations, ended),
        }

    def _steps(self, n: int) -> None:
        """Take n steps; everything is a local name, as in a loop written for the purpose."""
        put_observation, put_action, put_last = self._put_observation, self._put_action, self._put_last
        rewards, terminations, truncations = self.rewards, self.terminated, self.truncated
        act, step, begin, limit = self.policy.get_action, self._env.step, self._begin_episode, self._limit
        observation, length, row, n_rows = self._observation, self._length, self._row, self._n_rows
        for _ in range(n):
            put_observation(row, observation)
            action, _info = act(observation)
            observation, reward, terminated, truncated, _info = step(action)
            put_action(row, action)
            rewards[row] = reward
            terminations[row] = terminated
            truncations[row] = truncated
            length += 1
            row += 1
            if row == n_rows:
                row = 0
            if terminated or truncated or length >= limit:
                put_last(self._episode % _LAST_ROWS, observation)
                observation = begin()
                length = 0
        self._observation, self._length, self._row = observation, length, row

    def _begin_episode(self) -> Any:
        unit = self._seeds.unit(self._unit)
        self._unit += self._stride
        self._episode += 1
        observation, _ = self._env.reset(seed=unit.env_seed)
        self.policy.reset()
        seed = getattr(self.policy, "seed", None)
        if seed is not None:
            seed(np.array([unit.policy_seed], np.uint64))
        return observation

    def stop(self) -> None:
        """Close the environment."""
        env = self.__dict__.pop("_env", None)
        if env is not None:
            env.close()
