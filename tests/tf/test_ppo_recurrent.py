from __future__ import annotations

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import samplerkit
from samplerkit.rl2 import BanditEnv, RL2Env
from samplerkit.tf import PPO, PPOSettings, TFGRUPolicy, TFGRUValue

FAST = PPOSettings(learning_rate=0.02, minibatch_size=32, update_epochs=2, jit_compile=False)


class Recall(gymnasium.Env):
    """Three steps: a bit is shown at the first one only, and is to be repeated at the last."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bit, self.steps = int(self.np_random.integers(2)), 0
        return np.array([2 * self.bit - 1], np.float32), {}

    def step(self, action):
        self.steps += 1
        over = self.steps == 3
        return np.zeros(1, np.float32), float(over and action == self.bit), over, False, {}


def gru(env, *, settings=FAST, seed=0):
    policy = TFGRUPolicy(env.observation_space, env.action_space, hidden_size=8, seed=seed)
    return PPO(policy, TFGRUValue(env.observation_space, hidden_size=8, seed=seed + 1), settings, seed=seed)


def train(algo, env, *, epochs, steps, length=None):
    with samplerkit.make_sampler(
        "local", agents=algo.policy, envs=env, seed=5, n_workers=1, max_episode_length=length
    ) as sampler:
        for epoch in range(epochs):
            batch = sampler.obtain_samples(epoch, steps, algo.policy.get_param_values())
            figures = algo.learn(batch)
    return batch, figures


def sampled(env, policy, steps, length=None, seed=7):
    with samplerkit.make_sampler(
        "local", agents=policy, envs=env, seed=seed, n_workers=1, max_episode_length=length
    ) as sampler:
        return sampler.obtain_samples(0, steps)


@pytest.mark.slow
def test_a_recurrent_policy_learns_what_it_must_remember():
    env = Recall()
    algo = gru(env)
    batch, _ = train(algo, env, epochs=25, steps=3 * 256, length=3)
    assert batch.rewards.sum() / len(batch.lengths) > 0.95


@pytest.mark.slow
def test_padding_does_not_change_an_update():
    """Episodes of 3 and of 1 step: the same update when the short ones come in a batch of their own width."""
    env = Recall()
    batch = sampled(env, gru(env).policy, 3 * 8, length=3)
    one, other = (
        gru(env, settings=PPOSettings(minibatch_size=size, update_epochs=1, jit_compile=False))
        for size in (8, 32)
    )
    one.learn(batch)
    other.learn(batch)
    for name, value in one.policy.get_param_values().items():
        np.testing.assert_allclose(other.policy.get_param_values()[name], value, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_the_first_pass_starts_from_the_sampling_policy():
    env = RL2Env(BanditEnv(3), episodes_per_trial=4)
    algo = gru(env, settings=PPOSettings(learning_rate=0.0, update_epochs=1, minibatch_size=16))
    figures = algo.learn(sampled(env, algo.policy, 200))
    assert figures["KL"] == pytest.approx(0.0, abs=1e-6), "sampling and learning disagree on probabilities"
    assert figures["ClipFraction"] == 0.0
    assert figures["Entropy"] == pytest.approx(np.log(3), abs=1e-2)


@pytest.mark.slow
def test_a_pickled_recurrent_algorithm_goes_on_with_the_same_updates():
    env = RL2Env(BanditEnv(3), episodes_per_trial=4)
    settings = PPOSettings(
        learning_rate=0.01,
        final_learning_rate=0.0,
        decay_epochs=5,
        minibatch_size=16,
        update_epochs=2,
        jit_compile=False,
    )
    algo = gru(env, settings=settings)
    batch = sampled(env, algo.policy, 200)
    algo.learn(batch)
    copy = pickle.loads(pickle.dumps(algo))
    expected, got = algo.learn(batch), copy.learn(batch)
    assert got == pytest.approx(expected, rel=1e-5)
    for name, value in algo.policy.get_param_values().items():
        np.testing.assert_allclose(copy.policy.get_param_values()[name], value, atol=1e-6, err_msg=name)
    for name, value in algo.baseline.get_param_values().items():
        np.testing.assert_allclose(copy.baseline.get_param_values()[name], value, atol=1e-6, err_msg=name)
