"""Batches as bytes, and messages around them."""

from __future__ import annotations

import asyncio
import gc
import math
import pickle
import weakref

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_values import nested_spaces, values_of

from samplerkit.episodes import EnvSpec, EpisodeBatch, EpisodeRecorder, StepType, join, whole
from samplerkit.episodes.columns import arrays_of
from samplerkit.episodes.finals import Finals
from samplerkit.sampling import boundary, wire
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.messages import (
    Configure,
    Configured,
    Finished,
    Run,
    bundled,
    decode,
    encode,
    encode_parts,
)
from samplerkit.sampling.packing import Packed
from samplerkit.sampling.recipes import Recipe
from samplerkit.sampling.wire import NotPlain, dump_batch, load_batch

BOX = spaces.Box(-np.inf, np.inf, (3,), np.float32)

INFO_VALUES = {
    "bool": [True, False, True],
    "short text": ["a", "b", ""],
    "text": ["ä", "longer", "日本"],
    "bytes": [b"a", b"bc", b""],
    "complex": [1j, -0.0, complex(math.nan, -math.inf)],
    "float16": [np.float16(1), np.float16(-0.0), np.float16(math.nan)],
    "date": np.array(["2020-01-01", "NaT", "1969-12-31"], "M8[D]"),
    "duration": np.array([1, -2, 3], "m8[us]"),
    "big-endian": np.array([1.5, -0.0, math.nan], ">f8"),
    "big-endian integers": np.arange(3, dtype=">i2"),
    "odd size": np.arange(9, dtype=np.uint8).reshape(3, 3),
    "no size": np.zeros((3, 0, 2), np.float64),
    "of columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "of every second": np.arange(12)[::4],
    "long": np.arange(3, dtype=np.longdouble),
}


def batch_of(steps=3, space=BOX, infos=None, value=None) -> EpisodeBatch:
    """Return an episode whose every column is of the same kind in each batch."""
    infos = {} if infos is None else infos
    types = np.ones(steps, np.int8)
    types[0], types[-1] = 0, 2
    column = np.arange(steps * 3, dtype=np.float32).reshape(steps, 3) if value is None else value
    return EpisodeBatch.unchecked(
        env_spec=EnvSpec(space, spaces.Discrete(2)),
        episode_infos={},
        observations=column,
        last_observations=np.zeros((1, 3), np.float32) if value is None else value,
        actions=np.zeros(steps, np.int64),
        rewards=np.arange(steps, dtype=np.float64),
        env_infos=infos,
        agent_infos={},
        step_types=types,
        lengths=np.array([steps]),
    )


def there_and_back(batch: EpisodeBatch) -> EpisodeBatch:
    return load_batch(b"".join(dump_batch(batch)), 0)


def arrays(batch):
    return [item for name in batch._data_fields for item in arrays_of(getattr(batch, name), name)]


def message_with(batch: EpisodeBatch) -> Finished:
    return Finished(7, (1, 2), (1, 1), batch, {3: Failure(1, 3, "ValueError", "no", "trace", None)})


@given(
    steps=st.lists(st.integers(0, 5), min_size=1, max_size=4), seats=st.integers(0, 9), in_view=st.booleans()
)
def test_messages_that_are_sent_as_one_arrive_as_a_list(steps, seats, in_view):
    sent = [message_with(batch_of(steps=n)) if n else Configured(3, [], {n: (1,)}) for n in steps]
    sent.append(Configured(4, [], {seat: (seat,) for seat in range(seats)}))
    data = b"".join(bundled([encode_parts(message) for message in sent]))
    came = decode(memoryview(data) if in_view else data)
    assert [type(message) for message in came] == [type(message) for message in sent]
    for got, wanted in zip(came, sent, strict=True):
        if isinstance(wanted, Configured):
            assert got == wanted
        else:
            assert (got.numbers, got.failures) == (wanted.numbers, wanted.failures)
            assert got.batch.difference(wanted.batch) is None
            assert all(array.flags.aligned for _, array in arrays(got.batch))


def test_one_message_alone_is_sent_as_it_is():
    parts = encode_parts(Configured(3, []))
    assert bundled([parts]) is parts


@settings(max_examples=60)
@given(data=st.data())
def test_any_batch_arrives_bit_for_bit(data):
    observation_space, action_space = data.draw(nested_spaces()), data.draw(nested_spaces(1))
    recorder = EpisodeRecorder(EnvSpec(observation_space, action_space))
    pieces = []
    for _ in range(data.draw(st.integers(1, 3))):
        recorder.start(data.draw(values_of(observation_space)), {"goal": data.draw(st.floats())})
        for _ in range(data.draw(st.integers(1, 3))):
            recorder.cast_action(data.draw(values_of(action_space)))
            info = {"n": {"x": data.draw(st.text(max_size=5))}} if data.draw(st.booleans()) else {}
            recorder.add(data.draw(st.floats()), data.draw(values_of(observation_space)), info, {})
        pieces.append(recorder.keep(StepType.TERMINAL))
    batch = join(pieces)
    before = data.draw(st.binary(max_size=3)) * 8
    came = load_batch(before + b"".join(dump_batch(batch)), len(before))
    assert came.difference(batch) is None
    assert came.env_spec == batch.env_spec
    assert came.replace().difference(batch) is None, "the constructor's checks find no fault"
    assert decode(encode(message_with(batch))).batch.difference(batch) is None


@pytest.mark.parametrize("kind", INFO_VALUES)
def test_infos_of_every_dtype_arrive_bit_for_bit(kind):
    batch = batch_of(infos={"it": np.asarray(INFO_VALUES[kind]), "nested": {"row": np.arange(3)}})
    came = there_and_back(batch)
    assert came.difference(batch) is None
    assert came.env_infos["it"].dtype.str == batch.env_infos["it"].dtype.str


@pytest.mark.parametrize("dtype", ["f8", ">f8", "?", "f2", "m8[s]", "U3", "c8"])
@pytest.mark.parametrize("rows", [np.s_[::2], np.s_[:, 1], np.s_[0:0]], ids=["every other", "column", "none"])
def test_columns_whose_rows_do_not_lie_side_by_side_arrive(dtype, rows):
    values = np.arange(12).reshape(6, 2).astype(dtype)[rows]
    batch = batch_of(infos={"it": values})
    came = load_batch(b"".join(dump_batch(batch)), 0).env_infos["it"]
    assert came.dtype == values.dtype
    assert came.shape == values.shape
    assert came.tobytes() == values.tobytes()


@pytest.mark.parametrize(
    "values",
    [
        np.array([{1}, None, "x"], object),
        np.zeros(3, [("a", np.int32), ("b", np.float64)]),
        np.zeros(3, [("a", object)]),
        np.array(["a", "bc", ""], np.dtypes.StringDType()),
    ],
    ids=["objects", "records", "records of objects", "strings"],
)
def test_what_is_more_than_its_bytes_is_pickled_instead(values):
    batch = batch_of(infos={"deep": {"it": values}, "x": np.arange(3.0)})
    with pytest.raises(NotPlain):
        dump_batch(batch)
    came = decode(encode(message_with(batch)))
    assert came.batch.difference(batch) is None
    assert came.batch.env_infos["deep"]["it"].dtype == values.dtype
    assert (came.numbers, came.n_episodes, came.failures) == ((1, 2), (1, 1), message_with(batch).failures)


@pytest.mark.parametrize("plain", [True, False])
def test_what_is_said_beside_a_batch_arrives(plain):
    batch = batch_of(infos={} if plain else {"it": np.array([{1}, None, 2], object)})
    message = message_with(batch)
    came = decode(encode(message))
    assert (came.epoch, came.numbers, came.n_episodes, came.failures) == (7, (1, 2), (1, 1), message.failures)
    assert message.batch is batch, "the message itself is left as it was"


class OnlyThere:
    """Can be read where it was made, and not where it arrives."""

    here = True

    def __reduce__(self):
        return _only_there, ()


def _only_there():
    if not OnlyThere.here:
        raise asyncio.CancelledError("only there")
    return OnlyThere()


def test_units_whose_batch_cannot_be_read_where_it_arrives_have_failed(monkeypatch):
    message = message_with(batch_of(infos={"it": np.array([OnlyThere(), None, 2], object)}))
    data = encode(message)
    monkeypatch.setattr(OnlyThere, "here", False)
    came = decode(data, n_workers=2)
    assert (came.epoch, came.numbers, came.batch) == (7, (), None)
    assert {number: (it.worker, it.unit) for number, it in came.failures.items()} == {
        1: (1, 1),
        2: (0, 2),
        **{number: (it.worker, it.unit) for number, it in message.failures.items()},
    }
    assert came.failures[1].error_type.endswith("CancelledError")
    assert came.failures[1].message == "only there"
    assert came.failures[3] == message.failures[3]


@pytest.mark.parametrize("message", [Run(3, (1, 2, 3)), Finished(1, (), (), None, {}), Finished])
def test_messages_without_arrays_are_plain_pickles(message):
    assert decode(encode(message)) == message
    assert pickle.loads(encode(message)) == message


@pytest.mark.parametrize("infos", [{}, {"it": np.array([{1}, None, 2], object)}], ids=["plain", "pickled"])
def test_a_message_is_read_from_a_view_as_from_bytes(infos):
    message = message_with(batch_of(infos=infos))
    data = memoryview(encode(message))
    assert decode(data).batch.difference(message.batch) is None
    assert decode(data.toreadonly()).failures == message.failures


@pytest.mark.parametrize("kind", sorted(set(INFO_VALUES) - {"long"}))
def test_every_array_is_aligned(kind):
    batch = batch_of(infos={"it": np.asarray(INFO_VALUES[kind]), "after": np.arange(3.0)})
    message = memoryview(encode(message_with(batch)))
    assert len(message) % 8 == 0
    for path, array in arrays(decode(message).batch):
        assert array.flags.aligned, path
        assert array.flags.c_contiguous, path


def test_columns_that_came_are_views_of_the_message_and_cannot_be_written_to():
    message = np.frombuffer(encode(message_with(batch_of())), np.uint8)
    batch = decode(memoryview(message)).batch
    for path, array in arrays(batch):
        assert np.shares_memory(array, message), f"{path} was copied"
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert all(array.flags.writeable for _, array in arrays(join([whole(batch)])))


def test_a_column_keeps_the_message_that_it_views():
    message = np.frombuffer(encode(message_with(batch_of())), np.uint8)
    gone = weakref.ref(message)
    rewards = decode(memoryview(message)).batch.rewards[1:]
    del message
    gc.collect()
    assert gone() is not None
    assert rewards.tolist() == [1, 2]
    del rewards
    gc.collect()
    assert gone() is None


def test_the_same_look_is_described_once():
    batches = [batch_of(steps) for steps in (1, 3, 5)]
    wire._layout_bytes.cache_clear()
    came = [there_and_back(batch) for batch in batches]
    assert wire._layout_bytes.cache_info().misses == 1
    for one, other in zip(came, batches, strict=True):
        assert one.difference(other) is None


def test_looks_that_are_nearly_the_same_are_kept_apart():
    looks = [
        {"a": np.zeros(3), "b": np.zeros(3)},
        {"b": np.zeros(3), "a": np.zeros(3)},
        {"a": {"b": np.zeros(3)}},
        {"a": np.zeros(3, np.float32), "b": np.zeros(3)},
        {"a": np.zeros((3, 1)), "b": np.zeros(3)},
        {"a": np.zeros(3, ">f8"), "b": np.zeros(3)},
        {"a": {}, "b": np.zeros(3)},
        {"dict": np.zeros(3), "tuple": np.zeros(3)},
    ]
    for _ in range(2):
        for infos in looks:
            came = there_and_back(batch_of(infos=infos))
            assert came.difference(batch_of(infos=infos)) is None
            assert list(came.env_infos) == list(infos)


def test_specs_are_not_mixed_up_though_there_are_many():
    specs = [EnvSpec(spaces.Box(0, 1, (3,), np.float32), spaces.Discrete(2), limit) for limit in range(1, 40)]
    for _ in range(2):
        for spec in specs:
            batch = batch_of()
            batch.__dict__["env_spec"] = spec
            assert there_and_back(batch).env_spec == spec


def test_batches_of_one_spec_come_with_one_spec():
    batch = batch_of()
    assert there_and_back(batch).env_spec is there_and_back(batch).env_spec


def test_large_columns_are_not_copied_into_parts():
    value = np.zeros((3, 1 << 16), np.float32)
    parts = dump_batch(batch_of(space=spaces.Box(0, 1, (1 << 16,), np.float32), value=value))
    assert any(np.shares_memory(np.frombuffer(part, np.uint8), value) for part in parts if len(part))


def test_large_updates_are_left_out_of_the_pickle_and_arrive_as_they_were():
    data = np.random.default_rng(0).bytes(1 << 20)
    agent = boundary.agent_change({"weights": np.frombuffer(data, np.uint8)}).packed
    request = Configure(1, 2, {0: Recipe(agent, None, ())}, (0, 0))
    parts = encode_parts(request)
    assert max(map(len, parts)) >= 1 << 20
    assert any(memoryview(part).obj is agent.data for part in parts), "weights are not copied"
    came = decode(memoryview(b"".join(parts))).plan[0].agent
    assert came.load()["weights"].tobytes() == data
    assert came.checksum == agent.checksum
    small = Packed(b"small")
    assert [len(encode_parts(Configure(1, 2, {0: Recipe(small, None, ())}, (0,))))] == [1]


def test_what_follows_a_cut_travels_once():
    batch = batch_of(value=np.zeros((0, 3), np.float32))
    batch.__dict__["observations"] = np.arange(9, dtype=np.float32).reshape(3, 3)
    apart = np.full((1, 3), 9, np.float32)
    sent = batch.with_finals(Finals(np.array([2, -1]), apart))
    arrived = there_and_back(sent)
    assert "last_observations" not in arrived.__dict__
    assert arrived.last_observations.tolist() == [[6, 7, 8], [9, 9, 9]]
