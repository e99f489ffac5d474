"""Memory that a process writes large messages to, and the parent reads them from, without a copy between.

A message stays where it is for as long as anything refers to it, views of its columns included; then the
parent says so, and its place is free again. The lowest place that fits is taken: pages that have been touched
before are quick, and new ones cost more than the copy itself.
"""

from __future__ import annotations

import bisect
import contextlib
import mmap
import os
import struct
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil

from samplerkit_multiprocessing.shared import File, anonymous_file

SMALLEST = 1 << 16
"""Bytes from which a message goes to the arena; a pipe is as quick for smaller ones."""

IN_ARENA = b"A"
"""First byte of a message that says where the real one is."""

_PLACE = struct.Struct("qq")
_ALIGNMENT = 64


def arena_file() -> File | None:
    """Return a file for an arena, large enough for anything; None where files cannot live in memory.

    It takes only what is in use: pages come into being when they are first written.
    """
    if not hasattr(os, "memfd_create"):
        return None
    return anonymous_file(psutil.virtual_memory().total // 2 // mmap.PAGESIZE * mmap.PAGESIZE)


class ArenaWriter:
    """The process's end.

    Args:
        file: from `arena_file`; closed here.
        freed: pipe that tells which places are free again.
    """

    def __init__(self, file: File, freed: File) -> None:
        self._memory = mmap.mmap(file.fd, 0)
        file.close()
        self._freed = freed.fd
        # Free places, in order and never adjacent: where they start, and where they end.
        self._starts = [0]
        self._ends = [len(self._memory)]

    def write(self, parts: Sequence[Any]) -> bytes | None:
        """Write a message, and return what tells the parent where; None if there is no room."""
        self._take_back()
        size = sum(len(part) for part in parts)
        start = self._allocate(_padded(size))
        if start is None:
            return None
        at = start
        for part in parts:
            self._memory[at : at + len(part)] = part
            at += len(part)
        return _PLACE.pack(start, size)

    def _allocate(self, size: int) -> int | None:
        for index, start in enumerate(self._starts):
            if self._ends[index] - start >= size:
                self._starts[index] = start + size
                return start
        return None

    def _take_back(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._freed, 1 << 12):
                for start, size in _PLACE.iter_unpack(data):
                    self._free(start, start + _padded(size))

    def _free(self, start: int, end: int) -> None:
        index = bisect.bisect(self._starts, start)
        if index and self._ends[index - 1] == start:
            index -= 1
            self._ends[index] = end
        else:
            self._starts.insert(index, start)
            self._ends.insert(index, end)
        if index + 1 < len(self._starts) and self._starts[index + 1] == end:
            self._ends[index] = self._ends.pop(index + 1)
            self._starts.pop(index + 1)


class ArenaReader:
    """The parent's end.

    Args:
        file: from `arena_file`; may be closed afterwards.
    """

    def __init__(self, file: File) -> None:
        self._memory = mmap.mmap(file.fd, 0)
        reader, self._writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(self._writer, False)
        self.freed = File(reader)
        weakref.finalize(self, os.close, self._writer)

    def read(self, place: bytes) -> memoryview:
        """Return a message as a view, read-only. Its place is free when nobody has a view any more."""
        start, size = _PLACE.unpack(place)
        message: Any = np.frombuffer(self._memory, np.uint8, size, start)
        message.flags.writeable = False
        weakref.finalize(message, self._free, bytes(place)).atexit = False
        return memoryview(message)

    def _free(self, place: bytes) -> None:
        # A pipe that is full holds some thousand places: such a process is hung or dead.
        with contextlib.suppress(OSError):
            os.write(self._writer, place)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
