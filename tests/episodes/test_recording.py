"""Episodes that stay where they were recorded, and the loop that records them."""

from __future__ import annotations

import copy
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_values import nested_spaces, values_of

from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, StepType, join
from samplerkit.episodes.columns import arrays_of
from samplerkit.episodes.recording import Recording, usual_capacity

BOX = spaces.Box(-np.inf, np.inf, (2,), np.float64)
TWO = spaces.Discrete(2)
LARGE = spaces.Box(-np.inf, np.inf, (1 << 12,), np.float64)
"""Of which a recording has room for 16 steps."""

NEVER = SimpleNamespace(cancelled=False)


def recorder_of(observation_space=BOX, action_space=TWO):
    return EpisodeRecorder(EnvSpec(observation_space, action_space))


class Script:
    """An environment and a policy in one, which say what they were told to say."""

    def __init__(self, steps, end_by="terminated"):
        self.steps = list(steps)
        self.seen = []
        self.given = []
        self.end_by = end_by
        self.at = -1

    def get_action(self, observation):
        self.at += 1
        self.seen.append(copy.deepcopy(observation))
        return self.steps[self.at]["action"], self.steps[self.at]["agent_info"]

    def step(self, action):
        self.given.append(action)
        it = self.steps[self.at]
        ends = self.at == len(self.steps) - 1
        flags = (ends and self.end_by == "terminated", ends and self.end_by == "truncated")
        return it["observation"], it["reward"], *flags, it["env_info"]


def record_one(recorder, first, script, max_length=math.inf, worker=NEVER):
    """Record an episode in one go, and return it."""
    beginnings = [(first, {"first": 1})]
    [episode] = recorder.episodes(beginnings, script.get_action, script.step, max_length, worker)
    return episode


def last_step_type(episode):
    return episode.view().step_types[-1]


def step_by_step(recorder, first, script):
    """What `episodes` is short for."""
    observation = recorder.start(first, {"first": 1})
    for _ in script.steps:
        action, agent_info = script.get_action(observation)
        observation, reward, _, _, env_info = script.step(recorder.cast_action(action))
        observation = recorder.add(reward, observation, env_info, agent_info)


def numbered(length, base=0.0, shape=(2,)):
    """Return steps whose observations, rewards and infos count from a base."""
    return [
        {
            "action": step % 2,
            "agent_info": {"at": base + step},
            "observation": np.full(shape, base + step + 1),
            "reward": base + step,
            "env_info": {"at": base + step},
        }
        for step in range(length)
    ]


def counted(recorder, length, base, shape=(2,)):
    """Record and keep an episode that counts from a base."""
    return record_one(recorder, np.full(shape, base), Script(numbered(length, base, shape)))


def assert_counts(batch, base, length):
    flat = batch.observations.reshape(length, -1)
    assert flat[:, 0].tolist() == flat[:, -1].tolist() == [base + step for step in range(length)]
    assert batch.last_observations.reshape(-1)[0] == base + length
    assert batch.rewards.tolist() == [base + step for step in range(length)]
    assert batch.actions.tolist() == [step % 2 for step in range(length)]
    assert batch.env_infos["at"].tolist() == batch.agent_infos["at"].tolist() == batch.rewards.tolist()
    assert batch.lengths.tolist() == [length]


# ---------------------------------------------------------------- episodes, in one go


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
def test_recording_in_one_go_is_recording_step_by_step(data):
    observation_space, action_space = data.draw(nested_spaces()), data.draw(nested_spaces(1))
    infos = st.dictionaries(st.sampled_from("ab"), st.integers(0, 9) | st.floats(), max_size=2)
    one, other = (recorder_of(observation_space, action_space) for _ in range(2))
    kept = []
    for _ in range(data.draw(st.integers(1, 3))):
        first = data.draw(values_of(observation_space))
        steps = [
            {
                "action": data.draw(values_of(action_space)),
                "agent_info": data.draw(infos),
                "observation": data.draw(values_of(observation_space)),
                "reward": data.draw(st.floats() | st.integers(-9, 9) | st.booleans()),
                "env_info": data.draw(infos),
            }
            for _ in range(data.draw(st.integers(1, 4)))
        ]
        quick, slow = Script(steps), Script(steps)
        episode = record_one(one, first, quick)
        step_by_step(other, first, slow)
        expected = other.finish(StepType.TERMINAL)
        assert episode.view().difference(expected) is None
        same = other.keep(StepType.TERMINAL)
        kept += [(episode, expected), (same, expected)]
        np.testing.assert_equal(quick.seen, slow.seen)
        np.testing.assert_equal(quick.given, slow.given)
    for piece, expected in kept:
        assert piece.view().difference(expected) is None


NUMBERS = np.arange(-3.0, 3.0)


@pytest.mark.parametrize(
    "observation",
    [
        NUMBERS[::3],
        NUMBERS[1::-1],
        np.broadcast_to(np.float64(7.0), 2),
        np.frombuffer(NUMBERS[:2].tobytes()),
        NUMBERS[:2].astype(">f8"),
        NUMBERS[:2].view(np.recarray),
        NUMBERS[:2].astype(np.float32),
        [1.0, 2.0],
    ],
    ids=["strided", "reversed", "broadcast", "read-only", "big-endian", "subclass", "float32", "list"],
)
@pytest.mark.filterwarnings("ignore:observation has dtype:UserWarning")
def test_vectors_of_any_making_are_recorded_as_step_by_step(observation):
    steps = [{**step, "observation": observation} for step in numbered(3)]
    one, other = recorder_of(), recorder_of()
    episode = record_one(one, np.zeros(2), Script(steps))
    step_by_step(other, np.zeros(2), Script(steps))
    expected = other.finish(StepType.TERMINAL)
    assert episode.view().difference(expected) is None
    assert expected.observations[-1].tolist() == list(observation)


@pytest.mark.parametrize(
    ("observation", "error", "message"),
    [
        (np.zeros(1), ValueError, r"has shape \(1,\)"),
        (np.zeros(3), ValueError, r"has shape \(3,\)"),
        (np.zeros((1, 2)), ValueError, r"has shape \(1, 2\)"),
        (np.zeros(()), ValueError, r"has shape \(\)"),
        (np.zeros(2, complex), ValueError, "has dtype complex128"),
        (np.array([1.0, None]), TypeError, "of type ndarray"),
        (np.zeros(2, "datetime64[s]"), TypeError, "of type ndarray"),
        (b"\0" * 16, TypeError, "of type bytes"),
    ],
)
def test_vectors_that_the_space_does_not_have_are_refused(observation, error, message):
    steps = numbered(3)
    steps[1]["observation"] = observation
    with pytest.raises(error, match=f"(?s)^observation.*{message}"):
        record_one(recorder_of(), np.zeros(2), Script(steps))


@pytest.mark.parametrize("end_by", ["terminated", "truncated"])
def test_the_environment_says_how_an_episode_ends(end_by):
    episode = record_one(recorder_of(), np.zeros(2), Script(numbered(3), end_by))
    assert last_step_type(episode) == {"terminated": StepType.TERMINAL, "truncated": StepType.TIMEOUT}[end_by]


@pytest.mark.parametrize(
    ("length", "ends"), [(2, StepType.TIMEOUT), (3, StepType.TERMINAL), (4, StepType.TERMINAL)]
)
def test_the_longest_length_is_a_timeout_unless_the_environment_ends_at_that_step(length, ends):
    episode = record_one(recorder_of(), np.zeros(2), Script(numbered(3)), max_length=length)
    assert last_step_type(episode) == ends
    assert episode.n_steps == min(length, 3)


def test_a_cancelled_worker_leaves_between_two_steps_and_begins_nothing_more():
    recorder, worker = recorder_of(), SimpleNamespace(cancelled=False)
    before = counted(recorder, 2, 100.0)
    script = Script(numbered(9))
    step = script.step

    def cancelled_at_the_third(action):
        worker.cancelled = len(script.given) == 2
        return step(action)

    script.step = cancelled_at_the_third
    beginnings = iter([(np.zeros(2), {}), "the next one"])
    assert list(recorder.episodes(beginnings, script.get_action, script.step, math.inf, worker)) == []
    assert len(script.given) == 3
    assert list(beginnings) == ["the next one"]
    after = counted(recorder, 2, 200.0)
    assert_counts(after.view(), 200.0, 2)
    assert_counts(before.view(), 100.0, 2)


def test_what_was_recorded_before_an_exception_is_dropped_by_the_next_start():
    recorder = recorder_of()
    kept = counted(recorder, 3, 100.0)
    broken = Script(numbered(5))
    broken.steps[2]["observation"] = "no observation"
    with pytest.raises(TypeError, match="no observation"):
        record_one(recorder, np.zeros(2), broken)
    after = counted(recorder, 2, 200.0)
    assert_counts(after.view(), 200.0, 2)
    assert_counts(kept.view(), 100.0, 3)
    assert after.first_row == kept.stop_row, "the rows of what failed are used again"


def test_an_action_of_step_by_step_recording_does_not_serve_an_add_after_the_loop():
    recorder = recorder_of()
    recorder.start(np.zeros(2), {})
    recorder.cast_action(1)
    record_one(recorder, np.zeros(2), Script(numbered(2)))
    with pytest.raises(RuntimeError, match="no action before it"):
        recorder.add(0.0, np.zeros(2), {}, {})


# ---------------------------------------------------------------- rows that were kept


@pytest.mark.slow
@settings(max_examples=60)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_kept_episodes_are_never_written_to_again(lengths):
    recorder = recorder_of(LARGE)
    pieces, digests = [], []
    for number, length in enumerate(lengths):
        pieces.append(counted(recorder, length, 1000.0 * number, LARGE.shape))
        digests.append(pieces[-1].view().digest())
    for number, (piece, digest, length) in enumerate(zip(pieces, digests, lengths, strict=True)):
        assert piece.view().digest() == digest, f"episode {number} has changed"
        assert_counts(piece.view(), 1000.0 * number, length)
    assert join(pieces).lengths.tolist() == lengths


def test_episodes_that_follow_each_other_share_a_recording():
    recorder = recorder_of(LARGE)
    one, other = counted(recorder, 5, 0.0, LARGE.shape), counted(recorder, 5, 50.0, LARGE.shape)
    assert one.store is other.store
    assert (one.stop_row, one.stop_episode) == (other.first_row, other.first_episode)
    assert np.shares_memory(one.view().observations, one.store.observations.buffer), "no copy yet"


def test_an_episode_that_outgrows_a_recording_is_moved_and_nothing_kept_is_overwritten():
    recorder = recorder_of(LARGE)
    capacity = usual_capacity(recorder.env_spec)
    kept = counted(recorder, 3, 100.0, LARGE.shape)
    buffer = kept.store.observations.buffer
    moved = counted(recorder, 3 * capacity, 1000.0, LARGE.shape)
    assert moved.store is not kept.store
    assert moved.first_row == 0
    assert kept.store.observations.buffer is buffer, "what was kept stays where it is"
    assert_counts(kept.view(), 100.0, 3)
    assert_counts(moved.view(), 1000.0, 3 * capacity)


def test_a_first_episode_that_outgrows_its_recording_stays_in_it():
    recorder = recorder_of(LARGE)
    capacity = usual_capacity(recorder.env_spec)
    kept = counted(recorder, 5 * capacity, 0.0, LARGE.shape)
    assert_counts(kept.view(), 0.0, 5 * capacity)
    assert kept.store.capacity >= 5 * capacity


def test_a_recording_turns_over_where_the_longest_episode_so_far_would_not_fit():
    recorder = recorder_of(LARGE)
    capacity = usual_capacity(recorder.env_spec)
    half = capacity // 2 + 1
    one, other = (counted(recorder, half, base, LARGE.shape) for base in (0.0, 100.0))
    assert one.store is not other.store, "its copying was to be foreseen"
    assert_counts(one.view(), 0.0, half)


def test_keeping_twice_and_keeping_nothing_are_refused():
    recorder = recorder_of()
    counted(recorder, 2, 0.0)
    with pytest.raises(ValueError, match="at least one step"):
        recorder.keep(StepType.TERMINAL)
    recorder.start(np.zeros(2), {})
    with pytest.raises(ValueError, match="at least one step"):
        recorder.keep(StepType.TERMINAL)


def test_finishing_copies_what_keeping_would_leave_in_place():
    recorder = recorder_of()
    step_by_step(recorder, np.zeros(2), Script(numbered(3)))
    batch = recorder.finish(StepType.TIMEOUT)
    piece = recorder.keep(StepType.TIMEOUT)
    assert batch.difference(piece.view()) is None
    for name in batch._data_fields:
        for path, array in arrays_of(getattr(batch, name), name):
            assert array.flags.owndata, path


def test_views_of_several_episodes_are_those_of_each_joined():
    recorder = recorder_of()
    pieces = [counted(recorder, length, 10.0 * length) for length in (3, 1, 4)]
    together = pieces[0].store.view(slice(0, 3), slice(0, 8))
    assert together.difference(EpisodeBatch.concatenate(*(piece.view() for piece in pieces))) is None
    assert together.replace().difference(together) is None, "the constructor's checks find no fault"


def test_infos_of_kept_episodes_that_do_not_fit_together_are_named():
    recorder = recorder_of()
    for value in (1.0, "text"):
        steps = numbered(2)
        for step in steps:
            step["env_info"] = {"it": value}
        last = record_one(recorder, np.zeros(2), Script(steps))
    with pytest.raises(ValueError, match=r"env_infos\['it'\]"):
        last.store.view(slice(0, 2), slice(0, 4))


# ---------------------------------------------------------------- warnings


def test_a_cast_is_warned_about_once_however_many_recordings_follow():
    space = spaces.Box(-1, 1, (1 << 13,), np.float32)
    recorder = recorder_of(space, spaces.Box(-1, 1, (2,), np.float32))
    kept = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(8):
            steps = numbered(9, shape=space.shape)
            for step in steps:
                step["action"] = np.zeros(2)
            kept.append(record_one(recorder, np.zeros(space.shape), Script(steps)))
            assert_room(recorder)
    assert len({id(piece.store) for piece in kept}) > 2
    assert sorted(str(warning.message).split()[0] for warning in caught) == ["action", "observation"]


def assert_room(recorder):
    recording = recorder._recording
    assert len(recording.observations.buffer) == recording.capacity + 1
    assert len(recording.actions.buffer) == len(recording.rewards) == recording.capacity


@pytest.mark.parametrize("shape", [(), (1,), (84, 84, 4), (1 << 20,)])
def test_a_recording_has_room_for_some_steps_of_any_size(shape):
    spec = EnvSpec(spaces.Box(0, 255, shape, np.uint8), TWO)
    assert 16 <= usual_capacity(spec) <= 4096
    recording = Recording(spec, usual_capacity(spec), set())
    assert recording.n_episodes == 0
