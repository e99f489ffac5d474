"""Random actions: inside every space, distributed as gymnasium's own, exact by the row."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit.episodes.columns import row_of
from samplerkit.policies import RandomPolicy

HALF = np.array([0.0, -np.inf, -np.inf, -1.0], np.float32)
OTHER = np.array([np.inf, 2.0, np.inf, 1.0], np.float32)
SPACES = {
    "discrete": spaces.Discrete(3, start=-1),
    "box": spaces.Box(-1, 3, (2, 3), np.float32),
    "mixed box": spaces.Box(HALF, OTHER, dtype=np.float32),
    "double": spaces.Box(-np.inf, np.inf, (3,), np.float64),
    "bytes": spaces.Box(0, 255, (4,), np.uint8),
    "all of int64": spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64),
    "all of uint64": spaces.Box(0, np.iinfo(np.uint64).max, (2,), np.uint64),
    "nothing of a box": spaces.Box(-1, 1, (0,), np.float32),
    "nothing in rows": spaces.Box(0, 9, (2, 0), np.int64),
    "no classes": spaces.MultiDiscrete(np.zeros(0, np.int64)),
    "binary": spaces.MultiBinary([2, 2]),
    "multi": spaces.MultiDiscrete([2, 5], start=[0, 3]),
    "nested": spaces.Dict(
        {"a": spaces.Discrete(2), "b": spaces.Tuple([spaces.Box(0, 1, (2,)), spaces.MultiDiscrete([3])])}
    ),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def started(space, seeds):
    policy = RandomPolicy(space)
    policy.reset(np.ones(len(seeds), bool))
    policy.seed(np.asarray(seeds, np.uint64))
    return policy


def leaves(value):
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else [value]


def assert_same(first, second):
    for a, b in zip(leaves(first), leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype


@every_space
def test_every_action_lies_in_the_space(space):
    policy = started(space, np.arange(200))
    actions, infos = policy.get_actions(None)
    assert infos == {}
    for row in range(200):
        assert space.contains(row_of(actions, row)), row_of(actions, row)
    policy.reset()
    for _ in range(50):
        assert space.contains(policy.get_action(None)[0])


@settings(max_examples=60)
@given(st.sampled_from(sorted(SPACES)), st.integers(1, 40), st.data())
def test_a_row_draws_alone_what_it_draws_in_any_batch(name, n, data):
    place = data.draw(st.integers(0, n - 1))
    policy, alone = started(SPACES[name], np.arange(n)), RandomPolicy(SPACES[name])
    alone.reset()
    alone.seed([place])
    for _ in range(3):
        assert_same(row_of(policy.get_actions(None)[0], place), alone.get_action(None)[0])


@pytest.mark.parametrize("name", ["box", "mixed box", "double", "bytes"])
def test_boxes_are_sampled_as_gymnasium_samples_them(name):
    space = SPACES[name]
    n = 20_000
    ours, _ = started(space, np.arange(n)).get_actions(None)
    space.seed(0)
    theirs = np.stack([space.sample() for _ in range(n)])
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    spread = theirs.astype(np.float64).std(axis=0)
    difference = np.quantile(ours, quantiles, axis=0) - np.quantile(theirs, quantiles, axis=0)
    assert np.abs(difference / spread).max() < 0.06


SMALL_INTEGERS = spaces.Box(-1, 2, (2,), np.int8)


@pytest.mark.parametrize(
    "space", [*(SPACES[name] for name in ("discrete", "binary", "multi")), SMALL_INTEGERS]
)
def test_every_class_is_as_likely_as_the_others(space):
    actions, _ = started(space, np.arange(20_000)).get_actions(None)
    for column in actions.reshape(20_000, -1).T:
        _, counts = np.unique(column, return_counts=True)
        np.testing.assert_allclose(counts / 20_000, 1 / len(counts), atol=0.02)
    lowest, highest = actions.min(axis=0), actions.max(axis=0)
    if isinstance(space, spaces.Box):
        assert (lowest == -1).all()
        assert (highest == 2).all(), "both bounds of an integer box belong to it"


@every_space
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_a_copy_goes_on_alike_and_alone(space, copied):
    policy = started(space, [1, 2])
    policy.get_actions(None)
    twin = copied(policy)
    expected = twin.get_actions(None)[0]
    assert_same(policy.get_actions(None)[0], expected)


def test_a_space_that_is_not_sampled_is_refused_by_name():
    with pytest.raises(TypeError, match="Text"):
        RandomPolicy(spaces.Text(3))


def test_it_has_no_parameters():
    policy = RandomPolicy(SPACES["discrete"])
    policy.set_param_values(policy.get_param_values())
    with pytest.raises(ValueError, match="no parameters"):
        policy.set_param_values({"w": np.zeros(1)})
