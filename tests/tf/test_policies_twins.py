"""The trainable policies and their numpy twins: the same numbers, and nothing of TensorFlow that travels."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import cloudpickle
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces

from samplerkit.policies import GRUPolicy, MLPPolicy
from samplerkit.tf.networks import TFGRUValue, TFMLPValue
from samplerkit.tf.policies import TFGRUPolicy, TFMLPPolicy, log_prob

OBS = spaces.Box(-np.inf, np.inf, (5,), np.float32)
ACTIONS = {
    "discrete": spaces.Discrete(4, start=2),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "box": spaces.Box(-1, 1, (2, 2), np.float32),
    "half": spaces.Box(-1, 1, (3,), np.float16),
}
KINDS = {"mlp": (TFMLPPolicy, {"hidden_sizes": (16, 8)}), "gru": (TFGRUPolicy, {"hidden_size": 12})}


def perturbed(policy, seed=3):
    """The policy with weights far from the nearly uniform initial ones."""
    random = np.random.default_rng(seed)
    policy.set_param_values(
        {k: (v + random.normal(scale=0.4, size=v.shape)) for k, v in policy.get_param_values().items()}
    )
    return policy


def make(kind, action):
    cls, arguments = KINDS[kind]
    return perturbed(cls(OBS, ACTIONS[action], seed=1, **arguments))


@pytest.mark.parametrize(("size", "error"), [(2.5, TypeError), (True, TypeError), (0, ValueError)])
def test_sizes_of_layers_of_value_functions_are_integers_of_at_least_one(size, error):
    with pytest.raises(error, match=f"hidden_size must be .*at least 1, not {size}"):
        TFGRUValue(OBS, hidden_size=size)
    with pytest.raises(error, match=f"each of hidden_sizes must be .*at least 1, not {size}"):
        TFMLPValue(OBS, hidden_sizes=(4, size))


every_policy = pytest.mark.parametrize(
    "policy", [make(k, a) for k in KINDS for a in ACTIONS], ids=[f"{k}-{a}" for k in KINDS for a in ACTIONS]
)


def numpy_episode(twin, observations):
    """Actions and log-probabilities of n rows over T steps: (n, T, ...)."""
    n, steps = observations.shape[:2]
    twin.reset(np.ones(n, bool))
    twin.seed(np.arange(n))
    results = [twin.get_actions(observations[:, t]) for t in range(steps)]
    actions = np.stack([actions for actions, _ in results], axis=1)
    return actions, np.stack([info["log_prob"] for _, info in results], axis=1)


@every_policy
def test_the_numpy_twin_gives_tensorflows_log_probabilities_over_20_steps(policy):
    observations = np.random.default_rng(0).normal(size=(3, 20, 5)).astype(np.float32)
    actions, log_probs = numpy_episode(policy.as_numpy(), observations)
    column = actions.reshape(60, *actions.shape[2:])
    encoded = policy.encode_actions(column).reshape(3, 20, *policy.encode_actions(column).shape[1:])
    expected = log_prob(policy.distribution(observations), encoded).numpy()
    np.testing.assert_allclose(log_probs, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_numpy_twin_gives_tensorflows_means(kind):
    policy = make(kind, "box")
    policy.deterministic = True
    observations = np.random.default_rng(0).normal(size=(3, 20, 5)).astype(np.float32)
    means, _ = numpy_episode(policy.as_numpy(), observations)
    expected = policy.distribution(observations).mean.numpy()
    np.testing.assert_allclose(means.reshape(3, 20, 4), expected, atol=1e-5)


@every_policy
def test_weights_come_back_as_they_were_set(policy):
    values = {name: value + 1 for name, value in policy.get_param_values().items()}
    policy.set_param_values(values)
    for name, value in policy.get_param_values().items():
        np.testing.assert_array_equal(value, values[name], err_msg=name)
    assert policy.as_numpy().get_param_values().keys() == values.keys()


def test_a_wrong_shape_is_refused_by_name_and_changes_nothing():
    policy = make("mlp", "box")
    before = policy.get_param_values()
    with pytest.raises(ValueError, match="'log_std'"):
        policy.set_param_values({**{k: v + 1 for k, v in before.items()}, "log_std": np.zeros(3)})
    after, acting = policy.get_param_values(), policy.as_numpy().get_param_values()
    for name in before:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
        np.testing.assert_array_equal(acting[name], before[name], err_msg=name)


@pytest.mark.parametrize(("kind", "numpy_class"), [("mlp", MLPPolicy), ("gru", GRUPolicy)])
def test_what_is_shipped_for_sampling_is_a_numpy_policy(kind, numpy_class):
    assert type(make(kind, "discrete").for_sampling()) is numpy_class


@pytest.mark.parametrize(("kind", "numpy_class"), [("mlp", MLPPolicy), ("gru", GRUPolicy)])
def test_both_twins_start_from_the_same_weights(kind, numpy_class):
    cls, arguments = KINDS[kind]
    ours = cls(OBS, ACTIONS["box"], seed=8, init_std=0.5, **arguments).get_param_values()
    theirs = numpy_class(OBS, ACTIONS["box"], seed=8, init_std=0.5, **arguments).get_param_values()
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@every_policy
@pytest.mark.parametrize("copied", [lambda p: pickle.loads(pickle.dumps(p)), copy.deepcopy])
def test_a_copy_acts_alike_and_is_trained_alone(policy, copied):
    observation = np.ones(5, np.float32)
    policy.reset()
    policy.seed([5])
    policy.get_action(observation)
    twin = copied(policy)
    a, b = policy.get_action(observation), twin.get_action(observation)
    np.testing.assert_array_equal(a[0], b[0])
    assert a[1] == b[1]
    before = policy.get_param_values()
    for variable in twin.trainable_variables:
        variable.assign_add(tf.ones_like(variable))
    for name, value in policy.get_param_values().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


class WarmPolicy(TFMLPPolicy):
    """Has attributes of its own: set before the base class's and after, numbers, containers and variables."""

    def __init__(self, observation_space, action_space):
        self.name_of_it = "warm"
        super().__init__(observation_space, action_space, hidden_sizes=(4,))
        self.schedule, self.temperature = {"from": [3, 1]}, tf.Variable(3.0)
        self.compiled = tf.function(lambda: self.temperature)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "compiled"}


class ScaledValue(TFMLPValue):
    def __init__(self, observation_space):
        super().__init__(observation_space)
        self.scale = 10.0

    def __call__(self, x):
        return self.scale * super().__call__(x)


@pytest.mark.parametrize("copied", [lambda p: pickle.loads(cloudpickle.dumps(p)), copy.deepcopy])
def test_attributes_of_a_subclass_travel(copied):
    policy = WarmPolicy(OBS, ACTIONS["discrete"])
    policy.temperature.assign(2.0)
    twin = copied(policy)
    assert (twin.name_of_it, twin.schedule, float(twin.temperature)) == ("warm", {"from": [3, 1]}, 2.0)
    assert not hasattr(twin, "compiled"), "it was left out"
    twin.temperature.assign(1.0)
    assert float(policy.temperature) == 2.0
    assert len(twin.trainable_variables) == len(policy.trainable_variables) == 5
    assert copied(ScaledValue(OBS)).scale == 10.0
    assert float(copied(copied(policy)).temperature) == 2.0, "also those of a copy"


def test_an_optimisers_step_shows_from_the_next_reset_on():
    policy = make("mlp", "box")
    policy.deterministic = True
    policy.reset()
    old, _ = policy.get_action(np.zeros(5, np.float32))
    policy.network.parameters["output/bias"].assign_add(np.full(4, 2.0, np.float32))
    policy.reset()
    new, _ = policy.get_action(np.zeros(5, np.float32))
    np.testing.assert_allclose(new, old + 2, atol=1e-6)


@every_policy
def test_every_variable_gets_a_gradient(policy):
    observations = np.random.default_rng(0).normal(size=(3, 6, 5)).astype(np.float32)
    actions, _ = numpy_episode(policy.as_numpy(), observations)
    encoded = policy.encode_actions(actions.reshape(18, *actions.shape[2:]))
    encoded = encoded.reshape(3, 6, *encoded.shape[1:])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(log_prob(policy.distribution(observations), encoded))
    gradients = tape.gradient(loss, policy.trainable_variables)
    assert len(gradients) == len(policy.get_param_values())
    assert all(g is not None and np.abs(g).max() > 0 for g in gradients)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_distribution_and_its_gradient_compile_under_xla(kind):
    policy = make(kind, "box")
    observations = tf.random.stateless_normal((3, 7, 5), seed=(1, 2))

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(policy.distribution(observations).mean ** 2)
        return tape.gradient(loss, policy.network.trainable_variables)

    for ours, xla in zip(gradients(), tf.function(gradients, jit_compile=True)(), strict=True):
        np.testing.assert_allclose(ours, xla, rtol=1e-3, atol=1e-4)


def test_a_gru_takes_sequences_of_unknown_length_in_one_trace():
    policy = make("gru", "discrete")
    traces = []

    @tf.function(input_signature=[tf.TensorSpec((None, None, 5), tf.float32)])
    def logits(observations):
        traces.append(1)
        return policy.distribution(observations).logits

    long = np.random.default_rng(0).normal(size=(2, 9, 5)).astype(np.float32)
    np.testing.assert_allclose(logits(long)[:, :4], logits(long[:, :4]), atol=1e-6)
    assert len(traces) == 1


@pytest.mark.parametrize(("value", "shape"), [(TFMLPValue(OBS), (6,)), (TFGRUValue(OBS), (2, 3))])
def test_value_networks_give_one_number_an_observation_and_travel(value, shape):
    observations = np.random.default_rng(0).normal(size=(*shape, 5)).astype(np.float32)
    values = value(observations)
    assert values.shape == shape
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(value))(observations), values)


def test_a_shipped_policy_acts_in_a_process_without_tensorflow(tmp_path):
    policy = make("gru", "discrete")
    shipped = policy.for_sampling()
    shipped.reset()
    shipped.seed([1])
    (tmp_path / "policy.pkl").write_bytes(cloudpickle.dumps(shipped))
    action, info = shipped.get_action(np.ones(5, np.float32))
    script = (
        "import pickle, sys, numpy as np; p = pickle.load(open(sys.argv[1], 'rb'));"
        "a, i = p.get_action(np.ones(5, np.float32)); assert 'tensorflow' not in sys.modules;"
        "sys.stdout.write(f'{a} {i[\"log_prob\"].tobytes().hex()}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "policy.pkl")], capture_output=True, text=True
    )
    assert done.stdout == f"{action} {info['log_prob'].tobytes().hex()}", done.stderr
