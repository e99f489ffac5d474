"""Millions of steps while worker processes are killed at random: never the wrong batch, and nothing grows.

Not part of the ordinary tests: ``SAMPLERKIT_SOAK=1 pytest tests/multiprocessing_backend/test_soak.py``, with
SAMPLERKIT_SOAK_STEPS millions of steps (default 20).
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest
from gymnasium import spaces

import samplerkit
from samplerkit.policies import GRUPolicy, MLPPolicy

pytestmark = pytest.mark.skipif(not os.environ.get("SAMPLERKIT_SOAK"), reason="SAMPLERKIT_SOAK is not set")

STEPS = int(float(os.environ.get("SAMPLERKIT_SOAK_STEPS", "20")) * 1e6)
BATCH = 20_000
SECONDS_BETWEEN_DEATHS = 3.0


@contextlib.contextmanager
def deaths(generator: random.Random, seconds_between: float) -> Iterator[list[int]]:
    """Kill a worker process again and again; yield the list of those killed."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not over.wait(generator.uniform(0.05, 2 * seconds_between)):
            alive = [p.pid for p in multiprocessing.active_children() if p.name.startswith("samplerkit-")]
            with contextlib.suppress(ProcessLookupError):
                if alive:
                    victim = generator.choice(alive)
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def census() -> tuple[int, int]:
    """Return how much memory this process has to itself, and how many descriptors."""
    gc.collect()
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared, len(os.listdir("/proc/self/fd"))


def test_batches_stay_right_and_nothing_grows_while_processes_die():
    env = gymnasium.make("CartPole-v1")
    policy = MLPPolicy(env.observation_space, env.action_space, seed=3)
    weights = policy.get_param_values()
    arguments = {"agents": policy, "envs": "CartPole-v1", "n_workers": 3, "seed": 7}
    generator = random.Random(1)
    counts = []
    with (
        samplerkit.make_sampler("local", **arguments) as local,
        samplerkit.make_sampler("multiprocessing", n_processes=3, max_restarts=10**6, **arguments) as remote,
        deaths(generator, SECONDS_BETWEEN_DEATHS) as killed,
    ):
        calls = 0
        while local.total_env_steps < STEPS:
            update = None
            if calls % 5 == 4:
                update = {name: value * generator.uniform(0.5, 1.5) for name, value in weights.items()}
            batch = remote.obtain_samples(calls, BATCH, update)
            expected = local.obtain_samples(calls, BATCH, update)
            assert batch.difference(expected) is None, f"call {calls}: {batch.difference(expected)}"
            del batch, expected
            calls += 1
            counts.append(census())
        assert remote.total_env_steps == local.total_env_steps
        restarts = remote.statistics().restarts
    assert 0 < restarts <= len(killed)
    early = counts[len(counts) // 4]
    late = [min(values) for values in zip(*counts[-5:], strict=True)]
    summary = f"{calls} batches, {restarts} deaths; memory and descriptors early {early}, late {late}"
    assert late[0] <= early[0] + 20e6, summary
    assert late[1] <= early[1] + 2, summary


class TellsAnything(gymnasium.Env):
    """Episodes of 3 to 39 steps whose infos differ in type, so that few of them fit into one message."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.length = int(self.np_random.integers(3, 40))
        self.t = 0
        return self._observation(), {"length": self.length}

    def _observation(self) -> Any:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        info: dict[str, Any] = {"t": self.t, "word": "x" * self.t}
        if self.t % 7 == 0:
            info["set"] = {1, 2}
        if self.t % 5 == 0:
            info["number"] = 1.5 if self.t % 2 else 1
        return self._observation(), float(action), self.t >= self.length, False, info


@pytest.mark.parametrize("kind", ["", "+vectorized", "+fragment"])
def test_no_call_is_wrong_however_often_processes_die(kind: str):
    policy = GRUPolicy(TellsAnything.observation_space, TellsAnything.action_space, hidden_size=4)
    weights = policy.get_param_values()
    arguments = {"agents": policy, "envs": TellsAnything, "n_workers": 3, "seed": 7, "max_episode_length": 30}
    if kind:
        arguments["n_envs"] = 3
    if kind == "+fragment":
        arguments["timesteps_per_call"] = 5
    generator = random.Random(2)
    remote = samplerkit.make_sampler(f"multiprocessing{kind}", n_processes=2, max_restarts=10**6, **arguments)
    with samplerkit.make_sampler(f"local{kind}", **arguments) as local, remote:
        with deaths(generator, 0.3) as killed:
            for call in range(300):
                size, update = generator.choice([1, 60, 500, 1500]), None
                if generator.random() < 0.5:
                    update = {name: value * generator.uniform(0.5, 1.5) for name, value in weights.items()}
                batch = remote.obtain_samples(call, size, update)
                expected = local.obtain_samples(call, size, update)
                assert batch.difference(expected) is None, f"call {call}: {batch.difference(expected)}"
        assert 20 < remote.statistics().restarts <= len(killed)
