"""The multiprocessing sampler: a pool whose carriers are processes."""

from __future__ import annotations

import atexit
import os
import socket
import weakref
from collections.abc import Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from samplerkit.sampling import CarrierGone, PoolSampler
from samplerkit.sampling.boundary import check_count
from samplerkit_multiprocessing import child, launch

_TENSORFLOW = "samplerkit_multiprocessing.tensorflow_in_workers"


class ProcessCarrier:
    """A worker process and the parent's end of its pipe."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process = process
        self.pipe = pipe
        self.ended = False


class MultiprocessingSampler(PoolSampler[ProcessCarrier]):
    """Runs units in processes of this machine.

    Options:
        n_processes: how many; None means the usable CPUs, at most one for each worker that is not
            like the others. Never seen in a batch.
        start_method: ``forkserver`` (default where there is one) or ``spawn``.
        max_restarts, unit_timeout: see `PoolSampler`.
    """

    @classmethod
    def _check_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        options = dict(options)
        checked: dict[str, Any] = {"n_processes": None, "start_method": None}
        if options.get("n_processes") is not None:
            checked["n_processes"] = check_count("n_processes", options["n_processes"])
        if options.get("start_method") is not None:
            checked["start_method"] = options["start_method"]
            launch.context(options["start_method"], ())
        rest = {name: value for name, value in options.items() if name not in checked}
        return {**checked, **super()._check_options(rest)}

    # -- the transport ---------------------------------------------------------------------------

    def n_carriers(self) -> int:
        """One process for each usable CPU, unless told otherwise."""
        wanted: int | None = self._options["n_processes"]
        return wanted if wanted is not None else _usable_cpus()

    def start_carrier(self, index: int, setup: bytes) -> ProcessCarrier:
        """Start a process."""
        _close_at_exit(self)
        method = self._options["start_method"] or launch.default_start_method()
        needs = (_TENSORFLOW,) if self.worker_factory.is_tf_worker else ()
        context = launch.context(method, needs)
        mine, theirs = context.Pipe()
        try:
            process = launch.start(context, child.main, (theirs, setup, needs), f"samplerkit-{index}")
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        return ProcessCarrier(process, mine)

    def send(self, carrier: ProcessCarrier, message: bytes) -> None:
        """Write to the pipe."""
        try:
            carrier.pipe.send_bytes(message)
        except OSError as error:
            raise CarrierGone from error

    def receive(
        self, carriers: Sequence[ProcessCarrier], timeout: float | None
    ) -> list[tuple[ProcessCarrier, bytes | None]]:
        """Sleep until a pipe or a process has something to say."""
        pipes = {carrier.pipe: carrier for carrier in carriers if not carrier.ended}
        deaths = {carrier.process.sentinel: carrier for carrier in carriers}
        wake, _ = self._wake_pair()
        ready = connection.wait([*pipes, *deaths, wake], timeout)
        received: list[tuple[ProcessCarrier, bytes | None]] = []
        dead = [deaths[item] for item in ready if isinstance(item, int)]
        for item in ready:
            if isinstance(item, Connection):
                self._read(pipes[item], received)
            elif item is wake:
                wake.recv(4096)
        for carrier in dead:
            # What it sent before it died still counts.
            while not carrier.ended and carrier.pipe.poll():
                self._read(carrier, received)
            received.append((carrier, None))
        return received

    @staticmethod
    def _read(carrier: ProcessCarrier, received: list[tuple[ProcessCarrier, bytes | None]]) -> None:
        try:
            received.append((carrier, carrier.pipe.recv_bytes()))
        except (EOFError, OSError):
            # Half a message, or the end: the sentinel says the rest.
            carrier.ended = True

    def exit_status(self, carrier: ProcessCarrier) -> int | None:
        """Return the exit code."""
        carrier.process.join(0)
        return carrier.process.exitcode

    def kill_carrier(self, carrier: ProcessCarrier) -> None:
        """Send SIGKILL."""
        carrier.process.kill()

    def stop_carrier(self, carrier: ProcessCarrier, timeout: float) -> None:
        """Join, kill what is left, close the pipe and the sentinel."""
        process = carrier.process
        if timeout > 0:
            process.join(timeout)
        if process.is_alive():
            process.kill()
        process.join()
        process.close()
        carrier.pipe.close()

    def wake(self) -> None:
        """Write a byte that `receive` waits for."""
        _, waker = self._wake_pair()
        waker.send(b"!")

    # -- life ------------------------------------------------------------------------------------

    _wakers: tuple[socket.socket, socket.socket] | None = None

    def _wake_pair(self) -> tuple[socket.socket, socket.socket]:
        if self._wakers is None:
            self._wakers = socket.socketpair()
        return self._wakers

    def _stop(self) -> None:
        super()._stop()
        wakers, self._wakers = self._wakers, None
        for end in wakers or ():
            end.close()


def _usable_cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return psutil.cpu_count() or 1


_live: weakref.WeakSet[MultiprocessingSampler] = weakref.WeakSet()


def _close_at_exit(sampler: MultiprocessingSampler) -> None:
    _live.add(sampler)


@atexit.register
def _close_live() -> None:
    """End what was never shut down: multiprocessing, whose own hook runs later, would wait for it."""
    for sampler in list(_live):
        sampler.shutdown_worker()
