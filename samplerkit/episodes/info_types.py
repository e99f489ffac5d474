"""Which infos may stand in one column, and come out of it as they were."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

import numpy as np

from samplerkit.episodes.columns import Array, Column, Columns
from samplerkit.episodes.recording import Recording
from samplerkit.episodes.slices import EpisodeSlice
from samplerkit.episodes.tick_recording import TickRecording


class InfoTypes:
    """The types of infos, by their keys.

    Columns of different dtypes become one that holds the values of both: floats for integers, longer strings,
    objects. Episodes that are taken out of it again would show who stood beside them.
    """

    def __init__(self) -> None:
        self._types: dict[tuple[str, ...], Hashable] = {}

    def agree(self, infos: Iterable[tuple[str, Columns]]) -> bool:
        """Note the types of some columns, given with their names; return False if one has had another."""
        return all(self._agrees((name,), columns) for name, columns in infos)

    def _agrees(self, path: tuple[str, ...], column: Column) -> bool:
        if isinstance(column, dict):
            return all(self._agrees((*path, key), child) for key, child in column.items())
        assert isinstance(column, np.ndarray), "infos are arrays, or dicts of them"
        kind = _type_of(column)
        return self._types.setdefault(path, kind) == kind


def infos_of(piece: EpisodeSlice) -> Iterator[tuple[str, Columns]]:
    """Yield infos of some episodes with their names, so that each dtype is there that one of them has alone.

    How many rows there are plays no part.
    """
    store = piece.store
    if isinstance(store, (Recording, TickRecording)):
        yield from store.infos_of(range(piece.first_episode, piece.stop_episode))
        return
    batch = piece.view()
    yield "episode_infos", batch.episode_infos_by_episode
    yield "env_infos", batch.env_infos
    yield "agent_infos", batch.agent_infos


def _type_of(array: Array) -> Hashable:
    # Numbers among objects are brought to one type.
    kinds = frozenset(map(type, array.flat)) if array.dtype.hasobject else None
    return array.dtype, array.shape[1:], kinds
