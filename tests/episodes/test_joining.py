"""Many short slices of a few batches become one batch."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerkit.episodes import (
    Assembly,
    EnvSpec,
    EpisodeBatch,
    EpisodeRecorder,
    RecycledMemory,
    Span,
    StepType,
    TickRecorder,
    assembly,
    join,
    joining,
    merged,
    span_of,
)
from samplerkit.episodes.columns import arrays_of

SPEC = EnvSpec(
    spaces.Dict(a=spaces.Box(-np.inf, np.inf, (2,), np.float64), b=spaces.Tuple([spaces.Discrete(5)])),
    spaces.Discrete(9),
)

INFOS = {
    "none": lambda n: {},
    "numbers": lambda n: {"x": np.arange(n), "deep": {"y": np.ones((n, 3), np.float32)}},
    "floats": lambda n: {"x": np.arange(n, dtype=np.float64), "deep": {"y": np.ones((n, 3), np.float32)}},
    "masked": lambda n: {"x": np.arange(n) * (np.arange(n) % 2), "_x": np.arange(n) % 2 == 1},
    "objects": lambda n: {"x": np.array([{"it": i} for i in range(n)], object)},
    "texts": lambda n: {"x": np.array(["ab"] * n)},
}


def batch_of(lengths, infos="numbers") -> EpisodeBatch:
    n = sum(lengths)
    stops = np.cumsum(lengths)
    types = np.ones(n, np.int8)
    types[stops - lengths] = 0
    types[stops - 1] = 2
    rows = np.arange(n, dtype=np.float64) + 100 * len(lengths)
    return EpisodeBatch(
        env_spec=SPEC,
        episode_infos={"e": np.arange(len(lengths))},
        observations={"a": np.stack([rows, -rows], axis=1), "b": (rows.astype(np.int64) % 5,)},
        last_observations={"a": np.full((len(lengths), 2), 7.0), "b": (np.arange(len(lengths)) % 5,)},
        actions=rows.astype(np.int64) % 9,
        rewards=rows,
        env_infos=INFOS[infos](n),
        agent_infos=INFOS["numbers"](n),
        step_types=types,
        lengths=np.array(lengths, np.int64),
    )


def pieces_of(*batches):
    """Return every episode of all batches, in turn."""
    cuts = [span_of(batch, [1] * len(batch.lengths)).slices() for batch in batches]
    longest = max(map(len, cuts))
    return [some[i] for i in range(longest) for some in cuts if i < len(some)]


lengths_lists = st.lists(st.integers(1, 4), min_size=1, max_size=9)


@settings(max_examples=150)
@given(
    made=st.lists(st.tuples(lengths_lists, st.sampled_from(sorted(INFOS))), min_size=1, max_size=3),
    long=st.sampled_from([1, 2, 100]),
    data=st.data(),
)
def test_slices_in_any_order_become_what_their_views_become(made, long, data):
    pieces = data.draw(st.permutations(pieces_of(*(batch_of(*it) for it in made))))
    kept = pieces[: data.draw(st.integers(1, len(pieces)))]
    try:
        expected = EpisodeBatch.concatenate(*(piece.view() for piece in kept))
    except ValueError:
        with pytest.raises(ValueError, match="env_infos"):
            join(kept)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joining, "_LONG", long)
        batches = join(kept), EpisodeBatch.concatenate(merged(kept))
    for batch in batches:
        assert batch.difference(expected) is None
        assert batch.replace().difference(expected) is None, "the constructor's checks find no fault"
        assert list(batch.env_infos) == list(expected.env_infos)


def test_slices_of_processes_that_alternate_are_gathered():
    batches = [batch_of([2] * 9), batch_of([3] * 9)]
    pieces = pieces_of(*batches)
    assert joining._gathered(pieces) is not None
    for batch in batches:
        for _, array in arrays_of(batch.observations):
            assert not any(np.shares_memory(array, mine) for _, mine in arrays_of(join(pieces).observations))


def test_long_slices_are_copied_once_however_many_there_are(monkeypatch):
    pieces = pieces_of(batch_of([100] * 9), batch_of([200] * 9))
    monkeypatch.setattr(EpisodeBatch, "concatenate", None)
    monkeypatch.setattr(joining, "_BYTES", 100)
    batch = join(pieces)
    assert batch.lengths.tolist() == [100, 200] * 9
    for _, array in arrays_of(batch.observations):
        assert array.flags.owndata


def places_of(batch) -> set[int]:
    columns = {"observations": batch.observations, "rewards": batch.rewards, "actions": batch.actions}
    return {array.__array_interface__["data"][0] for _, array in arrays_of({**columns, **batch.env_infos})}


def test_long_slices_are_copied_to_memory_that_is_used_again():
    blocks = []
    new_block = lambda size: blocks.append(size) or np.empty(size, np.uint8)  # noqa: E731
    memory = RecycledMemory(new_block, most_kept=12, smallest=1000)
    pieces = pieces_of(batch_of([100] * 9), batch_of([200] * 9))
    expected = join(pieces)
    first, second = join(pieces, memory), join(pieces, memory)
    places = places_of(first)
    assert places.isdisjoint(places_of(second))
    first.rewards[...] = first.observations["a"][...] = 3
    assert second.difference(expected) is None, "while the first is held its memory is nobody else's"
    del first
    made = len(blocks)
    third = join(pieces, memory)
    assert places_of(third) == places
    assert len(blocks) == made > 0
    assert third.difference(expected) is None


def test_batches_of_other_spaces_are_not_mixed_however_long_the_slices_are():
    one, other = batch_of([100] * 9), batch_of([100] * 9)
    other.__dict__["observations"] = {**other.observations, "a": other.observations["a"].astype(np.float32)}
    with pytest.raises(ValueError, match=r"observations\['a'\] has dtype float64"):
        join(pieces_of(one, other))


@pytest.mark.parametrize("infos", ["masked", "objects"])
def test_infos_that_depend_on_which_rows_there_are_are_not_gathered(infos):
    assert joining._gathered(pieces_of(batch_of([2] * 9, infos), batch_of([2] * 9, infos))) is None


def test_large_rows_and_few_rows_of_many_are_not_gathered(monkeypatch):
    pieces = pieces_of(batch_of([2] * 40))
    assert joining._gathered(pieces[:36:2]) is None, "a few of many"
    monkeypatch.setattr(joining, "_BYTES", 100)
    assert joining._gathered(pieces[::-1]) is None


NOTES = {
    "nothing": None,
    "flag": True,
    "word": "s",
    "long word": "longer",
    "large": np.uint64((1 << 63) + 5),
    "negative": np.int64(-3),
    "beyond": 1 << 63,
    "huge": 1 << 70,
    "list": [1, 1 << 63],
    "number": 7,
    "float": 0.5,
    "day": np.datetime64("2020-01-01"),
    "second": np.datetime64("2020-01-01T00:00:01"),
    "nested": {"more": 1},
    "nested beyond": {"more": 1 << 63},
    "nested object": {"more": {3}},
}


def recorded_in_turn(notes):
    """Return a slice of an episode for each note, from a recorder of its own."""
    recorder = EpisodeRecorder(SPEC)
    for note in notes:
        recorder.start({"a": np.zeros(2), "b": (1,)}, {"note": note})
        recorder.cast_action(3)
        recorder.add(1.0, {"a": np.ones(2), "b": (2,)}, {"note": note}, {})
        yield recorder.keep(StepType.TERMINAL)


def recorded_in_slots(notes):
    """Return the same from one recorder with two slots."""
    recorder = TickRecorder(SPEC, 2)
    begin = {"a": np.zeros(2), "b": (1,)}
    for slot, note in enumerate(notes):
        step = lambda _, note=note: ({"a": np.ones(2), "b": (2,)}, 1.0, True, False, {"note": note})  # noqa: E731
        recorder.begin(slot % 2, begin, {"note": note})
        live = [slot % 2]
        given = recorder.act(np.array([3, 3]), {}, live)
        ended = recorder.step([step, step], given, live, 9)
        yield recorder.keep(*ended[0])


def outcome(make):
    try:
        batch = make()
    except ValueError as error:
        return str(error)
    columns = {"steps": batch.env_infos, "episodes": batch.episode_infos_by_episode}
    return [(path, array.dtype, array.tolist()) for path, array in arrays_of(columns)]


@pytest.mark.parametrize("recorded", [recorded_in_turn, recorded_in_slots])
@settings(max_examples=200)
@given(data=st.data())
def test_infos_do_not_depend_on_who_stands_beside_whom(recorded, data):
    notes = data.draw(st.lists(st.sampled_from(sorted(NOTES)), min_size=1, max_size=9), label="notes")
    homes = [data.draw(st.integers(0, 2), label="worker") for _ in notes]
    of_each = {
        home: [NOTES[note] for note, at in zip(notes, homes, strict=True) if at == home] for home in homes
    }
    workers = {home: recorded(its_notes) for home, its_notes in of_each.items()}
    units = [next(workers[home]) for home in homes]
    alone = outcome(lambda: EpisodeBatch.concatenate(*[join([unit]) for unit in units]))
    assert outcome(lambda: join(units)) == alone
    for size in 1, 120, 400:
        assert outcome(lambda size=size: assembled(units, size)) == alone, f"pieces of {size} bytes"


def assembled(units, size):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(assembly, "_BYTES", size)
        assembled = Assembly(lambda n_units, n_steps: 2 * n_steps)
        for unit in units:
            assembled.add([Span.of(unit)])
        return join(assembled.finish())
