"""Loops written by hand that collect chunks of steps with the bare loop: limits rather than peers."""

from __future__ import annotations

import contextlib
import multiprocessing
from typing import Any, ClassVar

from benchmarks.peers.common import PeerContestant
from samplerkit.bench.bare_loop import BareLoop
from samplerkit.bench.workload import Workload

_loop: Any = None
"""The loop of a pool's process."""


class ChunkLoop:
    """An environment, a policy, and chunks of their steps.

    Args:
        env: of the workload.
        policy: likewise.
        n_steps: of a chunk.
        index: of this loop.
        n_loops: in all.
    """

    def __init__(self, env: str, policy: str, n_steps: int, index: int, n_loops: int) -> None:
        workload = Workload(env, policy, n_steps)
        self._loop = BareLoop(workload.as_dict(), n_steps, first_unit=index, stride=n_loops)
        self._loop.start()

    def chunk(self, weights: Any) -> dict[str, Any]:
        """Take the weights, and return the columns of a chunk."""
        if weights is not None:
            self._loop.policy.set_param_values(weights)
        return self._loop.fill()


class Pool(PeerContestant):
    """``multiprocessing.Pool``: a task is a chunk of steps, its result its columns."""

    distributions: ClassVar[tuple[str, ...]] = ("numpy", "gymnasium")

    def __init__(self, *, chunks: int, **common: Any) -> None:
        super().__init__(**common)
        self._n_tasks = chunks * self.n_processes
        self._pool: Any = None

    def begin(self) -> None:
        """Start the processes; each makes its own environment."""
        self._weights = _weights(self.env, self.policy, self.num_samples)
        context = multiprocessing.get_context("forkserver")
        numbers = context.Queue()
        for index in range(self.n_processes):
            numbers.put(index)
        n_steps = -(-self.num_samples // self._n_tasks)
        arguments = (numbers, self.env, self.policy, n_steps, self.n_processes)
        self._pool = context.Pool(self.n_processes, _begin_loop, arguments)

    def batch(self) -> int:
        """Send the weights with each task, and wait for all."""
        results = self._pool.imap_unordered(_chunk, [self._weights] * self._n_tasks)
        self._latest = list(results)
        return sum(len(columns["rewards"]) for columns in self._latest)

    def end(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.terminate()


class Pipes(PeerContestant):
    """A pipe to each process, which takes its share of a batch in one chunk: there is no way to do less."""

    distributions: ClassVar[tuple[str, ...]] = ("numpy", "gymnasium")

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self._pipes: list[Any] = []
        self._processes: list[Any] = []

    def begin(self) -> None:
        """Start the processes; each makes its own environment."""
        self._weights = _weights(self.env, self.policy, self.num_samples)
        context = multiprocessing.get_context("forkserver")
        n_steps = -(-self.num_samples // self.n_processes)
        for index in range(self.n_processes):
            mine, theirs = context.Pipe()
            arguments = (theirs, self.env, self.policy, n_steps, index, self.n_processes)
            process = context.Process(target=_serve_chunks, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(mine)
            self._processes.append(process)

    def batch(self) -> int:
        """Send the weights to all, and wait for all."""
        for pipe in self._pipes:
            pipe.send(self._weights)
        self._latest = [pipe.recv() for pipe in self._pipes]
        return sum(len(columns["rewards"]) for columns in self._latest)

    def end(self) -> None:
        """Close the pipes, by which the processes end."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join()


def _weights(env: str, policy: str, num_samples: int) -> Any:
    workload = Workload(env, policy, num_samples)
    made = workload.make_env()
    weights = workload.make_policy(made).get_param_values() or None
    made.close()
    return weights


def _serve_chunks(pipe: Any, env: str, policy: str, n_steps: int, index: int, n_loops: int) -> None:
    loop = ChunkLoop(env, policy, n_steps, index, n_loops)
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(loop.chunk(pipe.recv()))


def _begin_loop(numbers: Any, env: str, policy: str, n_steps: int, n_loops: int) -> None:
    global _loop
    _loop = ChunkLoop(env, policy, n_steps, numbers.get(), n_loops)


def _chunk(weights: Any) -> Any:
    return _loop.chunk(weights)
