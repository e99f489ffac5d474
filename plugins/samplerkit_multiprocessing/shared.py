"""What the parent and its processes share: a queue of units, a board that says who runs which, and a tally.

The queue is a pipe that all processes read. The kernel hands each of them whole entries, wakes one that
sleeps, and needs no lock that a killed process could take with it.

The tally has the lengths of units that ended, so that each process can tell whether the call has enough. It
is written without locks, an aligned word at a time; a word says which unit of which epoch it is about, and
what an older one left there counts as nothing.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import select
import socket
import struct
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import reduction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from samplerkit.sampling import Claim, Need, Running, SharedWork
from samplerkit_multiprocessing.idle_cpu import IdleCpu
from samplerkit_multiprocessing.inlet import Inlet

_WORD = struct.Struct("q")
_AIM = struct.Struct("qqq")
_ENTRY = struct.Struct("qqii")
_NOTE = struct.Struct("qqd")
_EPOCH, _NUMBER, _SINCE = range(3)
_SLOT = 64
"""Bytes of the board for each process: a cache line."""

_PLACES = 1 << 16
"""Words of the tally, one for each unit of a call; longer calls begin again at the first."""

_MOST_STEPS = (1 << 32) - 1

_MOST_AIMED_AT = (1 << 63) - 1
"""Steps of a call, as far as the tally can count; nobody gets there."""

_MANY = 64
"""Units from the first that runs to the next, from which on arrays are faster: where workers overlap them."""

LARGEST_LETTER = 1 << 16
"""Bytes of a message in a letterbox, at most; more than one of them fit into what a kernel buffers."""

_MOST_AT_ONCE = 4096 // _ENTRY.size
"""POSIX promises that so much is written whole or not at all."""


class File:
    """A file descriptor that goes along when a process is started; closed when nobody has it any more."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.close = weakref.finalize(self, os.close, fd)
        self.close.atexit = False

    def __reduce__(self) -> tuple[object, ...]:
        return _inherited, (reduction.DupFd(self.fd),)


def _inherited(handle: Any) -> File:
    return File(handle.detach())


def anonymous_file(size: int) -> File:
    """Return a file of zeros that has no name, lives in memory if it can, and goes with its last user."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("samplerkit", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return File(fd)


def pipe() -> tuple[File, File]:
    """Return the ends of a pipe, to read and to write, that never block."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return File(ends[0]), File(ends[1])


def letterbox() -> tuple[File, File]:
    """Return the ends, to read and to write, of a way for whole messages that never blocks."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        end.setblocking(False)
    return File(ends[0].detach()), File(ends[1].detach())


def letters(box: File) -> Iterator[bytes]:
    """Yield the messages that lie in a letterbox."""
    with contextlib.suppress(OSError):
        while letter := os.read(box.fd, LARGEST_LETTER):
            yield letter


def drained(end: File) -> bytes:
    """Read a pipe empty."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(end.fd, 1 << 16):
            data += part
    return data


class Share:
    """The parent's end.

    Args:
        n_processes: how many will read the queue, and have a slot on the board.
    """

    def __init__(self, n_processes: int) -> None:
        self.queue, self._writer = pipe()
        self._aim_at = n_processes * _SLOT
        size = self._aim_at + _SLOT + _PLACES * _WORD.size
        self.board = anonymous_file(size)
        self._notes = mmap.mmap(self.board.fd, size)

    def offer(self, claims: Sequence[Claim]) -> int:
        """Write to the queue what there is room for, and return how many that was."""
        written = 0
        while written < len(claims):
            some = claims[written : written + _MOST_AT_ONCE]
            data = b"".join([_ENTRY.pack(*claim) for claim in some])
            try:
                os.write(self._writer.fd, data)
            except BlockingIOError:
                break
            written += len(some)
        return written

    def withdraw(self) -> None:
        """Read the queue empty."""
        drained(self.queue)

    def aim(self, epoch: int, first: int, least: int) -> None:
        """See `Transport.aim`."""
        _AIM.pack_into(self._notes, self._aim_at, epoch, first, min(least, _MOST_AIMED_AT))

    def strike(self, numbers: Iterable[int]) -> None:
        """See `Transport.strike`."""
        for number in numbers:
            _WORD.pack_into(self._notes, self._aim_at + _SLOT + number % _PLACES * _WORD.size, 0)

    def clear(self, index: int) -> None:
        """Wipe the slot of a process that is about to start."""
        _NOTE.pack_into(self._notes, index * _SLOT, -1, -1, 0.0)

    def running(self, index: int) -> Running | None:
        """Return what a process noted last."""
        noted = Running(*_NOTE.unpack_from(self._notes, index * _SLOT))
        return None if noted.number < 0 else noted

    def close(self) -> None:
        """Release everything here; processes keep what is theirs."""
        self._notes.close()
        self.board.close()
        self.queue.close()
        self._writer.close()


class Way(Protocol):
    """Brings messages of a process to its parent; see `SharedWork`."""

    def post(self, parts: Sequence[Any]) -> bool:
        """See `SharedWork.post`."""

    def leave(self, parts: Sequence[Any]) -> bool:
        """See `SharedWork.leave`."""

    def ring(self) -> None:
        """See `SharedWork.ring`."""


class Work(SharedWork):
    """A process's end.

    Args:
        queue, board: the parent's.
        index: of this process's slot.
        way: to the parent, for messages.
        batches: see `SharedWork.batch_memory`.
        inlet: where messages of the parent come in, which are taken while there is nothing else to do.
        cpu: where to sleep while there is nothing to do; None for anywhere.
    """

    def __init__(
        self,
        queue: File,
        board: File,
        index: int,
        way: Way,
        batches: npt.NDArray[np.uint8] | None = None,
        inlet: Inlet | None = None,
        cpu: int | None = None,
    ) -> None:
        self._queue = queue
        self._way = way
        messages = None if inlet is None else inlet.fileno
        self._inlet = None if messages is None else inlet
        self._take: Callable[[bytes | memoryview], None] | None = None
        self._rest = contextlib.nullcontext() if cpu is None else IdleCpu(cpu)
        self._notes = mmap.mmap(board.fd, 0)
        board.close()
        # Word by word, as `struct` would wipe the slot before it writes there.
        slot = memoryview(self._notes)[index * _SLOT : index * _SLOT + _NOTE.size]
        self._words, self._seconds = slot.cast("q"), slot.cast("d")
        tally_at = len(self._notes) - _PLACES * _WORD.size
        self._aim_at = tally_at - _SLOT
        self._tally = np.frombuffer(self._notes, np.int64, offset=tally_at)
        self._epochs = np.frombuffer(self._notes, np.int64, self._aim_at // 8)[:: _SLOT // 8]
        self._batches = batches
        self._call = (-1, -1)
        # The units of this call from its first to the one before the first whose length is not known.
        self._prefix = self._prefix_steps = 0
        self._woken, self._waker = pipe()
        self._poll = select.poll()
        self._poll.register(self._queue.fd, select.POLLIN)
        self._poll.register(self._woken.fd, select.POLLIN)
        self._poll_woken = select.poll()
        self._poll_woken.register(self._woken.fd, select.POLLIN)
        if messages is not None:
            self._poll.register(messages, select.POLLIN)
            self._poll_woken.register(messages, select.POLLIN)

    def claim(self) -> Claim | None:
        """See `SharedWork`."""
        try:
            data = os.read(self._queue.fd, _ENTRY.size)
        except BlockingIOError:
            return None
        # Nothing at all means that the parent is gone: the reader of its messages will hear so.
        if not data:
            return None
        epoch, first, urgent, n_units = _ENTRY.unpack(data)
        return Claim(epoch, first, bool(urgent), n_units)

    def hand_over(self, take: Callable[[bytes | memoryview], None]) -> None:
        """See `SharedWork`."""
        self._take = take

    def wait_for_wake(self, timeout: float) -> None:
        """See `SharedWork`."""
        self._wait(self._poll_woken, timeout * 1000)

    def wait(self) -> None:
        """See `SharedWork`."""
        self._wait(self._poll, None)

    def _wait(self, poll: select.poll, timeout: float | None) -> None:
        if self._inlet is None or self._take is None:
            self._sleep(poll, timeout)
            return
        self._inlet.take_over()
        try:
            self._sleep(poll, timeout)
            self._inlet.take(self._take)
        finally:
            self._inlet.give_back()

    def _sleep(self, poll: select.poll, timeout: float | None) -> None:
        with self._rest:
            events = poll.poll(timeout)
        for fd, event in events:
            if fd == self._woken.fd:
                drained(self._woken)
            elif fd == self._queue.fd and not event & select.POLLIN:
                self._poll.unregister(fd)  # the parent is gone

    def wake(self) -> None:
        """See `SharedWork`."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker.fd, b"!")

    def post(self, parts: Sequence[Any]) -> bool:
        """See `SharedWork`."""
        return self._way.post(parts)

    def leave(self, parts: Sequence[Any]) -> bool:
        """See `SharedWork`."""
        return self._way.leave(parts)

    def ring(self) -> None:
        """See `SharedWork`."""
        self._way.ring()

    def note(self, epoch: int, number: int) -> None:
        """See `SharedWork`.

        The parent may read the slot at any moment, from its front on. So a unit stands there only together
        with its epoch and its time, or an idle process would be killed for the time that it was idle.
        """
        words = self._words
        if number < 0:
            words[_NUMBER] = number
        self._seconds[_SINCE] = time.monotonic()
        words[_EPOCH] = epoch
        words[_NUMBER] = number

    def batch_memory(self) -> Any:
        """See `SharedWork`."""
        return self._batches

    def all_follow(self, epoch: int) -> bool:
        """See `SharedWork`. A process that has just been started has noted -1, and written nowhere."""
        return not np.any((self._epochs != -1) & (self._epochs < epoch))

    def score(self, epoch: int, number: int, n_steps: int) -> None:
        """See `SharedWork`."""
        word = n_steps if n_steps < _MOST_STEPS else _MOST_STEPS
        self._tally[number % _PLACES] = _tag(epoch, number) | word

    def score_all(self, epoch: int, numbers: Sequence[int], lengths: Sequence[int]) -> None:
        """See `SharedWork`."""
        units, words = np.array(numbers, np.int64), np.minimum(np.array(lengths, np.int64), _MOST_STEPS)
        tags = (1 << 30 | (epoch & 0x7FFFF) << 11 | (units // _PLACES) & 0x7FF) << 32
        self._tally[units % _PLACES] = tags | words

    def need(self, epoch: int, number: int) -> Need:
        """See `SharedWork`. Those before the unit that still run are taken to be as long as the others."""
        aimed, first, least = _AIM.unpack_from(self._notes, self._aim_at)
        if aimed != epoch or not first < number < first + _PLACES or not least:
            return Need.LIKELY
        if (epoch, first) != self._call:
            self._call, self._prefix, self._prefix_steps = (epoch, first), first, 0
        stop = max(number, self._prefix)  # one that ran before may run again
        n_known, known_steps, n_others, others_steps = self._ended(epoch, self._prefix, stop)
        running = stop - self._prefix - n_known - n_others
        self._prefix += n_known
        self._prefix_steps += known_steps
        if self._prefix_steps >= least:
            return Need.NONE
        if running == 0 or running == stop - first:
            return Need.DOUBTFUL if running else Need.LIKELY
        steps = self._prefix_steps + others_steps
        mean = steps / (stop - first - running)
        if running * mean >= least - steps:
            return Need.UNLIKELY
        # Half a unit of doubt for one that runs, more for several.
        doubt = (running + 0.5 * math.sqrt(running + 1)) * mean
        return Need.DOUBTFUL if doubt >= least - steps else Need.LIKELY

    def _ended(self, epoch: int, first: int, stop: int) -> tuple[int, int, int, int]:
        """Return how many units ended before the first that has not, and their steps; and of the others."""
        start, n_units = first % _PLACES, stop - first
        if n_units > _MANY or start + n_units > _PLACES:
            return _counted(self._lengths_of_many(epoch, first, stop))
        tag = _tag(epoch, first)
        lengths = [word - tag for word in self._tally[start : start + n_units].tolist()]
        ended = [length for length in lengths if 0 <= length <= _MOST_STEPS]
        if len(ended) == n_units:
            return n_units, sum(ended), 0, 0
        n_known = next(index for index, length in enumerate(lengths) if not 0 <= length <= _MOST_STEPS)
        known_steps = sum(ended[:n_known])
        return n_known, known_steps, len(ended) - n_known, sum(ended) - known_steps

    def _lengths_of_many(self, epoch: int, first: int, stop: int) -> npt.NDArray[np.int64]:
        """Return how many steps units took, with -1 for those that have not ended."""
        start, wrapped = first % _PLACES, stop % _PLACES
        if stop - first <= _PLACES - start:
            lengths = self._tally[start : start + stop - first] - _tag(epoch, first)
        else:
            parts = self._tally[start:] - _tag(epoch, first), self._tally[:wrapped] - _tag(epoch, stop)
            lengths = np.concatenate(parts)
        lengths[(lengths < 0) | (lengths > _MOST_STEPS)] = -1
        return lengths


def _counted(lengths: npt.NDArray[np.int64]) -> tuple[int, int, int, int]:
    unknown = lengths < 0
    n_known = int(unknown.argmax()) if unknown.any() else len(lengths)
    known_steps = int(lengths[:n_known].sum())
    n_others = len(lengths) - n_known - int(np.count_nonzero(unknown))
    return n_known, known_steps, n_others, int(lengths[~unknown].sum()) - known_steps


def _tag(epoch: int, number: int) -> int:
    """Return the upper half of a unit's word, which tells it from those that share its place; never 0."""
    return (1 << 30 | (epoch & 0x7FFFF) << 11 | (number // _PLACES) & 0x7FF) << 32
