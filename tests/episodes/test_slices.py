"""Episodes by reference: cutting, merging and joining them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.episodes import (
    EnvSpec,
    EpisodeBatch,
    EpisodeSlice,
    Span,
    Spans,
    episodes_of_each,
    join,
    lengths_of_each,
    merged,
    span_of,
    whole,
)
from samplerkit.episodes.columns import arrays_of
from samplerkit.episodes.slices import Assembled, pieces_of, slice_of
from samplerkit.episodes.time_step_batch import TimeStepBatch

SPEC = EnvSpec(spaces.Box(-np.inf, np.inf, (2,), np.float64), spaces.Discrete(9))


def batch_of(lengths, base=0) -> EpisodeBatch:
    """Return episodes whose rows count."""
    n, lengths = sum(lengths), np.array(lengths, np.int64)
    types = np.ones(n, np.int8)
    types[np.cumsum(lengths) - lengths] = 0
    types[np.cumsum(lengths) - 1] = 2
    rows = np.arange(base, base + n, dtype=np.float64)
    return EpisodeBatch(
        env_spec=SPEC,
        episode_infos={"episode": np.arange(base, base + len(lengths))},
        observations=np.stack([rows, rows], axis=1),
        last_observations=-np.stack([lengths, lengths], axis=1).astype(np.float64),
        actions=rows.astype(np.int64) % 9,
        rewards=rows.copy(),
        env_infos={"row": {"it": rows.copy()}},
        agent_infos={"row": rows.copy()},
        step_types=types,
        lengths=lengths,
    )


def test_a_slice_of_its_fields_is_one_like_any_other():
    store = batch_of([2, 3])
    made = slice_of((store, 1, 2, 2, 5))
    assert type(made) is EpisodeSlice
    assert made == EpisodeSlice(store, 1, 2, 2, 5)
    assert (made.n_steps, made.n_episodes) == (3, 1)


def arrays(batch: TimeStepBatch):
    return [item for name in batch._data_fields for item in arrays_of(getattr(batch, name), name)]


def counts_of(data, total) -> list[int]:
    """Draw how many episodes each slice has, until all are in one."""
    counts: list[int] = []
    while sum(counts) < total:
        counts.append(data.draw(st.integers(1, total - sum(counts))))
    return counts


lengths_lists = st.lists(st.integers(1, 5), min_size=1, max_size=8)


@given(lengths=lengths_lists, data=st.data())
def test_what_is_cut_and_joined_is_the_batch(lengths, data):
    batch = batch_of(lengths)
    store = data.draw(st.sampled_from([batch, Assembled(batch)]))
    counts = counts_of(data, len(lengths))
    pieces = span_of(store, counts).slices()
    assert [piece.n_episodes for piece in pieces] == counts
    assert sum(piece.n_steps for piece in pieces) == len(batch.rewards)
    assert join(pieces).difference(batch) is None
    assert merged(pieces).difference(batch) is None


@given(lengths=lengths_lists, data=st.data())
def test_slices_of_spans_are_those_that_were_cut_one_by_one(lengths, data):
    batch = batch_of(lengths)
    counts = counts_of(data, len(lengths))
    pieces, span = span_of(batch, counts).slices(), span_of(batch, counts)
    assert (span.n_slices, span.n_steps) == (len(counts), sum(lengths))
    assert pieces_of(Spans([span])) == [whole(batch)]
    bounds = sorted(data.draw(st.sets(st.integers(0, len(counts)), min_size=2)))
    some = [span.part(start, stop) for start, stop in itertools.pairwise(bounds)]
    order = data.draw(st.permutations(some))
    expected = [piece for part in order for piece in part.slices()]
    came = Spans(order)
    assert sorted(expected) == sorted(pieces[bounds[0] : bounds[-1]])
    assert (len(came), list(came), came[-1], came[1:]) == (
        len(expected),
        expected,
        expected[-1],
        expected[1:],
    )
    assert lengths_of_each(came) == lengths_of_each(expected)
    assert episodes_of_each(came) == episodes_of_each(expected)
    assert join(came).difference(join(expected)) is None
    assert merged(came).difference(join(expected)) is None
    assert [*Spans([*map(Span.of, expected)])] == expected


@given(lengths=lengths_lists, data=st.data())
def test_slices_in_any_order_give_their_episodes_in_that_order(lengths, data):
    batch = batch_of(lengths)
    pieces = span_of(batch, [1] * len(lengths)).slices()
    order = data.draw(st.permutations(range(len(lengths))))
    expected = EpisodeBatch.concatenate(*(batch.split()[number] for number in order))
    assert join([pieces[number] for number in order]).difference(expected) is None
    assert merged([pieces[number] for number in order]).difference(expected) is None


@given(data=st.data())
def test_slices_of_several_stores_are_joined(data):
    batches = [batch_of(data.draw(lengths_lists), 100 * number) for number in range(3)]
    pieces = [
        piece for batch in batches for piece in span_of(batch, counts_of(data, len(batch.lengths))).slices()
    ]
    assert join(pieces).difference(EpisodeBatch.concatenate(*batches)) is None


def test_a_slice_views_its_store():
    batch = batch_of([2, 3, 1])
    piece = span_of(batch, [1, 1, 1]).slices()[1]
    assert piece.view().rewards.tolist() == [2, 3, 4]
    assert piece.view().last_observations.tolist() == [[-3, -3]]
    assert np.shares_memory(piece.view().observations, batch.observations)
    assert (whole(batch).n_episodes, whole(batch).n_steps) == (3, 6)


def test_slices_that_stand_side_by_side_are_merged_without_a_copy():
    batch = batch_of([2, 3, 1, 4])
    pieces = span_of(batch, [1, 1, 1, 1]).slices()
    view = merged(pieces[1:3])
    assert view.lengths.tolist() == [3, 1]
    assert np.shares_memory(view.observations, batch.observations)


@pytest.mark.parametrize("order", [(0, 0), (1, 0), (0, 2)])
def test_slices_that_do_not_stand_side_by_side_are_not_taken_for_one(order):
    pieces = span_of(batch_of([2, 3, 1]), [1, 1, 1]).slices()
    expected = [row for number in order for row in pieces[number].view().rewards.tolist()]
    assert merged([pieces[number] for number in order]).rewards.tolist() == expected


def test_slices_of_equal_stores_are_not_taken_for_one():
    one, other = batch_of([1, 1]), batch_of([1, 1], 50)
    pieces = [span_of(one, [1, 1]).slices()[0], span_of(other, [1, 1]).slices()[1]]
    assert join(pieces).rewards.tolist() == [0, 51]


@pytest.mark.parametrize("counts", [[3], [1, 2], [1, 1, 1]])
def test_a_joined_batch_owns_its_memory_and_shares_none_with_its_store(counts):
    batch = batch_of([2, 3, 1])
    joined = join(span_of(batch, counts).slices())
    for (path, mine), (_, theirs) in zip(arrays(joined), arrays(batch), strict=True):
        assert mine.flags.owndata, path
        assert mine.flags.writeable, path
        assert not np.shares_memory(mine, theirs), path


def test_a_batch_that_was_made_for_this_is_joined_without_a_copy():
    batch = batch_of([2, 3, 1])
    assert join(span_of(Assembled(batch), [2, 1]).slices()) is batch


@pytest.mark.parametrize("some", [slice(0, 1), slice(1, 2)])
def test_a_part_of_a_batch_that_was_made_for_this_is_copied(some):
    batch = batch_of([2, 3, 1])
    joined = join(span_of(Assembled(batch), [2, 1]).slices()[some])
    assert not any(
        np.shares_memory(mine, theirs)
        for (_, mine), (_, theirs) in zip(arrays(joined), arrays(batch), strict=True)
    )


def test_nothing_cannot_be_joined():
    with pytest.raises(ValueError, match="at least one"):
        join([])


def test_a_slice_names_its_parts():
    piece = EpisodeSlice(batch_of([2, 3]), 1, 2, 2, 5)
    assert (piece.n_steps, piece.n_episodes) == (3, 1)
    assert piece.view().rewards.tolist() == [2, 3, 4]
