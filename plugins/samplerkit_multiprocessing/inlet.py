"""The end of a pipe from which two threads take messages, by turns."""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection


class Inlet:
    """Where messages of the parent come in.

    A thread that does nothing else takes them while units run. While the thread that runs units waits for
    something to do, it takes them itself: otherwise the one would have to be woken in order to wake the
    other, which takes a fiftieth of the time of a call for a thousand steps of CartPole.

    Nobody gets a message before whoever has the one before is done with it, so that none overtakes another.

    Args:
        connection: to the parent.
        in_full: turns what comes by it into messages.
    """

    def __init__(
        self, connection: Connection, in_full: Callable[[bytes], bytes | memoryview] = lambda data: data
    ) -> None:
        self._connection = connection
        self._in_full = in_full
        self._turn = threading.Lock()
        # Has the turn while whoever receives has a message.
        self._held = contextlib.ExitStack()
        self._there = select.poll()
        self._there.register(connection, select.POLLIN)
        # What a thread that sleeps here waits for can be taken away from it, and it sleeps on.
        self._watch = select.epoll() if hasattr(select, "epoll") else None
        self.give_back()

    def receive(self) -> bytes | memoryview:
        """Wait for the next message that nobody else takes; always in the same thread.

        It keeps its turn until it calls this again.

        Raises:
            EOFError, OSError: where the parent is gone.
        """
        self._held.close()
        while True:
            (self._watch or self._there).poll()
            with contextlib.ExitStack() as turn:
                turn.enter_context(self._turn)
                message = self._next()
                if message is not None:
                    self._held = turn.pop_all()
                    return message

    @property
    def fileno(self) -> int | None:
        """What is readable where a message is there; None where only `receive` can be told to wait for it."""
        return None if self._watch is None else self._connection.fileno()

    def take_over(self) -> None:
        """Let messages wait for `take`, and not wake `receive`, until `give_back`."""
        if self._watch is not None:
            self._watch.unregister(self._connection)

    def give_back(self) -> None:
        """Let messages wake `receive`."""
        if self._watch is not None:
            self._watch.register(self._connection, select.EPOLLIN)

    def take(self, handle: Callable[[bytes | memoryview], None]) -> None:
        """Handle the next message if it is there; nothing where the parent is gone: `receive` hears so."""
        with self._turn:
            message = None
            with contextlib.suppress(EOFError, OSError):
                message = self._next()
            if message is not None:
                handle(message)

    def _next(self) -> bytes | memoryview | None:
        # Where both were woken one of them comes too late.
        return self._in_full(self._connection.recv_bytes()) if self._there.poll(0) else None
