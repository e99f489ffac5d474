"""What peers share."""

from __future__ import annotations

import abc
import functools
import time
from typing import Any

import numpy as np

from benchmarks import environments
from samplerkit.bench.contestant import Contestant, Measurement, Skipped


class PeerContestant(Contestant):
    """Delivers batches in some other way than samplerkit's.

    Args:
        env: as in `benchmarks.environments.make`.
        policy: a name for `plain_policy`; for loops written by hand, one of samplerkit's.
        num_samples: steps of a batch, at least.
        n_processes: over how many to spread.
    """

    def __init__(self, *, env: str, policy: str, num_samples: int, n_processes: int) -> None:
        super().__init__(type(self).__name__)
        self.env = env
        self.policy = policy
        self.num_samples = num_samples
        self.n_processes = n_processes

    def start(self) -> float:
        """Begin, and take one batch."""
        began = time.perf_counter()
        try:
            self.begin()
        except ImportError as error:
            raise Skipped(f"not installed: {error}") from error
        self.batch()
        return time.perf_counter() - began

    def measure(self, seconds: float) -> Measurement:
        """Take whole batches."""
        began = time.perf_counter()
        steps = 0
        while True:
            steps += self.batch()
            passed = time.perf_counter() - began
            if passed >= seconds:
                return Measurement(steps, passed)

    def stop(self) -> None:
        """End."""
        self.end()

    def make_env(self) -> functools.partial[Any]:
        """Return what constructs the environment, in any process."""
        return functools.partial(environments.make, self.env)

    @abc.abstractmethod
    def begin(self) -> None:
        """Import and construct whatever it takes."""

    @abc.abstractmethod
    def batch(self) -> int:
        """Deliver a batch as numpy arrays in this process; returns its steps."""

    @abc.abstractmethod
    def end(self) -> None:
        """Release everything; also where `begin` failed."""


class Rollout:
    """Arrays for the steps of n environments that are stepped together, (n_times, n, ...) each.

    Args:
        observation_space: of one environment.
        action_space: likewise.
        n_times: steps of each environment.
        n_envs: environments.
    """

    def __init__(self, observation_space: Any, action_space: Any, n_times: int, n_envs: int) -> None:
        shape = (n_times, n_envs)
        self.observations = np.empty((*shape, *observation_space.shape), observation_space.dtype)
        self.actions = np.empty((*shape, *action_space.shape), action_space.dtype)
        self.rewards = np.empty(shape)
        self.terminated = np.empty(shape, bool)
        self.truncated = np.empty(shape, bool)
        self.last_observations: list[Any] = []
        for array in (self.observations, self.actions, self.rewards, self.terminated, self.truncated):
            array.fill(0)

    @property
    def size(self) -> int:
        """How many steps there are."""
        return int(self.rewards.size)
