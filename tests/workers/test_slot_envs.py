"""An environment for each slot, out of one update or a list."""

from __future__ import annotations

import random

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from samplerkit.interfaces import EnvUpdate, ExistingEnvUpdate, NewEnvUpdate, SetTaskUpdate
from samplerkit.workers.slot_envs import slot_envs


class Box(gymnasium.Env):
    observation_space = spaces.Discrete(3)
    action_space = spaces.Discrete(2)

    def __init__(self):
        self.drawn = random.random(), float(np.random.random())
        self.closed = 0
        self.task = None

    def set_task(self, task):
        self.task = task

    def close(self):
        self.closed += 1


class Wider(Box):
    observation_space = spaces.Discrete(4)


def test_every_slot_gets_an_environment_of_its_own():
    for update in (Box(), NewEnvUpdate(Box), ExistingEnvUpdate(Box())):
        envs = slot_envs(update, [], 3)
        assert len({id(env) for env in envs}) == 3


def test_constructors_draw_the_same_from_the_global_generators_in_every_slot():
    random.seed(3)
    np.random.seed(3)
    envs = slot_envs(NewEnvUpdate(Box), [], 3)
    random.seed(3)
    np.random.seed(3)
    assert {env.drawn for env in envs} == {Box().drawn}


def test_a_list_gives_each_slot_its_own():
    envs = [Box(), Box()]
    assert slot_envs(envs, [], 2) == envs


def test_a_list_that_names_one_environment_twice_gives_two():
    env = Box()
    first, second = slot_envs([env, env], [], 2)
    assert first is env
    assert second is not env


def test_a_list_of_another_length_names_both_numbers():
    with pytest.raises(ValueError, match="exactly n_envs items: got 2 for n_envs=3"):
        slot_envs([Box(), Box()], [], 3)


def test_an_update_may_keep_the_environments_and_closes_none():
    before = slot_envs(NewEnvUpdate(Box), [], 2)
    kept = slot_envs(SetTaskUpdate(Box, 7), before, 2)
    assert kept == before
    assert [env.task for env in kept] == [7, 7]
    slot_envs(NewEnvUpdate(Box), before, 2)
    assert [env.closed for env in before] == [0, 0], "they may still be needed"


def test_environments_must_share_their_spaces():
    one, other = Box(), Wider()
    with pytest.raises(ValueError, match="differ in their observation_space"):
        slot_envs([one, other], [], 2)
    assert (one.closed, other.closed) == (1, 1)


def test_what_was_made_is_closed_where_a_later_one_fails():
    made = []

    class Failing(EnvUpdate):
        def __call__(self, old_env=None):
            if made:
                raise KeyError("second")
            made.append(Box())
            return made[0]

    with pytest.raises(KeyError):
        slot_envs(Failing(), [], 2)
    assert made[0].closed == 1


def test_an_update_that_returns_one_environment_for_two_slots_is_refused():
    env = Box()

    class Sharing(EnvUpdate):
        def __call__(self, old_env=None):
            return env

    with pytest.raises(ValueError, match="the same environment for two slots"):
        slot_envs(Sharing(), [], 2)


def test_a_vector_environment_of_another_size_is_closed_and_refused():
    inner = Box()
    with pytest.raises(ValueError, match="has 1 environments, but the worker has n_envs=2: pass n_envs=1"):
        slot_envs(NewEnvUpdate(lambda: SyncVectorEnv([lambda: inner])), [], 2)
    assert inner.closed == 1


def test_what_is_wrong_is_said_though_what_was_made_cannot_be_closed():
    class Stuck(Wider):
        def close(self):
            raise OSError("stuck")

    with pytest.raises(ValueError, match="differ in their observation_space"):
        slot_envs([Box(), Stuck()], [], 2)


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match=r"gymnasium\.Env, an EnvUpdate or a list"):
        slot_envs("CartPole-v1", [], 2)
