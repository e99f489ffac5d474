"""Fragments of a call, in the order in which they are to stand."""

from __future__ import annotations

from collections.abc import Sequence

from samplerkit.episodes import EpisodeSlice, join, whole
from samplerkit.episodes.info_types import agree
from samplerkit.episodes.tick_recording import TickRecording


def in_one(parts: Sequence[EpisodeSlice]) -> EpisodeSlice:
    """Return one slice of all parts, in this order: without a copy where they are what was kept last.

    Raises:
        ValueError: where infos of the parts do not fit into one column.
    """
    if agree(parts, widths=False):
        if len(parts) == 1:
            return parts[0]
        store = parts[0].store
        arranged = store.arranged(parts) if isinstance(store, TickRecording) else None
        if arranged is not None:
            return arranged
    # A call is a unit: what its infos are together is not for those of other calls to decide, who may stand
    # beside them when a batch is made.
    return whole(join(parts))
