"""Fragments of a call, in the order in which they are to stand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from samplerkit.episodes import EpisodeSlice, merged, whole


def in_one(parts: Sequence[EpisodeSlice]) -> EpisodeSlice:
    """Return one slice of all parts, in this order: the parts' own rows where they stand side by side."""
    first, last = parts[0], parts[-1]
    if all(
        one.store is other.store and one.stop_episode == other.first_episode for one, other in pairwise(parts)
    ):
        return EpisodeSlice(
            first.store, first.first_episode, last.stop_episode, first.first_row, last.stop_row
        )
    return whole(merged(parts))
