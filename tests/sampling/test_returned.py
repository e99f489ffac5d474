"""Who returns something else than must be is told of which call, and what to return."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

import samplerkit
from samplerkit import WorkerError
from samplerkit.contract.probes import ProbePolicy
from samplerkit.sampling.returned import explained

WORKERS = {
    "local": {},
    "vectorized": {"n_envs": 3},
    "fragment": {"n_envs": 3},
}
KINDS_WITH_SLOTS = ["vectorized", "fragment"]


class Plain(gymnasium.Env):
    """Its observations and actions are vectors of two numbers, which unpack into two."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Box(-1, 1, (2,))

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}


def env_that(**methods):
    return type(
        "Odd", (Plain,), {name: lambda self, *a, _value=value, **k: _value for name, value in methods.items()}
    )


class Returns(ProbePolicy):
    def __init__(self, one=None, many=None):
        super().__init__()
        self.one, self.many = one, many

    def get_action(self, observation):
        return (np.zeros(2, np.float32), {}) if self.one is None else self.one

    def get_actions(self, observations):
        return (np.zeros((len(observations), 2), np.float32), {}) if self.many is None else self.many


def error_of(name, agents, envs, **more):
    arguments = {"max_episode_length": 5, "n_workers": 1, "seed": 1, **WORKERS[name], **more}
    with samplerkit.make_sampler(name, agents=agents, envs=envs, **arguments) as sampler:
        with pytest.raises(WorkerError) as caught:
            sampler.obtain_samples(0, 10)
    return caught.value


@pytest.mark.parametrize(
    "returned", [0, (0, {}, 0), np.zeros(2, np.float32), (np.zeros(2, np.float32), 5)], ids=str
)
def test_get_action_returns_an_action_and_a_dict(returned):
    error = error_of("local", Returns(one=returned), Plain)
    assert error.message.startswith("get_action must return two values: the action, and a dict")


@pytest.mark.parametrize("name", KINDS_WITH_SLOTS)
@pytest.mark.parametrize(
    "returned", [0, np.zeros((3, 2), np.float32), (np.zeros((3, 2), np.float32), 5)], ids=str
)
def test_get_actions_returns_actions_and_a_dict(name, returned):
    error = error_of(name, Returns(many=returned), Plain)
    assert error.message.startswith("get_actions must return two values: the actions, one for each row")


def test_as_many_actions_as_there_are_values_to_return():
    error = error_of("vectorized", Returns(many=np.zeros((2, 2), np.float32)), Plain, n_envs=2)
    assert error.message.startswith("get_actions must return two values")


OLD_STEP = np.zeros(2, np.float32), 0.0, False, {}


@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.parametrize("returned", [OLD_STEP, 0, (*OLD_STEP[:3], False, "infos")], ids=str)
def test_step_returns_five_values(name, returned):
    error = error_of(name, Returns(), env_that(step=returned))
    assert error.message.startswith("step of the environment must return five values: observation, reward,")


@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.parametrize("returned", [np.zeros(2, np.float32), np.zeros(3, np.float32), 0], ids=str)
def test_reset_returns_an_observation_and_a_dict(name, returned):
    error = error_of(name, Returns(), env_that(reset=returned))
    assert error.message.startswith("reset of the environment must return two values: the observation, and a")


@pytest.mark.parametrize("name", WORKERS)
def test_a_wrapper_that_unpacks_before_the_worker_makes_no_difference(name):
    error = error_of(name, Returns(), lambda: TimeLimit(env_that(step=OLD_STEP)(), 3))
    assert error.message.startswith("step of the environment must return five values")


@pytest.mark.parametrize("many", [0, np.zeros((3, 2), np.float32)], ids=str)
def test_slots_of_a_vector_environment(many):
    envs = lambda: gymnasium.vector.SyncVectorEnv([Plain] * 3)  # noqa: E731
    error = error_of("vectorized", Returns(many=many), envs)
    assert error.message.startswith("get_actions must return two values")


def test_what_was_raised_stands_beside_it():
    error = error_of("local", Returns(one=0), Plain)
    assert error.error_type == "TypeError"
    assert error.message.endswith("(cannot unpack non-iterable int object)")
    assert "action, agent_info = get_action(observation)" in error.remote_traceback


def test_an_error_in_somebody_elses_code_stays_what_it_is():
    class Engine(Plain):
        def reset(self, **arguments):
            observation, info = self.reset_engine()
            return observation, info

        def reset_engine(self):
            return 0

    assert error_of("local", Returns(), Engine).message == "cannot unpack non-iterable int object"


def test_an_observation_that_does_not_fit_is_told_as_ever():
    error = error_of("local", Returns(), env_that(reset=(np.zeros(3, np.float32), {})))
    assert error.error_type == "ValueError"
    assert error.message.startswith("observation has shape (3,)")


@pytest.mark.parametrize("error", [ValueError("unpack"), KeyboardInterrupt(), KeyError("infos")], ids=repr)
def test_what_was_never_raised_is_left_alone(error):
    assert explained(error) is error
