"""What the parent and its processes share: a queue of units, and a board that says who runs which.

The queue is a pipe that all processes read. The kernel hands each of them whole entries, wakes one that
sleeps, and needs no lock that a killed process could take with it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import struct
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from multiprocessing import reduction
from typing import Any

from samplerkit.sampling import Claim, Running, SharedWork

_ENTRY = struct.Struct("qqii")
_NOTE = struct.Struct("qqd")
_SLOT = 64
"""Bytes of the board for each process: a cache line."""

_MOST_AT_ONCE = 4096 // _ENTRY.size
"""POSIX promises that so much is written whole or not at all."""


class File:
    """A file descriptor that goes along when a process is started; closed when nobody has it any more."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.close = weakref.finalize(self, os.close, fd)
        self.close.atexit = False

    def __reduce__(self) -> tuple[object, ...]:
        return _inherited, (reduction.DupFd(self.fd),)


def _inherited(handle: Any) -> File:
    return File(handle.detach())


def anonymous_file(size: int) -> File:
    """Return a file of zeros that has no name, lives in memory if it can, and goes with its last user."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("samplerkit", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return File(fd)


def pipe() -> tuple[File, File]:
    """Return the ends of a pipe, to read and to write, that never block."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return File(ends[0]), File(ends[1])


def drained(end: File) -> bytes:
    """Read a pipe empty."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(end.fd, 1 << 16):
            data += part
    return data


class Share:
    """The parent's end.

    Args:
        n_processes: how many will read the queue, and have a slot on the board.
    """

    def __init__(self, n_processes: int) -> None:
        self.queue, self._writer = pipe()
        self.board = anonymous_file(n_processes * _SLOT)
        self._notes = mmap.mmap(self.board.fd, n_processes * _SLOT)

    def offer(self, claims: Sequence[Claim]) -> int:
        """Write to the queue what there is room for, and return how many that was."""
        written = 0
        while written < len(claims):
            some = claims[written : written + _MOST_AT_ONCE]
            data = b"".join(_ENTRY.pack(*claim) for claim in some)
            try:
                os.write(self._writer.fd, data)
            except BlockingIOError:
                break
            written += len(some)
        return written

    def withdraw(self) -> list[Claim]:
        """Read the queue empty."""
        return [_claim(*entry) for entry in _ENTRY.iter_unpack(drained(self.queue))]

    def clear(self, index: int) -> None:
        """Wipe the slot of a process that is about to start."""
        _NOTE.pack_into(self._notes, index * _SLOT, -1, -1, 0.0)

    def running(self, index: int) -> Running | None:
        """Return what a process noted last."""
        noted = Running(*_NOTE.unpack_from(self._notes, index * _SLOT))
        return None if noted.number < 0 else noted

    def close(self) -> None:
        """Release everything here; processes keep what is theirs."""
        self._notes.close()
        self.board.close()
        self.queue.close()
        self._writer.close()


class Work(SharedWork):
    """A process's end.

    Args:
        queue, board: the parent's.
        index: of this process's slot.
        post: see `SharedWork.post`.
    """

    def __init__(self, queue: File, board: File, index: int, post: Callable[[Sequence[Any]], bool]) -> None:
        self._queue = queue
        self._post = post
        self._notes = mmap.mmap(board.fd, 0)
        board.close()
        self._slot = index * _SLOT
        self._woken, self._waker = pipe()
        self._poll = select.poll()
        self._poll.register(self._queue.fd, select.POLLIN)
        self._poll.register(self._woken.fd, select.POLLIN)

    def claim(self) -> Claim | None:
        """See `SharedWork`."""
        try:
            data = os.read(self._queue.fd, _ENTRY.size)
        except BlockingIOError:
            return None
        # Nothing at all means that the parent is gone: the reader of its messages will hear so.
        return _claim(*_ENTRY.unpack(data)) if data else None

    def wait(self) -> None:
        """See `SharedWork`."""
        events = self._poll.poll()
        if any(fd == self._queue.fd and not event & select.POLLIN for fd, event in events):
            self._poll.unregister(self._queue.fd)  # the parent is gone
        drained(self._woken)

    def wake(self) -> None:
        """See `SharedWork`."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker.fd, b"!")

    def post(self, parts: Sequence[Any]) -> bool:
        """See `SharedWork`."""
        return self._post(parts)

    def note(self, epoch: int, number: int) -> None:
        """See `SharedWork`."""
        _NOTE.pack_into(self._notes, self._slot, epoch, number, time.monotonic())


def _claim(epoch: int, first: int, urgent: int, n_units: int) -> Claim:
    return Claim(epoch, first, bool(urgent), n_units)
