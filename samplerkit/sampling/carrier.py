"""The far end of a pool: a loop that hosts workers and answers requests, wherever a backend runs it."""

from __future__ import annotations

import bisect
import functools
import itertools
import operator
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import threadpoolctl

from samplerkit.episodes import BatchBuffer, EnvSpec, EpisodeSlice, Place, RecycledMemory
from samplerkit.episodes.tick_recording import lengths_of
from samplerkit.interfaces.unit_feeds import InGroups
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.host import WorkerHost
from samplerkit.sampling.messages import Cancel, Close, Configure, Configured, Run, Started, decode, encode
from samplerkit.sampling.numbering import runs
from samplerkit.sampling.outbox import HiddenState, Outbox
from samplerkit.sampling.placement import Placement
from samplerkit.sampling.seating import HostSetup
from samplerkit.sampling.shared_work import Claim, Need, SharedWork

_PATIENCE = 0.1
"""Seconds that a result waits for others to travel with, where the pool can see what runs."""

_REST = 30.0
"""Seconds that a carrier rests where no unit is needed, before it runs ahead all the same."""


@dataclass(frozen=True)
class CarrierSetup:
    """What a carrier needs to know once.

    Attributes:
        host: see `HostSetup`.
        announce_units: whether the pool watches the time that units take.
        patience: see `Transport.lingers`.
    """

    host: HostSetup
    announce_units: bool
    patience: float = 0.0


def serve(
    setup: bytes,
    receive: Callable[[], bytes | memoryview | None],
    send: Callable[[bytes], None],
    work: SharedWork | None = None,
    *,
    on_up: Callable[[], None] | None = None,
) -> None:
    """Host workers until told to close. A backend calls this in each process, thread or actor.

    Args:
        setup: what `Transport.start` was given.
        receive: blocks for the next message; None where there will be no more, which ends the carrier. A view
            is kept for as long as weights in it are, so nothing may be written there meanwhile. It is called
            from a thread of its own, so that a carrier takes messages while a unit runs, and up
            to the None: a carrier in the caller's own process must get one, or this thread stays.
        send: sends a message back. Called from more than one thread where there is `work`, but by one at a
            time.
        work: the queue that carriers share, for transports with `shares_work`.
        on_up: called once, when workers have been built for the first time. A process that does nothing else
            passes ``gc.freeze``: what is there by then stays, and to look through it again and again for
            garbage would hold up units, by some tenths of a second where TensorFlow is part of it.
    """
    _Carrier(decode(setup), send, work, on_up).serve(receive)


class Service:
    """What `serve` does, for a far end whose threads belong to somebody else: it is called, and returns.

    Args:
        setup: what `Transport.start` was given.
        send: takes a message for the pool: in `work`, or in a thread of its own where a unit takes long. A
            large one is a view of memory that is used again when nobody has a view of it any more.
        on_up: as for `serve`.
    """

    def __init__(
        self,
        setup: bytes,
        send: Callable[[bytes | memoryview], None],
        *,
        on_up: Callable[[], None] | None = None,
    ) -> None:
        self._carrier = _Carrier(decode(setup), send, None, on_up, RecycledMemory(most_kept=1))
        self._course = self._carrier.course()
        self.over = False
        """Whether it was told to close, and has."""

    def take(self, message: bytes | memoryview) -> None:
        """Take a message of the pool; in any thread."""
        self._carrier.hear(message)

    def work(self, enough: Callable[[], bool]) -> None:
        """Do what there is to do; always in the same thread.

        Args:
            enough: asked after each unit; True ends it, until the next time.
        """
        for busy in self._course:
            if enough() or not (busy or self._carrier.has_mail):
                return
        self.over = True

    @property
    def wants(self) -> int:
        """How many more times it is to be called for what it has: 0 for nothing to do, 2 for nobody knows."""
        return 0 if self.over else min(2, self._carrier.n_runs_left)


class _Carrier:
    def __init__(
        self,
        setup: CarrierSetup,
        send: Callable[[Any], None],
        work: SharedWork | None,
        on_up: Callable[[], None] | None,
        memory: RecycledMemory | None = None,
    ) -> None:
        self._host = WorkerHost(setup.host, catch_interrupts=True)
        self._placement: Placement | None = None
        self._buffer: BatchBuffer | None = None
        self._buffer_spec: EnvSpec | None = None
        self._timed = setup.announce_units
        self._announce = setup.announce_units and work is None
        self._work = work
        self._on_up = on_up
        # Whoever cannot see what runs must be told of each unit at once, or a death could not be blamed.
        patience = setup.patience if work is None else _PATIENCE
        self._outbox = Outbox(send, work, patience, memory, latest=setup.patience)
        self._lingers = work is not None or setup.patience > 0
        self._far = work is None and setup.patience > 0
        self._inbox: queue.SimpleQueue[Configure | Run | Close] = queue.SimpleQueue()
        self._next: Configure | Close | None = None
        self._own: deque[Claim] = deque()
        # Of those that are told of their units from afar: how many had come with each `Run`, and are done.
        self._ends: deque[int] = deque()
        self._n_given = self._n_done = self._n_told = 0
        self._single = self._units()
        self._numbers = InGroups(self._several, functools.partial(next, self._single))
        # What is left of the entry that units are taken from.
        self._entry = Claim(-1, 0)
        self._left = iter(range(0))
        self._open: dict[int, None] = {}
        # What stands on the board.
        self._noted = -1
        self._last = -1
        self._seats: tuple[int, ...] = ()
        self._epoch = -1
        self._broken = False
        self._cancelled_epoch = -1
        self._closing = False
        # A cancellation that comes late must not strike the next epoch.
        self._turn_of_epoch = threading.Lock()

    def serve(self, receive: Callable[[], bytes | memoryview | None]) -> None:
        if self._work is not None:
            self._work.hand_over(self.hear)
        reader = threading.Thread(target=self._read, args=(receive,), name="samplerkit-inbox", daemon=True)
        reader.start()
        for busy in self.course():
            if not busy:
                self._sleep()

    # -- the reader's thread ---------------------------------------------------------------------

    def _read(self, receive: Callable[[], bytes | memoryview | None]) -> None:
        # After `Close` too: while a unit hangs, `receive` is how a backend hears that the parent is gone.
        while self._read_next(receive):
            pass
        self.take(Close())

    def _read_next(self, receive: Callable[[], bytes | memoryview | None]) -> bool:
        """Take the next message, if there is one. Who waits for it does not hold the last, or its memory."""
        data = receive()
        if data is None:
            return False
        self.hear(data)
        return True

    def hear(self, message: bytes | memoryview) -> None:
        self.take(decode(message))

    def take(self, request: Configure | Run | Cancel | Close) -> None:
        if isinstance(request, Cancel):
            self._cancel(request.epoch)
            return
        if isinstance(request, Close):
            self._closing = True
            self._host.cancel()
        elif isinstance(request, Configure):
            self._cancel(request.epoch - 1)
        self._inbox.put(request)
        if self._work is not None:
            self._work.wake()

    def _cancel(self, epoch: int) -> None:
        with self._turn_of_epoch:
            self._cancelled_epoch = max(epoch, self._cancelled_epoch)
            if self._epoch <= epoch:
                self._host.cancel()

    # -- the thread that runs units --------------------------------------------------------------

    def course(self) -> Iterator[bool]:
        """Do what it is told, up to the end: yields True after a unit, False where there is nothing to do."""
        threadpoolctl.threadpool_limits(limits=1)
        watcher = threading.Thread(target=self._outbox.watch, name="samplerkit-outbox", daemon=True)
        if self._lingers:
            watcher.start()
        try:
            while True:
                yield from self._run_units()
                request, self._next = self._next, None
                if isinstance(request, Close):
                    return
                if request is not None:
                    self._configure(request)
                    continue
                self._outbox.flush()
                yield False
        finally:
            self._outbox.close()
            self._host.close()

    def _run_units(self) -> Iterator[bool]:
        """Run units until there is none, or a request of another kind."""
        put, continues, work = self._outbox.put, self._host.continues, self._work
        self._open.clear()
        for done, result in self._host.run(self._numbers, self._seats):
            if isinstance(done, int):
                put(done, result, self._asking(done) if continues else None)
                if work is not None and not isinstance(result, Failure):
                    work.score(self._epoch, done, result.stop_row - result.first_row)
                self._open.pop(done, None)
            elif not isinstance(result, Failure):
                self._ended_together(done, result)
            if self._open:
                self._note()
            if self._ends:
                self._count(1 if isinstance(done, int) else len(done))
            yield True

    def _count(self, n_units: int) -> None:
        """Tell what has been done where all is that came with one `Run`."""
        self._n_done += n_units
        if self._n_done >= self._ends[0]:
            while self._ends and self._n_done >= self._ends[0]:
                self._n_told = self._ends.popleft()
            self._outbox.flush()

    @property
    def has_mail(self) -> bool:
        """Whether there are messages that it has not done anything about."""
        return self._next is not None or not self._inbox.empty()

    @property
    def n_runs_left(self) -> int:
        """How many times it will have something to say about the units that it has; 2 if nobody knows."""
        if self.has_mail:
            return 2
        if not (self._own or self._open or operator.length_hint(self._left)):
            return 0
        return len(self._ends) if self._far and self._n_done == self._n_told else 2

    def _ended_together(self, numbers: list[int], result: EpisodeSlice) -> None:
        self._outbox.put_together(numbers, result)
        if self._work is not None:
            self._work.score_all(self._epoch, numbers, lengths_of(result))
        if numbers == [*self._open]:
            self._open.clear()
        else:
            for number in numbers:
                self._open.pop(number, None)

    def _asking(self, number: int) -> HiddenState:
        return functools.partial(self._host.hidden_state, self._seats[number % len(self._seats)], number)

    def _sleep(self) -> None:
        """Wait until there is something to do."""
        if self._work is None:
            self._sort(self._inbox.get())
            return
        self._note_none(self._work)
        if self._inbox.empty():
            self._work.wait()

    def _units(self) -> Iterator[int | None]:
        """Yield units as they are to run; None where there is none now, or something else to do."""
        while True:
            entry = self._next_entry()
            if entry is None:
                if self._open:
                    self._send_if_waited_for()
                yield None
                continue
            self._entry, self._left = entry, iter(entry.numbers)
            for number in self._left:
                # Messages first; but an entry goes on where it stood if they change nothing.
                if number > entry.first and not self._inbox.empty():
                    self._own.appendleft(entry.since(number))
                    break
                if entry.urgent and not self._is_needed(number):
                    self._own.appendleft(entry.since(number))
                    yield None
                    break
                self._last = number
                self._open[number] = None
                self._note()
                yield number
                if entry.epoch <= self._cancelled_epoch:
                    break
            self._left = iter(range(0))

    def _several(self, most: int) -> list[int]:
        """Return the next unit, and those after it in its entry that are to run now too; `most` in all."""
        number = next(self._single)
        if number is None:
            return []
        if most == 1:
            return [number]
        n_more = min(most - 1, operator.length_hint(self._left))
        if n_more and self._entry.urgent:
            n_more = self._n_needed(range(number + 1, number + 1 + n_more))
        numbers = [number, *itertools.islice(self._left, n_more)]
        self._last = numbers[-1]
        self._open.update(dict.fromkeys(numbers))
        return numbers

    def _n_needed(self, numbers: range) -> int:
        """Return how many units are to run now beside the one before them, which is needed.

        None of them is needed more than the one before it.
        """

        def too_many(number: int) -> bool:
            return self._need(number) in (Need.UNLIKELY, Need.NONE)

        if not too_many(numbers[-1]):
            return len(numbers)
        return bisect.bisect_left(numbers, True, hi=len(numbers) - 1, key=too_many)

    def _is_needed(self, number: int) -> bool:
        """Whether a unit is to run now that may be one too many; what may be waited for is sent before it.

        One that is probably too many waits while others run here: it would only hold them up.
        """
        oldest = next(iter(self._open), number)
        need = self._need(oldest)
        if need is Need.DOUBTFUL or need is Need.UNLIKELY:
            # Those that run here may not be needed either.
            self._outbox.flush(quietly=True)
            # Whoever ended the last unit that is needed has woken the pool, but perhaps before this.
            need = self._need(number)
        elif number != oldest:
            need = self._need(number)
        if need is Need.NONE:
            self._outbox.flush()
            return self._rest()
        return not (need is Need.UNLIKELY and self._open)

    def _rest(self) -> bool:
        """Wait for a message where the call has enough; what runs here is not needed, and stands still.

        Returns:
            Whether to go on all the same: nothing that the pool waits for may be held for ever, whatever the
            tally says.
        """
        assert self._work is not None, "has the tally"
        self._note_none(self._work)
        until = time.monotonic() + _REST
        while self._inbox.empty() and (left := until - time.monotonic()) > 0:
            self._work.wait_for_wake(left)
        if self._open:
            self._note()
        return self._inbox.empty()

    def _send_if_waited_for(self) -> None:
        """Send what is finished where the pool may need no more from here, or should hand out more."""
        if self._far:
            # What is said in the middle of units is not heard before one of them ends, see `Service`.
            self._outbox.hasten()
            return
        need = self._need(next(iter(self._open)))
        if need is Need.NONE or self._need(self._last + 1) is Need.LIKELY:
            self._outbox.flush()
        elif need is not Need.LIKELY:
            self._outbox.flush(quietly=True)

    def _need(self, number: int) -> Need:
        return self._work.need(self._epoch, number) if self._work is not None else Need.DOUBTFUL

    def _place(self, number: int, spec: EnvSpec) -> Place | None:
        """Return where the observations of a unit go that begins."""
        placement = self._placement
        memory = None if self._work is None or placement is None else self._work.batch_memory()
        if self._work is None or placement is None or memory is None:
            return None
        if self._buffer_spec is not spec:
            self._buffer_spec, self._buffer = spec, placement.buffer(spec, memory)
        if self._buffer is None or not self._work.all_follow(self._epoch):
            return None
        return self._buffer.place(number - placement.first)

    def _note(self) -> None:
        """Say that the oldest unit runs. It counts from now on: of those that share a worker none hangs, as
        long as any of them begins or ends.
        """
        number = next(iter(self._open))
        if self._work is not None:
            if number != self._noted or self._timed:
                self._work.note(self._epoch, number)
                self._noted = number
        elif self._announce and self._lingers:
            self._outbox.run(number)
        elif self._announce:
            self._outbox.send(encode(Started(self._epoch, number)))

    def _note_none(self, work: SharedWork) -> None:
        """Say that no unit runs."""
        work.note(self._epoch, -1)
        self._noted = -1

    def _next_entry(self) -> Claim | None:
        """Take the next entry of this epoch; None if there is none now, or something else to do."""
        while True:
            while self._next is None and not self._inbox.empty():
                self._sort(self._inbox.get())
            if self._next is not None:
                return None
            entry = self._claim()
            if entry is None or (entry.epoch > self._cancelled_epoch and not self._broken):
                return entry  # those of earlier epochs are cancelled

    def _claim(self) -> Claim | None:
        if self._own:
            claim: Claim | None = self._own.popleft()
        elif self._work is None or self._epoch < 0:
            return None
        else:
            claim = self._work.claim()
        if claim is not None and claim.epoch > self._epoch:
            # The request that begins this epoch is on its way.
            self._own.appendleft(claim)
            while self._next is None:
                self._sort(self._inbox.get())
            return None
        return claim

    def _sort(self, request: Configure | Run | Close) -> None:
        if isinstance(request, Run):
            epoch = request.epoch
            self._own.extend(Claim(epoch, run.start, n_units=len(run)) for run in runs(request.numbers))
            if self._far and request.numbers:
                self._n_given += len(request.numbers)
                self._ends.append(self._n_given)
        else:
            self._next = request

    def _configure(self, request: Configure) -> None:
        if self._closing:
            return
        at_first = self._epoch < 0
        with self._turn_of_epoch:
            self._epoch = request.epoch
            self._host.resume()
        self._placement, self._buffer_spec = request.placement, None
        self._host.place = None if request.placement is None else self._place
        if self._work is not None:
            self._note_none(self._work)  # the time that this takes is not the last unit's
        self._seats = request.seats
        self._ends.clear()
        self._n_given = self._n_done = self._n_told = 0
        self._outbox.begin(request.epoch, len(request.seats))
        failures = self._host.configure(request.seed, request.plan, request.resumptions, request.streams_from)
        self._broken = bool(failures)
        given_up = self._host.given_up
        answer = Configured(request.epoch, failures, given_up)
        news = bool(failures or given_up or (at_first and self._work is None))
        if news or not self._lingers:  # nobody would watch the outbox
            self._outbox.send(encode(answer))
        else:
            self._outbox.owe(answer)
        if at_first and self._on_up is not None:
            self._on_up()
