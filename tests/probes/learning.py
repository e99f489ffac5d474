"""A few updates of PPO, and what a copy of it does."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import samplerkit
from samplerkit.rl2 import BanditEnv, RL2Env
from samplerkit.tf import PPOSettings

FAST = PPOSettings(learning_rate=0.02, minibatch_size=32, update_epochs=2, jit_compile=False)

DECAYING = PPOSettings(
    learning_rate=0.01,
    final_learning_rate=0.0,
    decay_epochs=5,
    minibatch_size=16,
    update_epochs=2,
    jit_compile=False,
)
"""With a step size that depends on how many updates there were before."""


def train(algo, env, *, epochs, steps, length=None):
    """Return the last batch, and what the algorithm said of it."""
    with samplerkit.make_sampler(
        "local", agents=algo.policy, envs=env, seed=5, n_workers=1, max_episode_length=length
    ) as sampler:
        for epoch in range(epochs):
            batch = sampler.obtain_samples(epoch, steps, algo.policy.get_param_values())
            figures = algo.learn(batch)
    return batch, figures


def sampled(env, policy, steps, length=None, seed=7):
    """Return a batch."""
    with samplerkit.make_sampler(
        "local", agents=policy, envs=env, seed=seed, n_workers=1, max_episode_length=length
    ) as sampler:
        return sampler.obtain_samples(0, steps)


def assert_a_copy_goes_on(make):
    """Compare the second update of an algorithm and of its copy by pickle.

    Args:
        make: given an environment and settings, returns the algorithm.
    """
    env = RL2Env(BanditEnv(3), episodes_per_trial=4)
    algo = make(env, settings=DECAYING)
    batch = sampled(env, algo.policy, 200)
    algo.learn(batch)
    copy = pickle.loads(pickle.dumps(algo))
    expected, got = algo.learn(batch), copy.learn(batch)
    assert got == pytest.approx(expected, rel=1e-5)
    for one, other in ((algo.policy, copy.policy), (algo.baseline, copy.baseline)):
        for name, value in one.get_param_values().items():
            np.testing.assert_allclose(other.get_param_values()[name], value, atol=1e-6, err_msg=name)
