"""The far end of a pool: a loop that hosts workers and answers requests, wherever a backend runs it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import threadpoolctl

from samplerkit.episodes import EpisodeSlice
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.host import HostSetup, WorkerHost
from samplerkit.sampling.messages import (
    Cancel,
    Close,
    Configure,
    Configured,
    Finished,
    Run,
    Started,
    decode,
    encode,
)


@dataclass(frozen=True)
class CarrierSetup:
    """What a carrier needs to know once."""

    host: HostSetup
    announce_units: bool


def serve(setup: bytes, receive: Callable[[], bytes | None], send: Callable[[bytes], None]) -> None:
    """Host workers until told to close. A backend calls this in each process, thread or actor.

    Args:
        setup: what `Transport.start` was given.
        receive: blocks for the next message; None where there will be no more, which ends the carrier. It
            is called from a thread of its own, so that a carrier takes messages while a unit runs, and up
            to the None: a carrier in the caller's own process must get one, or this thread stays.
        send: sends a message back.
    """
    threadpoolctl.threadpool_limits(limits=1)
    _Carrier(decode(setup), send).serve(receive)


class _Carrier:
    def __init__(self, setup: CarrierSetup, send: Callable[[bytes], None]) -> None:
        self._host = WorkerHost(setup.host, catch_interrupts=True)
        self._announce = setup.announce_units
        self._send = send
        self._inbox: queue.SimpleQueue[Configure | Run | Close] = queue.SimpleQueue()
        self._seats: tuple[int, ...] = ()
        self._epoch = -1
        self._cancelled_epoch = -1
        self._closing = False

    def serve(self, receive: Callable[[], bytes | None]) -> None:
        reader = threading.Thread(target=self._read, args=(receive,), name="samplerkit-inbox", daemon=True)
        reader.start()
        try:
            while not isinstance(request := self._inbox.get(), Close):
                if isinstance(request, Configure):
                    self._configure(request)
                else:
                    self._run(request)
        finally:
            self._host.close()

    def _read(self, receive: Callable[[], bytes | None]) -> None:
        # After `Close` too: while a unit hangs, `receive` is how a backend hears that the parent is gone.
        while (data := receive()) is not None:
            self._take(decode(data))
        self._take(Close())

    def _take(self, request: Configure | Run | Cancel | Close) -> None:
        if isinstance(request, Cancel):
            self._cancelled_epoch = request.epoch
            if self._epoch <= request.epoch:
                self._host.cancel()
            return
        if isinstance(request, Close):
            self._closing = True
            self._host.cancel()
        self._inbox.put(request)

    def _configure(self, request: Configure) -> None:
        if self._closing:
            return
        self._epoch = request.epoch
        self._seats = request.seats
        self._host.resume()
        failures = self._host.configure(request.seed, request.plan)
        self._send(encode(Configured(request.epoch, failures)))

    def _run(self, request: Run) -> None:
        for number, result in self._host.run(self._wanted(request), self._seats):
            self._finish(request.epoch, number, result)

    def _wanted(self, request: Run) -> Iterator[int]:
        for number in request.numbers:
            if self._closing or request.epoch <= self._cancelled_epoch:
                return
            if self._announce:
                self._send(encode(Started(request.epoch, number)))
            yield number

    def _finish(self, epoch: int, number: int, result: EpisodeSlice | Failure) -> None:
        try:
            unit = result if isinstance(result, Failure) else result.view()
            message = encode(Finished(epoch, number, unit))
        except Exception as error:
            # An info, say, that no pickler can carry: the unit failed, the carrier did not.
            worker = number % len(self._seats)
            message = encode(Finished(epoch, number, Failure.of(error, worker, number)))
        self._send(message)
