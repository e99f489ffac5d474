"""gymnasium's own CartPole vector environment, 1,024 slots, in one process: array code from end to end."""

from __future__ import annotations

import functools
import time
from typing import Any

import gymnasium
import numpy as np
import threadpoolctl

from benchmarks.policies import mlp32
from benchmarks.running import ROOT, Course
from samplerkit.bench import Contestant, Hosted, Measurement, Results, interleave
from samplerkit.bench.workload import Workload

N_ENVS = 1_024

cartpoles = functools.partial(
    gymnasium.make_vec, "CartPole-v1", num_envs=N_ENVS, vectorization_mode="vector_entry_point"
)

_BARE = "bare loop (1024), 1 process"

_CHUNK = 16
"""Ticks between two looks at the clock."""


def policy() -> Any:
    """Return a perceptron 4-32-32-2, which tells nothing but its actions."""
    env = cartpoles()
    made = mlp32(env.single_observation_space, env.single_action_space)
    env.close()
    return made


def entries() -> dict[str, tuple[str, Any]]:
    """Return the title and the function of each, by key.

    Episodes take about 22 steps: the smallest batch is 10 of them for each slot. At its end whoever
    began is waited for, which takes some 90 ticks.
    """
    known: dict[str, tuple[str, Any]] = {}
    for batch in (225_000, 1_000_000, 4_000_000):
        title = (
            f"CartPole-v1 as gymnasium's vector environment of {N_ENVS:,} slots, MLP 4-32-32-2, episodes of "
            f"about 22 steps, one process, batches of {batch:,}"
        )
        known[f"W5-{batch}"] = title, functools.partial(run, f"W5-{batch}", title, batch)
    return known


def run(key: str, title: str, batch: int, course: Course) -> dict[str, Any]:
    """Measure samplers of one process beside the bare loop."""
    workload = Workload("benchmarks.native:cartpoles", "benchmarks.native:policy", batch)
    contestants: list[Contestant] = [_hosted(_BARE, "benchmarks.native:BareNative", {})]
    for backend, options in (("vectorized", {}), ("multiprocessing+vectorized", {"n_processes": 1})):
        if not course.names or any(part.lower() in backend for part in course.names):
            arguments = {
                "workload": workload.as_dict(),
                "backend": backend,
                "n_workers": 1,
                "options": {**options, "n_envs": N_ENVS},
            }
            factory = "samplerkit.bench.sampler_contestant:SamplerContestant"
            contestants.append(_hosted(backend, factory, arguments))
    found = interleave(contestants, rounds=course.rounds, seconds=course.seconds, tell=course.tell)
    return {"key": key, "title": title, "limit": _BARE, "contestants": Results(found, _BARE).as_dicts()}


def _hosted(name: str, factory: str, arguments: dict[str, Any]) -> Hosted:
    return Hosted(name, factory, arguments, path=[ROOT])


class BareNative(Contestant):
    """Steps the vector environment, which resets its slots itself, and stores what comes: (ticks, slots, …).

    The policy is reset and seeded for each episode. Ticks in which a slot is reset are no steps.

    Args:
        n_ticks: that the arrays hold; after these it writes from the first one again.
    """

    distributions = ("numpy", "gymnasium")

    def __init__(self, n_ticks: int = 400) -> None:
        super().__init__(_BARE)
        self._n_ticks = n_ticks

    def start(self) -> float:
        """Construct all, touch the arrays, fill them once."""
        began = time.perf_counter()
        self._one_thread = threadpoolctl.threadpool_limits(1)
        self._env, self._policy = cartpoles(), policy()
        space, shape = self._env.single_observation_space, (self._n_ticks, N_ENVS)
        self._observations = np.full((*shape, *space.shape), 0, space.dtype)
        self._actions = np.full(shape, 0, self._env.single_action_space.dtype)
        self._rewards = np.full(shape, 0.0)
        self._terminated, self._truncated = np.full(shape, False), np.full(shape, False)
        self._seeds = np.random.PCG64(0)
        self._observation, _ = self._env.reset(seed=0)
        self._resetting = np.zeros(N_ENVS, np.bool_)
        self._begin(~self._resetting)
        self._tick = 0
        self._ticks(self._n_ticks)
        return time.perf_counter() - began

    def measure(self, seconds: float) -> Measurement:
        """Step on from where it stood."""
        began, steps = time.perf_counter(), 0
        while True:
            steps += self._ticks(_CHUNK)
            passed = time.perf_counter() - began
            if passed >= seconds:
                return Measurement(steps, passed)

    def _ticks(self, n: int) -> int:
        act, step, observation, resetting = (
            self._policy.get_actions,
            self._env.step,
            self._observation,
            self._resetting,
        )
        steps = n * N_ENVS
        for _ in range(n):
            tick = self._tick
            self._observations[tick] = observation
            actions, _infos = act(observation)
            self._actions[tick] = actions
            observation, rewards, terminated, truncated, _ = step(actions)
            self._rewards[tick] = rewards
            self._terminated[tick] = terminated
            self._truncated[tick] = truncated
            self._tick = (tick + 1) % self._n_ticks
            steps -= int(np.count_nonzero(resetting))
            if resetting.any():
                self._begin(resetting)
            resetting = terminated | truncated
        self._observation, self._resetting = observation, resetting
        return steps

    def _begin(self, slots: Any) -> None:
        self._policy.reset(slots)
        self._policy.seed(self._seeds.random_raw(int(np.count_nonzero(slots))))

    def stop(self) -> None:
        """Close the environment."""
        env = self.__dict__.pop("_env", None)
        if env is not None:
            env.close()
