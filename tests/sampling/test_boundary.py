"""The boundary: what callers may pass, and what it becomes."""

from __future__ import annotations

import math
import sys
import types

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from samplerkit import EnvUpdate, ExistingEnvUpdate, NewEnvUpdate, SetTaskUpdate
from samplerkit.contract.probes import ProbePolicy, TattooEnv, read_ledger, unclosed
from samplerkit.global_random import GlobalRandomState
from samplerkit.sampling import boundary


class Limited(TattooEnv):
    """Says its limit in an attribute."""

    def __init__(self, limit=7):
        super().__init__()
        self.max_episode_length = limit


class ClassLimited(TattooEnv):
    max_episode_length = 9


# -- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 2**70, np.int64(3), np.uint8(3), np.int16(1)])
def test_whole_numbers_are_counts(value):
    count = boundary.check_count("num_samples", value)
    assert count == value
    assert type(count) is int


@pytest.mark.parametrize("value", [0, -1, np.int64(0), -(2**70)])
def test_counts_are_at_least_one(value):
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        boundary.check_count("num_samples", value)


@pytest.mark.parametrize(
    "value",
    [True, False, np.bool_(True), 1.0, 0.5, np.float32(2), math.nan, "3", None, [3], np.array([3]), 3j],
)
def test_all_else_is_no_count(value):
    with pytest.raises(TypeError, match="num_samples must be an integer"):
        boundary.check_count("num_samples", value)


# -- agents --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [0, {}, (), np.zeros(0), np.zeros(3), {"a": np.zeros(2)}, "text"])
def test_weights(weights):
    change = boundary.agent_change(weights)
    assert not change.is_policy
    np.testing.assert_equal(change.packed.load(), weights)


def test_none_is_no_update():
    assert boundary.agent_change(None) is None
    assert boundary.env_change(None, 0) is None


def test_a_policy():
    change = boundary.agent_change(ProbePolicy(3))
    assert change.is_policy
    assert change.packed.load().params["version"] == [3]


def test_a_policy_may_send_a_stand_in():
    class Heavy:
        def get_action(self, observation): ...

        def for_sampling(self):
            return ProbePolicy(5)

        def __reduce__(self):
            raise AssertionError("this object must not travel")

    assert type(boundary.agent_change(Heavy()).packed.load()) is ProbePolicy


@pytest.mark.parametrize("name", ["reset", "get_param_values", "set_param_values"])
def test_a_policy_that_lacks_a_method_is_refused_by_name(name):
    policy = type("Half", (ProbePolicy,), {name: None})()
    with pytest.raises(TypeError, match=rf"Half has no method {name}"):
        boundary.agent_change(policy)


def test_a_stand_in_is_checked_like_any_policy():
    class Heavy(ProbePolicy):
        def for_sampling(self):
            return 3

    with pytest.raises(TypeError, match="int has no method get_action, reset"):
        boundary.agent_change(Heavy())


def test_weights_as_a_list_are_refused():
    policy = type("Listed", (ProbePolicy,), {"get_param_values": lambda self: [np.zeros(2)]})()
    with pytest.raises(TypeError, match=r"Listed.*returned a list"):
        boundary.agent_change(policy)


def test_a_policy_class_in_place_of_a_policy_is_refused_in_words():
    with pytest.raises(TypeError, match=r"ProbePolicy is a class: pass an instance, ProbePolicy\(…\)"):
        boundary.agent_change(ProbePolicy)


def test_a_class_that_is_half_a_policy_is_refused_as_a_class():
    class Half:
        def get_action(self, observation): ...

        def for_sampling(self): ...

    with pytest.raises(TypeError, match="Half is a class: pass an instance"):
        boundary.agent_change(Half)


# -- environments --------------------------------------------------------------------------------


def test_a_gymnasium_id():
    env = boundary.env_update("CartPole-v1")(None)
    assert env.spec.id == "CartPole-v1"
    assert env.spec.max_episode_steps == 500


def test_an_id_registered_by_the_caller_s_script_needs_no_registration_elsewhere():
    gymnasium.register("Tattoo-v7", TattooEnv, max_episode_steps=4)
    try:
        change = boundary.env_change("Tattoo-v7", 0)
    finally:
        gymnasium.registry.pop("Tattoo-v7")
    assert type(change.packed.load()(None).unwrapped) is TattooEnv


def test_an_id_with_its_module(monkeypatch):
    module = types.ModuleType("tattoo_module")
    monkeypatch.setitem(sys.modules, "tattoo_module", module)
    gymnasium.register("TattooModule-v0", TattooEnv)
    try:
        env = boundary.env_update("tattoo_module:TattooModule-v0")(None)
    finally:
        gymnasium.registry.pop("TattooModule-v0")
    assert type(env.unwrapped) is TattooEnv


@pytest.mark.parametrize(
    "env_id", ["CartPoleX-v1", "CartPole-v99", "no_such_module:Env-v0", "", "not an id", ":", "CartPole-v1:"]
)
def test_an_unknown_id_is_refused_by_name(env_id):
    with pytest.raises(ValueError, match="there is no gymnasium environment"):
        boundary.env_update(env_id)


def test_an_instance():
    env = TattooEnv()
    update = boundary.env_update(env)
    assert isinstance(update, ExistingEnvUpdate)
    assert update(None) is env


@pytest.mark.parametrize(
    "constructor", [TattooEnv, lambda: TattooEnv(tag=0), __import__("functools").partial(TattooEnv, tag=0)]
)
def test_what_can_be_called(constructor):
    update = boundary.env_update(constructor)
    assert isinstance(update, NewEnvUpdate)
    assert type(update(None)) is TattooEnv


@pytest.mark.parametrize("update", [NewEnvUpdate(TattooEnv), SetTaskUpdate(TattooEnv, 3)])
def test_an_update_stays_what_it_is(update):
    assert boundary.env_update(update) is update


def test_an_update_that_can_be_called_is_not_taken_for_a_constructor():
    class Callable(EnvUpdate):
        def __call__(self, old_env=None): ...

    update = Callable()
    assert boundary.env_update(update) is update


@pytest.mark.parametrize("nonsense", [3, 0, {}, (TattooEnv,), [TattooEnv], np.zeros(2), b"CartPole-v1", None])
def test_nonsense_is_refused_with_what_to_pass(nonsense):
    with pytest.raises(TypeError, match="an environment, an EnvUpdate, a gymnasium id, a callable"):
        boundary.env_update(nonsense)


def test_a_vector_environment_is_refused():
    with pytest.raises(TypeError, match="vectorized worker"):
        boundary.env_update(gymnasium.vector.SyncVectorEnv([TattooEnv]))


def test_a_nested_list_is_for_slots():
    first, second = boundary.env_change(["CartPole-v1", TattooEnv], 0).packed.load()
    assert first(None).spec.id == "CartPole-v1"
    assert type(second(None)) is TattooEnv


def test_an_environment_that_cannot_be_copied_is_refused_with_advice():
    env = TattooEnv()
    env.lock = __import__("threading").Lock()
    with pytest.raises(TypeError, match=r"the environment .*Pass a callable"):
        boundary.env_change(env, 0)


# -- limits --------------------------------------------------------------------------------------


def own_limit(update):
    return boundary.facts(update, lambda env: False).limit


@pytest.mark.parametrize(
    ("env", "limit"),
    [
        ("CartPole-v1", 500),
        (lambda: gymnasium.make("CartPole-v1", max_episode_steps=33), 33),
        (TimeLimit(TattooEnv(), 12), 12),
        (lambda: TimeLimit(TattooEnv(), 12), 12),
        (Limited(), 7),
        (Limited, 7),
        (lambda: TimeLimit(Limited(), 3), 3),
        (ClassLimited, 9),
        (lambda: Limited(math.inf), math.inf),
        (lambda: Limited(np.int64(4)), 4),
        (TattooEnv, None),
        (lambda: gymnasium.wrappers.NormalizeReward(TimeLimit(TattooEnv(), 12)), 12),
        (lambda: gymnasium.wrappers.NormalizeReward(Limited()), 7),
        (SetTaskUpdate(Limited, 2), 7),
    ],
)
def test_the_environment_s_own_limit(env, limit):
    assert own_limit(boundary.env_update(env)) == limit


def test_the_limit_of_slots_is_the_longest():
    slots = [boundary.env_update(env) for env in ("CartPole-v1", Limited)]
    assert own_limit(slots) == 500
    assert own_limit([*slots, boundary.env_update(TattooEnv)]) is None


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, r"not None \(NoneType\)$"),
        ("CartPole-v1", r"not 'CartPole-v1' \(str\): pass a gymnasium id itself"),
        (TattooEnv, r"not <class .*TattooEnv'> \(type\)"),
    ],
    ids=str,
)
def test_what_is_no_environment_is_not_blamed_for_its_limit(made, said):
    with pytest.raises(TypeError, match=rf"the callable for envs must return a gymnasium.Env, {said}"):
        own_limit(boundary.env_update(lambda: made))


def test_an_update_that_returns_no_environment_is_named():
    class Forgets(EnvUpdate):
        def __call__(self, old_env=None): ...

    with pytest.raises(TypeError, match=r"Forgets must return a gymnasium.Env, not None"):
        own_limit(Forgets())


def test_asking_for_the_limit_leaves_no_environment_open(tmp_path):
    own_limit(boundary.env_update(lambda: TimeLimit(TattooEnv(ledger=tmp_path / "l"), 3)))
    assert len(read_ledger(tmp_path / "l", "open")) == 1
    assert unclosed(tmp_path / "l") == {}


def test_each_distinct_object_is_asked_once_at_its_first_index():
    a, b = object(), object()
    calls = []

    def note(index, value):
        calls.append((index, value))
        return index

    with GlobalRandomState():
        assert boundary.for_each_distinct(note, [a, b, a, b, b]) == [0, 1, 0, 1, 1]
    assert calls == [(0, a), (1, b)]
