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
import resource
import struct
import sys
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import psutil

from samplerkit_multiprocessing.shared import File, anonymous_file, drained, pipe

SMALLEST = 1 << 16
"""Bytes from which a message goes to the arena; a pipe is as quick for smaller ones."""

IN_ARENA = b"A"
"""First byte of a message that says where the real one is."""

_HUGE = 1 << 21
"""Bytes of a huge page, on most machines."""

_FEWEST = 4
"""Huge pages of an arena, at least: a smaller one is not worth the trouble."""

_ADDRESSES = 1 << 47
"""Bytes that a process can address, on most machines."""

_MADV_COLLAPSE = 25
"""Linux's, since 6.1; Python has no name for it."""

PLACE = struct.Struct("qq")
_ALIGNMENT = 64


def arena_file(n_arenas: int) -> File | None:
    """Return a file for an arena, large enough for anything; None where there cannot be one.

    It takes only what is in use: pages come into being when they are first written. Addresses it takes in
    full, of which there are enough for all, unless the machine is very large, or somebody has set a limit.

    Args:
        n_arenas: how many there will be.
    """
    size = min(psutil.virtual_memory().total // 2, _addresses() // n_arenas) // _HUGE * _HUGE
    if not hasattr(os, "memfd_create") or size < _FEWEST * _HUGE:
        return None
    try:
        file = anonymous_file(size)
        mmap.mmap(file.fd, size).close()
    except OSError:
        return None
    return file


def _addresses() -> int:
    """Return how many bytes arenas may take of the addresses of a process; half of them are for the rest."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return _ADDRESSES // 2
    left: int = limit - psutil.Process().memory_info().vms
    return min(left, _ADDRESSES) // 2


def with_huge_pages(file: File) -> mmap.mmap:
    """Map a file so that huge pages of it are huge to whoever uses the map, if that can be had."""
    memory = mmap.mmap(file.fd, size := os.fstat(file.fd).st_size - _HUGE)
    beyond = _address(memory) % _HUGE
    if beyond:  # maps are put below each other: one that is longer begins lower
        memory.close()
        memory = mmap.mmap(file.fd, size + beyond)
    return memory


def _address(memory: mmap.mmap) -> int:
    address: int = np.frombuffer(memory, np.uint8, 1).ctypes.data
    return address


class Room:
    """Places in memory, which are taken and given back.

    Args:
        size: of the memory.
    """

    def __init__(self, size: int) -> None:
        # Free places, in order and never adjacent: where they start, and where they end.
        self._starts = [0]
        self._ends = [size]

    def take(self, size: int) -> int | None:
        """Take a place of so many bytes, and return where it begins; None if there is no room."""
        size = _padded(size)
        for index, start in enumerate(self._starts):
            if self._ends[index] - start >= size:
                self._starts[index] = start + size
                return start
        return None

    def give_back(self, start: int, size: int) -> None:
        """Use a place again."""
        end = start + _padded(size)
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


class Arena:
    """Memory to put messages in.

    Args:
        file: from `arena_file`; may be closed afterwards.
    """

    def __init__(self, file: File) -> None:
        self._memory = mmap.mmap(file.fd, 0)
        self._room = Room(len(self._memory))

    def write(self, parts: Sequence[Any]) -> bytes | None:
        """Write a message, and return what tells readers where; None if there is no room."""
        size = sum(len(part) for part in parts)
        start = self._room.take(size)
        if start is None:
            return None
        at = start
        for part in parts:
            self._memory[at : at + len(part)] = part
            at += len(part)
        return PLACE.pack(start, size)

    def free(self, start: int, size: int) -> None:
        """Use the place of a message again."""
        self._room.give_back(start, size)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()


class BatchMemory:
    """Blocks of memory for the parent's batches, which processes can write to.

    Args:
        file: from `arena_file`.
    """

    def __init__(self, file: File) -> None:
        self.file = file
        self._memory = with_huge_pages(file)
        self._start = _address(self._memory)
        self._room = Room(len(self._memory) // _HUGE * _HUGE)
        self._prepared: set[int] = set()

    def block(self, size: int) -> Any:
        """Return an array of bytes; its pages go back to the operating system with it."""
        whole = -(-size // _HUGE) * _HUGE  # so that all blocks begin where a huge page does
        start = self._room.take(whole)
        if start is None:
            return np.empty(size, np.uint8)  # placed nowhere
        block = np.frombuffer(self._memory, np.uint8, size, start)
        weakref.finalize(block, self._free, start, whole).atexit = False
        return block

    def offset(self, block: Any) -> int | None:
        """Return where a block begins; None where it is not shared."""
        start: int = block.ctypes.data - self._start
        return start if 0 <= start < len(self._memory) else None

    def prepare(self, offset: int, size: int) -> None:
        """Have huge pages put where all of a block will be written, where the operating system can.

        All at once they cost an eighth of what small ones cost whoever touches them first; and to fill them
        with frames takes a tenth less time from then on. They take all the memory of the block, though.
        """
        if offset in self._prepared or sys.platform != "linux":
            return
        self._prepared.add(offset)
        whole = -(-size // _HUGE) * _HUGE
        for at in range(offset, offset + whole, _HUGE):
            self._memory[at] = 0  # one that is quite empty is left alone
        with contextlib.suppress(OSError):
            self._memory.madvise(_MADV_COLLAPSE, offset, whole)

    def _free(self, start: int, size: int) -> None:
        if hasattr(mmap, "MADV_REMOVE"):
            with contextlib.suppress(OSError):
                self._memory.madvise(mmap.MADV_REMOVE, start, size)
        self._prepared.discard(start)
        self._room.give_back(start, size)


class Reader:
    """Reads messages from an arena that somebody else writes to.

    Args:
        file: of the arena; may be closed afterwards.
        freed: pipe to say on what is free again.
    """

    def __init__(self, file: File, freed: File) -> None:
        self._memory = mmap.mmap(file.fd, 0)
        self._freed = freed

    def read(self, place: bytes) -> memoryview:
        """Return a message as a view, read-only. Its place is free when nobody has a view any more."""
        start, size = PLACE.unpack(place)
        message: Any = np.frombuffer(self._memory, np.uint8, size, start)
        message.flags.writeable = False
        weakref.finalize(message, _say_freed, self._freed, bytes(place)).atexit = False
        return memoryview(message)


class Bulletin:
    """The arena for messages to several processes: one copy serves them all."""

    def __init__(self, file: File) -> None:
        self.file = file
        self._arena = Arena(file)
        self._unread: dict[tuple[int, int], set[int]] = {}
        self._freed: dict[int, File] = {}

    def add(self, index: int) -> File:
        """Expect a process with an index; return the pipe for it to say on what it has read."""
        self._freed[index], theirs = pipe()
        return theirs

    def remove(self, index: int) -> None:
        """Note that a process is gone."""
        self._freed.pop(index, None)
        for place in list(self._unread):
            self._read_by(index, place)

    def post(self, parts: Sequence[Any], indices: Iterable[int]) -> bytes | None:
        """Write a message to these processes; return what to tell them, or None if there is no room."""
        for index, freed in self._freed.items():
            for place in places(freed):
                self._read_by(index, place)
        told = self._arena.write(parts)
        if told is not None:
            self._unread[PLACE.unpack(told)] = set(indices)
        return told

    def close(self) -> None:
        """Release everything here; processes keep what is theirs."""
        self._arena.close()
        self.file.close()
        self._freed.clear()

    def _read_by(self, index: int, place: tuple[int, int]) -> None:
        readers = self._unread.get(place)
        if readers is not None:
            readers.discard(index)
            if not readers:
                del self._unread[place]
                self._arena.free(*place)


def places(way: File) -> list[tuple[int, int]]:
    """Return what readers have freed since the last time."""
    return [(start, size) for start, size in PLACE.iter_unpack(drained(way))]


def _say_freed(way: File, place: bytes) -> None:
    # A pipe that is full holds some thousand places: whoever should read it is hung or dead.
    with contextlib.suppress(OSError):
        os.write(way.fd, place)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
