"""Ray's own process on this machine, which a program cannot do without."""

from __future__ import annotations

import time
from typing import Any

import psutil
import ray

_SELDOM = 0.25
"""Seconds between two looks at the process, which is slow beside all that samplers do all the time."""


class Raylet:
    """The process by which this program takes part in a cluster.

    Where it is gone, or the machine's part of Ray with it, Ray says nothing for a minute: it waits for what
    may come back. This does not. One that cannot be seen, in another container say, counts as alive.
    """

    def __init__(self) -> None:
        self._process = _find()
        self._looked = time.monotonic()
        self._lives = True

    @property
    def lives(self) -> bool:
        """Whether it runs, or did a moment ago."""
        now = time.monotonic()
        if self._process is not None and self._lives and now - self._looked > _SELDOM:
            self._looked = now
            self._lives = _runs(self._process)
        return self._lives


def _find() -> psutil.Process | None:
    here = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    sockets = {node.get("RayletSocketName") for node in nodes if node.get("NodeID") == here}
    words = {f"--raylet_socket_name={name}" for name in sockets if name}
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "raylet" and words.intersection(process.cmdline()):
                return process
        except psutil.Error:
            continue
    return None


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
