"""Memory for large batches, used again when nobody has a view of it any more."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array

_SMALLEST = 1 << 20
"""Bytes of an array from which on recycling pays, as a rule: the allocator keeps smaller ones at hand itself,
if not those of a batch that are all dropped at once."""

_MOST_KEPT = 3
"""Blocks that are kept for the next batch: for observations, actions and final observations."""


class RecycledMemory:
    """Lends arrays, and takes their memory back when neither they nor any view of them is left.

    Memory that a program touches for the first time costs several times what it costs to write to it: the
    operating system has to find it and to fill it with zeros. A program that drops a batch before it asks for
    the next one, or keeps the last few, gets the same memory again and again.

    Args:
        new_block: makes an array of so many bytes.
        most_kept: blocks that are kept for the next time.
        smallest: bytes of an array from which on its memory is kept.
    """

    def __init__(
        self,
        new_block: Callable[[int], Array] | None = None,
        *,
        most_kept: int = _MOST_KEPT,
        smallest: int | None = None,
    ) -> None:
        self._new_block = new_block or _new_block
        self._most_kept = most_kept
        self._smallest = _SMALLEST if smallest is None else smallest
        self._free: list[Array] = []
        self._closed = False

    def array(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Return an array, uninitialised, that belongs to the caller like any other."""
        size = math.prod(shape) * dtype.itemsize
        if size < self._smallest or dtype.hasobject:
            return np.empty(shape, dtype)
        block = self._take(size)
        lent = block[:size]
        # Views of views refer to the memoryview, not to each other: the lent array outlives them all.
        weakref.finalize(lent, self._give_back, block).atexit = False
        array: Array = np.frombuffer(lent.data, dtype).reshape(shape)
        return array

    def close(self) -> None:
        """Keep nothing any more. What is lent stays its holder's."""
        self._closed = True
        self._free.clear()
        self._new_block = _new_block

    def _take(self, size: int) -> Array:
        """Return the smallest block that is large enough, if it is not far too large, or a new one."""
        fitting = [block for block in self._free if size <= block.nbytes <= 2 * size]
        if not fitting:
            return self._new_block(size)
        best = min(fitting, key=lambda block: block.nbytes)
        self._free = [block for block in self._free if block is not best]
        return best

    def _give_back(self, block: Array) -> None:
        if not self._closed:
            self._free = [*self._free, block][-self._most_kept :]


def _new_block(size: int) -> Array:
    return np.empty(size, np.uint8)
