"""Episodes by reference: what passes from workers to a batch, so that rows are copied once, at its end."""

from __future__ import annotations

import abc
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, overload

import numpy as np

from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.finals import Standing
from samplerkit.episodes.spec import EnvSpec


class EpisodeStore(Protocol):
    """A larger whole that episodes stand in: a batch, or the recording of a worker."""

    @property
    def env_spec(self) -> EnvSpec:
        """The spaces of the episodes."""

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """Return consecutive episodes, given with their rows, as a batch of views."""


class GatheringStore(abc.ABC):
    """A store whose episodes lie scattered, and which puts any of them together faster than one by one."""

    @abc.abstractmethod
    def gather(self, episodes: Sequence[int]) -> EpisodeBatch:
        """Return episodes, in any order, as a batch of fresh arrays."""

    @abc.abstractmethod
    def light(self, episodes: Sequence[int]) -> EpisodeBatch:
        """Return them without their observations, in fresh arrays."""

    @abc.abstractmethod
    def standing(self, episodes: Sequence[int]) -> Standing:
        """Say where the observations of episodes stand."""


class EpisodeSlice(NamedTuple):
    """Consecutive episodes of a store, and their rows there."""

    store: EpisodeStore
    first_episode: int
    stop_episode: int
    first_row: int
    stop_row: int

    @property
    def n_steps(self) -> int:
        """How many steps they have together."""
        return self.stop_row - self.first_row

    @property
    def n_episodes(self) -> int:
        """How many episodes these are."""
        return self.stop_episode - self.first_episode

    def view(self) -> EpisodeBatch:
        """Return the episodes as a batch of views of the store."""
        return self.store.view(
            slice(self.first_episode, self.stop_episode), slice(self.first_row, self.stop_row)
        )


slice_of: Callable[[tuple[EpisodeStore, int, int, int, int]], EpisodeSlice] = functools.partial(
    tuple.__new__, EpisodeSlice
)
"""Makes a slice of its fields in less than half the time: every unit of every worker is one."""


def whole(batch: EpisodeBatch) -> EpisodeSlice:
    """Return a slice that is all of a batch."""
    return EpisodeSlice(batch, 0, len(batch.lengths), 0, len(batch.rewards))


class Span(NamedTuple):
    """Slices that stand side by side in one store: one object for what may be hundreds of them.

    Attributes:
        store: of all of them.
        episodes: where each slice begins, and where the last one ends; a range where each is one episode.
        rows: the same, in rows.
    """

    store: EpisodeStore
    episodes: Sequence[int]
    rows: Sequence[int]

    @classmethod
    def of(cls, piece: EpisodeSlice) -> Span:
        """Return a span of one slice."""
        return cls(piece[0], piece[1:3], piece[3:5])

    @property
    def n_slices(self) -> int:
        """How many slices these are."""
        return len(self.rows) - 1

    @property
    def n_steps(self) -> int:
        """How many steps they have together."""
        return self.rows[-1] - self.rows[0]

    def part(self, start: int, stop: int) -> Span:
        """Return some of the slices, from one to before another."""
        return Span(self.store, self.episodes[start : stop + 1], self.rows[start : stop + 1])

    def slices(self) -> list[EpisodeSlice]:
        """Return each of them."""
        return cut_at(*self)


class Spans(Sequence[EpisodeSlice]):
    """The slices of some spans, one after the other; made when somebody asks for single ones.

    Args:
        spans: in order.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans

    @functools.cached_property
    def _slices(self) -> list[EpisodeSlice]:
        return [piece for span in self.spans for piece in span.slices()]

    def __len__(self) -> int:
        return sum([len(span.rows) - 1 for span in self.spans])

    @overload
    def __getitem__(self, index: int) -> EpisodeSlice: ...

    @overload
    def __getitem__(self, index: slice) -> list[EpisodeSlice]: ...

    def __getitem__(self, index: int | slice) -> EpisodeSlice | list[EpisodeSlice]:
        return self._slices[index]


def lengths_of_each(slices: Iterable[EpisodeSlice]) -> list[int]:
    """Return how many steps each slice has."""
    if isinstance(slices, Spans):
        return [stop - row for span in slices.spans for row, stop in itertools.pairwise(span.rows)]
    return [piece.stop_row - piece.first_row for piece in slices]


def episodes_of_each(slices: Iterable[EpisodeSlice]) -> list[int]:
    """Return how many episodes each slice has."""
    if isinstance(slices, Spans):
        return [stop - first for span in slices.spans for first, stop in itertools.pairwise(span.episodes)]
    return [piece.stop_episode - piece.first_episode for piece in slices]


def pieces_of(slices: Iterable[EpisodeSlice]) -> list[EpisodeSlice]:
    """Return the same episodes, in a slice for each span where these are known."""
    if not isinstance(slices, Spans):
        return list(slices)
    return [
        slice_of((store, episodes[0], episodes[-1], rows[0], rows[-1]))
        for store, episodes, rows in slices.spans
    ]


class Assembled:
    """A store that is nobody else's: a batch whose arrays were made for it."""

    def __init__(self, batch: EpisodeBatch) -> None:
        self.batch = batch
        self.env_spec = batch.env_spec

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """See `EpisodeStore`."""
        return self.batch.view(episodes, rows)


def span_of(store: EpisodeBatch | Assembled, n_episodes: Sequence[int]) -> Span:
    """Return the consecutive slices of a batch that have so many episodes each."""
    lengths = store.batch.lengths if isinstance(store, Assembled) else store.lengths
    rows = [0, *np.cumsum(lengths).tolist()]
    if len(rows) == len(n_episodes) + 1:
        return Span(store, range(len(rows)), rows)
    episodes = [0, *itertools.accumulate(n_episodes)]
    return Span(store, episodes, [rows[it] for it in episodes])


def cut_at(store: EpisodeStore, episodes: Sequence[int], rows: Sequence[int]) -> list[EpisodeSlice]:
    """Return consecutive slices of a store, given where each begins, and the last one ends."""
    columns = zip(itertools.repeat(store), episodes, episodes[1:], rows, rows[1:])
    # What `EpisodeSlice._make` does, without a call in Python for each.
    return [*map(tuple.__new__, itertools.repeat(EpisodeSlice), columns)]
