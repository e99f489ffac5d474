from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.bench.policies import ConstantPolicy
from samplerkit.bench.workload import Workload, weights_in_turn
from samplerkit.policies import MLPPolicy, RandomPolicy


class Plain(gymnasium.Env):
    def __init__(self, observation_space=None, action_space=None):
        self.observation_space = observation_space or spaces.Box(0, 1, (2,), np.float32)
        self.action_space = action_space or spaces.Discrete(2)


def policy_of(name, env=None):
    return Workload("CartPole-v1", name).make_policy(env or Plain())


def test_environments_are_found_by_id_and_by_module():
    assert Workload("CartPole-v1").make_env().spec.id == "CartPole-v1"
    found = Workload("bench_environments:Plain").make_env()
    assert isinstance(found, gymnasium.Env)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("NoSuchEnv-v0", "there is no gymnasium environment 'NoSuchEnv-v0'"),
        ("no_such_module:Env", "no_such_module cannot be imported"),
        ("bench_environments:Nothing", "bench_environments has no 'Nothing'"),
        ("bench_environments:not_an_env", "gave a dict; it must construct a gymnasium.Env"),
    ],
)
def test_what_is_no_environment_is_refused(env, said):
    with pytest.raises((ValueError, TypeError), match=said):
        Workload(env).make_env()


def test_the_limit_is_the_workload_s_else_the_environment_s_else_an_error():
    env = Workload("CartPole-v1").make_env()
    assert Workload("CartPole-v1").episode_limit(env) == 500
    assert Workload("CartPole-v1", max_episode_length=9).episode_limit(env) == 9
    with pytest.raises(ValueError, match="--max-episode-length"):
        Workload("x").episode_limit(Plain())


@pytest.mark.parametrize(
    ("env", "name"),
    [
        (Plain(), "mlp"),
        (Plain(action_space=spaces.Box(-1, 1, (3,), np.float32)), "mlp"),
        (Plain(observation_space=spaces.Box(0, 255, (84, 84, 4), np.uint8)), "random"),
        (Plain(observation_space=spaces.Dict(x=spaces.Discrete(2))), "random"),
        (Plain(action_space=spaces.Tuple([spaces.Discrete(2)])), "random"),
    ],
    ids=["vector", "continuous", "picture", "dict", "tuple"],
)
def test_a_perceptron_acts_where_it_fits_and_chance_elsewhere(env, name):
    workload = Workload("x")
    assert workload.policy_name(env) == name
    assert isinstance(workload.make_policy(env), MLPPolicy if name == "mlp" else RandomPolicy)


@pytest.mark.parametrize("name", ["constant", "samplerkit.policies:MLPPolicy", "bench_environments:a_policy"])
def test_policies_are_named_made_from_spaces_or_taken_as_they_are(name):
    action, _ = policy_of(name).get_action(np.zeros(2, np.float32))
    assert action in (0, 1)


def test_a_maker_of_policies_may_take_nothing():
    assert isinstance(policy_of("bench_environments:takes_nothing"), ConstantPolicy)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mpl", "there is no policy 'mpl': mlp, random, constant or module:callable"),
        ("bench_environments:nothing", "has no 'nothing'"),
        ("bench_environments:number", "the policy is a int"),
        ("bench_environments:Plain", "agents must be policies: Plain has no method get_action"),
    ],
)
def test_what_is_no_policy_is_refused(name, said):
    with pytest.raises((ValueError, TypeError), match=said):
        policy_of(name)


def test_weights_in_turn_differ_in_every_number_by_the_least_amount():
    policy = MLPPolicy(spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(2))
    old, new = weights_in_turn(policy)
    assert old.keys() == new.keys()
    for key in old:
        assert new[key].dtype == old[key].dtype
        assert (new[key] > old[key]).all()
        np.testing.assert_allclose(new[key], old[key], rtol=1e-6, atol=1e-30)
    policy.set_param_values(new)


def test_a_policy_without_weights_gets_no_updates():
    assert weights_in_turn(RandomPolicy(spaces.Discrete(2))) is None


def test_weights_may_be_an_array_or_a_tuple_with_some_integers():
    class Carrier:
        def __init__(self, weights):
            self.get_param_values = lambda: weights

    old, new = weights_in_turn(Carrier((np.ones(2), np.arange(2))))
    assert (new[0] > old[0]).all()
    assert new[1] is old[1]
    old, new = weights_in_turn(Carrier(np.ones(2)))
    assert (new > old).all()
    assert weights_in_turn(Carrier(np.arange(2))) is None
