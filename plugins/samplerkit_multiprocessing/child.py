"""What runs in a worker process."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from multiprocessing.connection import Connection

from samplerkit.sampling import serve
from samplerkit_multiprocessing.shared import File, Work

_GRACE = 1.0
"""Seconds to close environments once the parent is gone; then the process ends by force."""


def main(
    connection: Connection, setup: bytes, needs: tuple[str, ...], queue: File, board: File, index: int
) -> None:
    """Serve the parent until it says so, or is gone.

    Args:
        connection: to the parent.
        setup: of the carrier.
        needs: modules to import first; nothing where the fork server has done so.
        queue: of units, see `Share`.
        board: to note units on.
        index: of the slot there.
    """
    # The parent decides what Ctrl-C means; a terminal sends it to the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # blocked since the process started, see `launch`
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for module in needs:
        importlib.import_module(module)

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

    serve(setup, receive, send, Work(queue, board, index))
    connection.close()


def _end_soon() -> None:
    """However long a step takes, nothing outlives the parent."""
    timer = threading.Timer(_GRACE, os._exit, args=(1,))
    timer.daemon = True
    timer.start()
