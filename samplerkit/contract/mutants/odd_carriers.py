"""Odd places for workers: a thread, a host for each unit, two hosts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ClassVar

from samplerkit.contract.mutants.anything import AnySampler
from samplerkit.contract.mutants.bases import LOCAL
from samplerkit.contract.mutants.odd import FORGETFUL, odd
from samplerkit.episodes import EpisodeSlice
from samplerkit.errors import SamplerClosed
from samplerkit.global_random import GlobalRandomState
from samplerkit.interfaces import IN_PROCESS, Capabilities
from samplerkit.sampling.admission import Admission, Goal
from samplerkit.sampling.base_sampler import BaseSampler
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.host import WorkerHost
from samplerkit.sampling.recipes import Record


@odd("in-a-thread", LOCAL)
class InAThread(AnySampler):
    """Units run in a thread, while the caller waits."""

    _thread: ThreadPoolExecutor | None = None

    def _start(self, record: Record) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._thread.submit(super()._start, record).result()

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        assert self._thread is not None, "made by _start"
        future = self._thread.submit(super()._run, record, goal)
        try:
            return future.result()
        except BaseException as error:
            if not future.done():
                # Ctrl-C struck the caller, not the thread.
                self._interrupt()
                future.exception()
                self._stop()
                self._started = False
            raise error

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            # Not in the thread: at the program's exit no thread takes anything any more.
            thread.shutdown()
            super()._stop()


class _Hosts(BaseSampler):
    """Runs units one after another, each on a host of its choice."""

    _cancelled = False

    @contextmanager
    def host_of(self, seat: int, record: Record) -> Iterator[WorkerHost]:
        """Provide a host that has this seat's worker."""
        raise NotImplementedError
        yield

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        admission = Admission(goal, self._cursor)
        seats = record.seats(self._stateful)
        with GlobalRandomState():
            for number in itertools.count(self._cursor):
                if self._closed is not None:
                    raise SamplerClosed("the sampler was shut down while this call was running")
                with self.host_of(seats[number % self.n_workers], record) as host:
                    self._running = host
                    for _, result in host.run([number], seats):
                        admission.offer(number, result)
                if admission.complete:
                    return admission.admitted()
        raise AssertionError("there is always one more number")

    _running: WorkerHost | None = None

    def _interrupt(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _new_host(self, seats: list[int], record: Record) -> WorkerHost:
        host = WorkerHost(self._setup, catch_interrupts=False)
        try:
            failures = host.configure(self._seed, {seat: record.recipes[seat] for seat in seats})
        except BaseException:
            host.close()
            raise
        if failures:
            host.close()
            _raise(failures)
        return host


def _raise(failures: list[Failure]) -> None:
    raise min(failures, key=lambda failure: failure.worker).to_error()


@odd("host-for-each-unit", "")
class HostForEachUnit(_Hosts):
    """Every unit gets new workers, which are shut down after it."""

    capabilities: ClassVar[Capabilities] = {**IN_PROCESS, "stateful": FORGETFUL}

    _first: WorkerHost | None = None

    def _start(self, record: Record) -> None:
        with GlobalRandomState():
            self._first = self._new_host(sorted(set(record.seats(self._stateful))), record)

    @contextmanager
    def host_of(self, seat: int, record: Record) -> Iterator[WorkerHost]:
        host = self._new_host([seat], record)
        try:
            yield host
        finally:
            host.close()

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        self._stop()
        if record is not self._record:
            # So that a worker that cannot take an update says so before any unit runs.
            self._start(record)
            self._stop()
        return super()._run(record, goal)

    def _stop(self) -> None:
        host, self._first, self._running = self._first, None, None
        if host is not None:
            with GlobalRandomState():
                host.close()


@odd("two-hosts", "")
class TwoHosts(_Hosts):
    """Workers with even numbers live on one host, and the others on another."""

    capabilities: ClassVar[Capabilities] = {**IN_PROCESS, "stateful": FORGETFUL}

    _hosts: tuple[WorkerHost, ...] = ()
    _on_hosts: Record | None = None

    def _start(self, record: Record) -> None:
        seats = sorted(set(record.seats(self._stateful)))
        with GlobalRandomState():
            for half in (0, 1):
                self._hosts += (self._new_host([seat for seat in seats if seat % 2 == half], record),)
        self._on_hosts = record

    @contextmanager
    def host_of(self, seat: int, record: Record) -> Iterator[WorkerHost]:
        yield self._hosts[seat % 2]

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        if record is not self._on_hosts:
            self._stop()
            self._start(record)
        return super()._run(record, goal)

    def _forget(self) -> None:
        self._on_hosts = None

    def _stop(self) -> None:
        hosts, self._hosts, self._on_hosts = self._hosts, (), None
        with GlobalRandomState():
            for host in hosts:
                host.close()
