from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from learning import FAST, assert_a_copy_goes_on, sampled, train

from samplerkit.rl2 import BanditEnv, RL2Env
from samplerkit.tf import PPO, PPOSettings, TFGRUPolicy, TFGRUValue


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


class EndsWithNaN(Recall):
    """The observation after the last step is NaN."""

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return observation * (np.nan if terminated else 1), reward, terminated, truncated, info


class Longer(Recall):
    """Five steps."""

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed)
        self.steps = -2
        return observation, info


@pytest.mark.slow
def test_nothing_is_made_of_a_final_observation_of_an_episode_that_terminated():
    """Neither of its value, nor in the padding where it stands, nor in the hidden state behind it."""
    settings = PPOSettings(minibatch_size=8, update_epochs=2, jit_compile=False)
    algos = {env: gru(env, settings=settings) for env in (Recall(), EndsWithNaN())}
    for env, algo in algos.items():
        batch = sampled(env, algo.policy, 3 * 8, length=3)
        longer = sampled(Longer(), algo.policy, 5, length=5)
        algo.learn(type(batch).concatenate(batch, longer))
    one, other = (algo.policy.get_param_values() for algo in algos.values())
    for name, value in one.items():
        assert np.array_equal(other[name], value), name


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
    assert_a_copy_goes_on(gru)
