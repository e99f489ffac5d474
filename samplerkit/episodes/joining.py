"""Slices become a batch: as views where they stand side by side, else by the fastest way to copy them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from samplerkit.episodes.columns import Array, Column, map_columns_of, map_each
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.info_types import agree, has_objects, in_agreement, is_recorded
from samplerkit.episodes.recycling import RecycledMemory
from samplerkit.episodes.slices import (
    Assembled,
    EpisodeSlice,
    GatheringStore,
    Spans,
    episodes_of_each,
    lengths_of_each,
    pieces_of,
    whole,
)

_MANY = 3
"""Slices for each batch, from which on one gathers: a view of each costs more than a second copy of all."""

_BYTES = 1 << 22
"""Copying more than this twice costs more than views do."""

_LONG = 64
"""Rows of a slice, on the average, from which on a view of each column costs less than a second copy."""


def merged(slices: Iterable[EpisodeSlice]) -> EpisodeBatch:
    """Return the episodes of all slices; where these stand side by side, as views of their store.

    Raises:
        ValueError: as `join`.
    """
    pieces = as_few(slices)
    if len(pieces) == 1:
        return pieces[0].view()
    together = _gathered(pieces) or _alternating(pieces)
    if together is not None:
        return together
    parts = _parts(pieces, fresh=False)
    return parts[0] if len(parts) == 1 else EpisodeBatch.concatenate(*parts)


def join(slices: Iterable[EpisodeSlice], memory: RecycledMemory | None = None) -> EpisodeBatch:
    """Return the episodes of all slices, in arrays that are nobody else's.

    Args:
        slices: in order.
        memory: where arrays are put where there are many slices.

    Raises:
        ValueError: without any slice; where columns do not fit together.
    """
    slices = slices if isinstance(slices, Spans) else list(slices)
    pieces = as_few(slices)
    store = pieces[0].store if len(pieces) == 1 else None
    if isinstance(store, Assembled) and pieces[0].n_episodes == len(store.batch.lengths):
        return store.batch
    try:
        batch = _joined(pieces, memory)
        if not (has_objects(batch) and any(map(is_recorded, pieces))):
            return batch
        if agree([*pieces, whole(batch)], widths=False):
            return batch
    except ValueError:
        if not any(map(is_recorded, pieces)):
            raise
    # Objects take in everything, but not what numbers have become that were put together before, or could not
    # become. Who stands beside whom in a recording is not to be seen.
    runs = in_agreement(slices, widths=False)
    return EpisodeBatch.concatenate(*[_joined(as_few(run)) for run in runs])


def _joined(pieces: Sequence[EpisodeSlice], memory: RecycledMemory | None = None) -> EpisodeBatch:
    together = _gathered(pieces, memory) or _alternating(pieces)
    if together is not None:
        return together
    parts = _parts(pieces, fresh=True)
    if len(parts) == 1 and isinstance(pieces[0].store, GatheringStore):
        return parts[0]
    return EpisodeBatch.concatenate(*parts)


def _parts(pieces: Sequence[EpisodeSlice], *, fresh: bool) -> list[EpisodeBatch]:
    """Return the episodes of all pieces, in fresh arrays where their store gathers them, else as views.

    Args:
        pieces: in order.
        fresh: False: as views, too, where those of a store that gathers follow each other.
    """
    parts: list[EpisodeBatch] = []
    for _, group in itertools.groupby(pieces, key=lambda piece: id(piece.store)):
        some = list(group)
        store = some[0].store
        if isinstance(store, GatheringStore) and (fresh or len(some) > 1):
            parts.append(store.gather([each for piece in some for each in range(piece[1], piece[2])]))
        else:
            parts += [piece.view() for piece in some]
    return parts


def as_few(slices: Iterable[EpisodeSlice]) -> list[EpisodeSlice]:
    """Return the same episodes in as few slices as possible."""
    pieces = pieces_of(slices)
    if len(pieces) < 2:
        return pieces
    # By places, which are found faster than names: there may be thousands.
    breaks = [
        i
        for i, (last, piece) in enumerate(itertools.pairwise(pieces), 1)
        if last[0] is not piece[0] or last[2] != piece[1]
    ]
    if len(breaks) == len(pieces) - 1:
        return pieces
    ends = [
        (pieces[first], pieces[stop - 1]) for first, stop in itertools.pairwise([0, *breaks, len(pieces)])
    ]
    return [
        EpisodeSlice(first.store, first.first_episode, last.stop_episode, first.first_row, last.stop_row)
        for first, last in ends
    ]


def _gathered(pieces: Sequence[EpisodeSlice], memory: RecycledMemory | None = None) -> EpisodeBatch | None:
    """Return the episodes of all slices in fresh arrays.

    Where units of several processes alternate, a batch consists of hundreds of slices of a handful of
    messages. Ten columns of each would have to be viewed; instead each column of the messages is joined as it
    is, and then its rows are put in order all at once.

    Long slices are copied one by one, but column by column.

    Returns:
        None where that would not be the same, or would take longer: for few slices, large rows, and batches
        whose infos are of different kinds.
    """
    if not pieces:
        return None
    store_of, *places_of = zip(*pieces, strict=True)
    stores = {id(store): store for store in store_of}
    batches = [store for store in stores.values() if isinstance(store, EpisodeBatch)]
    if len(pieces) < _MANY * len(stores) or len(batches) < len(stores):
        return None
    held = sum(len(batch.rewards) for batch in batches)
    wanted = sum(lengths_of_each(pieces))
    long = wanted >= _LONG * len(pieces)
    if not long and (held > 2 * wanted or wanted * batches[0].env_spec.step_bytes > _BYTES):
        return None
    if not are_alike(batches):
        return None
    places = dict(zip(stores, itertools.count()))
    which = [places[id(store)] for store in store_of]
    if long:
        return _one_by_one(batches, which, pieces, memory or RecycledMemory())
    # Where each batch begins among all, as each slice is to be moved.
    first_episodes, stop_episodes, first_rows, stop_rows = map(np.array, places_of)
    before_rows = _starts([len(batch.rewards) for batch in batches])[which]
    before_episodes = _starts([len(batch.lengths) for batch in batches])[which]
    rows = between(first_rows + before_rows, stop_rows + before_rows)
    episodes = between(first_episodes + before_episodes, stop_episodes + before_episodes)
    return rearranged(batches, episodes, rows)


def _one_by_one(
    batches: Sequence[EpisodeBatch],
    which: Sequence[int],
    pieces: Sequence[EpisodeSlice],
    memory: RecycledMemory,
) -> EpisodeBatch:
    """Return the episodes of slices of batches that are alike, given which batch each slice is of."""
    rows = [slice(piece.first_row, piece.stop_row) for piece in pieces]
    episodes = [slice(piece.first_episode, piece.stop_episode) for piece in pieces]
    n_rows = sum(lengths_of_each(pieces))

    def of_steps(arrays: Sequence[Array]) -> Array:
        column = memory.array((n_rows, *arrays[0].shape[1:]), arrays[0].dtype)
        parts = [arrays[index][some] for index, some in zip(which, rows, strict=True)]
        return np.concatenate(parts, out=column)

    def of_episodes(arrays: Sequence[Array]) -> Array:
        return np.concatenate([arrays[index][some] for index, some in zip(which, episodes, strict=True)])

    return _by_columns(batches, of_steps, of_episodes)


def _alternating(pieces: Sequence[EpisodeSlice]) -> EpisodeBatch | None:
    """Return the episodes of all slices in fresh arrays, where those of a few stores that gather alternate.

    Returns:
        None where that would take longer than one by one, as for `_gathered`, or would not be the same.
    """
    groups: dict[int, list[int]] = {}
    for index, piece in enumerate(pieces):
        groups.setdefault(id(piece.store), []).append(index)
    if not 1 < len(groups) <= len(pieces) // _MANY:
        return None
    if sum(piece.n_steps * piece.store.env_spec.step_bytes for piece in pieces) > _BYTES:
        return None
    batches = []
    for group in groups.values():
        store = pieces[group[0]].store
        if not isinstance(store, GatheringStore):
            return None
        batches.append(store.gather([each for i in group for each in range(pieces[i][1], pieces[i][2])]))
    if not are_alike(batches):
        return None
    order = [index for group in groups.values() for index in group]
    rows = _put_in_order(order, lengths_of_each(pieces))
    episodes = _put_in_order(order, episodes_of_each(pieces))
    return rearranged(batches, episodes, rows)


def _put_in_order(order: Sequence[int], counts: Sequence[int]) -> NDArray[np.int64]:
    """Return which entries to take, so that pieces which stand in an order come in that of their numbers.

    Args:
        order: the pieces as they stand.
        counts: of entries of each piece, by its number.
    """
    given = np.array(counts)[list(order)]
    starts = np.empty(len(order), np.int64)
    starts[list(order)] = np.cumsum(given) - given
    return ranges(list(zip(starts.tolist(), counts, strict=True)))


def select(batch: EpisodeBatch, episodes: NDArray[np.int64]) -> EpisodeBatch:
    """Return some episodes of a batch, in this order, in fresh arrays; without their provenance."""
    lengths = batch.lengths[episodes]
    starts = (np.cumsum(batch.lengths) - batch.lengths)[episodes]
    rows = np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    return rearranged([batch], episodes, rows)


def rearranged(
    batches: Sequence[EpisodeBatch], episodes: NDArray[np.int64], rows: NDArray[np.int64]
) -> EpisodeBatch:
    """Return episodes of batches that are alike, given as entries of what these are one after the other."""

    def of_steps(arrays: Sequence[Array]) -> Array:
        return _one(arrays).take(rows, 0)

    def of_episodes(arrays: Sequence[Array]) -> Array:
        return _one(arrays).take(episodes, 0)

    return _by_columns(batches, of_steps, of_episodes)


def _one(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _by_columns(
    batches: Sequence[EpisodeBatch],
    of_steps: Callable[[Sequence[Array]], Array],
    of_episodes: Callable[[Sequence[Array]], Array],
) -> EpisodeBatch:
    """Return the batch whose arrays are functions of those of batches that are alike."""
    return EpisodeBatch.unchecked(
        env_spec=batches[0].env_spec,
        episode_infos=map_columns_of(of_episodes, [it.episode_infos_by_episode for it in batches]),
        observations=map_each(of_steps, [it.observations for it in batches]),
        last_observations=map_each(of_episodes, [it.last_observations for it in batches]),
        actions=map_each(of_steps, [it.actions for it in batches]),
        rewards=of_steps([it.rewards for it in batches]),
        env_infos=map_columns_of(of_steps, [it.env_infos for it in batches]),
        agent_infos=map_columns_of(of_steps, [it.agent_infos for it in batches]),
        step_types=of_steps([it.step_types for it in batches]),
        lengths=of_episodes([it.lengths for it in batches]),
    )


def are_alike(batches: Sequence[EpisodeBatch]) -> bool:
    looks = {_look(batch) for batch in batches}
    return len(looks) == 1 and None not in looks


def _look(batch: EpisodeBatch) -> Hashable:
    """Return what the columns are; None where other rows could make them something else."""
    if batch.provenance is not None:
        return None
    infos = batch.episode_infos_by_episode, batch.env_infos, batch.agent_infos
    return _column_look((*infos, batch.observations, batch.last_observations, batch.actions))


def _column_look(column: Column) -> Hashable:
    if isinstance(column, np.ndarray):
        return None if column.dtype.hasobject else (column.dtype, column.shape[1:])
    if isinstance(column, tuple):
        children = tuple(map(_column_look, column))
        return None if None in children else children
    if not column and isinstance(column, dict):
        return ()
    # Where a key has a mask some rows lack it, and not having any of those changes the columns.
    if not isinstance(column, dict) or any(key[:1] == "_" for key in column):
        return None
    looks = tuple((key, _column_look(child)) for key, child in column.items())
    return None if any(look is None for _, look in looks) else looks


def _starts(counts: Sequence[int]) -> NDArray[np.int64]:
    """Return where each of some parts begins, given how many entries each has."""
    starts: NDArray[np.int64] = np.cumsum([0, *counts[:-1]])
    return starts


def ranges(ranges: Sequence[tuple[int, int]] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of all ranges, each given by its start and its length, one after the other."""
    starts, lengths = np.array(ranges, np.int64).T
    return between(starts, starts + lengths)


def between(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of all ranges, each given by its start and its stop, one after the other."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    numbers: NDArray[np.int64] = np.arange(ends[-1]) + np.repeat(stops - ends, lengths)
    return numbers
