"""Episodes by reference: what passes from workers to a batch, so that rows are copied once, at its end."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple, Protocol

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


def whole(batch: EpisodeBatch) -> EpisodeSlice:
    """Return a slice that is all of a batch."""
    return EpisodeSlice(batch, 0, len(batch.lengths), 0, len(batch.rewards))


class Assembled:
    """A store that is nobody else's: a batch whose arrays were made for it."""

    def __init__(self, batch: EpisodeBatch) -> None:
        self.batch = batch
        self.env_spec = batch.env_spec

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """See `EpisodeStore`."""
        return self.batch.view(episodes, rows)


def cut(store: EpisodeBatch | Assembled, n_episodes: Sequence[int]) -> list[EpisodeSlice]:
    """Return the consecutive slices of a batch that have so many episodes each."""
    lengths = store.batch.lengths if isinstance(store, Assembled) else store.lengths
    rows = [0, *np.cumsum(lengths).tolist()]
    slices, first = [], 0
    for count in n_episodes:
        slices.append(EpisodeSlice(store, first, first + count, rows[first], rows[first + count]))
        first += count
    return slices


def append(pieces: list[EpisodeSlice], piece: EpisodeSlice) -> None:
    """Add a slice to a list; where it stands beside the last one they become one."""
    if pieces:
        last = pieces[-1]
        if last.store is piece.store and last.stop_episode == piece.first_episode:
            pieces[-1] = EpisodeSlice(last.store, last[1], piece.stop_episode, last[3], piece.stop_row)
            return
    pieces.append(piece)
