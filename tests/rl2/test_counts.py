"""Counts are integers of at least 1, wherever one is taken: 2.5 pulls would never be over."""

from __future__ import annotations

import numpy as np
import pytest

from samplerkit.episodes import EnvSpec
from samplerkit.rl2 import (
    BanditEnv,
    BanditVectorEnv,
    RL2Env,
    RL2Worker,
    StreamBanditEnv,
    TabularMDPEnv,
    bayes_optimal_value,
    greedy_value,
    random_value,
    tasks_for_slots,
)


def worker(**arguments):
    return RL2Worker(seed=0, max_episode_length=9, worker_number=0, **arguments)


def trials(**arguments):
    return RL2Env(TabularMDPEnv(), **{"episodes_per_trial": 2, **arguments})


TAKERS = [
    (trials, "episodes_per_trial"),
    (trials, "max_inner_length"),
    (trials().limit_inner_length, "limit"),
    (worker, "n_episodes_per_trial"),
    (BanditEnv, "n_arms"),
    (StreamBanditEnv, "n_arms"),
    (lambda **arguments: BanditVectorEnv(**{"num_envs": 2, **arguments}), "num_envs"),
    (lambda **arguments: BanditVectorEnv(2, **arguments), "n_arms"),
    (lambda **arguments: BanditVectorEnv(2, **arguments), "n_pulls"),
    (TabularMDPEnv, "n_states"),
    (TabularMDPEnv, "n_actions"),
    (TabularMDPEnv, "horizon"),
    (lambda n_envs: tasks_for_slots([None] * 10, n_envs), "n_envs"),
    *(
        (lambda n_arms, of=of: of(n_arms, 2), "n_arms")
        for of in (bayes_optimal_value, greedy_value, random_value)
    ),
]
PULLS = [lambda n_pulls, of=of: of(2, n_pulls) for of in (bayes_optimal_value, greedy_value, random_value)]


@pytest.mark.parametrize(("take", "name"), TAKERS)
@pytest.mark.parametrize(
    ("count", "error"), [(2.5, TypeError), (2.0, TypeError), (True, TypeError), (0, ValueError)]
)
def test_what_is_none_is_refused_by_name_at_once(take, name, count, error):
    with pytest.raises(error, match=rf"^{name} must be .*at least 1, not {count}"):
        take(**{name: count})


@pytest.mark.parametrize("take", PULLS)
@pytest.mark.parametrize(("count", "error"), [(2.5, TypeError), (True, TypeError), (-1, ValueError)])
def test_so_is_what_is_no_number_of_pulls(take, count, error):
    with pytest.raises(error, match=r"^n_pulls must"):
        take(n_pulls=count)


@pytest.mark.parametrize(("take", "name"), TAKERS)
def test_integers_of_numpy_are_welcome(take, name):
    take(**{name: np.int64(2)})


def test_no_pulls_earn_nothing():
    assert [take(n_pulls=0) for take in PULLS] == [0, 0, 0]


@pytest.mark.parametrize("limit", [3, np.int32(3)])
def test_a_limit_of_inner_episodes_is_the_smallest_that_was_given(limit):
    env = trials(max_inner_length=5)
    env.limit_inner_length(np.inf)
    assert EnvSpec.from_env(env).max_episode_length == 10
    env.limit_inner_length(limit)
    env.limit_inner_length(4)
    assert EnvSpec.from_env(env).max_episode_length == 6
