"""Slices of large observations: everything else in one batch, and where each observation is to be copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from samplerkit.episodes.columns import Array, Column, map_pair, rows_of
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.finals import Standing
from samplerkit.episodes.joining import are_alike, as_few, ranges, rearranged
from samplerkit.episodes.slices import EpisodeSlice, GatheringStore

_FEW = 512
"""Bytes of a row from which on copying it costs more than finding it."""


class Part(NamedTuple):
    """Episodes of one store, and where they go.

    Attributes:
        standing: their observations.
        rows: where those of their steps go, counted from the first step of all.
        episodes: where their final ones go.
    """

    standing: Standing
    rows: Array
    episodes: Array


def scattered(slices: Sequence[EpisodeSlice]) -> tuple[EpisodeBatch, list[Part]]:
    """Return the episodes of all slices in order, without observations, and parts that tell where these are.

    Raises:
        ValueError: where columns do not fit together.
    """
    groups = _grouped(as_few(slices))
    lights = [group.light() for group in groups]
    parts = [Part(group.standing(), ranges(group.rows), ranges(group.episodes)) for group in groups]
    if len(groups) == 1:
        return lights[0], parts
    if not are_alike(lights):
        return EpisodeBatch.concatenate(*(light(piece) for piece in as_few(slices))), parts
    orders = (_inverse([part.episodes for part in parts]), _inverse([part.rows for part in parts]))
    return rearranged(lights, *orders), parts


@dataclass
class _Group:
    """Slices of one store; for each the place and number of its rows, and of its episodes, among all."""

    pieces: list[EpisodeSlice]
    rows: list[tuple[int, int]]
    episodes: list[tuple[int, int]]

    def light(self) -> EpisodeBatch:
        store = self.pieces[0].store
        if len(self.pieces) == 1:
            return light(self.pieces[0])
        if isinstance(store, GatheringStore):
            return store.light(self._numbers())
        assert isinstance(store, EpisodeBatch), "others have a group for each slice"
        steps = ranges([(piece.first_row, piece.n_steps) for piece in self.pieces])
        return rearranged([without_observations(store)], np.array(self._numbers()), steps)

    def standing(self) -> Standing:
        store = self.pieces[0].store
        if isinstance(store, GatheringStore):
            return store.standing(self._numbers())
        batch = store if isinstance(store, EpisodeBatch) else self.pieces[0].view()
        if batch is not store:
            return batch.standing(np.arange(len(batch.rewards)), np.arange(len(batch.lengths)))
        steps = ranges([(piece.first_row, piece.n_steps) for piece in self.pieces])
        return batch.standing(steps, np.array(self._numbers()))

    def _numbers(self) -> Sequence[int]:
        first = self.pieces[0]
        if len(self.pieces) == 1:
            return range(first.first_episode, first.stop_episode)
        return [each for piece in self.pieces for each in range(piece.first_episode, piece.stop_episode)]


def _grouped(pieces: Sequence[EpisodeSlice]) -> list[_Group]:
    groups: dict[int, _Group] = {}
    row = episode = 0
    for index, piece in enumerate(pieces):
        gathers = isinstance(piece.store, (GatheringStore, EpisodeBatch))
        group = groups.setdefault(id(piece.store) if gathers else -1 - index, _Group([], [], []))
        group.pieces.append(piece)
        group.rows.append((row, piece.n_steps))
        group.episodes.append((episode, piece.n_episodes))
        row += piece.n_steps
        episode += piece.n_episodes
    return list(groups.values())


def light(piece: EpisodeSlice) -> EpisodeBatch:
    """Return the episodes of a slice without their observations."""
    store = piece.store
    if isinstance(store, GatheringStore):
        return store.light(range(piece.first_episode, piece.stop_episode))
    if isinstance(store, EpisodeBatch):
        episodes = slice(piece.first_episode, piece.stop_episode)
        return without_observations(store).view(episodes, slice(piece.first_row, piece.stop_row))
    return without_observations(piece.view())


def without_observations(batch: EpisodeBatch) -> EpisodeBatch:
    """Return a batch that lacks its observations and final ones, and is the same otherwise."""
    return batch.with_columns(observations=(), last_observations=())


def _inverse(places: Sequence[Array]) -> Array:
    """Return, for each place in order, which of all entries goes there."""
    order = np.concatenate(places)
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return inverse


def copy_rows(into: Column, places: Array, column: Column, rows: Array) -> None:
    """Copy rows of a column to other places of another one, without a copy between."""
    if not len(places):
        return
    breaks = np.flatnonzero((np.diff(places) != 1) | (np.diff(rows) != 1)) + 1
    starts, stops = [0, *breaks.tolist()], [*breaks.tolist(), len(places)]
    runs = list(zip(places[starts].tolist(), rows[starts].tolist(), starts, stops, strict=True))

    def copied(target: Array, source: Array) -> Array:
        if len(runs) > 1 and source[:1].nbytes < _FEW:
            target[places] = source[rows]
            return target
        for place, row, start, stop in runs:
            target[place : place + stop - start] = source[row : row + stop - start]
        return target

    map_pair(copied, into, column)


def put_finals(into: Column, places: Array, standing: Standing) -> None:
    """Copy final observations to places of a column."""
    among = standing.finals >= 0
    copy_rows(into, places[among], standing.every, standing.finals[among])
    copy_rows(into, places[~among], standing.apart, -1 - standing.finals[~among])


def no_rows(column: Column) -> Column:
    """Return a column of the same kind without rows."""
    return rows_of(column, slice(0))
