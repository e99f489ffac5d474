"""Workers that remember, and environments that are told their tasks: also when they are built again."""

from __future__ import annotations

import multiprocessing
import os
import signal

import gymnasium
import numpy as np
import pytest

import samplerkit
from samplerkit.policies import RandomPolicy

BACKENDS = [("local", {}), ("multiprocessing", {"n_processes": 2})]


class CountingEnv(gymnasium.Env):
    """Remembers how many episodes it has begun, whatever the seed; can be told to fail."""

    observation_space = gymnasium.spaces.Box(0, 1e6, (1,), np.float64)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, fail_at: int | None = None) -> None:
        self.count = 0
        self.fail_at = fail_at

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count += 1
        if self.count == self.fail_at:
            raise ValueError("told to fail")
        return np.array([float(self.count)]), {}

    def step(self, action):
        return np.array([float(self.count)]), 0.0, True, False, {}


def sampler(name, envs, **arguments):
    arguments = {"n_workers": 2, "seed": 3, "max_episode_length": 5, **arguments}
    return samplerkit.make_sampler(
        name, agents=RandomPolicy(CountingEnv.action_space), envs=envs, **arguments
    )


@pytest.mark.parametrize(("name", "options"), BACKENDS)
def test_stateful_workers_run_their_units_in_order_in_one_place(name, options):
    with sampler(name, CountingEnv, stateful=True, **options) as s:
        batch = s.obtain_exact_episodes(4)
        assert batch.observations.ravel().tolist() == [1, 2, 3, 4, 1, 2, 3, 4]
        assert s.obtain_samples(0, 2).observations.ravel().tolist() == [5, 5]
        assert batch.provenance.reproducible
        assert s.statistics().units_discarded == 0, "something ran ahead"


@pytest.mark.parametrize(("name", "options"), BACKENDS)
def test_what_stateful_workers_remember_of_a_failed_call_is_forgotten(name, options):
    with sampler(name, [CountingEnv, lambda: CountingEnv(fail_at=2)], stateful=True, **options) as s:
        with pytest.raises(samplerkit.WorkerError, match="told to fail"):
            s.obtain_exact_episodes(2)
        batch = s.obtain_exact_episodes(1)
        assert batch.observations.ravel().tolist() == [1, 1], "a worker remembers a call that did not happen"
        assert not batch.provenance.reproducible
        assert not s.supports("reproducible")


def test_the_death_of_a_stateful_worker_cannot_be_repaired():
    with sampler("multiprocessing", CountingEnv, stateful=True, n_processes=1) as s:
        s.obtain_exact_episodes(1)
        (victim,) = multiprocessing.active_children()
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(samplerkit.WorkerDied, match="remembered"):
            s.obtain_exact_episodes(1)
        assert not s.obtain_exact_episodes(1).provenance.reproducible


class DrawnEnv(CountingEnv):
    """Its constructor draws from the global generator; then it is told tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = np.random.random()
        self.task = -1

    def set_task(self, task: int) -> None:
        self.task = task

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        return np.array([self.drawn]), {}

    def step(self, action):
        return np.array([self.drawn]), float(self.task), True, False, {}


@pytest.mark.parametrize(("name", "options"), BACKENDS)
def test_an_environment_built_again_is_the_one_that_was_told_its_tasks(name, options):
    update = [samplerkit.SetTaskUpdate(DrawnEnv, task) for task in range(4)]
    with sampler(name, update[0], **options) as s:
        for task in update[1:]:
            alive = s.obtain_samples(0, 6, env_update=task)
        state = s.get_state()
        following = s.obtain_samples(0, 6)
    assert alive.rewards.tolist() == [3.0] * 6
    with sampler("local", update[0]) as again:
        again.set_state(state)
        assert again.obtain_samples(0, 6).difference(following) is None


def test_options_that_do_not_exist_are_named_with_those_that_do():
    with pytest.raises(TypeError, match="Did you mean 'n_processes'"):
        sampler("multiprocessing", CountingEnv, n_proceses=2)
    with pytest.raises(TypeError, match="Its options: none"):
        sampler("local", CountingEnv, n_processes=2)
    with pytest.raises(samplerkit.UnsupportedFeature, match=r"unit_timeout.*caller's process"):
        sampler("local", CountingEnv, unit_timeout=2)
