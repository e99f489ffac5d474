"""What Ctrl-C must not tear apart: it goes on in a thread, and only the waiting ends."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class BackgroundThread:
    """A thread that does one thing after the other, from its first work until it is dismissed.

    It stays in between: processes that Ray starts end with the very thread that started them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._work: queue.SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = queue.SimpleQueue()

    def do(self, work: Callable[[], None], undo: Callable[[], Any] = lambda: None) -> None:
        """Do something, and wait for it.

        Args:
            work: what to do. A KeyboardInterrupt never reaches it.
            undo: done after it, if it succeeds, where the caller was interrupted meanwhile.
        """
        done: Future[None] = Future()
        with self._lock:
            if self._thread is None:
                self._work = queue.SimpleQueue()
                self._thread = threading.Thread(target=self._run, name="samplerkit-ray", daemon=True)
                self._thread.start()
            thread = self._thread
            self._work.put((work, done))
        try:
            done.result()
        except KeyboardInterrupt:
            done.add_done_callback(lambda it: undo() if it.exception() is None else None)
            raise
        finally:
            if done.done() and self._thread is not thread:
                thread.join()

    def dismiss(self) -> None:
        """Let the thread end after what it is doing. Called by that."""
        with self._lock:
            self._thread = None
            self._work.put(None)

    def _run(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            # Processes that are started here would get a Ctrl-C of the terminal before they can ignore it.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        work = self._work
        while (item := work.get()) is not None:
            function, done = item
            try:
                function()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)
