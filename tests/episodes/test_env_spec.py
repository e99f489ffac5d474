from __future__ import annotations

import math
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from samplerkit.episodes import EnvSpec, episode_limit
from samplerkit.episodes.spec import space_key

BOX = spaces.Box(-1, 1, (3,), np.float32)
TWO = spaces.Discrete(2)
REFUSED = {
    "Text": spaces.Text(3),
    "Sequence": spaces.Sequence(TWO),
    "Graph": spaces.Graph(BOX, TWO),
    "OneOf": spaces.OneOf([BOX, TWO]),
}


class Plain(gymnasium.Env):
    observation_space = BOX
    action_space = TWO


def test_specs_of_equal_spaces_and_limits_are_equal():
    other = spaces.Box(-1, 1, (3,), np.float32)
    assert EnvSpec(BOX, TWO, 5) == EnvSpec(other, spaces.Discrete(2), 5)


@pytest.mark.parametrize(
    "other", [EnvSpec(BOX, TWO, 6), EnvSpec(BOX, spaces.Discrete(3), 5), EnvSpec(TWO, TWO, 5)]
)
def test_specs_that_differ_in_a_space_or_the_limit_are_unequal(other):
    assert EnvSpec(BOX, TWO, 5) != other


def test_a_spec_is_equal_after_pickling():
    spec = EnvSpec(spaces.Dict({"a": BOX, "b": spaces.Tuple([TWO, spaces.MultiBinary(2)])}), TWO, math.inf)
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize("name", REFUSED)
def test_spaces_without_a_fixed_shape_are_refused_by_name_and_path(name):
    nested = spaces.Dict({"outer": spaces.Tuple([TWO, REFUSED[name]])})
    with pytest.raises(TypeError, match=rf"observation_space\['outer'\]\[1\] is a {name} space"):
        EnvSpec(nested, TWO)
    with pytest.raises(TypeError, match=f"action_space is a {name} space"):
        EnvSpec(BOX, REFUSED[name])


def test_what_is_no_space_is_refused():
    with pytest.raises(TypeError, match="action_space is <class 'int'>"):
        EnvSpec(BOX, 3)


@pytest.mark.parametrize("limit", [True, 2.0, "3", math.nan, -math.inf])
def test_limits_that_are_no_integers_are_refused(limit):
    with pytest.raises(TypeError, match="max_episode_length is"):
        EnvSpec(BOX, TWO, limit)


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_below_one_are_refused(limit):
    with pytest.raises(ValueError, match="at least one step"):
        EnvSpec(BOX, TWO, limit)


def test_numpy_integers_are_limits():
    spec = EnvSpec(BOX, TWO, np.int32(7))
    assert spec.max_episode_length == 7
    assert type(spec.max_episode_length) is int


def test_from_env_takes_the_registered_limit():
    spec = EnvSpec.from_env(gymnasium.make("CartPole-v1"))
    assert spec.max_episode_length == 500


def test_from_env_prefers_the_given_limit():
    assert EnvSpec.from_env(gymnasium.make("CartPole-v1"), 7).max_episode_length == 7


def test_an_environment_without_a_limit_has_none():
    assert EnvSpec.from_env(Plain()).max_episode_length is None


def test_a_time_limit_wrapper_is_found_below_other_wrappers():
    limited = gymnasium.wrappers.TimeLimit(Plain(), 9)
    wrapped = gymnasium.wrappers.TransformReward(gymnasium.wrappers.TimeLimit(limited, 30), lambda r: r)
    assert episode_limit(wrapped) == 9, "the smallest of several limits is the one that counts"


def test_space_keys_tell_apart_bounds_that_gymnasium_calls_close():
    one = spaces.Box(0.0, 1.0, (1,), np.float64)
    close = spaces.Box(0.0, np.nextafter(1.0, 2.0), (1,), np.float64)
    assert one == close, "gymnasium compares bounds approximately"
    assert space_key(one) != space_key(close)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant != 63, reason="its long doubles use all of their bytes")
def test_space_keys_do_not_look_at_unused_bytes_of_long_doubles():
    one, other = (spaces.Box(0.0, 1.0, (2,), np.longdouble) for _ in range(2))
    one.low.view(np.uint8).reshape(2, -1)[:, 10:] = 0xAA
    other.low.view(np.uint8).reshape(2, -1)[:, 10:] = 0xBB
    assert space_key(one) == space_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (spaces.Discrete(3), spaces.Discrete(3, start=1)),
        (spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([3, 2])),
        (spaces.MultiBinary(2), spaces.MultiBinary(3)),
        (spaces.Dict({"a": TWO}), spaces.Dict({"b": TWO})),
        (spaces.Tuple([TWO]), spaces.Tuple([TWO, TWO])),
    ],
)
def test_space_keys_of_different_spaces_differ(one, other):
    assert space_key(one) != space_key(other)
