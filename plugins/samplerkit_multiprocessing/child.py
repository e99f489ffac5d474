"""What runs in a worker process."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from samplerkit.sampling import serve
from samplerkit_multiprocessing.arena import IN_ARENA, SMALLEST, ArenaWriter
from samplerkit_multiprocessing.shared import File, Work

_GRACE = 1.0
"""Seconds to close environments once the parent is gone; then the process ends by force."""


@dataclass(frozen=True)
class Belongings:
    """What a process gets from its parent, and keeps until its end.

    Args:
        connection: to the parent.
        queue: of units, see `Share`.
        board: to note units on.
        index: of the slot there.
        arena: for large messages; None where there cannot be one.
        freed: tells what is free again in it.
    """

    connection: Connection
    queue: File
    board: File
    index: int
    arena: File | None
    freed: File | None


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
    for module in needs:
        importlib.import_module(module)
    connection = belongings.connection

    def receive() -> bytes | None:
        try:
            return connection.recv_bytes()
        except (EOFError, OSError):
            _end_soon()
            return None

    def send(message: bytes) -> None:
        try:
            connection.send_bytes(message)
        except OSError:
            # The parent is gone, and so is whoever wanted the answer.
            _end_soon()

    arena = None
    if belongings.arena is not None and belongings.freed is not None:
        arena = ArenaWriter(belongings.arena, belongings.freed)

    def post(parts: Sequence[Any]) -> bool:
        if arena is None or sum(map(len, parts)) < SMALLEST:
            return False
        place = arena.write(parts)
        if place is not None:
            send(IN_ARENA + place)
        return place is not None

    serve(setup, receive, send, Work(belongings.queue, belongings.board, belongings.index, post))
    connection.close()


def _end_soon() -> None:
    """However long a step takes, nothing outlives the parent."""
    timer = threading.Timer(_GRACE, os._exit, args=(1,))
    timer.daemon = True
    timer.start()
