"""What runs in an actor: a carrier, and what it says and hears."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import platform
import sys
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import ray

import samplerkit
from samplerkit.sampling import Service

LARGE = 1 << 16
"""Bytes from which on a message is an array, which Ray leaves where it is, and does not copy."""


Said = tuple[int, list[Any]]
"""Messages, and how many times some were taken before: answers may overtake each other."""


class Facts(NamedTuple):
    """What an actor says of itself."""

    versions: dict[str, str]
    node: str
    pid: int


class Carrier:
    """Hosts workers. Units run in one thread, `hurry` and `listen` have one each.

    Args:
        path: where the program's modules are.
    """

    def __init__(self, path: Sequence[str]) -> None:
        sys.path += [entry for entry in path if entry not in sys.path]
        _let_the_main_thread_wait()
        self._begin()

    def _begin(self) -> None:
        self._service: Service | None = None
        self._thread = 0
        self._lock = threading.Condition()
        self._said: list[Any] = []
        self._n_taken = 0
        self._is_late = self._over = False

    def again(self, path: Sequence[str]) -> None:
        """Be as new, for another sampler; all is over."""
        sys.path += [entry for entry in path if entry not in sys.path]
        gc.unfreeze()  # what the last sampler has left may go
        self._begin()

    def hello(self) -> Facts:
        """Return what it takes to see whether this node will do."""
        return Facts(versions(), ray.get_runtime_context().get_node_id(), os.getpid())

    def begin(self, setup: bytes, needs: Sequence[str]) -> None:
        """Be a carrier; comes before `work`, and after `hello`, which does not wait for imports.

        Args:
            setup: for the service.
            needs: see `PoolSampler.needs`.
        """
        for module in needs:
            importlib.import_module(module)
        self._thread = threading.get_ident()
        self._service = Service(setup, self._say, on_up=gc.freeze)

    def work(self, *messages: Any) -> tuple[int | None, Said]:
        """Take messages and do what they say, up to where there is something to say.

        One call ends before the next one begins, so that no two threads want the interpreter at once.

        Args:
            *messages: bytes, or arrays in the object store.

        Returns:
            How many more calls it needs for what it has been told, None for never again, and messages.
        """
        service = self._service
        assert service is not None, "begin() comes first"
        for message in messages:
            service.take(_plain(message))
        service.work(self._has_said)
        if not service.over:
            return service.wants, self._taken()
        with self._lock:
            self._over = True
            self._lock.notify()
        return None, self._taken()

    @ray.method(concurrency_group="in", num_returns=0)
    def hurry(self, message: Any) -> None:
        """Take a message for which the unit that runs may end."""
        if self._service is not None:
            self._service.take(_plain(message))

    @ray.method(concurrency_group="out")
    def listen(self) -> Said:
        """Return what is said while a unit takes long; at the end nothing."""
        with self._lock:
            self._lock.wait_for(lambda: self._is_late or self._over)
            self._is_late = False
        return self._taken()

    def _has_said(self) -> bool:
        return bool(self._said)

    def _say(self, message: bytes | memoryview) -> None:
        with self._lock:
            self._said.append(message if len(message) < LARGE else np.frombuffer(message, np.uint8))
            if threading.get_ident() != self._thread:
                self._is_late = True
                self._lock.notify()

    def _taken(self) -> Said:
        with self._lock:
            said, self._said = self._said, []
            self._n_taken += 1
            return self._n_taken - 1, said


def _let_the_main_thread_wait() -> None:
    """Keep the process's first thread from interrupting the one that runs units.

    Ray looks for signals there a hundred times a second, and takes the interpreter for it: 4% of the time of
    units. As a BATCH it waits for a CPU when it wakes.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # some sandboxes forbid it
            os.sched_setscheduler(os.getpid(), os.SCHED_BATCH, os.sched_param(0))


def _plain(message: Any) -> bytes | memoryview:
    return message if isinstance(message, bytes) else message.data


def versions() -> dict[str, str]:
    """Return the versions that must agree between the program and its nodes."""
    return {
        "samplerkit": samplerkit.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
