"""Actors that are used again, inside a runtime that stands."""

from __future__ import annotations

import os
import signal
import time

import gymnasium
import psutil
import pytest

import samplerkit
from samplerkit.policies import RandomPolicy
from samplerkit_ray.sampler import RaySampler


def sampler(backend="ray", **arguments):
    policy = RandomPolicy(gymnasium.spaces.Discrete(2))
    extra = {"n_actors": 2} if backend == "ray" else {}
    return samplerkit.make_sampler(
        backend, agents=policy, envs="CartPole-v1", n_workers=3, seed=1, **{**extra, **arguments}
    )


def actors():
    """Return the processes of actors on this machine that belong to this program."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        line = process.cmdline()
        if line and line[0].startswith("ray::Carrier"):
            found.add(process.pid)
    return found


@pytest.fixture(scope="module")
def expected():
    with sampler("local") as local:
        return local.obtain_samples(0, 300)


@pytest.fixture(scope="module")
def is_own():
    with RaySampler.standing_runtime() as own:
        yield own
    assert not actors_within(60.0), "none is kept for longer"


def actors_within(seconds):
    until = time.monotonic() + seconds
    while (left := actors()) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def kept_actors(is_own):
    """Return actors that are kept; on a busy machine some do not end in time, and are killed instead."""
    for _ in range(10):
        with sampler():
            used = actors()
            assert not all(is_own(psutil.Process(pid)) for pid in used), "they are the sampler's"
        if len(used) >= 2 and actors() == used and all(is_own(psutil.Process(pid)) for pid in used):
            return used
    raise AssertionError("no actor was ever kept")


def test_the_next_sampler_gets_the_actors_of_the_last_one_and_the_same_batch(is_own, expected):
    used = kept_actors(is_own)
    with sampler() as following:
        assert following.obtain_samples(0, 300).equals(expected)
        assert actors() == used


def test_an_actor_that_died_while_it_was_kept_is_no_death_of_the_sampler_s(is_own, expected):
    for pid in kept_actors(is_own):
        os.kill(pid, signal.SIGKILL)
    with sampler(max_restarts=0) as s:
        assert s.obtain_samples(0, 300).equals(expected)
        assert s.statistics().restarts == 0


def test_actors_that_were_asked_for_otherwise_are_not_used(is_own, expected):
    used = kept_actors(is_own)
    with sampler(num_cpus=0.5) as s:
        assert s.obtain_samples(0, 300).equals(expected)
        assert actors() - used


def test_an_actor_that_a_sampler_had_to_kill_is_not_kept(is_own, expected):
    with sampler(n_actors=1) as s:
        s.obtain_samples(0, 300)
        before = actors()
        [busy] = [pid for pid in before if not is_own(psutil.Process(pid))]
        os.kill(busy, signal.SIGKILL)
        assert s.obtain_samples(0, 300).lengths.sum() >= 300
    with sampler() as s:
        assert s.obtain_samples(0, 300).equals(expected)
        assert busy not in actors()
