"""Policies from functions: called by the row, with the row's own stream where they ask for it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from samplerkit.policies import from_callable


def noisy(observation, random):
    return observation[0] + random.normal(), {"u": random.uniform()}


def started(policy, seeds):
    policy.reset(np.ones(len(seeds), bool))
    policy.seed(np.asarray(seeds, np.uint64))
    return policy


def test_a_function_of_an_observation_is_a_policy():
    policy = from_callable(lambda observation: int(observation[0] > 0))
    assert policy.get_action(np.array([1.0])) == (1, {})
    actions, infos = started(policy, [1, 2]).get_actions(np.array([[1.0], [-1.0]]))
    assert actions.tolist() == [1, 0]
    assert infos == {}


def test_a_second_parameter_gets_the_rows_stream():
    together = started(from_callable(noisy), [4, 5, 6])
    actions, infos = together.get_actions(np.zeros((3, 2)))
    for row, seed in enumerate([4, 5, 6]):
        alone = from_callable(noisy)
        alone.reset()
        alone.seed([seed])
        assert alone.get_action(np.zeros(2)) == (actions[row], {"u": infos["u"][row]})


def test_a_second_parameter_with_a_default_is_the_functions_own():
    assert from_callable(lambda observation, gain=3: gain).get_action(None) == (3, {})


def test_a_builtin_without_a_signature_will_do():
    assert from_callable(max).get_action([1, 4, 2]) == (4, {})


def test_a_batched_function_takes_columns():
    policy = from_callable(
        lambda rows, streams: (rows[:, 0] + streams.uniform()[:, 0], {"n": rows[:, 1]}), batched=True
    )
    rows = np.arange(6.0).reshape(3, 2)
    actions, infos = started(policy, [1, 2, 3]).get_actions(rows)
    assert actions.shape == (3,)
    policy.reset()
    policy.seed([3])
    assert policy.get_action(rows[2]) == (actions[2], {"n": infos["n"][2]})


def test_nested_observations_and_actions_are_taken_apart_and_stacked():
    policy = started(from_callable(lambda o: {"x": o["a"], "y": (o["b"][0],)}), [1, 2])
    column = {"a": np.array([1, 2]), "b": (np.array([[3.0], [4.0]]),)}
    actions, _ = policy.get_actions(column)
    assert actions["x"].tolist() == [1, 2]
    assert actions["y"][0].tolist() == [[3.0], [4.0]]


def test_info_keys_that_some_rows_lack_are_masked():
    policy = started(from_callable(lambda o: (0, {"value": o * 2.0} if o > 1 else {})), [1, 2])
    _, infos = policy.get_actions(np.array([1.0, 2.0]))
    assert infos["value"].tolist() == [0.0, 4.0]
    assert infos["_value"].tolist() == [False, True]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_a_lambda_travels_with_its_streams(copied):
    gain = 2
    policy = from_callable(lambda o, random: gain * random.uniform())
    policy.get_action(None)
    twin = copied(policy)
    expected = twin.get_action(None)
    assert policy.get_action(None) == expected


def test_something_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match="int"):
        from_callable(3)
