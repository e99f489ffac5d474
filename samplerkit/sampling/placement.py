"""Placing the observations of a batch in advance, where carriers can write to the memory it will own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from samplerkit.episodes import (
    BatchBuffer,
    EnvSpec,
    EpisodeBatch,
    EpisodeSlice,
    Place,
    RecycledMemory,
    Span,
    Spans,
    episodes_of_each,
    lengths_of_each,
)
from samplerkit.episodes.batch_buffer import Layout, layout
from samplerkit.episodes.columns import Array
from samplerkit.episodes.placed import Placed
from samplerkit.sampling.admission import Goal, Steps

_BYTE = np.dtype(np.uint8)

_SMALLEST_UNIT = 1 << 19
"""Bytes of observations of a unit from which on it pays to bring them alone, and not with others."""

_ROOM = 1.25
"""Rows for each unit, where lengths differ: so many times the longest one's so far."""

_MOST_ROOM = 2.0
"""No more memory than so many times what a batch probably takes."""


@dataclass(frozen=True)
class Placement:
    """Where the observations of a call's units go.

    Attributes:
        offset: of the first byte, in the memory that carriers share with their pool.
        layout: of the observations.
        first: number of the first unit.
        unit_rows, n_units: see `BatchBuffer`.
    """

    offset: int
    layout: Layout
    first: int
    unit_rows: int
    n_units: int

    def buffer(self, spec: EnvSpec, memory: Array) -> BatchBuffer | None:
        """Return the buffer in the memory that is shared; None for other observations than it is for."""
        space = spec.observation_space
        if layout(space) != self.layout:
            return None
        size = BatchBuffer.size(space, self.unit_rows * self.n_units)
        return BatchBuffer(space, memory[self.offset : self.offset + size], self.unit_rows, self.n_units)


class SharedBlocks(Protocol):
    """Memory for batches, which carriers can write to."""

    def offset(self, block: Array) -> int | None:
        """Return where a block begins; None if it is not shared after all."""

    def block(self, size: int) -> Array:
        """Return a block of bytes, which is its holder's until he lets it go."""

    def prepare(self, offset: int, size: int) -> None:
        """Make ready for bytes that will be written, all of them, from where a block begins."""


class OwnBlocks:
    """Memory for batches that nobody else writes to: of a sampler whose workers are in its own process."""

    def offset(self, block: Array) -> int | None:
        """Return 0: nobody asks where it is."""
        del block
        return 0

    def block(self, size: int) -> Array:
        """Return a block of bytes."""
        return np.empty(size, np.uint8)

    def prepare(self, offset: int, size: int) -> None:
        """Do nothing: numpy asks for huge pages itself."""
        del offset, size


class PlacedCall:
    """The observations of one call, as the pool sees them.

    Args:
        placement: where they go.
        buffer: the same, laid out.
    """

    def __init__(self, placement: Placement, buffer: BatchBuffer) -> None:
        self.placement = placement
        self.buffer = buffer

    def buffer_of(self, cursor: int) -> BatchBuffer | None:
        """Return the buffer of the call that begins with a unit; None for a later call of the same epoch."""
        return self.buffer if cursor == self.placement.first else None

    def place(self, number: int, spec: EnvSpec) -> Place | None:
        """Return where the observations of a unit go that begins, and whose spaces are these."""
        if layout(spec.observation_space) != self.placement.layout:
            return None
        return self.buffer.place(number - self.placement.first)

    def units(self, numbers: Sequence[int], rest: EpisodeBatch) -> Span:
        """Return units whose observations are in their places.

        Args:
            numbers: of the units, each of one episode.
            rest: all but their observations.
        """
        return Placed(rest, self.buffer, [number - self.placement.first for number in numbers]).span()


class Placing:
    """Decides whether the observations of the next batch are placed in advance, and how.

    They are if units are large, and none is far longer than the others.

    Args:
        blocks: of what the memory is made.
        memory: to put batches in, made of the same.
    """

    def __init__(self, blocks: SharedBlocks, memory: RecycledMemory) -> None:
        self._blocks = blocks
        self._memory = memory
        self._spec: EnvSpec | None = None
        self._unit_rows = 0
        self._mean = 0.0

    def learn(self, units: Sequence[EpisodeSlice], n_steps: int) -> None:
        """Look at the units of a batch, which have so many steps together."""
        self._spec = None
        if not units:
            return
        first = units.spans[0] if isinstance(units, Spans) else units[0]  # which would make all of them
        spec = first.store.env_spec
        self._mean = n_steps / len(units)
        if BatchBuffer.size(spec.observation_space, int(self._mean)) < _SMALLEST_UNIT:
            return
        if any(count != 1 for count in episodes_of_each(units)):
            return
        lengths = lengths_of_each(units)
        shortest, longest = min(lengths), max(lengths)
        self._unit_rows = longest if shortest == longest else math.ceil(longest * _ROOM)
        self._spec = spec

    def place(self, goal: Goal, first: int) -> PlacedCall | None:
        """Return where the observations of a call are to go; None if there is no telling.

        Args:
            goal: of the call.
            first: number of its first unit.
        """
        spec = self._spec
        if spec is None or not isinstance(goal, Steps):
            return None
        space = spec.observation_space
        n_units = math.ceil(goal.least / self._mean)
        if self._unit_rows > self._mean:
            n_units += 1 + n_units // 16
        if self._unit_rows * n_units > _MOST_ROOM * max(goal.least, self._mean):
            return None
        block = self._memory.array((BatchBuffer.size(space, self._unit_rows * n_units),), _BYTE)
        offset = self._blocks.offset(block)
        if offset is None:
            return None
        if self._unit_rows == self._mean:
            self._blocks.prepare(offset, block.nbytes)
        placement = Placement(offset, layout(space), first, self._unit_rows, n_units)
        return PlacedCall(placement, BatchBuffer(space, block, self._unit_rows, n_units))
