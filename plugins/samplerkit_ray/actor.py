"""What runs in an actor: `serve`, and the two ends of what it says and hears."""

from __future__ import annotations

import importlib
import os
import platform
import queue
import sys
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import ray

import samplerkit
from samplerkit.sampling import serve

_SWITCH = 1e-4
"""Seconds after which the thread that runs units lets those in that carry messages."""

LARGE = 1 << 16
"""Bytes from which on a message is an array, which Ray leaves where it is, and does not copy."""


class Facts(NamedTuple):
    """What an actor says of itself."""

    versions: dict[str, str]
    node: str
    pid: int


class Carrier:
    """Hosts workers. Each of its methods runs in a thread of its own.

    Args:
        path: where the program's modules are.
        needs: see `PoolSampler.needs`.
    """

    def __init__(self, path: Sequence[str], needs: Sequence[str]) -> None:
        sys.path += [entry for entry in path if entry not in sys.path]
        # A message that comes while a unit runs is read at once, and not after Python's 5 ms.
        sys.setswitchinterval(_SWITCH)
        for module in needs:
            importlib.import_module(module)
        self._begin()

    def _begin(self) -> None:
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._early: dict[int, Sequence[Any]] = {}
        self._expected = 0
        self._order = threading.Lock()
        self._outbox: list[Any] = []
        self._changed = threading.Condition()
        self._over = False

    def again(self, path: Sequence[str]) -> None:
        """Be as new, for another sampler; `run` is over."""
        sys.path += [entry for entry in path if entry not in sys.path]
        self._begin()

    def hello(self) -> Facts:
        """Return what it takes to see whether this node will do."""
        return Facts(versions(), ray.get_runtime_context().get_node_id(), os.getpid())

    def run(self, setup: bytes) -> None:
        """Serve until told to close."""
        try:
            serve(setup, self._inbox.get, self._send)
        finally:
            with self._changed:
                self._over = True
                self._changed.notify()
            self._inbox.put(None)

    @ray.method(concurrency_group="in", num_returns=0)
    def deliver(self, number: int, *messages: Any) -> None:
        """Take messages.

        Args:
            number: of the delivery: large ones may overtake each other.
            *messages: bytes, or arrays in the object store.
        """
        self._take(number, messages)

    @ray.method(concurrency_group="out")
    def exchange(self, number: int, *messages: Any) -> tuple[bool, list[Any]]:
        """Take messages, wait until there is something to say, and return it.

        Args:
            number: see `deliver`.
            *messages: see `deliver`.

        Returns:
            Whether that is all, and messages.
        """
        self._take(number, messages)
        with self._changed:
            while not self._outbox and not self._over:
                self._changed.wait()
            said, self._outbox = self._outbox, []
            return self._over, said

    def _take(self, number: int, messages: Sequence[Any]) -> None:
        with self._order:
            self._early[number] = messages
            while self._expected in self._early:
                for message in self._early.pop(self._expected):
                    self._inbox.put(message if isinstance(message, bytes) else message.data)
                self._expected += 1

    def _send(self, message: bytes) -> None:
        with self._changed:
            self._outbox.append(message if len(message) < LARGE else np.frombuffer(message, np.uint8))
            self._changed.notify()


def versions() -> dict[str, str]:
    """Return the versions that must agree between the program and its nodes."""
    return {
        "samplerkit": samplerkit.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
