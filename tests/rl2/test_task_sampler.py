from __future__ import annotations

import numpy as np
import pytest

import samplerkit
from samplerkit.interfaces import ExistingEnvUpdate, NewEnvUpdate, SetTaskUpdate
from samplerkit.policies import GRUPolicy
from samplerkit.rl2 import (
    BanditEnv,
    ConstructEnvsSampler,
    EnvPoolSampler,
    RL2Env,
    SetTaskSampler,
    tasks_for_slots,
)


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


@pytest.mark.parametrize("env", [None, BanditEnv(2)])
def test_tasks_are_set_in_environments_of_a_class(env):
    with pytest.raises(ValueError, match="env_constructor must be the environment's class, not <function"):
        SetTaskSampler(lambda: BanditEnv(2), env=env)


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


class Bandit(BanditEnv):
    def __init__(self):
        super().__init__(4)


@pytest.mark.parametrize("name", ["vectorized", "multiprocessing+vectorized"])
def test_tasks_in_slots_give_the_batches_of_a_worker_for_each(name):
    def tasks():
        return SetTaskSampler(Bandit, wrapper=lambda env, task: RL2Env(env, episodes_per_trial=5), seed=2)

    env = RL2Env(Bandit(), episodes_per_trial=5)
    common = {"agents": GRUPolicy(env.observation_space, env.action_space, hidden_size=8), "seed": 4}
    one_each, in_slots = tasks(), tasks()
    with (
        samplerkit.make_sampler("local", envs=one_each.sample(12), n_workers=12, **common) as workers,
        samplerkit.make_sampler(
            name, envs=tasks_for_slots(in_slots.sample(12), 4), n_workers=3, n_envs=4, **common
        ) as slots,
    ):
        for epoch in range(2):
            expected, batch = workers.obtain_samples(epoch, 200), slots.obtain_samples(epoch, 200)
            assert batch.difference(expected) is None, batch.difference(expected)
            workers.obtain_samples(epoch, 1, env_update=one_each.sample(12))
            slots.obtain_samples(epoch, 1, env_update=tasks_for_slots(in_slots.sample(12), 4))


@pytest.mark.parametrize("n_tasks", [0, 7])
def test_tasks_that_leave_slots_empty_are_refused(n_tasks):
    with pytest.raises(ValueError, match=f"{n_tasks} tasks do not fill workers with n_envs=4"):
        tasks_for_slots(ConstructEnvsSampler(constructors(3), seed=0).sample(n_tasks), 4)
