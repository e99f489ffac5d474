from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_values import SPECIAL, nested_spaces, values_of

from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, StepType
from samplerkit.episodes.bits import column_differences
from samplerkit.episodes.columns import arrays_of, rows_of

BOX = spaces.Box(-1, 1, (2,), np.float32)
TWO = spaces.Discrete(2)


def recorder_of(observation_space=BOX, action_space=TWO):
    return EpisodeRecorder(EnvSpec(observation_space, action_space))


def record(
    recorder, observations, actions, rewards=None, env_infos=None, agent_infos=None, end=StepType.TERMINAL
):
    """Record an episode; return its batch and the actions the environment got."""
    recorder.start(observations[0], {})
    given = []
    for step, action in enumerate(actions):
        given.append(recorder.cast_action(action))
        recorder.add(
            rewards[step] if rewards else 0.0,
            observations[step + 1],
            env_infos[step] if env_infos else {},
            agent_infos[step] if agent_infos else {},
        )
    return recorder.finish(end), given


def check(batch):
    """Run the constructor's checks on a batch that was built without them."""
    return batch.replace()


# ---------------------------------------------------------------- what is in the batch


def test_each_action_stands_beside_the_observation_before_it():
    observations = [np.full(2, t, np.float32) for t in range(4)]
    batch, _ = record(recorder_of(), observations, [1, 0, 1], rewards=[0.5, 1.5, 2.5])
    assert batch.observations[:, 0].tolist() == [0, 1, 2]
    assert batch.last_observations.tolist() == [[3, 3]]
    assert batch.actions.tolist() == [1, 0, 1]
    assert batch.rewards.tolist() == [0.5, 1.5, 2.5]
    assert batch.lengths.tolist() == [3]
    assert batch.next_observations[:, 0].tolist() == [1, 2, 3]


def test_dtypes_are_those_of_the_contract():
    batch, _ = record(recorder_of(), [np.zeros(2, np.float32)] * 2, [1], rewards=[1])
    assert batch.observations.dtype == np.float32
    assert batch.actions.dtype == np.int64
    assert batch.rewards.dtype == np.float64
    assert batch.step_types.dtype == np.int8
    assert batch.lengths.dtype == np.int64


@pytest.mark.parametrize(
    ("steps", "end", "types"),
    [
        (3, StepType.TERMINAL, [0, 1, 2]),
        (2, StepType.TIMEOUT, [0, 3]),
        (1, StepType.TIMEOUT, [3]),
        (1, StepType.TERMINAL, [2]),
        (3, StepType.MID, [0, 1, 1]),
        (1, StepType.MID, [0]),
    ],
)
def test_step_types_read_as_episodes_do(steps, end, types):
    batch, _ = record(recorder_of(), [np.zeros(2, np.float32)] * (steps + 1), [0] * steps, end=end)
    assert batch.step_types.tolist() == types


def test_a_fragment_that_goes_on_starts_with_mid():
    recorder = recorder_of()
    recorder.start(np.zeros(2, np.float32), {}, first_step_type=StepType.MID)
    for _ in range(2):
        recorder.cast_action(0)
        recorder.add(0.0, np.zeros(2, np.float32), {}, {})
    assert recorder.finish(StepType.TERMINAL).step_types.tolist() == [1, 2]
    assert recorder.finish(StepType.MID).step_types.tolist() == [1, 1]


def test_infos_of_all_kinds_are_kept():
    recorder = recorder_of()
    recorder.start(np.zeros(2, np.float32), {"goal": np.ones(3), "task": {"id": 7}})
    recorder.cast_action(0)
    recorder.add(0.0, np.zeros(2, np.float32), {"hit": True}, {"log_prob": np.float32(-1)})
    recorder.cast_action(0)
    recorder.add(0.0, np.zeros(2, np.float32), {}, {"log_prob": np.float32(-2)})
    batch = check(recorder.finish(StepType.TIMEOUT))
    assert batch.episode_infos_by_episode["goal"].shape == (1, 3)
    assert batch.episode_infos_by_episode["task"]["id"].tolist() == [7]
    assert batch.episode_infos["goal"].shape == (2, 3)
    assert batch.env_infos["_hit"].tolist() == [True, False]
    assert batch.agent_infos["log_prob"].dtype == np.float32


@pytest.mark.parametrize("steps", [63, 64, 65, 128, 129, 300])
def test_growing_columns_lose_nothing(steps):
    recorder = recorder_of()
    observations = [np.full(2, t, np.float32) for t in range(steps + 1)]
    infos = [{"t": t} for t in range(steps)]
    rewards = [float(t) for t in range(steps)]
    for _ in range(2):  # the second episode finds the columns grown
        batch, _ = record(recorder, observations, [t % 2 for t in range(steps)], rewards, infos, infos)
        assert batch.observations[:, 1].tolist() == list(range(steps))
        assert batch.last_observations[0, 0] == steps
        assert batch.actions.tolist() == [t % 2 for t in range(steps)]
        assert batch.rewards.tolist() == rewards
        assert batch.env_infos["t"].tolist() == list(range(steps))
        assert batch.agent_infos["t"].tolist() == list(range(steps))


# ---------------------------------------------------------------- whose memory it is


def test_nothing_aliases_the_environments_or_the_policys_buffers():
    space = spaces.Box(-9, 9, (2,), np.float64)
    recorder, observation, action = recorder_of(space, space), np.zeros(2), np.zeros(2)
    info = {"x": np.zeros(2)}
    recorder.start(observation, info)
    for step in range(1, 4):
        action[:] = step
        given = recorder.cast_action(action)
        assert not np.shares_memory(given, action), "the environment could change the policy's array"
        given[:] = -5  # an environment that clips in place
        observation[:] = step
        info["x"][:] = step
        recorder.add(0.0, observation, info, info)
    batch = recorder.finish(StepType.TERMINAL)
    observation[:] = info["x"][:] = action[:] = 99
    assert batch.observations[:, 0].tolist() == [0, 1, 2]
    assert batch.last_observations[0, 0] == 3
    assert batch.actions[:, 0].tolist() == [1, 2, 3]
    assert batch.env_infos["x"][:, 0].tolist() == [1, 2, 3]
    assert batch.agent_infos["x"][:, 0].tolist() == [1, 2, 3]
    assert batch.episode_infos_by_episode["x"].tolist() == [[0, 0]]


def test_finished_arrays_are_fresh_owning_writeable_and_contiguous():
    space = spaces.Dict({"a": BOX, "b": spaces.Tuple([TWO, BOX])})
    recorder = recorder_of(space, space)
    value = {"a": np.zeros(2, np.float32), "b": (1, np.ones(2, np.float32))}
    recorder.start(value, {"e": 1})
    recorder.cast_action(value)
    recorder.add(1.0, value, {"i": {"j": 1.0}}, {"k": np.zeros(3)})
    first, second = recorder.finish(StepType.TERMINAL), recorder.finish(StepType.TERMINAL)
    for (path, array), (_, other) in zip(fields(first), fields(second), strict=True):
        assert array.flags.owndata, path
        assert array.flags.writeable, path
        assert array.flags.c_contiguous, path
        assert not np.shares_memory(array, other), f"{path} belongs to two batches"


def fields(batch):
    return [item for name in batch._data_fields for item in arrays_of(getattr(batch, name), name)]


def test_a_later_episode_does_not_write_to_an_earlier_batch():
    recorder = recorder_of()
    first, _ = record(recorder, [np.zeros(2, np.float32)] * 3, [0, 0])
    digest = first.digest()
    record(recorder, [np.ones(2, np.float32)] * 3, [1, 1], rewards=[5.0, 5.0])
    assert first.digest() == digest


def test_start_drops_what_was_recorded():
    recorder = recorder_of()
    recorder.start(np.ones(2, np.float32), {"e": 1})
    recorder.cast_action(1)
    recorder.add(1.0, np.ones(2, np.float32), {"x": 1}, {"y": 1})
    recorder.cast_action(1)  # and the environment raises here
    batch, _ = record(recorder, [np.zeros(2, np.float32)] * 2, [0])
    assert batch.env_infos == batch.agent_infos == batch.episode_infos_by_episode == {}
    assert batch.observations.tolist() == [[0, 0]]


# ---------------------------------------------------------------- values that differ from the space


def test_a_cast_within_the_kind_warns_once_for_each_path():
    space = spaces.Dict({"a": BOX, "b": BOX})
    value = {"a": np.zeros(2), "b": np.zeros(2)}
    with pytest.warns(UserWarning, match="cast to the space") as caught:
        batch, _ = record(recorder_of(space), [value] * 5, [0] * 4)
    messages = sorted(str(warning.message) for warning in caught)
    assert len(messages) == 2, messages
    assert messages[0].startswith("observation['a'] has dtype float64, but its space says float32")
    assert batch.observations["a"].dtype == np.float32


def test_each_recorder_warns_for_itself():
    for _ in range(2):
        with pytest.warns(UserWarning, match="float64"):
            record(recorder_of(), [np.zeros(2)] * 2, [0])


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Box(0, 255, (2,), np.uint8), np.array([3, 255])),
        (spaces.MultiBinary(2), np.array([True, False])),
        (spaces.MultiBinary(2), np.array([1, 0])),
        (spaces.MultiDiscrete([5, 5]), np.array([3, 4], np.int32)),
        (BOX, np.array([1, 0])),
        (BOX, [0.5, 0.25]),
    ],
)
def test_values_of_the_same_kind_are_cast_with_a_warning(space, value):
    with pytest.warns(UserWarning, match="cast to the space"):
        batch, given = record(recorder_of(space, space), [value] * 2, [value])
    assert batch.observations.dtype == batch.actions.dtype == given[0].dtype == space.dtype
    np.testing.assert_array_equal(batch.observations[0], value)
    np.testing.assert_array_equal(given[0], value)


@pytest.mark.parametrize(
    ("space", "value", "error", "message"),
    [
        (
            spaces.MultiDiscrete([5, 5]),
            np.zeros(2),
            ValueError,
            "has dtype float64, but its space says dtype int64",
        ),
        (spaces.Box(0, 9, (2,), np.int8), np.zeros(2), ValueError, "has dtype float64"),
        (spaces.Box(0, 9, (2,), np.uint8), np.array([1, 300]), ValueError, "out of the range of uint8"),
        (spaces.Box(0, 9, (2,), np.uint8), np.array([1, -1]), ValueError, "out of the range of uint8"),
        (BOX, np.zeros(2, complex), ValueError, "has dtype complex128"),
        (BOX, np.zeros(3, np.float32), ValueError, r"has shape \(3,\), but its space says .* shape \(2,\)"),
        (BOX, np.zeros((1, 2), np.float32), ValueError, r"has shape \(1, 2\)"),
        (BOX, "ab", TypeError, "is 'ab' of type str"),
        (BOX, None, TypeError, "is None of type NoneType"),
        (BOX, [[1.0], [1.0, 2.0]], TypeError, "of type list"),
        (TWO, 1.0, ValueError, "has dtype float64, but its space says dtype int64"),
        (TWO, np.array([1]), ValueError, r"has shape \(1,\)"),
        (TWO, 2**70, ValueError, "but its space says dtype int64"),
        (spaces.Tuple([BOX]), np.zeros(2, np.float32), TypeError, "its space is a Tuple"),
        (spaces.Tuple([TWO, TWO]), (1,), ValueError, "has 1 entries, but its space says 2"),
        (spaces.Dict({"a": TWO}), 1, TypeError, "its space is a Dict"),
        (spaces.Dict({"a": TWO, "b": TWO}), {"a": 1}, ValueError, r"has the keys \['a'\]"),
        (spaces.Dict({"a": TWO}), {"a": 1, "b": 1}, ValueError, r"has the keys \['a', 'b'\]"),
    ],
)
def test_values_that_the_space_does_not_have_are_refused(space, value, error, message):
    with pytest.raises(error, match=f"^observation.*{message}"):
        recorder_of(space).start(value, {})
    recorder = recorder_of(BOX, spaces.Dict({"p": spaces.Tuple([space])}))
    recorder.start(np.zeros(2, np.float32), {})
    with pytest.raises(error, match=rf"^action\['p'\]\[0\].*{message}"):
        recorder.cast_action({"p": (value,)})


@pytest.mark.parametrize("value", [1, np.int64(1), np.int8(1), np.uint16(1), np.array(1)])
def test_any_integer_serves_a_discrete_space_without_a_warning(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch, given = record(recorder_of(TWO, TWO), [value] * 2, [value])
    assert batch.observations.tolist() == batch.actions.tolist() == [1]
    assert type(given[0]) in (int, np.int64)


def test_a_bool_for_a_discrete_space_is_cast_with_a_warning():
    with pytest.warns(UserWarning, match="has dtype bool"):
        batch, given = record(recorder_of(BOX, TWO), [np.zeros(2, np.float32)] * 2, [True])
    assert batch.actions.tolist() == [1]
    assert type(given[0]) is np.int64


def test_python_numbers_serve_scalar_boxes_without_a_warning():
    space = spaces.Box(-1, 1, (), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch, given = record(recorder_of(space, space), [0.5, 0.25], [0.125])
    assert batch.observations.tolist() == [0.5]
    assert given[0].dtype == np.float32
    assert given[0].shape == ()


def test_arrays_that_were_unpickled_are_no_different():
    value = pickle.loads(pickle.dumps(np.ones(2, np.float32)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch, _ = record(recorder_of(), [value] * 2, [0])
    assert batch.observations.tolist() == [[1, 1]]


def test_the_action_recorded_is_the_action_given():
    space = spaces.Box(-1, 1, (2,), np.float32)
    value = np.array([0.1, 0.2])
    with pytest.warns(UserWarning, match="action has dtype float64"):
        batch, given = record(recorder_of(BOX, space), [np.zeros(2, np.float32)] * 2, [value])
    assert given[0].tobytes() == batch.actions[0].tobytes()


# ---------------------------------------------------------------- rewards


@pytest.mark.parametrize("reward", [2, 2.0, np.float32(2), np.int8(2), np.float64(2), np.array(2.0)])
def test_rewards_of_any_numeric_kind_are_float64(reward):
    batch, _ = record(recorder_of(), [np.zeros(2, np.float32)] * 2, [0], rewards=[reward])
    assert batch.rewards.dtype == np.float64
    assert batch.rewards.tolist() == [2.0]


@pytest.mark.parametrize("reward", ["1", None, 1j, {}])
def test_rewards_that_are_no_real_numbers_are_refused(reward):
    with pytest.raises(TypeError, match=r"reward is .* must be a real number"):
        record(recorder_of(), [np.zeros(2, np.float32)] * 2, [0], rewards=[reward])


def test_rewards_that_are_arrays_are_refused():
    with pytest.raises(ValueError, match=r"reward has shape \(1,\)"):
        record(recorder_of(), [np.zeros(2, np.float32)] * 2, [0], rewards=[np.zeros(1)])


# ---------------------------------------------------------------- the order of calls


def test_adding_without_an_action_is_refused():
    recorder = recorder_of()
    recorder.start(np.zeros(2, np.float32), {})
    with pytest.raises(RuntimeError, match="no action before it"):
        recorder.add(0.0, np.zeros(2, np.float32), {}, {})
    recorder.cast_action(0)
    recorder.add(0.0, np.zeros(2, np.float32), {}, {})
    with pytest.raises(RuntimeError, match="no action before it"):
        recorder.add(0.0, np.zeros(2, np.float32), {}, {})


def test_adding_before_start_is_refused():
    recorder = recorder_of()
    recorder.cast_action(0)
    with pytest.raises(RuntimeError, match="start"):
        recorder.add(0.0, np.zeros(2, np.float32), {}, {})


def test_an_episode_of_no_steps_is_refused():
    recorder = recorder_of()
    recorder.start(np.zeros(2, np.float32), {})
    with pytest.raises(ValueError, match="at least one step"):
        recorder.finish(StepType.TERMINAL)


# ---------------------------------------------------------------- any space, any bits


def assert_value(column, row, space, value):
    """Assert that a row has the value's bits, and the space's dtype."""
    if isinstance(space, spaces.Dict):
        assert column.keys() == value.keys()
        for key, child in space.spaces.items():
            assert_value(column[key], row, child, value[key])
    elif isinstance(space, spaces.Tuple):
        assert len(column) == len(value)
        for part, child, entry in zip(column, space.spaces, value, strict=True):
            assert_value(part, row, child, entry)
    else:
        assert column.dtype == space.dtype
        assert column[row].tobytes() == np.asarray(value, space.dtype).tobytes()


@settings(max_examples=80)
@given(data=st.data())
def test_every_bit_of_every_space_comes_through(data):
    observation_space, action_space = data.draw(nested_spaces()), data.draw(nested_spaces(1))
    steps = data.draw(st.integers(1, 3))
    observations = [data.draw(values_of(observation_space)) for _ in range(steps + 1)]
    actions = [data.draw(values_of(action_space)) for _ in range(steps)]
    rewards = data.draw(st.lists(st.floats() | st.sampled_from(SPECIAL), min_size=steps, max_size=steps))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch, given = record(recorder_of(observation_space, action_space), observations, actions, rewards)
    for step in range(steps):
        assert_value(batch.observations, step, observation_space, observations[step])
        assert_value(batch.actions, step, action_space, actions[step])
        assert_value(batch.actions, step, action_space, given[step])
    assert_value(batch.last_observations, 0, observation_space, observations[-1])
    assert batch.rewards.tobytes() == np.array(rewards).tobytes()
    check(batch)
    copy = pickle.loads(pickle.dumps(batch))
    assert copy.difference(batch) is None
    assert copy.digest() == batch.digest()
    assert EpisodeBatch.concatenate(*EpisodeBatch.concatenate(batch, batch).split()[:1]).equals(batch)
    following, last = rows_of(batch.next_observations, slice(steps - 1, steps)), batch.last_observations
    assert not list(column_differences(following, last, "next_observations"))


def test_zero_size_observations_empty_dicts_and_unicode_keys_work():
    space = spaces.Dict(
        {"пусто": spaces.Box(0, 1, (0,), np.float32), "nothing": spaces.Dict({}), "none": spaces.Tuple([])}
    )
    value = {"пусто": np.zeros(0, np.float32), "nothing": {}, "none": ()}
    batch, _ = record(recorder_of(space), [value] * 3, [0, 1])
    assert batch.observations["пусто"].shape == (2, 0)
    joined = EpisodeBatch.concatenate(check(batch), batch)
    assert joined.observations["nothing"] == {}
    assert joined.observations["none"] == ()
    assert joined.split()[1].equals(batch)
    empty, _ = record(recorder_of(spaces.Dict({})), [{}] * 3, [0, 1])
    assert check(empty).next_observations == {}
