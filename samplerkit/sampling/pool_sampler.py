"""The pool template: a backend brings a transport; the rest is here.

Because a batch is a pure function, scheduling is free: any carrier may run a unit of a stateless worker,
ahead of time, twice, or again after a crash.
"""

from __future__ import annotations

import abc
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic

from samplerkit.episodes import EpisodeSlice, RecycledMemory, span_of
from samplerkit.errors import SamplerError, WorkerDied, describe_exit
from samplerkit.interfaces import IN_CARRIERS, Capabilities
from samplerkit.sampling.admission import Admission, Goal, Result, in_spans
from samplerkit.sampling.at_exit import close_at_exit
from samplerkit.sampling.base_sampler import BaseSampler
from samplerkit.sampling.carrier import CarrierSetup
from samplerkit.sampling.continuation import Continuation
from samplerkit.sampling.dealing import CommonQueue, Dealer, DeepQueues, PrivateQueues
from samplerkit.sampling.failure import Failure, raise_first
from samplerkit.sampling.member import Member
from samplerkit.sampling.messages import (
    Cancel,
    Configure,
    Configured,
    Finished,
    Reply,
    Request,
    Started,
    encode,
    encode_parts,
)
from samplerkit.sampling.options import Option, Options, check_restarts, check_timeout
from samplerkit.sampling.passage import CallsThatCame
from samplerkit.sampling.placement import PlacedCall, Placing
from samplerkit.sampling.pool import Pool
from samplerkit.sampling.recipes import Record
from samplerkit.sampling.schedule import Schedule
from samplerkit.sampling.seating import seating
from samplerkit.sampling.transport import C, Transport, checked_transport

log = logging.getLogger(__name__)

_GRACE_AFTER_INTERRUPT = 1.0
"""Seconds that a carrier has to leave its unit once it is asked, after Ctrl-C, before it counts as hung: a
step may take long, and who is ended by force closes no environments.
"""

_GRACE_AT_SHUTDOWN = 2.0
"""Seconds that a carrier has to close its environments before it is ended by force."""

_TENSORFLOW = "samplerkit.sampling.tensorflow_in_carriers"


class PoolSampler(BaseSampler, Generic[C]):
    """A sampler whose workers live in carriers: processes, threads, actors.

    A backend implements a `Transport` and `make_transport`. See `BaseSampler` for the arguments.

    Options:
        max_restarts: how many times carriers may die while they run the lowest unit that is not yet
            admitted, or before all are up, before `WorkerDied` is raised (default 3).
        unit_timeout: seconds after which a running unit counts as hung, and its carrier as dead; None,
            or infinity, waits for ever.
    """

    capabilities: ClassVar[Capabilities] = IN_CARRIERS

    options: ClassVar[Options] = {
        "max_restarts": Option(3, check_restarts),
        "unit_timeout": Option(None, check_timeout),
    }

    @abc.abstractmethod
    def make_transport(self) -> Transport[C]:
        """Return the transport, made of the options; called when workers come up."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Modules that a carrier is to import before `serve`, for whose `setup` it may be too late."""
        return (_TENSORFLOW,) if self.worker_factory.is_tf_worker else ()

    @property
    def _max_restarts(self) -> int:
        value: int = self.option("max_restarts")
        return value

    @property
    def _unit_timeout(self) -> float | None:
        value: float | None = self.option("unit_timeout")
        return value

    # -- life ------------------------------------------------------------------------------------

    _live_pool: Pool[C] | None = None
    _far: bool
    """Whether the way to carriers is so long that more is to be under way with each."""
    _may_hang = False
    """Whether carriers may hang in a unit of a call that somebody had enough of."""
    _schedule: Schedule
    _private: PrivateQueues
    _common: CommonQueue | None = None
    _dealer: Dealer | None = None
    _placing: Placing | None = None
    _placed: PlacedCall | None = None
    """Where the observations go of the call that began this epoch."""
    _epoch: int
    """Begun by an update or an error; results of an older one are dropped."""
    _epoch_record: Record
    _ahead: list[Result]
    """Results of this epoch that no call has admitted yet."""
    _came: CallsThatCame

    @property
    def _pool(self) -> Pool[C]:
        assert self._live_pool is not None, "made when workers come up"
        return self._live_pool

    def _start(self, record: Record) -> None:
        setup = self._setup  # which refuses what cannot be pickled before anything is started
        link = checked_transport(self.make_transport(), type(self).__name__)
        pool = self._live_pool = Pool(link, self.n_workers, self._unit_timeout)
        close_at_exit(self)
        self._epoch = 0
        self._epoch_record = record
        self._may_hang = False
        self._ahead = []
        self._came = CallsThatCame(self.n_workers)
        places = pool.n_carriers * self._overlap
        self._schedule = Schedule(places, in_order=self._stateful)
        self._far = link.lingers > 0 and not self._stateful
        queues = DeepQueues if self._far else PrivateQueues
        self._private = queues(self._schedule, pool.n_carriers, self._overlap, self._takes_units)
        self._common = CommonQueue(self._schedule, self._overlap, link) if link.shares_work else None
        self._dealer = self._private
        blocks = link.batch_blocks() if self._places else None
        if blocks is not None:
            self._batch_memory.close()
            self._batch_memory = RecycledMemory(blocks.block)
            self._placing = Placing(blocks, self._batch_memory)
        timed, patience = self._unit_timeout is not None, link.lingers if self._far else 0.0
        pool.start(encode(CarrierSetup(setup, announce_units=timed, patience=patience)))
        self._configure(pool.members, record)
        failures: list[Failure] = []
        deaths = 0
        while pool.unanswered:
            pool.mind_the_absent()
            for member, reply in self._replies(None):
                if reply is not None:
                    failures += self._configured(member, reply)
                    continue
                status = link.exit_status(member.carrier)
                hint = _sentences("It died before it was up.", link.obituary(member.carrier))
                deaths += 1
                if deaths > self._max_restarts:
                    raise WorkerDied(member.first_seat, None, status, deaths, hint)
                pool.replace(member)
                self._note_restart(member.index, status)
                self._configure([pool.members[member.index]], record)
        raise_first(failures)

    def _takes_units(self, index: int) -> bool:
        # What it says last before it dies may be lost on a long way: it has to answer first.
        return self._pool.is_up(index) and not (self._far and self._pool.members[index].fresh)

    def _interrupt(self) -> None:
        pool = self._live_pool
        if pool is not None:
            pool.link.wake()

    def _stop(self) -> None:
        if self._live_pool is not None:
            # Workers that never came up have little to close; whoever pressed Ctrl-C is waiting.
            self._live_pool.stop(_GRACE_AT_SHUTDOWN if self._started else _GRACE_AFTER_INTERRUPT)
            self._live_pool = None
        self._common = self._dealer = self._placing = self._placed = None

    def _forget(self) -> None:
        self._new_epoch()
        self._cancel_units()
        if self._bound:
            for member in self._pool.members:
                member.keys.clear()

    # -- one call --------------------------------------------------------------------------------

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        if self._may_hang:
            self._leave_hung_carriers()
        if record is not self._epoch_record:
            self._new_epoch()
            if self._pool.link.lingers:
                self._cancel_units()  # the record waits its turn there
            self._epoch_record = record
            # Only now: of an epoch that goes on, units that are placed elsewhere may be under way.
            if self._placing is not None:
                self._placed = self._placing.place(goal, self._cursor)
        buffer = None if self._placed is None else self._placed.buffer_of(self._cursor)
        admission = Admission(goal, self._cursor, self._batch_memory, buffer)
        self._came = CallsThatCame(self.n_workers)
        self._may_hang = True  # until it is known that they do not, however often Ctrl-C is pressed
        try:
            units = self._collect(record, admission)
            if self._streams_from is not None:
                self._new_epoch()  # the next call begins streams of its own
                self._cancel_units()
            elif self._placing is not None:
                self._placing.learn(units, admission.steps)
            self._may_hang = False
            return units
        except BaseException as error:
            came = (admission.next - admission.first) * self._units_each
            self._count(units_discarded=came, env_steps_discarded=admission.steps)
            if self._closed is not None:
                raise
            self._ahead += admission.surplus()
            self._new_epoch()
            self._cancel_units()
            self._epoch_record = self._record
            # Anything else comes of Ctrl-C, or of another signal's handler.
            self._may_hang = not isinstance(error, SamplerError)
            raise

    def _collect(self, record: Record, admission: Admission) -> Sequence[EpisodeSlice]:
        failures: list[Failure] = []
        deaths: dict[int | None, int] = {}
        pool, dealer = self._pool, self._begin_dealing(record)
        pool.replace_gone()
        timeout: float | None = 0.0  # first of all, hear of carriers that died since the last call
        while True:
            for member, reply in self._replies(timeout):
                if reply is None:
                    self._bury(member, admission, dealer, deaths)
                elif isinstance(reply, Configured):
                    failures += self._configured(member, reply)
                elif isinstance(reply, Started):
                    self._began_unit(member, reply, dealer)
                else:
                    self._finished(member, reply, dealer)
            late = [it for it in pool.members if it.epoch != self._epoch and pool.is_up(it.index)]
            if late:
                self._configure(late, record)  # which takes them about as long as dealing does
            if not pool.unanswered:
                # Only now, so that it is the same worker's error however many carriers it struck.
                raise_first(failures)
                if self._ahead:
                    ahead, self._ahead = self._ahead, []
                    admission.offer_all(ahead)
                if admission.complete:
                    break
            self._pass_on(dealer.deal(self._epoch, admission))
            if not dealer.busy and not pool.unanswered:
                pool.mind_the_absent()
            timeout = pool.kill_overdue()
        self._ahead += admission.surplus()
        self._came = CallsThatCame(self.n_workers)
        return admission.admitted()

    def _pass_on(self, news: Mapping[int, Request]) -> None:
        for index, request in news.items():
            self._pool.tell(self._pool.members[index], request)

    def _begin_dealing(self, record: Record) -> Dealer:
        homes = self._homes(record.seats(self._bound))
        self._schedule.begin(homes)
        self._dealer = self._common if self._common is not None and None in homes else self._private
        return self._dealer

    def _replies(self, timeout: float | None) -> list[tuple[Member[C], Reply | None]]:
        received = self._pool.receive(timeout)
        self._check_not_closed()
        return self._pool.replies(received)

    def _began_unit(self, member: Member[C], reply: Started, dealer: Dealer) -> None:
        """Count the time of a unit that runs; of one that was cancelled, too, as long as its carrier has said
        nothing since: it may hang, and keep the carrier from the record.
        """
        if reply.epoch == self._epoch:
            runs = dealer.has(member.index, reply.number)
        else:
            runs = reply.epoch >= member.answered
        if runs:
            member.unit_started = time.monotonic() - reply.age

    def _finished(self, member: Member[C], reply: Reply, dealer: Dealer) -> None:
        """Take results of units."""
        assert isinstance(reply, Finished), "the only reply left"
        member.unit_started = None
        member.answered = max(member.answered, reply.epoch)
        results = self._results(reply)
        if reply.epoch != self._epoch:
            self._discard(results)
            return
        dealer.finished(member.index, [*reply.failures, *reply.numbers])
        if reply.batch is not None:
            batch = reply.batch
            step_bytes = 0 if reply.placed else batch.env_spec.step_bytes
            self._schedule.ended(len(reply.numbers), len(batch.rewards), step_bytes)
        # A unit whose carrier died may come twice: admission takes no notice of the second time.
        self._ahead += results
        if self._passage is not None:
            if reply.batch is not None:
                self._came.add(reply.numbers, reply.n_episodes, reply.batch)
            for number, hidden in reply.hidden.items():
                self._passage.note_hidden(number, hidden)

    def _results(self, reply: Finished) -> list[Result]:
        results: list[Result] = [*reply.failures.items()]
        if reply.batch is not None:
            if reply.placed and reply.epoch == self._epoch:
                assert self._placed is not None, "sent to the carriers of this epoch"
                units = self._placed.units(reply.numbers, reply.batch)
            else:
                units = span_of(reply.batch, reply.n_episodes)
            results += in_spans(reply.numbers, units)
        return results

    # -- bringing workers to the record ----------------------------------------------------------

    def _configure(self, members: Sequence[Member[C]], record: Record) -> None:
        """Bring members to a record; those that need the same message share it."""
        seats = record.seats(self._bound)
        homes = self._homes(seats)
        alike: dict[Any, list[Member[C]]] = {}
        for member in members:
            here = tuple(seat for seat in seats if homes[seat] in (None, member.index))
            alike.setdefault((here, tuple(member.keys.items())), []).append(member)
        for (here, keys), group in alike.items():
            wanted = {seat: record.recipes[seat] for seat in here}
            plan = seating(dict(keys), wanted)
            placement = None if self._placed is None else self._placed.placement
            resumptions = self._resumptions(plan)
            request = Configure(
                self._epoch, self._seed, plan, seats, resumptions, self._streams_from, placement
            )
            message = self._pool.announce(group, encode_parts(request))
            for member in group:
                member.keys = {seat: recipe.key for seat, recipe in wanted.items()}
                member.epoch = self._epoch
                self._pool.send(member, message)

    def _configured(self, member: Member[C], reply: Reply) -> list[Failure]:
        assert isinstance(reply, Configured), "the first reply to Configure"
        member.answered = max(member.answered, reply.epoch)
        member.unit_started = None
        for failure in reply.failures:
            member.keys.pop(failure.worker, None)
        if reply.epoch == self._epoch:
            self._gave_up(reply.given_up, self._came.numbers)
        return reply.failures if reply.epoch == self._epoch else []

    def _standing(self) -> Continuation:
        """Return where workers stand whose calls have come so far."""
        passage = self._passage
        if passage is None or not self._came.numbers:
            return super()._standing()
        return self._came.followed(passage)

    def _homes(self, seats: Sequence[int]) -> list[int | None]:
        """For each worker the only carrier that has its seat; None where all carriers have it."""
        distinct = sorted(set(seats))
        if len(distinct) == 1 and not self._bound:
            return [None] * len(seats)
        home = {seat: i % self._pool.n_carriers for i, seat in enumerate(distinct)}
        return [home[seat] for seat in seats]

    # -- when things go wrong --------------------------------------------------------------------

    def _bury(
        self, member: Member[C], admission: Admission, dealer: Dealer, deaths: dict[int | None, int]
    ) -> None:
        """Replace a dead carrier, and let its units run again."""
        status = self._pool.link.exit_status(member.carrier)
        noted = self._pool.running(self._epoch)
        running, lost = dealer.lost(member.index, noted)
        if (member.unanswered or member.fresh) and noted[member.index] is None:
            running = None  # it was not there yet when units were given to it
        worker = member.first_seat if running is None else running % self.n_workers
        hint = self._obituary(member)
        # Units run again that others may have run already, and whoever has the batch may write to it.
        admission.leave_buffer()
        self._pool.replace(member)
        if self._stateful:
            raise WorkerDied(worker, running, status, 1, f"{hint} What it remembered is lost.")
        # One that had units may not have had the time to say that it got that far.
        not_up = member.fresh or (member.unanswered and not self._far)
        if running == admission.next or not_up:
            deaths[running] = deaths.get(running, 0) + 1
            if deaths[running] > self._max_restarts:
                raise WorkerDied(worker, running, status, deaths[running], hint)
        self._note_restart(member.index, status)
        if self._streams_from is not None:
            lost = []
            self._schedule.restart(member.index)  # streams begin again, and what came already is dropped
        suspects = dealer.suspects(running, lost)
        for number in lost:
            # Where the order counts a suspect must not wait: what comes after it would overtake it.
            # Of those that ran at once nobody knows which one it was.
            suspect = number in suspects or (self._overlap > 1 and not self._far)
            self._schedule.lost(number, suspect=suspect and not self._bound)

    def _note_restart(self, index: int, status: int | None) -> None:
        log.warning("a carrier of workers died (%s) and was replaced", describe_exit(status))
        self._count(restarts=1)
        self._tell_observers("carrier_restarted", index, status)

    def _obituary(self, member: Member[C]) -> str:
        if member.timed_out:
            return f"It was killed because the unit took longer than unit_timeout={self._unit_timeout} s."
        known = self._pool.link.obituary(member.carrier)
        return _sentences(
            "Look for what ends the process: a crash in native code, lack of memory, os._exit.", known
        )

    def _leave_hung_carriers(self) -> None:
        """Replace carriers that do not leave a unit of the last call."""
        pool = self._pool
        pool.replace_gone()
        self._new_epoch()
        seats = self._record.seats(self._bound)
        for member in pool.members:
            if pool.is_up(member.index):
                member.epoch = self._epoch
                # It keeps what it has: all that counts is that it answers.
                pool.tell(member, Configure(self._epoch, self._seed, dict(member.keys), seats))
        deadline = time.monotonic() + _GRACE_AFTER_INTERRUPT
        while pool.unanswered and (left := deadline - time.monotonic()) > 0:
            for member, reply in self._replies(left):
                if reply is None:
                    pool.replace(member)
                elif isinstance(reply, Configured):
                    self._configured(member, reply)
        for member in list(pool.members):
            if member.unanswered:
                pool.replace(member)
        self._new_epoch()  # in which they are told the record
        self._may_hang = False

    def _new_epoch(self) -> None:
        """Drop everything that ran ahead or is still running."""
        self._discard(self._ahead)
        self._ahead.clear()
        self._schedule.forget()
        if self._dealer is not None:
            self._dealer.forget()
        self._placed = None
        self._epoch += 1

    def _cancel_units(self) -> None:
        """Let carriers stop what they are doing, though no new record awaits them."""
        for member in self._pool.members:
            if member.epoch == self._epoch - 1:
                self._pool.tell(member, Cancel(member.epoch))

    def _discard(self, results: Iterable[Result]) -> None:
        spans = [result for _, result in results if not isinstance(result, Failure)]
        n_units = sum([span.n_slices for span in spans])
        steps = sum([span.n_steps for span in spans])
        self._count(units_discarded=n_units * self._units_each, env_steps_discarded=steps)


def _sentences(*texts: str) -> str:
    return " ".join(filter(None, texts))
