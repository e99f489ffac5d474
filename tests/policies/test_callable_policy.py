"""Policies from functions: called by the row, with the row's own stream where they ask for it."""

from __future__ import annotations

import copy
import functools
import pickle

import gymnasium
import numpy as np
import pytest
from equal_batches import assert_equal
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import samplerkit
from samplerkit.policies import from_callable

PLACE = spaces.Discrete(18)


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


def test_a_row_of_a_batched_function_has_the_keys_that_its_masks_say():
    policy = from_callable(
        lambda rows: (np.zeros(len(rows), np.int64), {"x": rows * 2, "_x": rows > 1, "y": (rows, rows)}),
        batched=True,
    )
    assert policy.get_action(3) == (0, {"x": 6, "y": (3, 3)})
    assert policy.get_action(1) == (0, {"y": (1, 1)})


def test_a_batched_function_with_masks_gives_the_same_batches_everywhere():
    policy = from_callable(
        lambda places: (places % 2, {"late": places + 0.5, "_late": places > 4, "pair": (places, -places)}),
        batched=True,
    )
    expected = batches("local", policy)
    assert "_late" in expected[1].agent_infos
    for n_envs in (1, 3):
        for batch, other in zip(batches("vectorized", policy, n_envs=n_envs), expected, strict=True):
            assert_equal(batch, other)


def test_a_key_that_is_no_string_is_named_whoever_runs_the_policy():
    expected = batches("local", from_callable(lambda place: (0, {3: place})))
    assert "'3'." in expected, "use this"
    for batched in (False, True):
        policy = from_callable(lambda places: (places * 0, {3: places}), batched=batched)
        assert batches("vectorized", policy, n_envs=2) == batches("local", policy) == expected


def test_nested_observations_and_actions_are_taken_apart_and_stacked():
    policy = started(from_callable(lambda o: {"x": o["a"], "y": (o["b"][0],)}), [1, 2])
    column = {"a": np.array([1, 2]), "b": (np.array([[3.0], [4.0]]),)}
    actions, _ = policy.get_actions(column)
    assert actions["x"].tolist() == [1, 2]
    assert actions["y"][0].tolist() == [[3.0], [4.0]]


@pytest.mark.parametrize(
    ("space", "shown", "place_in"),
    [
        (spaces.Dict(a=spaces.Dict(), b=PLACE), lambda place: {"a": {}, "b": place}, lambda seen: seen["b"]),
        (spaces.Tuple([spaces.Tuple([]), PLACE]), lambda place: ((), place), lambda seen: seen[1]),
        (spaces.Dict(), lambda place: {}, lambda seen: 0),
    ],
)
def test_observations_may_be_empty_at_first_or_altogether(space, shown, place_in):
    policy = from_callable(lambda seen: place_in(seen) % 2)
    walk = functools.partial(gymnasium.wrappers.TransformObservation, Walk(), shown, space)
    expected = batches("local", policy, walk)
    for batch, other in zip(batches("vectorized", policy, walk, n_envs=3), expected, strict=True):
        assert_equal(batch, other)
    fragments = batches("fragment", policy, walk, n_envs=3, timesteps_per_call=9)
    assert fragments[0].split()[0].difference(expected[0]) is None


def test_info_keys_that_some_rows_lack_are_masked():
    policy = started(from_callable(lambda o: (0, {"value": o * 2.0} if o > 1 else {})), [1, 2])
    _, infos = policy.get_actions(np.array([1.0, 2.0]))
    assert infos["value"].tolist() == [0.0, 4.0]
    assert infos["_value"].tolist() == [False, True]


WAYS = [(0, 2), (3, 6), (7, 11), (12, 17)]


def way_of(place):
    return next(way for way, (_, end) in enumerate(WAYS) if place <= end)


class Walk(gymnasium.Env):
    """Goes from place to place; the seed says on which way."""

    observation_space = PLACE
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.end = WAYS[self.np_random.integers(4)]
        return self.place, {}

    def step(self, action):
        self.place += 1
        return self.place, 1.0, self.place == self.end, False, {}


DTYPES = [np.bool_, np.int8, np.int64, np.uint8, np.uint64, np.float16, np.float32, np.float64, np.complex64]
NUMBERS = st.one_of(
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**40, 2**63, 2**70]),
    st.floats(allow_nan=False, width=16),
    st.builds(lambda dtype, number: dtype(number), st.sampled_from(DTYPES), st.integers(0, 3)),
)
VALUES = st.one_of(
    NUMBERS,
    st.text("ab", max_size=3),
    st.none(),
    st.builds(np.full, st.sampled_from([(), 2, (1, 2), 0]), st.integers(0, 3), st.sampled_from(DTYPES)),
    st.lists(NUMBERS, min_size=2, max_size=2),
    st.tuples(NUMBERS, NUMBERS),
)
NESTED = st.fixed_dictionaries({}, optional={"x": NUMBERS, "y": NUMBERS})
INFOS = st.one_of(
    st.fixed_dictionaries({"x": NUMBERS}),
    st.fixed_dictionaries({}, optional={"x": NUMBERS, "in": NESTED}),
    st.fixed_dictionaries({}, optional={"x": VALUES, "in": NESTED | NUMBERS}),
)


def batches(name, policy, envs=Walk, **arguments):
    """Batches of an episode each; or the words of the error, which may name two dtypes in any order."""
    arguments = {
        "agents": policy,
        "envs": envs,
        "seed": 3,
        "n_workers": 2,
        "max_episode_length": 9,
        **arguments,
    }
    with samplerkit.make_sampler(name, **arguments) as sampler:
        try:
            return [sampler.obtain_samples(call, 1) for call in range(5)]
        except (ValueError, samplerkit.WorkerError) as error:
            return sorted(str(error).partition("\n")[0].split())


@settings(max_examples=60)
@given(st.lists(INFOS, min_size=2, max_size=3), st.data())
def test_what_a_row_tells_does_not_depend_on_those_beside_it(infos, data):
    few = st.sampled_from(infos)
    of_ways = data.draw(st.lists(few, min_size=4, max_size=4))
    of_places = data.draw(st.dictionaries(st.integers(0, 17), few, max_size=2))
    policy = from_callable(lambda place: (0, of_places.get(place, of_ways[way_of(place)])))
    expected = batches("local", policy)
    for n_envs in (1, 3, 8):
        for envs in (Walk, functools.partial(SyncVectorEnv, [Walk] * n_envs)):
            given = batches("vectorized", policy, envs, n_envs=n_envs)
            if isinstance(expected[0], str):
                assert given == expected
            else:
                for batch, other in zip(given, expected, strict=True):
                    assert_equal(batch, other)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("n_envs", [3, 8])
def test_an_action_that_is_none_is_blamed_on_nobody_beside_it(n_envs, native):
    policy = from_callable(lambda place: 0.5 if way_of(place) == 0 else 0)
    expected = batches("local", policy)
    assert "3:" in expected, "unit 3: there are others before and beside it"
    envs = functools.partial(SyncVectorEnv, [Walk] * n_envs) if native else Walk
    assert batches("vectorized", policy, envs, n_envs=n_envs) == expected


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
