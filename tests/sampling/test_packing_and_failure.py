"""Objects and exceptions on their way."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import pickle
import subprocess
import sys
import textwrap
import threading
import types

import cloudpickle
import gymnasium
import numpy as np
import pytest

from samplerkit import WorkerError
from samplerkit.contract.probes import UnpicklableError
from samplerkit.contract.probes.faults import OddError
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.packing import Packed, pack


def test_each_load_is_a_copy_of_its_own():
    packed = pack({"a": np.zeros(3)}, "the weights")
    one, other = packed.load(), packed.load()
    one["a"][:] = 1
    assert other["a"].tolist() == [0, 0, 0]
    assert packed.load()["a"].tolist() == [0, 0, 0]


def test_changing_the_object_later_changes_nothing():
    weights = np.zeros(3)
    packed = pack(weights, "the weights")
    weights[:] = 1
    assert packed.load().tolist() == [0, 0, 0]


def large(**more):
    return {"a": np.arange(50_000.0), "nested": (np.ones((3, 2), np.float32).T, np.arange(7)[::2]), **more}


@pytest.mark.parametrize("in_place", [False, True])
def test_large_weights_arrive_as_they_were(in_place):
    weights = large(none=np.zeros((0, 4)), scalar=np.array(3))
    loaded = pack(weights, "the weights").load(in_place=in_place)
    assert [*loaded] == [*weights]
    pairs = [(loaded[name], weights[name]) for name in ("a", "none", "scalar")]
    for got, wanted in [*pairs, *zip(loaded["nested"], weights["nested"], strict=True)]:
        np.testing.assert_array_equal(got, wanted, strict=True)


def test_large_weights_are_copies_that_one_may_write_to():
    packed = pack(large(), "the weights")
    packed.load()["a"][:] = -1
    assert packed.load()["a"][1] == 1


def test_weights_that_are_read_in_place_are_the_bytes_themselves_and_nobody_can_write_to_them():
    packed = pack(large(), "the weights")
    array = packed.load(in_place=True)["a"]
    assert np.shares_memory(array, np.frombuffer(packed.data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_weights_are_read_only_in_place_also_where_the_bytes_are_not():
    packed = Packed(bytearray(pack(large(), "the weights").data))
    assert not packed.load(in_place=True)["a"].flags.writeable
    assert packed.load()["a"].flags.writeable


def test_packed_weights_travel_beside_a_message_and_are_read_in_place_there():
    buffers: list[pickle.PickleBuffer] = []
    message = pickle.dumps(pack(large(), "the weights"), 5, buffer_callback=buffers.append)
    [there] = [bytearray(buffer) for buffer in buffers]
    array = pickle.loads(message, buffers=[there]).load(in_place=True)["a"]
    assert np.shares_memory(array, np.frombuffer(there, np.uint8))
    assert not array.flags.writeable


def test_weights_of_an_older_state_are_a_pickle_alone():
    packed = Packed(pickle.dumps(large(), 5))
    np.testing.assert_array_equal(packed.load(in_place=True)["a"], large()["a"])


def test_local_classes_and_lambdas_travel():
    class Local:
        pass

    assert pack(Local(), "the policy").load().__class__.__name__ == "Local"
    assert pack(lambda: 5, "the environment").load()() == 5


def test_the_callers_own_classes_are_as_they_were_when_a_copy_was_loaded_here():
    """Methods of a script's classes would be filled with copies of the global names that they use."""

    class Kind(enum.Enum):
        GOOD = 1

        def describe(self):
            return "good"

    class Local:
        kind = Kind.GOOD

        def act(self):
            return self.kind

    before = vars(Local)["act"], vars(Kind)["describe"]
    copy = pack(Local(), "the policy").load()
    assert type(copy) is Local
    assert copy.act() is Kind.GOOD
    assert (vars(Local)["act"], vars(Kind)["describe"]) == before


def test_a_new_sampler_of_a_script_sees_what_was_defined_anew(tmp_path):
    script = """
        import gymnasium, numpy as np, samplerkit
        from samplerkit.policies import RandomPolicy

        def reward():
            return 1.0

        class Env(gymnasium.Env):
            observation_space = gymnasium.spaces.Box(-1, 1, (1,))
            action_space = gymnasium.spaces.Discrete(2)

            def reset(self, *, seed=None, options=None):
                return np.zeros(1, np.float32), {}

            def step(self, action):
                return np.zeros(1, np.float32), reward(), True, False, {}

        def first_reward():
            policy = RandomPolicy(Env.action_space)
            with samplerkit.make_sampler(
                "local", agents=policy, envs=Env(), max_episode_length=1, n_workers=1, seed=1
            ) as sampler:
                return sampler.obtain_samples(0, 1).rewards[0]

        assert first_reward() == 1.0
        reward = lambda: 5.0
        assert first_reward() == 5.0
        assert Env().step(0)[1] == 5.0
    """
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(script))
    subprocess.run([sys.executable, path], check=True, timeout=60)


def test_a_class_that_came_from_elsewhere_changes_when_it_comes_again_though_it_was_sent_on_meanwhile():
    class Local:
        answer = 1

    there = """
        import pickle, sys
        from samplerkit.sampling.packing import pack

        local = pickle.load(sys.stdin.buffer)
        pack(local, "the policy")
        assert type(pickle.load(sys.stdin.buffer)) is type(local)
        print(local.answer)
    """
    first = pack(Local(), "the policy").data
    Local.answer = 2
    second = pack(Local(), "the policy").data
    program = [sys.executable, "-c", textwrap.dedent(there)]
    ended = subprocess.run(program, input=first + second, capture_output=True, check=True, timeout=60)
    assert ended.stdout == b"2\n"


def test_what_cannot_be_pickled_is_refused_with_advice():
    with pytest.raises(TypeError, match=r"the environment \(lock\) cannot be pickled.*Pass a callable"):
        pack(threading.Lock(), "the environment")


@pytest.mark.parametrize(("what", "advice"), [("the policy", "for_sampling"), ("the weights", "arrays")])
def test_nobody_is_told_to_pass_a_callable_where_none_is_taken(what, advice):
    with pytest.raises(TypeError, match=advice) as caught:
        pack(threading.Lock(), what)
    assert "callable" not in str(caught.value)


def test_packed_objects_travel():
    assert pickle.loads(pickle.dumps(Packed(b"abc"))).data == b"abc"


# -- failures ------------------------------------------------------------------------------------


class Mute(Exception):
    def __str__(self):
        raise self.args[0]("no text")


class Liar(Exception):
    """Unpickles to something that is no exception."""

    def __reduce__(self):
        return dict, ()


class Fragile(Exception):
    """Unpickles once, where it was raised, and not where it arrives."""

    here = True

    def __reduce__(self):
        return _fragile, ()


def _fragile():
    if not Fragile.here:
        raise ImportError("no such module here")
    return Fragile()


def failure_of(raiser):
    try:
        raiser()
    except BaseException as error:
        return Failure.of(error, worker=2, unit=5)


def thrower(error):
    def throw_it_here():
        raise error

    return throw_it_here


def error_of(error):
    failure = pickle.loads(pickle.dumps(failure_of(thrower(error))))
    found = failure.to_error()
    assert isinstance(found, WorkerError)
    assert (found.worker, found.unit) == (2, 5)
    assert "throw_it_here" in found.remote_traceback, "the remote frames are what one needs most"
    return found


def test_the_original_exception_is_the_cause():
    error = error_of(KeyError("missing"))
    assert isinstance(error.__cause__, KeyError)
    assert error.__cause__.args == ("missing",)
    assert (error.error_type, error.message) == ("KeyError", "'missing'")


def test_the_type_is_named_with_its_module():
    assert (
        error_of(UnpicklableError("text")).error_type == "samplerkit.contract.probes.faults.UnpicklableError"
    )


@pytest.mark.parametrize("error", [UnpicklableError("text"), OddError("this", "that"), Liar("text")])
def test_an_exception_that_cannot_travel_leaves_its_text(error):
    found = error_of(error)
    assert found.__cause__ is None
    assert str(error) in str(found)
    assert type(error).__name__ in str(found)


@pytest.mark.parametrize("kind", [RuntimeError, asyncio.CancelledError])
def test_an_exception_whose_str_raises_is_described(kind):
    found = error_of(Mute(kind))
    assert f"str() raised {kind.__name__}" in found.message


def test_an_exception_of_a_class_that_is_defined_in_a_function_travels():
    class Local(Exception):
        pass

    assert type(error_of(Local("text")).__cause__).__name__ == "Local"


def test_an_exception_that_cannot_be_unpickled_where_it_arrives_leaves_its_text(monkeypatch):
    failure = failure_of(thrower(Fragile("text")))
    assert failure.pickled is not None
    monkeypatch.setattr(Fragile, "here", False)
    error = failure.to_error()
    assert isinstance(error, WorkerError)
    assert error.__cause__ is None


def test_system_exit_is_a_failure_like_any_other():
    try:
        raise SystemExit(3)
    except SystemExit as error:
        failure = Failure.of(error, 0, None)
    assert failure.error_type == "SystemExit"
    assert "while it was built or updated" in str(failure.to_error())


class Guarded(gymnasium.Env):
    """Has a property whose setter must not run when a copy is made, and an attribute that hides behind it."""

    observation_space = action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        self.sets = 0
        self.__dict__["level"] = 3

    @property
    def level(self):
        return self.__dict__["level"]

    @level.setter
    def level(self, value):
        self.sets += 1
        self.__dict__["level"] = value


def test_a_copy_of_an_environment_has_its_attributes_and_ran_no_setter():
    env = gymnasium.wrappers.TimeLimit(Guarded(), 7)
    copy = pack(env, "env_update").load()
    assert (copy.unwrapped.level, copy.unwrapped.sets) == (3, 0)
    assert copy.__dict__.keys() == env.__dict__.keys()
    assert copy.env is copy.unwrapped


def test_what_comes_from_the_main_module_of_a_child_travels_by_value(monkeypatch):
    main = types.ModuleType("__mp_main__")
    exec("class Policy: answer = 42", main.__dict__)
    with monkeypatch.context() as here:
        here.setitem(sys.modules, "__mp_main__", main)
        try:
            data = pack(main.Policy, "agents").data
        finally:
            with contextlib.suppress(ValueError):
                cloudpickle.unregister_pickle_by_value(main)
    assert pickle.loads(data).answer == 42, "where there is no such module"
