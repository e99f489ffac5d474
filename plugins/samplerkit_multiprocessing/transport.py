"""Processes as carriers of workers, and the pipes to them."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias

from samplerkit.sampling import CarrierGone, Claim, Running, Transport
from samplerkit_multiprocessing import child, launch
from samplerkit_multiprocessing.arena import IN_ARENA, SMALLEST, BatchMemory, Bulletin, Reader, arena_file
from samplerkit_multiprocessing.shared import File, Share, letterbox, letters, pipe

Received: TypeAlias = "tuple[ProcessCarrier, bytes | memoryview | None]"

_PAUSES = (0.0, 0.01, 0.1, 1.0)
"""Seconds before each attempt to start a process: that a fork server was killed is not known at once."""

_REFUSED = {
    errno.EMFILE: "the program has as many files open as it may, and each process takes 8 more: raise that "
    "limit (ulimit -n), or ask for fewer by n_processes",
    errno.ENFILE: "this machine has as many files open as it may: ask for fewer by n_processes",
    errno.EAGAIN: "there are as many processes as the user or the container may have: raise that limit "
    "(ulimit -u), or ask for fewer by n_processes",
    errno.ENOMEM: "there is not enough memory: ask for fewer by n_processes",
}
"""What to do, by what the operating system says where it refuses a process or what belongs to it."""


class ProcessCarrier:
    """A worker process and the parent's ends of the ways to it."""

    def __init__(
        self,
        index: int,
        process: BaseProcess,
        pipe: Connection,
        letterbox: File,
        arena: Reader | None = None,
        end: File | None = None,
    ) -> None:
        self.index = index
        self.process = process
        self.pipe = pipe
        self.letterbox = letterbox
        self.arena = arena
        self._end = end
        self.ended = False
        self.stopped = False

    @property
    def sentinel(self) -> int:
        """What is readable once the process has ended."""
        return self.process.sentinel if self._end is None else self._end.fd

    def close(self) -> None:
        """Close the ways to it, once it has been let go."""
        self.pipe.close()
        self.letterbox.close()
        if self._end is not None:
            self._end.close()


class ProcessTransport(Transport[ProcessCarrier]):
    """Starts processes and talks to them over pipes.

    Args:
        n_processes: how many.
        start_method: ``forkserver`` or ``spawn``.
        cpus: which processes may use, if one can tell. Where there are no more than processes, each process
            has one of them, in turn, to rest on.
        pin: whether each process has one, and stays there.
        needs: modules that a process imports before anything else.
    """

    def __init__(
        self,
        n_processes: int,
        start_method: str,
        cpus: Sequence[int] = (),
        pin: bool = False,
        needs: tuple[str, ...] = (),
    ) -> None:
        self._n_processes = n_processes
        self._start_method = start_method
        # Fewer processes than CPUs are woken on idle ones, which they need not share with other programs.
        self._cpus = cpus if pin or len(cpus) <= n_processes else ()
        self._pin = pin
        self._needs = needs
        self._share = Share(n_processes)
        file = self._arena_file()
        self._bulletin = None if file is None else Bulletin(file)
        file = self._arena_file()
        self._batches = None if file is None else BatchMemory(file)
        self._selector = selectors.DefaultSelector()
        # Last, because nobody closes it where something else cannot be had.
        self._wake_end, self._waker = socket.socketpair()
        self._watched: list[ProcessCarrier] = []
        self._started: list[ProcessCarrier] = []

    def _arena_file(self) -> File | None:
        """Return a file for one of the arenas: the bulletin, batches, and what each process writes to."""
        return arena_file(self._n_processes + 2)

    @property
    def n_carriers(self) -> int:
        """The number of processes."""
        return self._n_processes

    def start(self, index: int, setup: bytes) -> ProcessCarrier:
        """Start a process; again where the fork server, or it, ended meanwhile: the next attempt begins anew.

        Raises:
            RuntimeError: if that happens again and again; if the operating system refuses another one.
        """
        for pause in _PAUSES:
            time.sleep(pause)
            try:
                with refusals_explained():
                    return self._start(index, setup)
            except (EOFError, ConnectionError) as error:
                cause = error
        raise RuntimeError(
            f"no worker process can be started: what should become one (by "
            f"start_method={self._start_method!r}) ends at once; is there enough memory?"
        ) from cause

    def _start(self, index: int, setup: bytes) -> ProcessCarrier:
        # Its ways are its own: who was started by an attempt that failed finds its pipe closed, and ends.
        context = launch.context(self._start_method, self._needs)
        mine, theirs = context.Pipe()
        letters_out, letters_in = letterbox()
        self._share.clear(index)
        given: list[Connection | File] = [theirs, letters_in]
        file, reader, arena = self._arena_file(), None, None
        if file is not None:
            theirs_freed, freed = pipe()
            reader, arena = Reader(file, freed), (file, theirs_freed)
            given += arena
        bulletin = None
        if self._bulletin is not None:
            bulletin = self._bulletin.file, self._bulletin.add(index)
            given.append(bulletin[1])
        try:
            cpu = self._cpus[index % len(self._cpus)] if self._cpus else None
            batches = None if self._batches is None else self._batches.file
            share = self._share
            ways = (theirs, share.queue, share.board, index, letters_in, arena, bulletin)
            arguments = (child.Belongings(*ways, cpu, self._pin, batches), setup, self._needs)
            process = launch.start(context, child.main, arguments, f"samplerkit-{index}")
        except BaseException:
            mine.close()
            raise
        finally:
            for way in given:  # each would close by itself, and Ctrl-C that came then would be lost
                way.close()
        end = launch.end_of(process, self._start_method)
        carrier = ProcessCarrier(index, process, mine, letters_out, reader, end)
        self._started.append(carrier)
        return carrier

    def announce(self, carriers: Sequence[ProcessCarrier], parts: Sequence[Any]) -> bytes:
        """Put a large message where all processes can read it."""
        if self._bulletin is not None and sum(map(len, parts)) >= SMALLEST:
            place = self._bulletin.post(parts, [carrier.index for carrier in carriers])
            if place is not None:
                return IN_ARENA + place
        return b"".join(parts)

    def send(self, carrier: ProcessCarrier, message: bytes) -> None:
        """Write to the pipe."""
        try:
            with _whole_messages(carrier):
                carrier.pipe.send_bytes(message)
        except OSError as error:
            raise CarrierGone from error

    def receive(self, carriers: Sequence[ProcessCarrier], timeout: float | None) -> list[Received]:
        """Sleep until a pipe or a process has something to say."""
        self._watch(carriers)
        ready = [key for key, _ in self._selector.select(timeout)]
        received: list[Received] = []
        for carrier in carriers:
            self._read_letters(carrier, received)
        for key in ready:
            if isinstance(key.fileobj, Connection):
                self._read(key.data, received)
        for key in ready:
            if isinstance(key.fileobj, int):
                self._read_last(key.data, received)
            elif key.fileobj is self._wake_end:
                self._wake_end.recv(4096)
        return received

    def _watch(self, carriers: Sequence[ProcessCarrier]) -> None:
        """See to it that the selector, which is costly to make, looks at these carriers."""
        if self._watched == carriers:
            return
        self._selector.close()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_end, selectors.EVENT_READ)
        for carrier in carriers:
            if not carrier.ended:
                self._selector.register(carrier.pipe, selectors.EVENT_READ, carrier)
            self._selector.register(carrier.sentinel, selectors.EVENT_READ, carrier)
        self._watched = list(carriers)

    def _read_letters(self, carrier: ProcessCarrier, received: list[Received]) -> None:
        """Take what a process did not think worth waking the parent for."""
        received += [(carrier, _in_full(carrier, letter)) for letter in letters(carrier.letterbox)]

    def _read(self, carrier: ProcessCarrier, received: list[Received]) -> None:
        try:
            with _whole_messages(carrier):
                message = carrier.pipe.recv_bytes()
                if message:  # otherwise it only woke us
                    received.append((carrier, _in_full(carrier, message)))
        except (EOFError, OSError):
            # Half a message, or the end: the sentinel says the rest.
            self._hear_no_more(carrier)
        except KeyboardInterrupt:
            self._hear_no_more(carrier)  # what is left in its pipe begins anywhere
            raise

    def _hear_no_more(self, carrier: ProcessCarrier) -> None:
        """Leave unread what is still in a carrier's pipe."""
        carrier.ended = True
        with contextlib.suppress(KeyError):
            self._selector.unregister(carrier.pipe)

    def _read_last(self, carrier: ProcessCarrier, received: list[Received]) -> None:
        """What a process sent before it died still counts."""
        self._read_letters(carrier, received)
        while not carrier.ended and carrier.pipe.poll():
            self._read(carrier, received)
        received.append((carrier, None))

    def exit_status(self, carrier: ProcessCarrier) -> int | None:
        """Return the exit code."""
        if carrier.process.exitcode is None:
            carrier.process.join(1)  # its files are closed, by which one knows, a moment before its end
        return carrier.process.exitcode

    def kill(self, carrier: ProcessCarrier) -> None:
        """Send SIGKILL."""
        carrier.process.kill()

    def stop(self, carrier: ProcessCarrier, timeout: float) -> None:
        """Join, kill what is left, close the pipe and the sentinel."""
        if carrier.stopped:
            return
        process = carrier.process
        if timeout > 0:
            self._listen_until_it_ends(carrier, timeout)
        if process.is_alive():
            process.kill()
        launch.let_go(process)
        if self._bulletin is not None:
            self._bulletin.remove(carrier.index)
        self._watched = []
        carrier.stopped = True
        carrier.close()
        if carrier in self._started:
            self._started.remove(carrier)

    def _listen_until_it_ends(self, carrier: ProcessCarrier, timeout: float) -> None:
        """Read on meanwhile: a process whose last batch nobody takes would wait for ever."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            for _, message in self.receive([carrier], left):
                if message is None:
                    return

    def wake(self) -> None:
        """Write a byte that `receive` waits for."""
        with contextlib.suppress(OSError):  # closed meanwhile: nobody waits
            self._waker.send(b"!")

    shares_work = True

    def offer(self, claims: Sequence[Claim]) -> int:
        """Write to the pipe that all processes read."""
        return self._share.offer(claims)

    def aim(self, epoch: int, first: int, least: int) -> None:
        """Write to the tally."""
        self._share.aim(epoch, first, least)

    def strike(self, numbers: Iterable[int]) -> None:
        """Wipe words of the tally."""
        self._share.strike(numbers)

    def batch_blocks(self) -> BatchMemory | None:
        """Return memory that all processes have."""
        return self._batches

    def withdraw(self) -> None:
        """Read that pipe empty."""
        self._share.withdraw()

    def running(self, carrier: ProcessCarrier) -> Running | None:
        """Read the board."""
        return self._share.running(carrier.index)

    def close(self) -> None:
        """Close what processes share, and the pair of sockets that `wake` uses."""
        for carrier in list(self._started):  # which Ctrl-C kept from whoever asked for it
            self.stop(carrier, 0.0)
        self._selector.close()
        self._share.close()
        if self._bulletin is not None:
            self._bulletin.close()
        if self._batches is not None:
            self._batches.file.close()
        self._wake_end.close()
        self._waker.close()


@contextlib.contextmanager
def refusals_explained() -> Iterator[None]:
    """Say what to do where the operating system refuses a process or what belongs to it.

    Raises:
        RuntimeError: instead of its errors.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise RuntimeError(f"no worker process can be started: {_REFUSED[error.errno]}") from error


def _in_full(carrier: ProcessCarrier, message: bytes) -> bytes | memoryview:
    """Return the message itself where this one says only where it is."""
    if message[:1] == IN_ARENA and carrier.arena is not None:
        return carrier.arena.read(message[1:])
    return message


@contextlib.contextmanager
def _whole_messages(carrier: ProcessCarrier) -> Iterator[None]:
    """After Ctrl-C in the middle of a message nothing that follows on that pipe would make sense."""
    try:
        yield
    except KeyboardInterrupt:
        carrier.process.kill()
        raise
