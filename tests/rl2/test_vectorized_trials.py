"""Trials run in the slots of the vectorized worker like any other episodes, the same as elsewhere."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from equal_batches import assert_equal

import samplerkit
from samplerkit.policies import GRUPolicy
from samplerkit.rl2 import (
    BanditEnv,
    BanditVectorEnv,
    RL2Env,
    RL2Worker,
    StreamBanditEnv,
    TabularMDPEnv,
    cut_trials,
    group_trials,
    inner_returns,
    join_trials,
    trial_returns,
)

N_EPISODES = 3

TASKS = {
    "bandit": lambda: BanditEnv(4),
    # Inner episodes that end by a time limit, and more than one step of each.
    "mdp": lambda: TabularMDPEnv(5, 4, horizon=6),
}

BACKENDS = [
    ("vectorized", 1, {}),
    ("vectorized", 3, {}),
    ("vectorized", 8, {}),
    ("multiprocessing+vectorized", 1, {"n_processes": 2}),
    ("multiprocessing+vectorized", 3, {"n_processes": 1}),
    ("multiprocessing+vectorized", 8, {"n_processes": 2}),
]


def trial(task):
    return RL2Env(TASKS[task](), episodes_per_trial=N_EPISODES)


def gru(env, **arguments):
    return GRUPolicy(env.observation_space, env.action_space, **{"hidden_size": 8, "seed": 5, **arguments})


def sampler(name, policy, envs, **arguments):
    return samplerkit.make_sampler(name, agents=policy, envs=envs, **{"seed": 3, "n_workers": 2, **arguments})


@pytest.mark.parametrize(("name", "n_envs", "options"), BACKENDS)
@pytest.mark.parametrize("task", TASKS)
def test_a_recurrent_policy_plays_the_same_trials_in_any_number_of_slots(task, name, n_envs, options):
    env = trial(task)
    policy = gru(env)
    weights = {key: 1.5 * value for key, value in policy.get_param_values().items()}
    calls = [
        lambda s: s.obtain_samples(0, 250),
        lambda s: s.obtain_samples(1, 100, agent_update=weights),
        lambda s: s.obtain_exact_episodes(5),
    ]
    with (
        sampler("local", policy, env) as local,
        sampler(name, policy, env, n_envs=n_envs, **options) as slots,
    ):
        for call in calls:
            assert_equal(call(slots), call(local))


@pytest.mark.parametrize("hidden_size", [7, 64])
@pytest.mark.parametrize("n_rows", [1, 3, 8, 9, 128])
def test_what_a_recurrent_policy_does_for_a_row_depends_on_that_row_alone(hidden_size, n_rows):
    env = trial("mdp")
    alone, together = gru(env, hidden_size=hidden_size), gru(env, hidden_size=hidden_size)
    observations = np.random.default_rng(1).standard_normal((5, n_rows, *env.observation_space.shape))
    observations = observations.astype(np.float32)
    together.reset(np.ones(n_rows, bool))
    together.seed(np.arange(n_rows, dtype=np.uint64))
    steps = [together.get_actions(each) for each in observations]
    for row in range(n_rows):
        alone.reset()
        alone.seed(np.array([row], np.uint64))
        for each, (actions, infos) in zip(observations, steps, strict=True):
            action, info = alone.get_action(each[row])
            assert (action, info["log_prob"]) == (actions[row], infos["log_prob"][row])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["vectorized", "multiprocessing+vectorized"])
def test_trials_cut_into_their_episodes_are_those_of_the_rl2_worker(name, task):
    env = trial(task)
    one = {"worker_class": RL2Worker, "worker_args": {"n_episodes_per_trial": N_EPISODES}}
    with (
        sampler("local", gru(env), env, **one) as episodes,
        sampler(name, gru(env), env, n_envs=5) as trials,
    ):
        for call in (lambda s: s.obtain_samples(0, 150), lambda s: s.obtain_exact_episodes(3)):
            expected, whole = call(episodes), call(trials)
            cut = cut_trials(whole)
            assert_equal(cut, expected)
            assert cut.digest() == expected.digest()
            # The same numbers, added in another order.
            np.testing.assert_allclose(inner_returns(cut), inner_returns(whole))
            np.testing.assert_allclose(trial_returns(cut), trial_returns(whole))


def test_many_native_bandits_are_cut_into_their_pulls():
    env = RL2Env(StreamBanditEnv(5), episodes_per_trial=10)
    policy = gru(env)
    with (
        sampler("local", policy, env) as local,
        sampler(
            "vectorized",
            policy,
            functools.partial(BanditVectorEnv, 128),
            n_envs=128,
            max_episode_length=10,
        ) as native,
    ):
        expected, batch = local.obtain_samples(0, 3000), native.obtain_samples(0, 3000)
    assert_equal(batch, expected)
    cut = cut_trials(batch)
    assert cut.lengths.tolist() == [1] * 3000
    assert all(len(members) == 10 for members in group_trials(cut))


@pytest.fixture
def whole():
    env = trial("mdp")
    with sampler("local", gru(env), env) as local:
        return local.obtain_samples(0, 60)


def test_cutting_is_undone_by_joining(whole):
    joined = join_trials(cut_trials(whole))
    for name in ("observations", "last_observations", "actions", "rewards", "step_types", "lengths"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name), err_msg=name)


def test_what_is_cut_already_is_left_alone(whole):
    cut = cut_trials(whole)
    assert cut_trials(cut) is cut


def test_trials_are_known_by_their_units_or_by_the_ids_that_are_given(whole):
    units = np.repeat(whole.provenance.units, N_EPISODES)
    np.testing.assert_array_equal(cut_trials(whole).episode_infos_by_episode["trial"], units)
    ids = np.arange(len(whole.lengths)) + 70
    given = cut_trials(whole, ids).episode_infos_by_episode["trial"]
    np.testing.assert_array_equal(given, np.repeat(ids, N_EPISODES))


def test_a_trial_that_was_cut_in_an_inner_episode_ends_as_it_was_cut():
    env = trial("mdp")
    with sampler("vectorized", gru(env), env, n_envs=3, max_episode_length=8) as slots:
        cut = cut_trials(slots.obtain_exact_episodes(1))
    assert cut.lengths.tolist() == [6, 2] * 2
    assert cut.step_types[cut.lengths.cumsum() - 1].tolist() == [samplerkit.StepType.TIMEOUT] * 4


def test_episodes_of_another_environment_are_refused():
    env = TASKS["mdp"]()
    with (
        sampler("local", gru(env), env) as local,
        pytest.raises(ValueError, match="pass trials that were played in an RL2Env"),
    ):
        cut_trials(local.obtain_samples(0, 10))
