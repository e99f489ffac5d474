"""Episodes whose observations were put in their places while they ran, and all else of them in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from samplerkit.episodes.batch_buffer import BatchBuffer
from samplerkit.episodes.columns import Array, rows_of
from samplerkit.episodes.episode_batch import EpisodeBatch
from samplerkit.episodes.finals import Standing
from samplerkit.episodes.joining import ranges, rearranged
from samplerkit.episodes.scattered import without_observations
from samplerkit.episodes.slices import GatheringStore, Span


class Placed(GatheringStore):
    """The store of such episodes, one of each unit.

    Args:
        rest: all but the observations.
        buffer: where these are.
        places: (N,) of each episode there.
    """

    def __init__(self, rest: EpisodeBatch, buffer: BatchBuffer, places: Sequence[int]) -> None:
        self.env_spec = rest.env_spec
        self._rest = rest
        self._buffer = buffer
        self._standing = np.array(places, np.int64) * buffer.unit_rows
        self._first_rows = np.cumsum(rest.lengths) - rest.lengths

    def span(self) -> Span:
        """Return a slice for each episode."""
        firsts = [*self._first_rows.tolist(), len(self._rest.rewards)]
        return Span(self, range(len(firsts)), firsts)

    def view(self, episodes: slice, rows: slice) -> EpisodeBatch:
        """See `EpisodeStore`: views for a single episode, since others do not stand side by side."""
        if episodes.stop - episodes.start > 1:
            return self.gather(range(episodes.start, episodes.stop))
        first = int(self._standing[episodes.start])
        standing = slice(first, first + rows.stop - rows.start)
        observations = rows_of(self._buffer.column, standing)
        return self._rest.view(episodes, rows).with_columns(observations=observations)

    def gather(self, episodes: Sequence[int]) -> EpisodeBatch:
        """See `GatheringStore`."""
        return self.light(episodes).with_columns(
            observations=rows_of(self._buffer.column, self._rows(self._standing, episodes)),
            last_observations=rows_of(self._rest.last_observations, np.array(episodes)),
        )

    def light(self, episodes: Sequence[int]) -> EpisodeBatch:
        """See `GatheringStore`."""
        rows = self._rows(self._first_rows, episodes)
        return rearranged([without_observations(self._rest)], np.array(episodes), rows)

    def standing(self, episodes: Sequence[int]) -> Standing:
        """See `GatheringStore`."""
        steps = self._rows(self._standing, episodes)
        return Standing(
            self._buffer.column, steps, self._rest.last_observations, -1 - np.array(episodes, np.int64)
        )

    def _rows(self, firsts: Array, episodes: Sequence[int]) -> Array:
        each = np.array(episodes)
        return ranges(np.stack([firsts[each], self._rest.lengths[each]], 1))
