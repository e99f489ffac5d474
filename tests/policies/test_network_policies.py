"""MLP and GRU policies in numpy: exact by the row, right in distribution, whole in every copy."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import cloudpickle
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit.policies import GRUPolicy, MLPPolicy

OBS = spaces.Box(-np.inf, np.inf, (5,), np.float32)
ACTIONS = {
    "discrete": spaces.Discrete(3, start=1),
    "multi-discrete": spaces.MultiDiscrete([2, 4]),
    "box": spaces.Box(-1, 1, (3,), np.float32),
    "matrix": spaces.Box(-1, 1, (2, 2), np.float64),
    "half": spaces.Box(-1, 1, (3,), np.float16),
}
KINDS = ("mlp", "gru")


def make(kind, action_space, *, width=13, observation_space=OBS, **arguments):
    if kind == "mlp":
        policy = MLPPolicy(observation_space, action_space, hidden_sizes=(width, 9), seed=2, **arguments)
    else:
        policy = GRUPolicy(observation_space, action_space, hidden_size=width, seed=2, **arguments)
    random = np.random.default_rng(width)
    policy.set_param_values(
        {k: v + random.normal(scale=0.5, size=v.shape) for k, v in policy.get_param_values().items()}
    )
    return policy


every_policy = pytest.mark.parametrize(
    ("kind", "action"), [(kind, action) for kind in KINDS for action in ACTIONS]
)


def start(policy, seeds=None):
    """Reset and seed: one row where `seeds` is None, else a row for each seed."""
    if seeds is None:
        policy.reset()
        policy.seed([7])
    else:
        policy.reset(np.ones(len(seeds), bool))
        policy.seed(np.asarray(seeds, np.uint64))
    return policy


def assert_same(first, second):
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1]["log_prob"], second[1]["log_prob"])


@settings(max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.sampled_from(sorted(ACTIONS)),
    st.integers(1, 40),
    st.integers(1, 70),
    st.booleans(),
    st.data(),
)
def test_a_row_acts_alone_as_it_acts_in_any_batch(kind, action, n, width, deterministic, data):
    place = data.draw(st.integers(0, n - 1))
    policy = make(kind, ACTIONS[action], width=width, deterministic=deterministic)
    observations = np.random.default_rng(n).normal(size=(4, n, 5)).astype(np.float32)
    start(policy, np.arange(n) + 100)
    together = [policy.get_actions(rows) for rows in observations]
    policy.reset()
    policy.seed([100 + place])
    for rows, (actions, infos) in zip(observations, together, strict=True):
        alone = policy.get_action(rows[place])
        assert_same(alone, (actions[place], {"log_prob": infos["log_prob"][place]}))


@every_policy
def test_actions_have_the_spaces_shape_and_dtype(kind, action):
    space = ACTIONS[action]
    policy = make(kind, space)
    one, info = start(policy).get_action(np.zeros(5, np.float32))
    assert np.shape(one) == space.shape
    assert one.dtype == space.dtype
    assert info["log_prob"].dtype == np.float32
    many, infos = start(policy, [1, 2, 3]).get_actions(np.zeros((3, 5), np.float32))
    assert (many.shape, many.dtype) == ((3, *space.shape), space.dtype)
    assert (infos["log_prob"].shape, infos["log_prob"].dtype) == ((3,), np.float32)


def reference_logits(params, observation, hidden):
    """The documented formulas in float64: (logits, next hidden state)."""
    if "gru/kernel" not in params:
        h = observation
        for i in range(2):
            h = np.tanh(h @ params[f"hidden_{i}/kernel"] + params[f"hidden_{i}/bias"])
    else:
        x = np.split(observation @ params["gru/kernel"] + params["gru/bias"], 3)
        u = np.split(hidden @ params["gru/recurrent_kernel"] + params["gru/recurrent_bias"], 3)
        r, z = 1 / (1 + np.exp(-(x[0] + u[0]))), 1 / (1 + np.exp(-(x[1] + u[1])))
        h = (1 - z) * np.tanh(x[2] + r * u[2]) + z * hidden
    return h @ params["output/kernel"] + params["output/bias"], h


@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_are_those_of_the_documented_formulas(kind):
    policy = start(make(kind, ACTIONS["discrete"]))
    params = {name: value.astype(np.float64) for name, value in policy.get_param_values().items()}
    hidden = np.zeros(13)
    for observation in np.random.default_rng(0).normal(size=(20, 5)):
        logits, hidden = reference_logits(params, observation, hidden)
        action, info = policy.get_action(observation)
        expected = logits[action - 1] - np.log(np.exp(logits).sum())
        assert info["log_prob"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gaussian_actions_are_the_mean_plus_scaled_noise(kind):
    policy = make(kind, ACTIONS["box"])
    params = {name: value.astype(np.float64) for name, value in policy.get_param_values().items()}
    observation = np.random.default_rng(0).normal(size=5)
    mean, _ = reference_logits(params, observation, np.zeros(13))
    n = 20_000
    start(policy, np.arange(n))
    actions, infos = policy.get_actions(np.tile(observation, (n, 1)))
    std = np.exp(params["log_std"])
    np.testing.assert_allclose(actions.mean(axis=0), mean, atol=5 * std.max() / np.sqrt(n))
    np.testing.assert_allclose(actions.std(axis=0), std, rtol=0.03)
    expected = (-0.5 * ((actions - mean) / std) ** 2 - params["log_std"] - 0.5 * np.log(2 * np.pi)).sum(
        axis=1
    )
    np.testing.assert_allclose(infos["log_prob"], expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_log_probability_is_of_the_action_given_also_where_the_space_rounds_it(kind, deterministic):
    policy = start(make(kind, ACTIONS["half"], deterministic=deterministic))
    narrow = {**policy.get_param_values(), "log_std": np.full(3, -7, np.float32)}
    policy.set_param_values(narrow)
    params = {name: value.astype(np.float64) for name, value in narrow.items()}
    hidden = np.zeros(13)
    for observation in np.random.default_rng(0).normal(size=(20, 5)):
        mean, hidden = reference_logits(params, observation, hidden)
        action, info = policy.get_action(observation)
        noise = (action.astype(np.float64) - mean) / np.exp(params["log_std"])
        expected = (-0.5 * noise**2 - params["log_std"] - 0.5 * np.log(2 * np.pi)).sum()
        assert info["log_prob"] == pytest.approx(expected, abs=0.02)


def test_classes_come_as_often_as_their_probabilities_say():
    policy = make("mlp", ACTIONS["discrete"])
    n = 20_000
    start(policy, np.arange(n))
    actions, infos = policy.get_actions(np.ones((n, 5), np.float32))
    for action in (1, 2, 3):
        chosen = actions == action
        probability = np.exp(infos["log_prob"][chosen][0]) if chosen.any() else 0.0
        assert chosen.mean() == pytest.approx(probability, abs=0.015), f"class {action}"


@pytest.mark.parametrize("kind", KINDS)
def test_deterministic_policies_give_the_most_probable_class(kind):
    policy = start(make(kind, ACTIONS["discrete"], deterministic=True))
    params = {name: value.astype(np.float64) for name, value in policy.get_param_values().items()}
    observation = np.full(5, 0.3)
    logits, _ = reference_logits(params, observation, np.zeros(13))
    assert policy.get_action(observation)[0] == logits.argmax() + 1


@every_policy
def test_weights_set_on_a_policy_in_use_act_as_in_a_new_one(kind, action):
    source, target = make(kind, ACTIONS[action], width=13), make(kind, ACTIONS[action], width=13)
    values = {name: value + 0.25 for name, value in source.get_param_values().items()}
    start(target).get_action(np.ones(5, np.float32))
    target.set_param_values(values)
    fresh = copy.deepcopy(source)
    fresh.set_param_values(values)
    fresh = pickle.loads(pickle.dumps(fresh))
    assert_same(start(target).get_action(np.ones(5)), start(fresh).get_action(np.ones(5)))
    for name, value in target.get_param_values().items():
        np.testing.assert_array_equal(value, values[name], err_msg=name)


def test_weights_are_copied_in_and_out():
    policy = make("mlp", ACTIONS["box"])
    values = policy.get_param_values()
    kept = copy.deepcopy(values)
    policy.set_param_values(values)
    first = start(policy).get_action(np.ones(5))
    for value in [*values.values(), *policy.get_param_values().values()]:
        value += 1
    assert_same(start(policy).get_action(np.ones(5)), first)
    np.testing.assert_array_equal(policy.get_param_values()["log_std"], kept["log_std"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p: p.pop("output/bias"), ValueError, "'output/bias' is missing"),
        (lambda p: p.update(extra=np.zeros(1)), ValueError, "unknown parameter 'extra'"),
        (lambda p: p.update({"log_std": np.zeros(4)}), ValueError, r"'log_std' must have shape \(3,\)"),
        (lambda p: p.update({"log_std": np.zeros(3, int)}), TypeError, "'log_std' must hold floating"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name_and_change_nothing(change, error, message):
    policy = make("gru", ACTIONS["box"])
    before = policy.get_param_values()
    values = {name: value + 1 for name, value in before.items()}
    change(values)
    with pytest.raises(error, match=message):
        policy.set_param_values(values)
    for name, value in policy.get_param_values().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_a_list_of_weights_is_refused():
    with pytest.raises(TypeError, match="dict of arrays"):
        make("mlp", ACTIONS["box"]).set_param_values([np.zeros(3)])


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_initial_weights_and_other_seeds_others(kind):
    cls = {"mlp": MLPPolicy, "gru": GRUPolicy}[kind]
    a, b, c = (cls(OBS, ACTIONS["box"], seed=seed).get_param_values() for seed in (3, 3, 4))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert not np.array_equal(a["output/kernel"], c["output/kernel"])
    assert np.abs(a["output/kernel"]).max() < 0.01, "the first policy is nearly uniform"


def test_initial_recurrent_kernels_are_orthogonal():
    kernel = GRUPolicy(OBS, ACTIONS["box"], hidden_size=24).get_param_values()["gru/recurrent_kernel"]
    for gate in np.split(kernel, 3, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(24), atol=1e-5)


@every_policy
@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda p: pickle.loads(pickle.dumps(p)),
        lambda p: cloudpickle.loads(cloudpickle.dumps(p)),
    ],
    ids=["deepcopy", "pickle", "cloudpickle"],
)
@pytest.mark.parametrize("n", [1, 3, 11])
def test_a_copy_goes_on_alike_and_alone(kind, action, copied, n):
    policy = start(make(kind, ACTIONS[action]), np.arange(n))
    rows = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32)
    policy.get_actions(rows)
    twin = copied(policy)
    expected = twin.get_actions(rows)
    assert_same(policy.get_actions(rows), expected)


@every_policy
def test_actions_are_fresh_arrays(kind, action):
    policy = start(make(kind, ACTIONS[action]), np.arange(3))
    rows = np.ones((3, 5), np.float32)
    actions, infos = policy.get_actions(rows)
    kept = actions.copy(), infos["log_prob"].copy()
    policy.get_actions(rows * 3)
    np.testing.assert_array_equal(actions, kept[0])
    np.testing.assert_array_equal(infos["log_prob"], kept[1])
    start(policy)
    one, _ = policy.get_action(rows[0])
    kept_one = copy.copy(one)
    policy.get_action(rows[0] * 3)
    np.testing.assert_array_equal(one, kept_one)


@pytest.mark.parametrize("kind", KINDS)
def test_resetting_some_rows_leaves_the_others_alone(kind):
    policy, other = (start(make(kind, ACTIONS["box"]), np.arange(3)) for _ in range(2))
    rows = np.ones((3, 5), np.float32)
    first, _ = policy.get_actions(rows)
    other.get_actions(rows)
    policy.reset(np.array([False, True, False]))
    policy.seed(np.array([1], np.uint64))
    again, undisturbed = policy.get_actions(rows)[0], other.get_actions(rows)[0]
    np.testing.assert_array_equal(again[1], first[1])
    np.testing.assert_array_equal(again[[0, 2]], undisturbed[[0, 2]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_state_goes_on_in_another_policy_at_another_place(kind):
    policy = start(make(kind, ACTIONS["box"]), np.arange(3))
    rows = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    policy.get_actions(rows)
    state = policy.get_state([2])
    expected, _ = policy.get_actions(rows)
    other = start(make(kind, ACTIONS["box"]))
    other.set_state([0], state)
    np.testing.assert_array_equal(other.get_action(rows[2])[0], expected[2])


def test_a_gru_remembers_and_a_reset_forgets():
    policy = start(make("gru", ACTIONS["box"], deterministic=True))
    first, _ = policy.get_action(np.ones(5))
    second, _ = policy.get_action(np.ones(5))
    assert not np.array_equal(first, second)
    policy.reset()
    np.testing.assert_array_equal(policy.get_action(np.ones(5))[0], first)


def test_nested_observations_are_flattened():
    space = spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Tuple([OBS, spaces.MultiBinary(2)])})
    policy = make("mlp", ACTIONS["discrete"], observation_space=space)
    space.seed(0)
    earlier, samples = ([space.sample() for _ in range(3)] for _ in range(2))
    start(policy, np.arange(3)).get_actions(earlier)  # its one-hot rows must not show through
    together = start(policy, np.arange(3)).get_actions(samples)
    for i, sample in enumerate(samples):
        policy.reset()
        policy.seed([i])
        assert_same(policy.get_action(sample), (together[0][i], {"log_prob": together[1]["log_prob"][i]}))


@pytest.mark.parametrize("observation", [np.zeros(4), np.zeros((1, 5)), 0.0])
def test_an_observation_of_the_wrong_shape_is_refused(observation):
    with pytest.raises(ValueError, match="shape"):
        start(make("mlp", ACTIONS["box"])).get_action(observation)


def test_a_wrong_number_of_rows_is_refused():
    policy = start(make("mlp", ACTIONS["box"]), [1, 2])
    with pytest.raises(ValueError, match="2 rows and got 3"):
        policy.get_actions(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="2 rows and got 1"):
        policy.get_action(np.zeros(5))


def test_seeds_are_one_for_each_row_that_was_reset():
    policy = start(make("mlp", ACTIONS["box"]), [1, 2, 3])
    policy.reset(np.array([True, False, True]))
    with pytest.raises(ValueError, match="2 rows"):
        policy.seed(np.array([1, 2, 3], np.uint64))


def test_a_mask_that_is_not_boolean_is_refused():
    with pytest.raises(ValueError, match="boolean"):
        make("mlp", ACTIONS["box"]).reset([0, 1])


@pytest.mark.parametrize(("size", "error"), [(2.5, TypeError), (True, TypeError), (0, ValueError)])
def test_sizes_of_layers_are_integers_of_at_least_one(size, error):
    with pytest.raises(error, match=f"hidden_size must be .*at least 1, not {size}"):
        GRUPolicy(OBS, ACTIONS["box"], hidden_size=size)
    with pytest.raises(error, match=f"each of hidden_sizes must be .*at least 1, not {size}"):
        MLPPolicy(OBS, ACTIONS["box"], hidden_sizes=(4, size))


@pytest.mark.parametrize("space", [spaces.Box(0, 255, (2,), np.uint8), spaces.MultiBinary(3)])
def test_an_action_space_without_a_head_is_refused_by_name(space):
    with pytest.raises(TypeError, match="from_callable"):
        MLPPolicy(OBS, space)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_that_are_not_numbers_still_give_an_action_of_the_space(kind):
    policy = make(kind, ACTIONS["discrete"])
    nan = np.full((1, 5), np.nan, np.float32)
    alone = start(policy).get_action(nan[0])
    together = start(policy, [7]).get_actions(nan)
    assert alone[0] == together[0][0] == 1
    assert np.isnan(alone[1]["log_prob"])


def test_numpy_policies_import_no_tensorflow():
    script = "import samplerkit.policies, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
