"""Clause E4: what the sampler did not start."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self

from samplerkit.contract.attempts import attempt
from samplerkit.contract.clause import clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.probes import ProbePolicy, TattooEnv
from samplerkit.interfaces import NewEnvUpdate

_TO_DIE = 0.1
"""Seconds that a process which was killed may take to be gone."""


@clause(
    "E4.not-ours",
    says="What the sampler did not start is left running: the caller's processes, threads, ports and files.",
    why="The caller's cluster, pool or server is the caller's, whoever else uses it.",
    causes="shutting down the runtime, or all children, instead of one's own.",
)
def not_ours(lab: Lab) -> None:
    """Let the caller have a few of each, and use them afterwards."""
    with _Callers() as callers:
        with lab.sampler(ProbePolicy(1), NewEnvUpdate(TattooEnv)) as sampler:
            sampler.obtain_samples(0, 9)
        time.sleep(_TO_DIE)
        for name, is_there in callers.things.items():
            outcome = attempt(name, is_there)
            require(outcome.error is None and outcome.value, f"{name} of the caller's ended with the sampler")


class _Callers(ExitStack):
    """What a program may have besides samplers, by name, and how to see that it is there."""

    things: Mapping[str, Callable[[], bool]]

    def __enter__(self) -> Self:
        program = self.enter_context(
            subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        )
        self.callback(program.kill)
        process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(1000,), daemon=True)
        process.start()
        self.callback(process.close)
        self.callback(process.join)
        self.callback(process.kill)
        pool = self.enter_context(ThreadPoolExecutor(1))
        server = self.enter_context(socket.create_server(("127.0.0.1", 0)))
        file = self.enter_context(tempfile.NamedTemporaryFile())
        self.things = {
            "a program": lambda: program.poll() is None,
            "a process of multiprocessing": process.is_alive,
            "a pool of threads": lambda: pool.submit(lambda: True).result(5),
            "a server": lambda: _answers(server),
            "a file": lambda: file.write(b"!") == 1 and os.path.exists(file.name),
        }
        return self


def _answers(server: socket.socket) -> bool:
    with socket.create_connection(server.getsockname(), 5):
        return True
