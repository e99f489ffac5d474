"""How to start, reach and stop child processes."""

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Sequence
from subprocess import PIPE, Popen, TimeoutExpired
from typing import Any, BinaryIO, cast

from samplerkit.sampling import CarrierGone, Transport
from samplerkit_pipes import framing


class Child(threading.Thread):
    """A process, and a thread that listens to it."""

    def __init__(self, command: Sequence[str], heard: queue.SimpleQueue[Any]) -> None:
        super().__init__(daemon=True)
        # Messages are pickles: the other end must find the same modules in the same places.
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
        command = [*command, "-P", "-m", "samplerkit_pipes"]
        # A group of its own: Ctrl-C in a terminal is for the caller, who decides what it means.
        self.process = Popen(command, stdin=PIPE, stdout=PIPE, env=environ, process_group=0)
        self.heard = heard
        self.start()

    def run(self) -> None:
        """Pass on what the process says and, at last, that it ended."""
        while (message := framing.read(cast(BinaryIO, self.process.stdout))) is not None:
            self.heard.put((self, message))
        self.process.wait()
        self.heard.put((self, None))


class PipeTransport(Transport[Child]):
    """Child processes that run ``command -m samplerkit_pipes``."""

    def __init__(self, n_processes: int, command: Sequence[str]) -> None:
        self._n_processes = n_processes
        self._command = command
        self._heard: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @property
    def n_carriers(self) -> int:
        return self._n_processes

    def start(self, index: int, setup: bytes) -> Child:
        child = Child(self._command, self._heard)
        with contextlib.suppress(CarrierGone):  # it died at once: `receive` will say so
            self.send(child, setup)
        return child

    def send(self, carrier: Child, message: bytes) -> None:
        try:
            framing.write(cast(BinaryIO, carrier.process.stdin), message)
        except OSError as error:
            raise CarrierGone from error
        except KeyboardInterrupt:
            carrier.process.kill()  # it has half a message, and would wait for the rest
            raise

    def receive(self, carriers: Sequence[Child], timeout: float | None) -> list[tuple[Child, bytes | None]]:
        try:
            heard = self._heard.get(timeout=timeout)
        except queue.Empty:
            return []
        return [heard] if heard is not None and heard[0] in carriers else []

    def exit_status(self, carrier: Child) -> int | None:
        return carrier.process.returncode

    def kill(self, carrier: Child) -> None:
        carrier.process.kill()

    def stop(self, carrier: Child, timeout: float) -> None:
        with contextlib.suppress(TimeoutExpired):
            carrier.process.wait(timeout)
        carrier.process.kill()  # does nothing where it has ended
        carrier.join()
        carrier.process.communicate()  # closes the pipes

    def wake(self) -> None:
        self._heard.put(None)
