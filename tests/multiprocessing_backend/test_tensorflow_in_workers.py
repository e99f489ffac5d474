"""A policy that runs TensorFlow in the workers: no hang, few threads, none where none is needed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import samplerkit
from samplerkit.policies import RandomPolicy


class TensorFlowPolicy:
    """A linear policy whose product is a TensorFlow operation."""

    def __init__(self) -> None:
        self.weights = np.array([0.1, 0.5, -0.2, 1.0], np.float32)

    def get_action(self, observation):
        import tensorflow as tf

        score = float(tf.reduce_sum(tf.constant(self.weights) * observation))
        threads = len(list(Path("/proc/self/task").iterdir()))
        return int(score > 0), {"threads": threads, "python_threads": threading.active_count()}

    def get_actions(self, observations):
        raise NotImplementedError

    def reset(self, do_resets=None):
        pass

    def get_param_values(self):
        return self.weights

    def set_param_values(self, params):
        self.weights = params


@pytest.mark.slow
def test_tensorflow_runs_in_worker_processes_with_few_threads():
    arguments = {"agents": TensorFlowPolicy(), "envs": "CartPole-v1", "seed": 1, "n_workers": 2}
    with samplerkit.make_sampler("multiprocessing", n_processes=2, is_tf_worker=True, **arguments) as remote:
        batch = remote.obtain_samples(0, 60)
    assert batch.agent_infos["threads"].max() <= 8, "TensorFlow took more threads than one and its helpers"
    with samplerkit.make_sampler("local", is_tf_worker=True, **arguments) as local:
        expected = local.obtain_samples(0, 60)
    np.testing.assert_array_equal(batch.actions, expected.actions)
    np.testing.assert_array_equal(batch.observations, expected.observations)


class LoadedModulesEnv(gymnasium.Env):
    """Tells whether its process has imported TensorFlow."""

    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {"tensorflow": "tensorflow" in sys.modules}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {}


def test_workers_import_no_tensorflow_where_the_policy_needs_none():
    policy = RandomPolicy(LoadedModulesEnv.action_space)
    with samplerkit.make_sampler(
        "multiprocessing",
        agents=policy,
        envs=LoadedModulesEnv,
        max_episode_length=5,
        seed=1,
        n_processes=1,
        start_method="spawn",
    ) as s:
        assert not s.obtain_samples(0, 1).episode_infos_by_episode["tensorflow"].any()
