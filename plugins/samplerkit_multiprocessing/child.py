"""What runs in a worker process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from samplerkit.sampling import serve
from samplerkit_multiprocessing.arena import IN_ARENA, SMALLEST, Arena, Reader, places, with_huge_pages
from samplerkit_multiprocessing.inlet import Inlet
from samplerkit_multiprocessing.shared import LARGEST_LETTER, File, Work

_GRACE = 1.0
"""Seconds to close environments once the parent is gone; then the process ends by force."""

_SWITCH = 1e-4
"""Seconds after which a thread that runs units lets the one that reads messages in."""


_KEPT = 1 << 25
"""Bytes: arrays up to this size are kept when they are freed, and so much of what is free at the end."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class Belongings:
    """What a process gets from its parent, and keeps until its end.

    Args:
        connection: to the parent.
        queue: of units, see `Share`.
        board: to note units on.
        index: of the slot there.
        letterbox: for messages that the parent finds when it wakes for another reason.
        arena: for large messages to the parent, with the pipe that tells what is free again there; None
            where there cannot be one.
        bulletin: with large messages from the parent, and the pipe to tell it what is free again; None where
            there cannot be one.
        cpu: its own; None where there is none.
        pinned: whether it stays there, and does not only rest there.
        batches: memory of the parent's batches; None where it cannot be shared.
    """

    connection: Connection
    queue: File
    board: File
    index: int
    letterbox: File
    arena: tuple[File, File] | None
    bulletin: tuple[File, File] | None
    cpu: int | None
    pinned: bool = False
    batches: File | None = None


def main(belongings: Belongings, setup: bytes, needs: tuple[str, ...]) -> None:
    """Serve the parent until it says so, or is gone.

    Args:
        belongings: the ways to the parent.
        setup: of the carrier.
        needs: modules to import first; nothing where the fork server has done so.
    """
    # The parent decides what Ctrl-C means; a terminal sends it to the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # blocked since the process started, see `launch`
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if belongings.pinned and belongings.cpu is not None:
        os.sched_setaffinity(0, {belongings.cpu})
    _keep_freed_memory()
    # A message that comes while a unit runs is read at once, and not after Python's 5 ms.
    sys.setswitchinterval(_SWITCH)
    for module in needs:
        importlib.import_module(module)
    way = _Way(belongings)
    it = belongings
    batches = None if it.batches is None else np.frombuffer(with_huge_pages(it.batches), np.uint8)
    work = Work(it.queue, it.board, it.index, way, batches, way.inlet, None if it.pinned else it.cpu)
    _be_woken("BATCH")
    serve(setup, way.receive, way.send, work, on_up=gc.freeze)
    belongings.connection.close()


class _Way:
    """Messages from and to the parent: small ones by the pipe, large ones by memory."""

    def __init__(self, belongings: Belongings) -> None:
        self._connection = belongings.connection
        self._letterbox = belongings.letterbox
        self._arena: Arena | None = None
        self._bulletin: Reader | None = None
        if belongings.arena is not None:
            file, self._freed = belongings.arena
            self._arena = Arena(file)
        if belongings.bulletin is not None:
            self._bulletin = Reader(*belongings.bulletin)
        self.inlet = Inlet(belongings.connection, self._in_full)

    def receive(self) -> bytes | memoryview | None:
        """Return the next message, to a thread that does nothing else; None where the parent is gone."""
        _be_woken("OTHER")
        try:
            return self.inlet.receive()
        except (EOFError, OSError):
            _end_soon()
            return None

    def _in_full(self, message: bytes) -> bytes | memoryview:
        if message[:1] == IN_ARENA and self._bulletin is not None:
            return self._bulletin.read(message[1:])
        return message

    def send(self, message: bytes) -> None:
        """Write to the pipe."""
        try:
            self._connection.send_bytes(message)
        except OSError:
            # The parent is gone, and so is whoever wanted the answer.
            _end_soon()

    def post(self, parts: Sequence[Any]) -> bool:
        """Bring a large message to the parent; return False for a small one, or if there is no room."""
        told = self._in_arena(parts)
        if told is not None:
            self.send(told)
        return told is not None

    def leave(self, parts: Sequence[Any]) -> bool:
        """Put a message into the letterbox; return False if there is no room."""
        told = self._in_arena(parts)
        if told is not None:
            if not self._drop(told):
                self.send(told)  # it is there, and so it has to be told
            return True
        return sum(map(len, parts)) <= LARGEST_LETTER and self._drop(b"".join(parts))

    def _in_arena(self, parts: Sequence[Any]) -> bytes | None:
        """Put a large message into the arena, and return what to tell the parent of it."""
        if self._arena is None or sum(map(len, parts)) < SMALLEST:
            return None
        for place in places(self._freed):
            self._arena.free(*place)
        told = self._arena.write(parts)
        return None if told is None else IN_ARENA + told

    def ring(self) -> None:
        """Wake the parent, which then looks into the letterbox."""
        self.send(b"")

    def _drop(self, letter: bytes) -> bool:
        try:
            os.write(self._letterbox.fd, letter)
        except OSError:  # it is full, or the parent is gone
            return False
        return True


def _keep_freed_memory() -> None:
    """Have the C library keep memory that is freed, for what is recorded and sent next.

    It gives large arrays back to the operating system, and to get pages from there again costs several times
    what it costs to write to them.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:  # not every C library has it
            mallopt(_M_TRIM_THRESHOLD, _KEPT)
            mallopt(_M_MMAP_THRESHOLD, _KEPT)


def _be_woken(policy: str) -> None:
    """Say how this thread, and those that it starts, come to a CPU, where there is such a policy.

    Who runs units as a BATCH waits for a CPU when it is woken, and does not take that of the parent, who may
    have others to wake. Who reads messages is an OTHER, as threads usually are: it may have news for the one
    that runs.
    """
    number = getattr(os, f"SCHED_{policy}", None)
    if number is not None:
        with contextlib.suppress(OSError):  # some sandboxes forbid it
            os.sched_setscheduler(0, number, os.sched_param(0))


def _end_soon() -> None:
    """However long a step takes, nothing outlives the parent."""
    timer = threading.Timer(_GRACE, os._exit, args=(1,))
    timer.daemon = True
    timer.start()
