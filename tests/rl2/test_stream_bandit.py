"""Many bandits as one vector environment are the same as one by one."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
import pytest

import samplerkit
from samplerkit.policies import GRUPolicy, RandomPolicy
from samplerkit.rl2 import BanditVectorEnv, RL2Env, StreamBanditEnv, trial_returns


def single(n_arms=5, n_pulls=10):
    return RL2Env(StreamBanditEnv(n_arms), episodes_per_trial=n_pulls)


def sampler(name, policy, envs, **arguments):
    return samplerkit.make_sampler(
        name, agents=policy, envs=envs, seed=3, n_workers=2, max_episode_length=10, **arguments
    )


@pytest.mark.parametrize(
    ("name", "n_envs"),
    [
        ("vectorized", 1),
        ("vectorized", 7),
        ("vectorized", 80),
        ("multiprocessing+vectorized", 16),
        ("multiprocessing+vectorized", 100),
    ],
)
@pytest.mark.parametrize("recurrent", [False, True])
def test_the_native_bandit_gives_the_batches_of_single_ones(name, n_envs, recurrent):
    env = single()
    policy = (
        GRUPolicy(env.observation_space, env.action_space, hidden_size=8)
        if recurrent
        else RandomPolicy(env.action_space)
    )
    with (
        sampler("local", policy, single) as local,
        sampler("vectorized", policy, single, n_envs=3) as looped,
        sampler(name, policy, functools.partial(BanditVectorEnv, n_envs), n_envs=n_envs) as native,
    ):
        for call in (
            lambda s: s.obtain_samples(0, 333),
            lambda s: s.obtain_exact_episodes(5),
            lambda s: s.obtain_samples(0, 2500),
        ):
            expected = call(local)
            assert call(looped).difference(expected) is None
            assert call(native).difference(expected) is None


def test_its_observations_are_those_of_rl2():
    env = BanditVectorEnv(2, n_arms=3, n_pulls=2)
    observations, infos = env.reset(seed=[5, 6])
    assert observations.tolist() == [[1, 1, 0, 0, 0, 1]] * 2
    assert infos["trial"].tolist() == [5, 6]
    observations, rewards, terminated, truncated, _ = env.step(np.array([2, 1]))
    assert observations[:, 1:4].tolist() == [[0, 0, 1], [0, 1, 0]]
    assert observations[:, 4].tolist() == rewards.tolist()
    assert not terminated.any()
    assert env.step(np.array([0, 0]))[2].all()
    assert not truncated.any()


def test_a_slot_that_is_reset_leaves_the_others_alone():
    one, other = BanditVectorEnv(3, n_pulls=50), BanditVectorEnv(3, n_pulls=50)
    for env in (one, other):
        env.reset(seed=[1, 2, 3])
    one.step(np.zeros(3, np.int64))
    other.step(np.zeros(3, np.int64))
    other.reset(seed=[9], options={"reset_mask": np.array([False, True, False])})
    for _ in range(9):
        ours, theirs = one.step(np.ones(3, np.int64))[1], other.step(np.ones(3, np.int64))[1]
        assert ours[[0, 2]].tolist() == theirs[[0, 2]].tolist()


def test_means_and_rewards_are_spread_as_they_should_be():
    env = BanditVectorEnv(4000, n_arms=2, n_pulls=1)
    env.reset(seed=0)
    assert abs(env._means.mean() - 0.5) < 0.02
    assert abs(env.step(np.zeros(4000, np.int64))[1].mean() - 0.5) < 0.04


def test_a_trial_that_is_over_must_be_reset():
    env = BanditVectorEnv(2, n_pulls=1)
    with pytest.raises(RuntimeError, match="not begun or is over"):
        env.step(np.zeros(2, np.int64))
    env.reset(seed=1)
    with pytest.raises(ValueError, match="arms are 0 to 4"):
        env.step(np.array([0, 5]))
    with pytest.raises(ValueError, match="as many seeds"):
        env.reset(seed=[1])


def test_its_trials_are_the_learners_trials():
    policy = RandomPolicy(gymnasium.spaces.Discrete(5))
    with sampler("vectorized", policy, functools.partial(BanditVectorEnv, 8), n_envs=8) as native:
        batch = native.obtain_exact_episodes(8)
    assert trial_returns(batch).shape == (16,)
    assert batch.lengths.tolist() == [10] * 16
