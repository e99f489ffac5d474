"""Putting a batch together while it is still being sampled."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.episodes import Assembly, EnvSpec, EpisodeBatch, Span, join, span_of, whole
from samplerkit.episodes import assembly as module
from samplerkit.episodes.columns import arrays_of

BOX = spaces.Box(-np.inf, np.inf, (3,), np.float32)
NINE = spaces.Discrete(9)
NESTED = spaces.Dict({"a": BOX, "b": spaces.Tuple([spaces.Discrete(99), BOX]), "c": spaces.Dict({})})


def column(space, rows):
    """Return a column whose values count."""
    if isinstance(space, spaces.Dict):
        return {key: column(child, rows) for key, child in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(column(child, rows) for child in space.spaces)
    return np.broadcast_to(rows.reshape(-1, *[1] * len(space.shape)), (len(rows), *space.shape)).astype(
        space.dtype
    )


def batch_of(lengths, base=0, space=NESTED, infos=None) -> EpisodeBatch:
    n, lengths = sum(lengths), np.array(lengths, np.int64)
    types = np.ones(n, np.int8)
    types[np.cumsum(lengths) - lengths] = 0
    types[np.cumsum(lengths) - 1] = 2
    rows = np.arange(base, base + n)
    return EpisodeBatch(
        env_spec=EnvSpec(space, spaces.Discrete(9)),
        episode_infos={"episode": rows[: len(lengths)].copy()},
        observations=column(space, rows),
        last_observations=column(space, -lengths),
        actions=rows % 9,
        rewards=rows.astype(np.float64),
        env_infos={"row": {"it": rows.copy()}} if infos is None else infos(rows),
        agent_infos={"text": rows.astype(str)},
        step_types=types,
        lengths=lengths,
    )


def assembled(pieces, expected_steps=lambda units, steps: steps):
    assembly = Assembly(expected_steps)
    for piece in pieces:
        assembly.add([Span.of(piece)])
    return assembly.finish()


def arrays(batch):
    return [item for name in batch._data_fields for item in arrays_of(getattr(batch, name), name)]


@pytest.fixture
def large(monkeypatch):
    """Let every batch count as large."""
    monkeypatch.setattr(module, "_BYTES", 64)


@st.composite
def cuttings(draw):
    """Draw batches, and pieces of them in order: from several stores, one episode or more each."""
    batches, pieces = [], []
    for number in range(draw(st.integers(1, 4))):
        lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
        batches.append(batch_of(lengths, 100 * number))
        counts: list[int] = []
        while sum(counts) < len(lengths):
            counts.append(draw(st.integers(1, len(lengths) - sum(counts))))
        pieces += span_of(batches[-1], counts).slices()
    return EpisodeBatch.concatenate(*batches), pieces


@given(cutting=cuttings(), threshold=st.sampled_from([1, 64, 500, 1 << 22]), expected=st.integers(0, 100))
def test_any_way_of_cutting_a_batch_into_pieces_gives_the_batch(cutting, threshold, expected):
    batch, pieces = cutting
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BYTES", threshold)
        came = assembled(pieces, lambda units, steps: expected)
    assert [piece.n_episodes for piece in came] == [piece.n_episodes for piece in pieces]
    for one, other in zip(came, pieces, strict=True):
        assert one.view().difference(other.view()) is None
    assert join(came).difference(batch) is None


def test_a_small_batch_is_left_where_it_is():
    pieces = span_of(batch_of([2, 3]), [1, 1]).slices()
    assert list(assembled(pieces)) == pieces


def test_a_large_batch_is_handed_over_without_another_copy(large):
    came = assembled(span_of(batch_of([20, 30, 10]), [1, 1, 1]).slices())
    assert join(came) is came[0].store.batch


@pytest.mark.parametrize("expected", [0, 1, 59, 60, 61, 1000])
def test_arrays_have_just_the_rows_of_the_batch_however_many_were_expected(large, expected):
    batch = batch_of([20, 30, 10])
    joined = join(assembled(span_of(batch, [1, 1, 1]).slices(), lambda units, steps: expected))
    assert joined.difference(batch) is None
    for path, array in arrays(joined):
        base = array if array.base is None else array.base
        assert base.nbytes == array.nbytes, f"{path} keeps memory that nobody uses"


def test_it_is_asked_for_how_many_steps_to_expect_by_what_came(large):
    asked = []

    def expected(units, steps):
        asked.append((units, steps))
        return 100

    assembled(span_of(batch_of([1, 20, 30]), [1, 1, 1]).slices(), expected)
    assert asked == [(2, 21)], "once, when there is so much that copying begins"


def test_a_large_batch_owns_its_memory_and_nobody_else_sees_writes(large):
    batch = batch_of([20, 30, 10])
    digest = batch.digest()
    joined = join(assembled(span_of(batch, [1, 1, 1]).slices()))
    for path, array in arrays(joined):
        assert array.flags.owndata, path
        assert array.flags.writeable, path
        assert array.flags.c_contiguous, path
        array[...] = np.zeros_like(array)
    assert batch.digest() == digest


def test_writes_to_the_pieces_do_not_reach_a_large_batch(large):
    batch, other = batch_of([20, 30, 10]), batch_of([20, 30, 10])
    joined = join(assembled([whole(batch), whole(batch_of([5, 5], 500))]))
    for _, array in arrays(batch):
        array[...] = np.zeros_like(array)
    assert joined.view(slice(0, 3), slice(0, 60)).difference(other) is None


def test_pieces_are_let_go_long_before_the_batch_is_whole(large):
    assembly = Assembly(lambda units, steps: 1000)
    memory = []
    for number in range(5):
        piece = whole(batch_of([20], 100 * number))
        memory += [(path, weakref.ref(array)) for path, array in arrays(piece.store)]
        assembly.add([Span.of(piece)])
        del piece
    gc.collect()
    assert [path for path, array in memory if array() is not None] == []


@pytest.mark.slow
def test_pieces_that_are_added_together_are_let_go_as_they_are_copied(large, monkeypatch):
    assembly, alive = Assembly(lambda units, steps: 1000), []
    spans = [Span.of(whole(batch_of([20], 100 * number))) for number in range(5)]
    stores = [weakref.ref(span.store) for span in spans]
    copy = module.Assembly._copy

    def counted(self):
        copy(self)
        gc.collect()
        alive.append(sum(store() is not None for store in stores))

    monkeypatch.setattr(module.Assembly, "_copy", counted)
    assembly.add(spans)
    assert alive == [4, 3, 2, 1, 0]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.data())
def test_pieces_give_the_same_batch_however_many_are_added_at_a_time(lengths, data):
    batch = batch_of(lengths)
    one_by_one = join(assembled(span_of(batch, [1] * len(lengths)).slices()))
    assembly, whole_span = Assembly(lambda units, steps: steps), span_of(batch, [1] * len(lengths))
    spans, start = [], 0
    while start < len(lengths):
        stop = data.draw(st.integers(start + 1, len(lengths)))
        spans.append(whole_span.part(start, stop))
        start = stop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BYTES", data.draw(st.sampled_from([1, 500, 1 << 22])))
        while spans:
            count = data.draw(st.integers(1, len(spans)))
            assembly.add(spans[:count])
            del spans[:count]
        came = assembly.finish()
    assert [piece.n_steps for piece in came] == lengths
    assert join(came).difference(one_by_one) is None


def test_no_row_is_in_memory_twice_for_long():
    space = spaces.Box(0, 1, (1 << 12,), np.float64)
    assembly = Assembly(lambda units, steps: 2400)
    tracemalloc.start()
    try:
        for number in range(40):
            assembly.add([Span.of(whole(batch_of([60], number, space)))])
        batch = join(assembly.finish())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(batch.rewards) == 2400
    size = batch.observations.nbytes
    assert peak < 1.3 * size


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize(
    ("other", "names"),
    [
        (
            batch_of([20], space=spaces.Dict({**NESTED.spaces, "a": NINE})),
            r"observations\['a'\]",
        ),
        (
            batch_of([20], space=spaces.Dict({**NESTED.spaces, "a": spaces.Box(0, 1, (4,), np.float32)})),
            r"observations\['a'\]",
        ),
        (batch_of([20], space=spaces.Dict({"a": BOX})), "observations has not the same keys"),
        (batch_of([20], infos=lambda rows: {"row": rows.astype(str)}), r"env_infos\['row'\]"),
        (batch_of([20], infos=lambda rows: {"row": {"it": rows.reshape(-1, 1)}}), r"env_infos\['row'\]"),
    ],
    ids=["another dtype", "another shape", "other keys", "text for a dict", "another shape of infos"],
)
def test_columns_that_do_not_fit_are_named(size, other, names, monkeypatch):
    monkeypatch.setattr(module, "_BYTES", {"small": 1 << 30, "large": 64}[size])
    pieces = [whole(batch_of([20])), whole(other), whole(batch_of([20]))]
    with pytest.raises(ValueError, match=names):
        join(assembled(pieces))


def test_infos_that_only_some_pieces_have_are_masked_as_if_they_had_come_together(large):
    batches = [batch_of([4], 0, infos=lambda rows: {}), batch_of([5], 50), batch_of([6], 90)]
    joined = join(assembled([whole(batch) for batch in batches]))
    assert joined.difference(EpisodeBatch.concatenate(*batches)) is None
    assert joined.env_infos["_row"].tolist() == [False] * 4 + [True] * 11


@pytest.mark.parametrize("space", [spaces.Dict({}), spaces.Tuple([]), spaces.Box(0, 1, (0,), np.float32)])
def test_spaces_without_any_number_work(large, space):
    batches = [batch_of([4], 0, space), batch_of([5], 50, space), batch_of([60], 90, space)]
    joined = join(assembled([whole(batch) for batch in batches]))
    assert joined.difference(EpisodeBatch.concatenate(*batches)) is None
