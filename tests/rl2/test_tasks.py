from __future__ import annotations

import numpy as np
import pytest

from samplerkit.rl2 import (
    BanditEnv,
    RL2Env,
    TabularMDPEnv,
    bayes_optimal_value,
    greedy_value,
    random_value,
)


def standard_error(values):
    return np.std(values, ddof=1) / np.sqrt(len(values))


def play_trials(env, choose, n_trials):
    returns = []
    for seed in range(n_trials):
        env.reset(seed=seed)
        play = choose(np.random.default_rng(seed))
        total, reward, over = 0.0, None, False
        action = None
        while not over:
            action = play(action, reward)
            _, reward, over, _, _ = env.step(action)
            total += reward
        returns.append(total)
    return np.array(returns)


def at_random(n_actions):
    def choose(generator):
        actions = iter(generator.integers(n_actions, size=200).tolist())
        return lambda action, reward: next(actions)

    return choose


def best_looking(n_arms):
    def choose(generator):
        del generator
        wins, pulls = [1.0] * n_arms, [2.0] * n_arms

        def play(action, reward):
            if action is not None:
                wins[action] += reward
                pulls[action] += 1.0
            means = [w / p for w, p in zip(wins, pulls, strict=True)]
            return means.index(max(means))

        return play

    return choose


def test_the_optimum_is_that_of_the_literature():
    assert bayes_optimal_value(5, 10) == pytest.approx(6.660, abs=5e-4)
    assert bayes_optimal_value(10, 10) == pytest.approx(6.714, abs=5e-4)


def test_values_of_one_pull_and_of_one_arm_are_known_in_closed_form():
    assert bayes_optimal_value(4, 1) == pytest.approx(0.5)
    assert bayes_optimal_value(1, 6) == pytest.approx(3.0)
    assert greedy_value(1, 6) == pytest.approx(3.0)
    assert bayes_optimal_value(3, 0) == 0.0


def test_two_pulls_of_two_arms_stay_with_a_winner():
    # Win with 1/2, then an arm of mean 2/3; lose with 1/2, then the other arm of mean 1/2.
    assert bayes_optimal_value(2, 2) == pytest.approx(0.5 * (1 + 2 / 3) + 0.5 * 0.5)


def test_no_bandit_without_arms():
    with pytest.raises(ValueError, match="n_arms must be at least 1, not 0"):
        bayes_optimal_value(0, 3)
    with pytest.raises(ValueError, match="n_arms must be at least 1, not 0"):
        BanditEnv(0)


def test_random_play_of_the_bandit_earns_half_the_pulls():
    returns = play_trials(RL2Env(BanditEnv(5), episodes_per_trial=10), at_random(5), 3000)
    assert abs(returns.mean() - random_value(5, 10)) < 4 * standard_error(returns)


def test_greedy_play_of_the_bandit_earns_its_exact_value():
    returns = play_trials(RL2Env(BanditEnv(5), episodes_per_trial=10), best_looking(5), 5000)
    assert greedy_value(5, 10) == pytest.approx(6.5686, abs=5e-5)
    assert abs(returns.mean() - greedy_value(5, 10)) < 4 * standard_error(returns)


def test_random_play_of_the_tabular_mdp_earns_one_a_step():
    returns = play_trials(RL2Env(TabularMDPEnv(), episodes_per_trial=10), at_random(5), 300)
    assert abs(returns.mean() - 100.0) < 4 * standard_error(returns)


def test_tabular_episodes_start_in_state_zero_and_are_truncated_at_the_horizon():
    env = TabularMDPEnv(horizon=4)
    assert env.reset(seed=0)[0] == 0
    steps = [env.step(np.int64(1)) for _ in range(4)]
    assert [step[3] for step in steps] == [False, False, False, True]
    assert not any(step[2] for step in steps)


def test_tabular_transitions_have_the_frequencies_of_the_task():
    env = TabularMDPEnv(3, 2, horizon=10**6)
    probabilities = np.array([0.2, 0.5, 0.3])
    env.set_task({"transitions": np.tile(probabilities, (3, 2, 1)), "means": np.zeros((3, 2))})
    env.reset(seed=0)
    states = np.array([env.step(0)[0] for _ in range(10_000)])
    counts = np.bincount(states, minlength=3) / len(states)
    np.testing.assert_allclose(counts, probabilities, atol=4 * 0.5 / 100)


@pytest.mark.parametrize("make", [lambda: BanditEnv(4), lambda: TabularMDPEnv(3, 2, 5)])
def test_a_seeded_reset_draws_a_new_task_and_an_unseeded_one_keeps_it(make):
    env = make()
    env.reset(seed=1)
    first = repr(vars(env).get("_means"))
    env.reset()
    assert repr(vars(env)["_means"]) == first
    env.reset(seed=2)
    assert repr(vars(env)["_means"]) != first
    env.reset(seed=1)
    assert repr(vars(env)["_means"]) == first


@pytest.mark.parametrize("make", [lambda: BanditEnv(4), lambda: TabularMDPEnv(3, 2, 5)])
def test_a_set_task_stays_until_it_is_taken_back(make):
    env = make()
    env.reset(seed=1)
    drawn = repr(vars(env)["_means"])
    [task] = env.sample_tasks(1)
    env.set_task(task)
    env.reset(seed=1)
    assert np.array_equal(np.asarray(vars(env)["_means"]), task["means"])
    env.set_task(None)
    env.reset(seed=1)
    assert repr(vars(env)["_means"]) == drawn


def test_a_task_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        BanditEnv(3).set_task({"means": np.zeros(2)})
    with pytest.raises(ValueError, match="transitions of shape"):
        TabularMDPEnv(3, 2, 5).set_task({"transitions": np.zeros((2, 2, 2)), "means": np.zeros((2, 2))})


@pytest.mark.parametrize(("env", "n"), [(BanditEnv(3), 3), (TabularMDPEnv(4, 2, 5), 2)])
@pytest.mark.parametrize("action", [-1, "n"])
def test_actions_out_of_range_are_refused(env, n, action):
    env.reset(seed=0)
    with pytest.raises(ValueError, match="there is no"):
        env.step(n if action == "n" else action)
