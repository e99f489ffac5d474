from __future__ import annotations

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from learning import FAST, assert_a_copy_goes_on, sampled, train

from samplerkit.tf import PPO, PPOSettings, TFMLPPolicy, TFMLPValue


class RightOrWrong(gymnasium.Env):
    """One step: choose the class shown by the observation."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def _observe(self):
        self.shown = int(self.np_random.integers(2))
        return np.eye(2, dtype=np.float32)[self.shown]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        reward = float(action == self.shown)
        return self._observe(), reward, True, False, {}


class Reach(gymnasium.Env):
    """One step: reward falls with the square of the action's distance from (1, -1)."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-10, 10, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), -float(np.sum((action - [1, -1]) ** 2)), True, False, {}


def mlp(env, *, settings=FAST, seed=0):
    policy = TFMLPPolicy(env.observation_space, env.action_space, hidden_sizes=(16,), seed=seed)
    return PPO(
        policy, TFMLPValue(env.observation_space, hidden_sizes=(16,), seed=seed + 1), settings, seed=seed
    )


@pytest.mark.slow
def test_a_feed_forward_policy_learns_what_its_observation_says():
    env = RightOrWrong()
    batch, figures = train(mlp(env), env, epochs=15, steps=256, length=1)
    assert batch.rewards.mean() > 0.95
    assert figures["Entropy"] < 0.5


@pytest.mark.slow
def test_a_gaussian_policy_moves_to_the_best_action():
    env = Reach()
    before, _ = train(mlp(env), env, epochs=1, steps=256, length=1)
    after, _ = train(mlp(env), env, epochs=25, steps=256, length=1)
    assert after.rewards.mean() > before.rewards.mean() + 2.5, (before.rewards.mean(), after.rewards.mean())


def test_a_pickled_algorithm_goes_on_with_the_same_updates():
    assert_a_copy_goes_on(mlp)


def test_a_copy_does_not_share_weights():
    env = RightOrWrong()
    algo = mlp(env)
    copy = pickle.loads(pickle.dumps(algo))
    before = copy.policy.get_param_values()
    algo.learn(sampled(env, algo.policy, 64, length=1))
    assert all(np.array_equal(value, before[name]) for name, value in copy.policy.get_param_values().items())


class Endless(RightOrWrong):
    """Never terminates; reward 1 at each step."""

    def step(self, action):
        return self._observe(), 1.0, False, False, {}


@pytest.mark.parametrize(("env", "cut_off"), [(Endless(), True), (Reach(), False)])
def test_only_an_episode_that_was_cut_off_is_worth_something_after_its_end(env, cut_off):
    settings = PPOSettings(discount=1.0, gae_lambda=0.0, minibatch_size=8)
    algo = mlp(env, settings=settings)
    params = algo.baseline.get_param_values()
    algo.baseline.set_param_values({**params, "output/bias": np.array([100.0], np.float32)})
    prepared = {}
    algo._update = _returning_zeros(prepared)
    algo.learn(sampled(env, algo.policy, 8, length=1))
    assert (np.asarray(prepared["returns"]).mean() > 90) == cut_off


def _returning_zeros(prepared):
    import tensorflow as tf

    def update(rates, **part):
        prepared.update(part)
        return tf.zeros(4)

    return update


class BlowsUp(RightOrWrong):
    """The second observation, after an action that ends the episode or has it cut off, is not finite."""

    def __init__(self, *, terminated=True, reward=1.0, bad=np.nan):
        self.terminated, self.reward, self.bad = terminated, reward, bad

    def step(self, action):
        observation = np.full(2, self.bad, np.float32)
        return observation, self.reward * float(action), self.terminated, False, {}


def all_finite(algo):
    return all(
        np.isfinite(value).all()
        for net in (algo.policy, algo.baseline)
        for value in net.get_param_values().values()
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_is_made_of_a_final_observation_of_an_episode_that_terminated(bad):
    one, other = (
        mlp(env, settings=PPOSettings(minibatch_size=8, update_epochs=2, jit_compile=False))
        for env in (BlowsUp(), BlowsUp())
    )
    one.learn(sampled(BlowsUp(bad=bad), one.policy, 16, length=5))
    other.learn(sampled(BlowsUp(bad=0.5), other.policy, 16, length=5))
    assert all_finite(one)
    for name, value in one.policy.get_param_values().items():
        assert np.array_equal(other.policy.get_param_values()[name], value), name


@pytest.mark.parametrize(
    ("env", "named"),
    [
        (BlowsUp(terminated=False), "advantages are not finite; .*cut off"),
        (BlowsUp(reward=np.nan, bad=0.0), "rewards are not finite; the environment gave"),
    ],
)
def test_a_batch_that_is_not_finite_is_refused_and_nothing_is_learned_of_it(env, named):
    algo = mlp(env)
    before = algo.policy.get_param_values()
    with pytest.raises(FloatingPointError, match=named):
        algo.learn(sampled(env, algo.policy, 16, length=1))
    assert all(np.array_equal(value, before[name]) for name, value in algo.policy.get_param_values().items())


def test_observations_that_are_not_finite_are_refused():
    env = BlowsUp(terminated=False)
    algo = mlp(env)
    with pytest.raises(FloatingPointError, match="observations are not finite; the environment gave NaN"):
        algo.learn(sampled(env, algo.policy, 16, length=4))


def test_where_its_own_weights_are_not_finite_the_environment_is_not_to_blame():
    env = BlowsUp(terminated=False)
    algo = mlp(env)
    batch = sampled(env, algo.policy, 16, length=4)
    weights = algo.policy.get_param_values()
    algo.policy.set_param_values({name: np.full_like(value, np.nan) for name, value in weights.items()})
    with pytest.raises(FloatingPointError, match="not finite; nor are the weights of the policy: go back"):
        algo.learn(batch)


def test_an_update_that_ends_in_nan_is_an_error():
    env = RightOrWrong()
    algo = mlp(env, settings=PPOSettings(jit_compile=False, learning_rate=1e38))
    with pytest.raises(FloatingPointError, match=r"weights of the policy.* not finite.* lower learning_rate"):
        algo.learn(sampled(env, algo.policy, 64, length=1))


def test_rates_decay_linearly_to_their_final_values():
    settings = PPOSettings(
        learning_rate=1.0,
        final_learning_rate=0.2,
        policy_ent_coeff=0.5,
        final_policy_ent_coeff=0.0,
        decay_epochs=4,
    )
    assert [settings.learning_rate_at(epoch) for epoch in (0, 2, 4, 9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert settings.policy_ent_coeff_at(1) == pytest.approx(0.375)
    assert PPOSettings(learning_rate=0.3).learning_rate_at(7) == 0.3


def test_each_batch_is_an_epoch_of_the_decay():
    env = RightOrWrong()
    settings = PPOSettings(learning_rate=1.0, final_learning_rate=0.0, decay_epochs=4, jit_compile=False)
    algo = mlp(env, settings=settings)
    batch = sampled(env, algo.policy, 8, length=1)
    assert [algo.learn(batch)["LearningRate"] for _ in range(3)] == pytest.approx([1.0, 0.75, 0.5])


def test_a_decay_needs_its_number_of_epochs():
    with pytest.raises(ValueError, match="decay_epochs"):
        PPOSettings(final_learning_rate=0.1)
    with pytest.raises(ValueError, match="at least 1"):
        PPOSettings(minibatch_size=0)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("discount", (99, -0.1), "from 0 to 1"),
        ("gae_lambda", (-1, 1.5), "from 0 to 1"),
        ("lr_clip_range", (0, -1), "above 0"),
        ("policy_ent_coeff", (-0.1,), "at least 0"),
        ("final_policy_ent_coeff", (-0.1,), "at least 0"),
        ("learning_rate", (-1,), "at least 0"),
        ("final_learning_rate", (-1,), "at least 0"),
        ("max_grad_norm", (0, -1), "above 0"),
        ("adam_beta2", (1.0, -0.5), "from 0 to below 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, values, said):
    for value in (*values, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"{name} must be {said}, not {value}"):
            PPOSettings(**{name: value}, decay_epochs=3)
    with pytest.raises(TypeError, match=f"{name} must be a number, {said}, not '1'"):
        PPOSettings(**{name: "1"}, decay_epochs=3)
    PPOSettings(**{name: np.float32(0.5)}, decay_epochs=3)


@pytest.mark.parametrize("name", ["update_epochs", "minibatch_size", "decay_epochs"])
@pytest.mark.parametrize("count", [2.5, 2.0, True])
def test_settings_that_count_are_integers(name, count):
    with pytest.raises(TypeError, match=f"{name} must be an integer of at least 1, not {count}"):
        PPOSettings(**{name: count})
    PPOSettings(**{name: np.int64(2)})


@pytest.mark.parametrize(
    ("log_ratio", "advantage", "moves"),
    [(1.0, 1.0, False), (1.0, -1.0, True), (-1.0, 1.0, True), (-1.0, -1.0, False)],
)
def test_a_ratio_that_is_far_enough_on_the_good_side_is_not_pushed_further(log_ratio, advantage, moves):
    env = RightOrWrong()
    algo = mlp(env)
    batch = sampled(env, algo.policy, 32, length=1)
    before = algo.policy.get_param_values()
    steps = np.ones((32, 1), np.float32)
    algo._update(
        np.array([0.01, 0.0], np.float32),
        observations=batch.observations[:, None],
        actions=algo.policy.encode_actions(batch.actions)[:, None],
        log_probs=batch.agent_infos["log_prob"][:, None] - np.float32(log_ratio),
        advantages=steps * np.float32(advantage),
        returns=0 * steps,
        mask=steps,
    )
    after = algo.policy.get_param_values()
    assert any(not np.array_equal(after[name], before[name]) for name in before) == moves
