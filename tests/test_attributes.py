"""Attributes that are found fast: what is in them stays as it was."""

from __future__ import annotations

import gymnasium
import pytest

from samplerkit.attributes import quicken, set_attributes
from samplerkit.episodes import EnvSpec, episode_limit
from samplerkit.interfaces import layers_of


class Plain:
    @property
    def shown(self):
        return self._shown


def test_every_attribute_is_set_in_order():
    made = object.__new__(Plain)
    set_attributes(made, {"b": 1, "a": [2]})
    assert list(made.__dict__.items()) == [("b", 1), ("a", [2])]


def test_an_attribute_behind_a_property_without_a_setter_is_kept():
    made = object.__new__(Plain)
    set_attributes(made, {"shown": 5, "_shown": 6})
    assert made.__dict__ == {"shown": 5, "_shown": 6}
    assert made.shown == 6


class Slotted:
    __slots__ = ("a",)


def test_a_quickened_object_has_what_it_had_in_a_dictionary_of_its_own():
    made, other = Plain(), Plain()
    made.b, made.a = 1, [2]
    other.b = 3
    quicken(made)
    assert list(made.__dict__.items()) == [("b", 1), ("a", [2])]
    made.c = 4
    del made.b
    assert (made.__dict__, other.__dict__) == ({"a": [2], "c": 4}, {"b": 3})


def test_an_object_without_a_dictionary_is_left_alone():
    made = Slotted()
    made.a = 1
    quicken(made)
    assert made.a == 1


class SlowOnceAsked:
    """Fails where somebody asks for its `__dict__`, which makes it slow before CPython 3.13."""

    @property
    def __dict__(self):
        raise AssertionError("somebody asked for the attributes of an environment")


class QuickEnv(SlowOnceAsked, gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,))
    action_space = gymnasium.spaces.Discrete(2)


class QuickLimit(SlowOnceAsked, gymnasium.wrappers.TimeLimit):
    pass


@pytest.mark.parametrize("look", [layers_of, episode_limit, EnvSpec.from_env])
def test_nobody_who_looks_at_an_environment_asks_for_its_dictionary(look):
    look(QuickLimit(QuickEnv(), 5))
