"""What samplers do when their Ray is gone: they say so, and neither wait, nor start another, nor take one."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

import gymnasium
import numpy as np
import psutil
import pytest
import ray

import samplerkit
from samplerkit.policies import RandomPolicy
from samplerkit_ray.errors import RayLost
from samplerkit_ray.sampler import RaySampler


class Slow(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        time.sleep(0.01)
        return np.zeros(2, np.float32), 0.0, False, False, {}


def sampler(**arguments):
    policy = RandomPolicy(Slow.action_space)
    given = {"n_workers": 3, "n_actors": 2, "seed": 1, "max_episode_length": 20, **arguments}
    return samplerkit.make_sampler("ray", agents=policy, envs=Slow, **given)


@pytest.fixture(autouse=True)
def no_ray_is_left():
    yield
    ray.shutdown()


def begin_another_ray() -> None:
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )


def bounded(work, seconds: float):
    """Do something in a thread; return what it raised, None for nothing."""
    raised = []

    def run():
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"it takes longer than {seconds} s"
    return raised[0] if raised else None


def end_ray() -> None:
    ray.shutdown()


def kill_raylet() -> None:
    [raylet] = [it for it in psutil.Process().children(recursive=True) if it.name() == "raylet"]
    os.kill(raylet.pid, signal.SIGKILL)


def test_after_ray_was_shut_down_every_call_says_so_and_starts_nothing():
    s = sampler()
    s.obtain_samples(0, 50)
    ray.shutdown()
    for index in range(2):
        assert isinstance(bounded(lambda: s.obtain_samples(1, 50), 1.0), RayLost), index
    assert bounded(s.shutdown_worker, 1.0) is None
    assert not ray.is_initialized()


def test_a_sampler_whose_units_were_under_way_when_ray_was_shut_down_is_shut_down_silently():
    s = sampler()
    s.obtain_samples(0, 50)  # others run ahead
    ray.shutdown()
    assert bounded(s.shutdown_worker, 1.0) is None
    assert not ray.is_initialized()


@pytest.mark.parametrize("end", [end_ray, kill_raylet])
def test_a_call_that_runs_when_ray_ends_is_told_in_about_a_second(end):
    s = sampler()
    s.obtain_samples(0, 50)
    raised = []

    def call():
        try:
            s.obtain_samples(1, 10**6)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    time.sleep(0.5)
    end()
    thread.join(2.5)
    assert [type(error) for error in raised] == [RayLost]
    assert bounded(s.shutdown_worker, 5.0) is None
    assert not ray.is_initialized()


def test_a_sampler_of_a_ray_that_is_gone_leaves_the_next_one_alone():
    s = sampler()
    s.obtain_samples(0, 50)
    ray.shutdown()
    begin_another_ray()
    assert isinstance(bounded(lambda: s.obtain_samples(1, 50), 1.0), RayLost)
    assert bounded(s.shutdown_worker, 1.0) is None
    assert ray.get(ray.put(7)) == 7, "it is somebody else's"
    with sampler() as following:
        assert following.obtain_samples(0, 50).lengths.sum() >= 50
    assert ray.is_initialized()


def test_a_sampler_that_started_ray_anew_keeps_it_when_one_from_before_ends():
    first = sampler()
    ray.shutdown()
    with sampler() as second:
        assert bounded(first.shutdown_worker, 1.0) is None
        assert second.obtain_samples(0, 50).lengths.sum() >= 50
    assert not ray.is_initialized()


def test_actors_that_were_kept_in_a_ray_that_is_gone_are_neither_used_nor_killed():
    with RaySampler.standing_runtime():
        for _ in range(2):
            with sampler():
                pass
        ray.shutdown()
        begin_another_ray()
        with sampler(max_restarts=0) as s:
            assert s.obtain_samples(0, 50).lengths.sum() >= 50
    assert ray.is_initialized()
