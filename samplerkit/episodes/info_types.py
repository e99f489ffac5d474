"""Which infos may stand in one column, and come out of it as they were."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np

from samplerkit.episodes.columns import Array, Column, Columns, arrays_of
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.recording import Recording
from samplerkit.episodes.slices import EpisodeSlice
from samplerkit.episodes.tick_recording import TickRecording

Path = tuple[str, ...]
"""Which infos, and the keys on the way to a column of them."""

Types = Sequence[tuple[Path, Hashable]]
"""Types of columns; perhaps several of one."""


class InfoTypes:
    """The types of the infos of slices.

    Columns of different dtypes become one that holds the values of both: floats for integers, longer strings,
    objects. Episodes that are taken out of it again would show who stood beside them, and what is put to them
    later may take in what they were, and not what they have become.

    Args:
        widths: whether strings of different widths differ. They do for whoever takes episodes out again; put
            together they are the same in whatever order.
    """

    def __init__(self, *, widths: bool = True) -> None:
        self._widths = widths
        self._types: dict[Path, Hashable] = {}
        self._of_stores: dict[int, Types] = {}

    def agree(self, piece: EpisodeSlice) -> bool:
        """Note the types of a slice; return False if a key has had another, here or before."""
        known = self._types
        return all(known.setdefault(path, kind) == kind for path, kind in self._of(piece))

    def begin_with(self, piece: EpisodeSlice) -> None:
        """Forget all types but those of this slice."""
        self._types.clear()
        self.agree(piece)

    def _of(self, piece: EpisodeSlice) -> Types:
        store = piece.store
        if isinstance(store, (Recording, TickRecording)):
            return _types(store.infos_of(range(piece.first_episode, piece.stop_episode)), self._widths)
        # A message: there may be hundreds of slices, and its units had the same types before they met there.
        found = self._of_stores.get(id(store))
        if found is None:
            infos = _infos(store if isinstance(store, EpisodeBatch) else piece.view())
            found = self._of_stores[id(store)] = _types(infos, self._widths)
        return found


def agree(slices: Sequence[EpisodeSlice], *, widths: bool = True) -> bool:
    """Whether infos of all slices have the same types; see `InfoTypes`."""
    store = slices[0].store if slices else None
    if isinstance(store, TickRecording) and all(
        piece.store is store and store.has_infos_of_ticks_only(range(piece.first_episode, piece.stop_episode))
        for piece in slices
    ):
        return True
    types = InfoTypes(widths=widths)
    return all(map(types.agree, slices))


def in_agreement(slices: Iterable[EpisodeSlice], *, widths: bool = True) -> list[list[EpisodeSlice]]:
    """Divide slices, in order, into runs whose infos have the same types; see `InfoTypes`."""
    runs: list[list[EpisodeSlice]] = []
    types = InfoTypes(widths=widths)
    for piece in slices:
        if not runs or not types.agree(piece):
            types.begin_with(piece)
            runs.append([])
        runs[-1].append(piece)
    return runs


def is_recorded(piece: EpisodeSlice) -> bool:
    """Whether a slice stands in a recording, where infos of its neighbours may be of other types."""
    return isinstance(piece.store, (Recording, TickRecording))


def has_objects(batch: EpisodeBatch) -> bool:
    """Whether a column of infos holds Python objects."""
    return any(array.dtype.hasobject for _, columns in _infos(batch) for _, array in arrays_of(columns))


def _infos(batch: EpisodeBatch) -> Sequence[tuple[str, Columns]]:
    return (
        ("episode_infos", batch.episode_infos_by_episode),
        ("env_infos", batch.env_infos),
        ("agent_infos", batch.agent_infos),
    )


def _types(infos: Iterable[tuple[str, Columns]], widths: bool) -> Types:
    return [found for name, columns in infos for found in _types_of((name,), columns, widths)]


def _types_of(path: Path, column: Column, widths: bool) -> Iterator[tuple[Path, Hashable]]:
    if isinstance(column, dict):
        yield path, dict
        for key, child in column.items():
            yield from _types_of((*path, key), child, widths)
    else:
        assert isinstance(column, np.ndarray), "infos are arrays, or dicts of them"
        yield path, _type_of(column, widths)


def _type_of(array: Array, widths: bool) -> Hashable:
    # Numbers among objects are brought to one type.
    kinds = frozenset(map(type, array.flat)) if array.dtype.hasobject else None
    dtype = array.dtype.kind if array.dtype.kind in "US" and not widths else array.dtype
    return dtype, array.shape[1:], kinds
