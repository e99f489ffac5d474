"""Infos of slots that step together: columns of all ticks, or of each episode where its infos are its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from samplerkit.episodes.columns import Columns
from samplerkit.episodes.infos import concatenate_infos
from samplerkit.episodes.tick_infos import TickInfos


class RecordedInfos:
    """The infos of a recording: columns of all ticks, or, where rows differ too much, of each episode.

    Args:
        name: what errors call them.
        n_slots, capacity: see `TickRecording`.
        strings: see `TickInfos`.
    """

    def __init__(self, name: str, n_slots: int, capacity: int, *, strings: bool = False) -> None:
        self.name = name
        self.ticks = TickInfos(n_slots, capacity, strings=strings)
        # Of episodes that have any.
        self._of_episodes: dict[int, Columns] = {}

    @property
    def by_ticks(self) -> bool:
        """Whether no episode has columns of its own."""
        return not self._of_episodes

    def keep(self, episode: int, columns: Columns) -> None:
        """Note the columns of an episode, where they are not those of the ticks."""
        self._of_episodes[episode] = columns

    def keep_each(self, episode: int, columns: Sequence[Columns]) -> None:
        """Note the columns of consecutive episodes; none where they are those of the ticks."""
        self._of_episodes.update((it, some) for it, some in enumerate(columns, episode) if some)

    def arrange(self, first: int, order: Sequence[int]) -> None:
        """Put the episodes from `first` on in another order."""
        if self._of_episodes:
            moved = {place: self._of_episodes.pop(it, {}) for place, it in enumerate(order, first)}
            self._of_episodes.update((place, columns) for place, columns in moved.items() if columns)

    def forget_ticks(self) -> None:
        """Have no columns of ticks any more."""
        self.ticks = TickInfos(1, 0)

    def grow(self, capacity: int) -> None:
        """See `TickRecording.grow`."""
        self.ticks.grow(capacity)

    def take_ticks(self, other: RecordedInfos, start: int, stop: int) -> None:
        """See `TickRecording.take_ticks`."""
        self.ticks.take_ticks(other.ticks, start, stop)

    def types(self, episodes: Sequence[int]) -> Iterable[Columns]:
        """Return columns of the dtypes that some episodes have alone, of any number of rows."""
        if not self._of_episodes:
            return [] if self.ticks.empty else [self.ticks.cut(slice(0, 0))]
        return filter(None, map(self._of_episodes.get, episodes))

    def cut(self, episodes: Sequence[int], lengths: Sequence[int], steps: Any) -> Columns:
        """Return the columns of some episodes, whose steps stand in these rows."""
        if not self._of_episodes:
            return self.ticks.cut(steps)
        columns = [self._of_episodes.get(episode, {}) for episode in episodes]
        return concatenate_infos(columns, lengths, self.name)
