"""Large batches and large weights: equal to the local sampler's, in little memory."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import samplerkit
from samplerkit.policies import MLPPolicy, RandomPolicy


class FramesEnv(gymnasium.Env):
    """Frames as large as Atari's, of a few numbers that follow from the seed."""

    observation_space = spaces.Box(0, 255, (84, 84, 4), np.uint8)
    action_space = spaces.Discrete(3)

    def _observation(self) -> Any:
        return np.resize(self.np_random.integers(0, 256, 97, dtype=np.uint8), (84, 84, 4))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 40))
        return self._observation(), {}

    def step(self, action: int):
        self.left -= 1
        return self._observation(), float(action), self.left == 0, False, {"left": self.left}


class NestedFramesEnv(FramesEnv):
    observation_space = spaces.Dict(
        {
            "frames": spaces.Tuple([FramesEnv.observation_space, spaces.Box(0, 255, (84, 84, 1), np.uint8)]),
            "state": spaces.Box(-np.inf, np.inf, (3,), np.float32),
            "nothing": spaces.Dict({}),
        }
    )

    def _observation(self) -> Any:
        frames = super()._observation()
        state = self.np_random.standard_normal(3, dtype=np.float32)
        return {"frames": (frames, frames[..., :1].copy()), "state": state, "nothing": {}}


def sampler(name: str, envs: Any, agents: Any = None, **arguments: Any):
    arguments = {"seed": 11, "max_episode_length": 60, "n_workers": 3, **arguments}
    agents = RandomPolicy(FramesEnv.action_space) if agents is None else agents
    return samplerkit.make_sampler(name, agents=agents, envs=envs, **arguments)


def children() -> dict[str, int]:
    """Return the process ids of worker processes by name."""
    return {p.name: p.pid for p in multiprocessing.active_children() if p.name.startswith("samplerkit-")}


@pytest.mark.parametrize("env", [FramesEnv, NestedFramesEnv])
def test_large_observations_give_the_local_batches_call_after_call(env):
    with sampler("local", env) as local, sampler("multiprocessing", env, n_processes=2) as remote:
        kept = []
        for call in range(3):
            batch, expected = remote.obtain_samples(call, 400), local.obtain_samples(call, 400)
            assert batch.difference(expected) is None
            kept.append((batch, expected.digest()))
        assert remote.obtain_exact_episodes(2).difference(local.obtain_exact_episodes(2)) is None
    for batch, digest in kept:
        assert batch.digest() == digest, "memory of an earlier batch was used again"


def test_a_large_batch_can_be_written_to_and_outlives_its_sampler():
    with sampler("multiprocessing", FramesEnv, n_processes=2) as s:
        batch = s.obtain_samples(0, 400)
    digest = batch.digest()
    with sampler("multiprocessing", FramesEnv, n_processes=2, seed=12) as s:
        others = [s.obtain_samples(call, 400) for call in range(3)]
    assert batch.digest() == digest, "its memory is somebody else's"
    assert not any(np.shares_memory(batch.observations, other.observations) for other in others)
    batch.observations[...] = 7
    assert batch.observations.min() == 7


def test_rows_that_a_caller_keeps_of_a_batch_outlive_those_that_follow():
    with sampler("multiprocessing", FramesEnv, n_processes=2) as s:
        kept, expected = [], []
        for call in range(4):
            rows = s.obtain_samples(call, 400).observations[100:103]  # the batch itself is dropped
            kept.append(rows)
            expected.append(rows.copy())
    for rows, copy in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(rows, copy)


@pytest.mark.slow
def test_a_process_killed_among_large_messages_leaves_no_trace_in_the_batch():
    with (
        sampler("local", FramesEnv) as local,
        sampler("multiprocessing", FramesEnv, n_processes=2, max_restarts=50) as remote,
    ):
        for call in range(12):
            victim = min(children().values())  # the last one may not have been replaced yet
            timer = threading.Timer(0.02 * (call % 4), os.kill, (victim, signal.SIGKILL))
            timer.start()
            batch = remote.obtain_samples(call, 1500)
            timer.join()
            assert batch.difference(local.obtain_samples(call, 1500)) is None


def large_policy(factor: float = 1.0):
    observation_space = spaces.Box(-1, 1, (4,), np.float32)
    policy = MLPPolicy(observation_space, spaces.Discrete(2), hidden_sizes=(300, 300), seed=3)
    weights = {name: value * np.float32(factor) for name, value in policy.get_param_values().items()}
    assert sum(value.nbytes for value in weights.values()) > 3e5
    return policy, weights


def test_large_weights_reach_every_process_call_after_call_and_after_a_death():
    policy, _ = large_policy()
    arguments = {"agents": policy, "max_episode_length": 30}
    with (
        sampler("local", "CartPole-v1", **arguments) as local,
        sampler("multiprocessing", "CartPole-v1", n_processes=3, **arguments) as remote,
    ):
        for call in range(6):
            weights = large_policy(1.0 - 0.1 * call)[1]
            if call == 3:
                os.kill(children()["samplerkit-1"], signal.SIGKILL)
            batch = remote.obtain_samples(call, 200, weights)
            assert batch.difference(local.obtain_samples(call, 200, weights)) is None


@pytest.mark.slow
def test_several_samplers_of_large_observations_work_side_by_side_and_in_threads():
    with sampler("local", FramesEnv) as local:
        expected = [local.obtain_samples(call, 300).digest() for call in range(2)]
    digests: dict[int, list[str]] = {}

    def work(index: int) -> None:
        with sampler("multiprocessing", FramesEnv, n_processes=2) as s:
            digests[index] = [s.obtain_samples(call, 300).digest() for call in range(2)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    work(2)
    for thread in threads:
        thread.join(60)
    assert digests == dict.fromkeys(range(3), expected)


# ---------------------------------------------------------------- memory, measured in a program of its own

SCRIPT = """
import gc, json, sys, threading, time
import gymnasium, numpy as np, psutil, samplerkit
from samplerkit.policies import MLPPolicy, RandomPolicy

class Wide(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (100_000,), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(10, 60))
        return self.frame(), {}
    def frame(self):
        return self.np_random.integers(0, 256, 100_000, dtype=np.uint8)
    def step(self, action):
        self.left -= 1
        return self.frame(), 0.0, self.left == 0, False, {}

me = psutil.Process()

def peak_during(work):
    \"\"\"Return the highest resident memory of this process meanwhile, and what the work returned.\"\"\"
    peak, over = [me.memory_info().rss], threading.Event()
    def watch():
        while not over.wait(0.002):
            peak[0] = max(peak[0], me.memory_info().rss)
    thread = threading.Thread(target=watch)
    thread.start()
    result = work()
    over.set()
    thread.join()
    return peak[0], result
"""


def measured(tmp_path, body: str) -> dict[str, float]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT + textwrap.dedent(body))
    run = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_batch_of_300_mb_takes_little_more_than_that(tmp_path):
    it = measured(
        tmp_path,
        """
        with samplerkit.make_sampler("multiprocessing", agents=RandomPolicy(Wide.action_space), envs=Wide,
                                     n_processes=2, seed=1, n_workers=2, max_episode_length=100) as s:
            s.obtain_samples(0, 100)
            base = me.memory_info().rss
            peak, batch = peak_during(lambda: s.obtain_samples(1, 3000))
            size = batch.observations.nbytes
        print(json.dumps({"base": base, "peak": peak, "size": size}))
        """,
    )
    assert it["size"] >= 3e8
    assert it["peak"] <= it["base"] + 1.3 * it["size"], f"{(it['peak'] - it['base']) / it['size']:.2f} times"


@pytest.mark.slow
def test_weights_of_10_mb_for_8_processes_do_not_multiply_the_parent_s_memory(tmp_path):
    it = measured(
        tmp_path,
        """
        env = gymnasium.make("CartPole-v1")
        policy = MLPPolicy(env.observation_space, env.action_space, hidden_sizes=(1600, 1600), seed=1)
        weights = policy.get_param_values()
        size = sum(value.nbytes for value in weights.values())
        peaks = {}
        for n_processes in (1, 8):
            with samplerkit.make_sampler("multiprocessing", agents=policy, envs="CartPole-v1",
                                         n_processes=n_processes, seed=1, n_workers=8) as s:
                s.obtain_samples(0, 1, weights)
                base = me.memory_info().rss
                def work():
                    for call in range(4):
                        s.obtain_samples(call, 1, weights)
                peaks[n_processes] = peak_during(work)[0] - base
        print(json.dumps({"size": size, "one": peaks[1], "eight": peaks[8]}))
        """,
    )
    assert it["size"] >= 1e7
    assert it["eight"] <= it["one"] + 1.5 * it["size"], f"{it} bytes"
    assert it["eight"] <= 5 * it["size"], f"{it} bytes"
