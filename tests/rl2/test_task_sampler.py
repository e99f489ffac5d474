from __future__ import annotations

import numpy as np
import pytest

from samplerkit.interfaces import ExistingEnvUpdate, NewEnvUpdate, SetTaskUpdate
from samplerkit.rl2 import BanditEnv, ConstructEnvsSampler, EnvPoolSampler, RL2Env, SetTaskSampler


def arms(updates):
    return [update(None).n_arms for update in updates]


def constructors(n):
    return [lambda k=k: BanditEnv(k) for k in range(1, n + 1)]


def test_every_constructor_comes_before_any_comes_again():
    sampler = ConstructEnvsSampler(constructors(3), seed=0)
    updates = sampler.sample(7)
    assert all(isinstance(update, NewEnvUpdate) for update in updates)
    drawn = arms(updates)
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [1, 2, 3]
    assert sampler.n_tasks == 3


def test_with_replacement_a_constructor_may_repeat_early():
    draws = [
        arms(ConstructEnvsSampler(constructors(4), seed=s).sample(4, with_replacement=True)) for s in range(9)
    ]
    assert any(len(set(drawn)) < 4 for drawn in draws)


def test_the_seed_decides_what_is_sampled_and_global_state_does_not():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    draws = [arms(ConstructEnvsSampler(constructors(9), seed=5).sample(9)) for _ in range(2)]
    assert draws[0] == draws[1]
    assert arms(ConstructEnvsSampler(constructors(9), seed=6).sample(9)) != draws[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def means(update):
    env = update(None)
    env.reset(seed=0)
    return env.unwrapped._means


def test_set_task_updates_carry_different_tasks_that_follow_from_the_seed():
    first = [means(update) for update in SetTaskSampler(BanditEnv, seed=1).sample(3)]
    again = [means(update) for update in SetTaskSampler(BanditEnv, seed=1).sample(3)]
    assert first == again
    assert first[0] != first[1]


def test_a_wrapper_is_put_around_the_environment_and_the_old_one_is_told_the_task():
    tasks = SetTaskSampler(BanditEnv, wrapper=lambda env, task: RL2Env(env, episodes_per_trial=4), seed=1)
    one, two = tasks.sample(2)
    assert isinstance(one, SetTaskUpdate)
    env = one(None)
    assert isinstance(env, RL2Env)
    env.reset(seed=0)
    core, before = env.unwrapped, list(env.unwrapped._means)
    changed = two(env)
    changed.reset(seed=0)
    assert changed.unwrapped is core
    assert changed.unwrapped._means != before


def test_a_pool_is_sampled_without_replacement():
    pool = [BanditEnv(k) for k in (1, 2, 3)]
    sampler = EnvPoolSampler(pool, seed=0)
    updates = sampler.sample(3)
    assert all(isinstance(update, ExistingEnvUpdate) for update in updates)
    assert sorted(arms(updates)) == [1, 2, 3]
    with pytest.raises(ValueError, match=r"grow_pool\(4\)"):
        sampler.sample(4)
    with pytest.raises(ValueError, match="without replacement"):
        sampler.sample(1, with_replacement=True)


def test_a_grown_pool_holds_copies():
    pool = [BanditEnv(k) for k in (1, 2)]
    sampler = EnvPoolSampler(pool, seed=0)
    sampler.grow_pool(5)
    envs = [update(None) for update in sampler.sample(5)]
    assert sampler.n_tasks == 5
    assert len({id(env) for env in envs}) == 5
    assert {env.n_arms for env in envs} == {1, 2}


def test_an_empty_list_of_constructors_is_refused():
    with pytest.raises(ValueError, match="at least one constructor"):
        ConstructEnvsSampler([])
