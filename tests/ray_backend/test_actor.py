"""What runs in an actor."""

from __future__ import annotations

import gc
import os
import threading

import gymnasium
import numpy as np
import pytest

import samplerkit
from samplerkit.policies import RandomPolicy

pytestmark = pytest.mark.usefixtures("standing_ray")


class SchedulingEnv(gymnasium.Env):
    """Tells how the first thread of its process comes to a CPU, and whether it is the one that steps."""

    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        steps = threading.get_native_id() == os.getpid()
        return np.zeros(1, np.float32), {"policy": os.sched_getscheduler(os.getpid()), "steps": steps}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {}


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this operating system has no such policy")
def test_the_thread_that_ray_looks_for_signals_in_does_not_interrupt_the_one_that_steps():
    policy = RandomPolicy(SchedulingEnv.action_space)
    with samplerkit.make_sampler("ray", agents=policy, envs=SchedulingEnv, max_episode_length=5, seed=1) as s:
        infos = s.obtain_samples(0, 3).episode_infos_by_episode
    assert set(infos["steps"].tolist()) == {False}
    assert set(infos["policy"].tolist()) == {os.SCHED_BATCH}


class FrozenEnv(gymnasium.Env):
    """Says how many objects the garbage collector passes over, and how many when it was made."""

    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        self.at_first = gc.get_freeze_count()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {"frozen": gc.get_freeze_count(), "at_first": self.at_first}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {}


def test_what_is_there_before_the_first_unit_is_never_looked_through_for_garbage():
    policy = RandomPolicy(FrozenEnv.action_space)
    before = gc.get_freeze_count()  # Python 3.12 begins with some
    for _ in range(2):  # the second time in actors that have served before
        with samplerkit.make_sampler(
            "ray", agents=policy, envs=FrozenEnv, max_episode_length=5, seed=1, n_actors=2
        ) as s:
            infos = s.obtain_samples(0, 3).episode_infos_by_episode
        assert infos["frozen"].min() > 10_000
        assert infos["at_first"].max() == 0, "what the last sampler left may go"
    assert gc.get_freeze_count() == before
