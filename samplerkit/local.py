"""The local sampler: every worker in this process. The default, and the easiest to debug."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import threadpoolctl

from samplerkit.episodes import EpisodeSlice, Span
from samplerkit.episodes.recording import is_placed
from samplerkit.episodes.tick_recording import one_by_one
from samplerkit.errors import SamplerClosed
from samplerkit.global_random import GlobalRandomState
from samplerkit.interfaces import IN_PROCESS, Capabilities
from samplerkit.interfaces.unit_feeds import InGroups
from samplerkit.sampling.admission import Admission, Goal, in_spans
from samplerkit.sampling.base_sampler import BaseSampler
from samplerkit.sampling.failure import Failure, raise_first
from samplerkit.sampling.host import WorkerHost
from samplerkit.sampling.placement import OwnBlocks, PlacedCall, Placing
from samplerkit.sampling.recipes import Record
from samplerkit.sampling.schedule import Schedule
from samplerkit.sampling.seating import seating


class LocalSampler(BaseSampler):
    """Runs units one after another in the caller's process, in the order of their numbers.

    It has no options of its own; see `BaseSampler` for the arguments.
    """

    capabilities: ClassVar[Capabilities] = IN_PROCESS

    _host: WorkerHost | None = None

    def _start(self, record: Record) -> None:
        self._host = WorkerHost(self._setup, catch_interrupts=False)
        self._schedule = Schedule(self._overlap, in_order=self._bound)
        self._under_way = 0
        self._keys: dict[int, int] = {}
        self._placing = Placing(OwnBlocks(), self._batch_memory)
        self._threads = threadpoolctl.ThreadpoolController()
        with self._undisturbed():
            self._bring_to(self._host, record)

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        host = self._host
        assert host is not None, "started before the first call"
        placed = self._placing.place(goal, self._cursor) if self._places else None
        buffer = None if placed is None else placed.buffer
        admission = Admission(goal, self._cursor, self._batch_memory, buffer)
        seats = record.seats(self._bound)
        with self._undisturbed():
            self._bring_to(host, record)
            with _placed_by(host, placed):
                for done, result in host.run(self._numbers(admission), seats):
                    numbers = [done] if isinstance(done, int) else done
                    self._under_way -= len(numbers)
                    if isinstance(result, Failure):
                        admission.offer(numbers[0], result)
                    else:
                        self._schedule.ended(len(numbers), result.n_steps)
                        admission.offer_all(in_spans(numbers, _span(numbers, result, placed)))
                    if admission.complete:
                        self._note_hidden(host, seats, admission.next)
                        units = admission.admitted()
                        self._placing.learn(units, admission.steps)
                        return units
        raise SamplerClosed("the sampler was shut down while this call was running")

    def _numbers(self, admission: Admission) -> Iterable[int]:
        """Return the units to run: any number of them; where units overlap, what is probably needed."""
        if self._overlap == 1:
            return itertools.count(self._cursor)
        self._schedule.forget()
        self._under_way = 0
        return InGroups(functools.partial(self._next_units, admission))

    def _next_units(self, admission: Admission, most: int) -> range:
        horizon = self._schedule.horizon(admission, self._under_way)
        run = self._schedule.take_run(admission, horizon, most)
        self._under_way += len(run)
        return run

    def _note_hidden(self, host: WorkerHost, seats: tuple[int, ...], stop: int) -> None:
        """Note the policies' hidden states after the last units before `stop`, where episodes go on."""
        if self._passage is None:
            return
        n = len(seats)
        for worker, seat in enumerate(seats):
            number = stop - 1 - (stop - 1 - worker) % n
            hidden = host.hidden_state(seat, number)
            if isinstance(hidden, Failure):
                raise hidden.to_error()
            self._passage.note_hidden(number, hidden)

    def _bring_to(self, host: WorkerHost, record: Record) -> None:
        wanted = {seat: record.recipes[seat] for seat in record.seats(self._bound)}
        plan = seating(self._keys, wanted)
        # Until it has worked out, a seat counts as unknown, and would be built again.
        self._keys = {seat: key for seat, key in self._keys.items() if plan.get(seat) == key}
        try:
            failures = host.configure(self._seed, plan, self._resumptions(plan), self._streams_from)
        finally:
            if self._closed is not None:
                host.close()  # what came up since another thread closed all there was
        self._check_not_closed()
        self._gave_up(host.given_up)
        failed = {failure.worker for failure in failures}
        self._keys = {seat: recipe.key for seat, recipe in wanted.items() if seat not in failed}
        raise_first(failures)

    def _forget(self) -> None:
        if self._bound:
            self._keys.clear()

    def _interrupt(self) -> None:
        host = self._host
        if host is not None:
            host.cancel()

    def _stop(self) -> None:
        if self._host is not None:
            with GlobalRandomState():
                self._host.close()
            self._host = None

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """One thread for linear algebra, and the caller's random state as it was."""
        with GlobalRandomState(), self._threads.limit(limits=1):
            yield


@contextmanager
def _placed_by(host: WorkerHost, placed: PlacedCall | None) -> Iterator[None]:
    """Let a host know where observations go, and nobody hold the memory afterwards but who has the batch."""
    host.place = None if placed is None else placed.place
    try:
        yield
    finally:
        host.place = None


def _span(numbers: Sequence[int], result: EpisodeSlice, placed: PlacedCall | None) -> Span:
    """Return the units that ended together."""
    if placed is not None and is_placed(result):
        return placed.units(numbers, result.view())
    return Span.of(result) if len(numbers) == 1 else one_by_one(result)
