"""Fragments of a call, in the order in which they are to stand."""

from __future__ import annotations

from collections.abc import Sequence

from samplerkit.episodes import EpisodeSlice, join, whole
from samplerkit.episodes.tick_recording import TickRecording


def in_one(parts: Sequence[EpisodeSlice]) -> EpisodeSlice:
    """Return one slice of all parts, in this order: without a copy where they are what was kept last."""
    store = parts[0].store
    arranged = store.arranged(parts) if isinstance(store, TickRecording) else None
    return whole(join(parts)) if arranged is None else arranged
