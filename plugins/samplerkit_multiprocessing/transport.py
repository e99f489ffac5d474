"""Processes as carriers of workers, and the pipes to them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from samplerkit.sampling import CarrierGone, Transport
from samplerkit_multiprocessing import child, launch


class ProcessCarrier:
    """A worker process and the parent's end of its pipe."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process = process
        self.pipe = pipe
        self.ended = False


class ProcessTransport(Transport[ProcessCarrier]):
    """Starts processes and talks to them over pipes.

    Args:
        n_processes: how many.
        start_method: ``forkserver`` or ``spawn``.
        needs: modules that a process imports before anything else.
    """

    def __init__(self, n_processes: int, start_method: str, needs: tuple[str, ...] = ()) -> None:
        self._n_processes = n_processes
        self._start_method = start_method
        self._needs = needs
        self._wake_end, self._waker = socket.socketpair()

    @property
    def n_carriers(self) -> int:
        """The number of processes."""
        return self._n_processes

    def start(self, index: int, setup: bytes) -> ProcessCarrier:
        """Start a process."""
        context = launch.context(self._start_method, self._needs)
        mine, theirs = context.Pipe()
        try:
            arguments = (theirs, setup, self._needs)
            process = launch.start(context, child.main, arguments, f"samplerkit-{index}")
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        return ProcessCarrier(process, mine)

    def send(self, carrier: ProcessCarrier, message: bytes) -> None:
        """Write to the pipe."""
        try:
            with _whole_messages(carrier):
                carrier.pipe.send_bytes(message)
        except OSError as error:
            raise CarrierGone from error

    def receive(
        self, carriers: Sequence[ProcessCarrier], timeout: float | None
    ) -> list[tuple[ProcessCarrier, bytes | None]]:
        """Sleep until a pipe or a process has something to say."""
        pipes = {carrier.pipe: carrier for carrier in carriers if not carrier.ended}
        deaths = {carrier.process.sentinel: carrier for carrier in carriers}
        ready = connection.wait([*pipes, *deaths, self._wake_end], timeout)
        received: list[tuple[ProcessCarrier, bytes | None]] = []
        for item in ready:
            if isinstance(item, Connection):
                self._read(pipes[item], received)
        for item in ready:
            if isinstance(item, int):
                self._read_last(deaths[item], received)
            elif item is self._wake_end:
                self._wake_end.recv(4096)
        return received

    def _read(self, carrier: ProcessCarrier, received: list[tuple[ProcessCarrier, bytes | None]]) -> None:
        try:
            with _whole_messages(carrier):
                received.append((carrier, carrier.pipe.recv_bytes()))
        except (EOFError, OSError):
            # Half a message, or the end: the sentinel says the rest.
            carrier.ended = True

    def _read_last(
        self, carrier: ProcessCarrier, received: list[tuple[ProcessCarrier, bytes | None]]
    ) -> None:
        """What a process sent before it died still counts."""
        while not carrier.ended and carrier.pipe.poll():
            self._read(carrier, received)
        received.append((carrier, None))

    def exit_status(self, carrier: ProcessCarrier) -> int | None:
        """Return the exit code."""
        carrier.process.join(0)
        return carrier.process.exitcode

    def kill(self, carrier: ProcessCarrier) -> None:
        """Send SIGKILL."""
        carrier.process.kill()

    def stop(self, carrier: ProcessCarrier, timeout: float) -> None:
        """Join, kill what is left, close the pipe and the sentinel."""
        process = carrier.process
        if timeout > 0:
            self._listen_until_it_ends(carrier, timeout)
        if process.is_alive():
            process.kill()
        process.join()
        process.close()
        carrier.pipe.close()

    def _listen_until_it_ends(self, carrier: ProcessCarrier, timeout: float) -> None:
        """Read on meanwhile: a process whose last batch nobody takes would wait for ever."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            for _, message in self.receive([carrier], left):
                if message is None:
                    return

    def wake(self) -> None:
        """Write a byte that `receive` waits for."""
        self._waker.send(b"!")

    def close(self) -> None:
        """Close the pair of sockets that `wake` uses."""
        self._wake_end.close()
        self._waker.close()


@contextlib.contextmanager
def _whole_messages(carrier: ProcessCarrier) -> Iterator[None]:
    """After Ctrl-C in the middle of a message nothing that follows on that pipe would make sense."""
    try:
        yield
    except KeyboardInterrupt:
        carrier.process.kill()
        raise
