from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from gymnasium import spaces

import samplerkit
from samplerkit.policies import GRUPolicy, RandomPolicy
from samplerkit.rl2 import NoResetPolicy, RL2AdaptedPolicy, RL2Env, TabularMDPEnv

OBSERVATIONS = spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = spaces.Discrete(4)


@pytest.fixture
def gru():
    policy = GRUPolicy(OBSERVATIONS, ACTIONS, hidden_size=6, seed=2)
    params = policy.get_param_values()
    # The small initial output layer hides the state: a larger one lets it show in the log-probabilities.
    policy.set_param_values({**params, "output/kernel": params["output/kernel"] * 300})
    policy.reset()
    return policy


def explore(policy, n=5, seed=0):
    for row in np.random.default_rng(seed).uniform(-1, 1, (n, 3)).astype(np.float32):
        policy.get_action(row)


def episode(policy, seed=5):
    policy.reset()
    policy.seed(np.array([seed], np.uint64))
    rows = np.random.default_rng(9).uniform(-1, 1, (4, 3)).astype(np.float32)
    return [(int(action), float(info["log_prob"])) for action, info in map(policy.get_action, rows)]


def test_a_no_reset_policy_keeps_its_memory_over_resets(gru):
    explore(gru)
    before = gru.get_state()["hidden"]
    NoResetPolicy(gru).reset()
    np.testing.assert_array_equal(gru.get_state()["hidden"], before)
    assert before.any()


def test_a_no_reset_policy_forwards_the_rest(gru):
    wrapped = NoResetPolicy(gru)
    params = {name: value + 1 for name, value in gru.get_param_values().items()}
    wrapped.set_param_values(params)
    np.testing.assert_array_equal(gru.get_param_values()["gru/bias"], params["gru/bias"])
    np.testing.assert_array_equal(wrapped.get_param_values()["gru/bias"], params["gru/bias"])
    wrapped.seed(np.array([3], np.uint64))
    assert wrapped.get_action(np.zeros(3, np.float32))[0] in range(4)
    assert wrapped.policy is gru


def test_optional_methods_exist_where_the_wrapped_policy_has_them(gru):
    class Plain:
        def get_action(self, observation):
            return 0, {}

    assert hasattr(NoResetPolicy(gru), "get_state")
    assert not hasattr(NoResetPolicy(Plain()), "seed")
    assert not hasattr(NoResetPolicy(gru), "for_sampling"), "it would lose the wrapper"


@pytest.mark.parametrize("make", [NoResetPolicy, RL2AdaptedPolicy])
def test_wrapped_policies_travel(gru, make):
    explore(gru)
    wrapped = make(gru)
    explore(wrapped)
    for copied in (pickle.loads(pickle.dumps(wrapped)), copy.deepcopy(wrapped)):
        expected, got = copy.deepcopy(wrapped), copied
        observation = np.ones(3, np.float32)
        assert expected.get_action(observation) == got.get_action(observation)


def test_an_adapted_policy_begins_every_episode_where_exploration_ended(gru):
    explore(gru)
    adapted = RL2AdaptedPolicy(gru)
    first = episode(adapted)
    assert episode(adapted) == first
    gru.reset()
    assert episode(RL2AdaptedPolicy(gru)) != first, "another exploration, another policy"


def test_using_an_adapted_policy_does_not_touch_where_it_came_from(gru):
    explore(gru)
    state = gru.get_state()
    adapted = RL2AdaptedPolicy(gru)
    episode(adapted)
    for name, value in gru.get_state().items():
        np.testing.assert_array_equal(value, state[name])


def test_resetting_or_training_the_original_does_not_touch_an_adapted_policy(gru):
    explore(gru)
    adapted = RL2AdaptedPolicy(gru)
    first = episode(adapted)
    gru.reset()
    explore(gru, seed=4)
    gru.set_param_values({name: value * 0 for name, value in gru.get_param_values().items()})
    assert episode(adapted) == first


def test_two_adapted_policies_share_nothing(gru):
    explore(gru, seed=1)
    one = RL2AdaptedPolicy(gru)
    alone = episode(one)
    gru.reset()
    explore(gru, seed=2)
    two = RL2AdaptedPolicy(gru)
    assert episode(two) != alone
    assert episode(one) == alone


def test_rows_that_are_reset_begin_adapted_and_the_others_go_on(gru):
    explore(gru)
    adapted = RL2AdaptedPolicy(gru)
    start = gru.get_state()["hidden"][0]
    adapted.reset(np.array([True, True, True]))
    adapted.get_actions(np.ones((3, 3), np.float32))
    later = adapted.get_state()["hidden"]
    adapted.reset(np.array([False, True, False]))
    hidden = adapted.get_state()["hidden"]
    np.testing.assert_array_equal(hidden[1], start)
    np.testing.assert_array_equal(hidden[[0, 2]], later[[0, 2]])


def test_parameters_are_the_weights_and_the_initial_state(gru):
    explore(gru)
    adapted = RL2AdaptedPolicy(gru)
    first = episode(adapted)
    params = adapted.get_param_values()
    assert isinstance(params, tuple)
    gru.reset()
    other = RL2AdaptedPolicy(gru)
    other.set_param_values(params)
    params[1]["hidden"][...] = 0
    assert episode(other) == first, "what was set is a copy"
    with pytest.raises(TypeError, match="a pair"):
        other.set_param_values(params[0])


def test_a_policy_without_memory_cannot_be_adapted():
    class Plain:
        pass

    with pytest.raises(TypeError, match="Plain has no get_state"):
        RL2AdaptedPolicy(Plain())
    assert RL2AdaptedPolicy(RandomPolicy(ACTIONS)), "streams are state enough"


def sampled_by(backend, **options):
    """Three batches of a policy that explores without ever forgetting."""
    env = RL2Env(TabularMDPEnv(3, 2, 3), episodes_per_trial=4)
    explorer = GRUPolicy(env.observation_space, env.action_space, hidden_size=8, seed=1)
    explorer.reset()
    with samplerkit.make_sampler(
        backend, agents=NoResetPolicy(explorer), envs=env, seed=3, n_workers=1, **options
    ) as sampler:
        return [sampler.obtain_samples(call, 24) for call in range(3)]


def test_a_policy_that_is_never_reset_acts_the_same_on_every_stateful_sampler():
    here, there = (sampled_by(backend, stateful=True) for backend in ("local", "multiprocessing"))
    assert all(one.equals(other) for one, other in zip(here, there, strict=True))
