"""What all samplers share: arguments, transactions, life, state. A subclass only runs units."""

from __future__ import annotations

import abc
import functools
import inspect
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from samplerkit.episodes import (
    EpisodeBatch,
    EpisodeSlice,
    Provenance,
    RecycledMemory,
    episodes_of_each,
    join,
)
from samplerkit.errors import SamplerBusy, SamplerClosed, UnsupportedFeature
from samplerkit.interfaces import (
    CallShape,
    Capabilities,
    Resumption,
    Sampler,
    Statistics,
    Support,
    Worker,
    check_capability,
    no,
)
from samplerkit.sampling import boundary
from samplerkit.sampling.admission import Calls, Goal, Steps, Units
from samplerkit.sampling.construction import complete_factory, each_given, first_record, own_facts
from samplerkit.sampling.continuation import Continuation
from samplerkit.sampling.numbering import update_seed
from samplerkit.sampling.observing import tell_observers
from samplerkit.sampling.options import Options, check_flag, checked_options, no_such_option
from samplerkit.sampling.passage import Passage
from samplerkit.sampling.recipes import AgentChange, EnvChange, Recipe, Record
from samplerkit.sampling.seating import HostSetup, Seating
from samplerkit.sampling.state import load_state, save_state
from samplerkit.sampling.streams import goal_of_pieces, units_of_pieces
from samplerkit.workers import DefaultWorker, WorkerFactory

_COLUMN_BYTES = 1 << 16
"""Bytes of a column from which on its memory is used again."""

_SHUT_DOWN = "it was shut down"

_COLUMNS = 12
"""Columns of a batch whose memory is kept for the next one."""


class BaseSampler(Sampler):
    """A sampler that lacks only the place where units run.

    A subclass implements `_start`, `_run`, `_interrupt` and `_stop`, `_forget` where anything runs ahead,
    and states its `capabilities`.

    Args:
        agents: a policy, or a list with one for each worker.
        envs: an environment, an `EnvUpdate`, a gymnasium id, a callable without arguments, or a list
            with one of these for each worker. Every worker gets a copy of its own.
        worker_factory: builds the workers; excludes the arguments that make one.
        max_episode_length: most steps of an episode; None means the environment's own limit.
        is_tf_worker: see `WorkerFactory`.
        seed: everything random follows from it; None draws one, logs it and keeps it in `seed`.
        n_workers: logical workers; None means the length of a given list, else the physical cores.
        worker_class: see `WorkerFactory`.
        worker_args: see `WorkerFactory`.
        stateful: whether the environments remember earlier episodes in spite of ``reset(seed=…)``.
        reseed: False seeds an environment once and never again, which makes it stateful.
        **options: of the backend.

    Raises:
        TypeError, ValueError: for a bad argument; nothing was started.
        UnsupportedFeature: for something that this backend declares not to do.
        WorkerError, WorkerDied: if a worker cannot start; those already started were stopped.
    """

    capabilities: ClassVar[Capabilities] = {}
    """What this class of sampler offers, by name."""

    options: ClassVar[Options] = {}
    """The backend's own options, by name."""

    layouts: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    """Sets of options that change where units run and nothing else; the contract suite tries them all."""

    _factory: WorkerFactory
    _stateful: bool
    """Whether workers remember earlier units, or their environments do."""

    _started = False
    """Whether workers are up."""

    _to_stop = False
    """Whether there is, or may be, anything of workers that is to be stopped."""

    _process: int | None = None
    """Whose workers these are: a process that it forks must not touch them."""

    _caller: int | None = None
    """The thread of the present call."""

    _is_ending = False
    """Whether a shutdown is at work."""

    _shape: CallShape | None = None
    """What a call of a worker yields whose episodes go on from call to call; None for all other workers."""

    _continuation: Continuation | None = None
    """Where such workers stand, as committed."""

    _passage: Passage | None = None
    """Such workers in the present call."""

    _streams = False
    """Whether the episodes of a worker are a stream; see `StreamingWorker`."""

    def __init__(
        self,
        agents: Any,
        envs: Any,
        *,
        worker_factory: WorkerFactory | None = None,
        max_episode_length: float | None = None,
        is_tf_worker: bool = False,
        seed: int | None = None,
        n_workers: int | None = None,
        worker_class: type[Worker] | None = None,
        worker_args: Mapping[str, Any] | None = None,
        stateful: bool = False,
        reseed: bool = True,
        **options: Any,
    ) -> None:
        self._closed: str | None = "it has not been started"
        checked = self._checked(options)
        fields = {
            "max_episode_length": max_episode_length,
            "is_tf_worker": check_flag("is_tf_worker", is_tf_worker) or None,
            "seed": seed,
            "n_workers": n_workers,
            "worker_class": worker_class,
            "worker_args": worker_args,
        }
        factory, self._seed = complete_factory(worker_factory, fields, agents, envs)
        reseed = check_flag("reseed", reseed)
        stateful = check_flag("stateful", stateful) or not reseed
        self._set_up(factory, checked, stateful=stateful, reseed=reseed)
        if self._stateful:
            self._require("stateful")
        self._shape = self._factory.call_shape
        agent_changes = each_given(self._agent_changes(agents), "agents")
        env_changes = each_given(self._env_changes(envs, version=0), "envs")
        self._record = first_record(agent_changes, env_changes)
        self._factory, self._streams = own_facts(self._factory, env_changes)
        if self._streams and self._stateful:
            self._require("stateful")
        self._continuation = None if self._shape is None else Continuation.first(self._shape, self.n_workers)
        self._begin()

    arguments: ClassVar[tuple[str, ...]] = tuple(inspect.signature(__init__).parameters)[1:-1]
    """Names of what every sampler is made of; options come beside these."""

    def _set_up(
        self, factory: WorkerFactory, options: dict[str, Any], *, stateful: bool, reseed: bool
    ) -> None:
        """Set what a sampler has before it knows its workers' recipes; of one that is unpickled, too.

        Args:
            factory: of its workers.
            options: its own, checked.
            stateful: whether environments remember.
            reseed: see the constructor.
        """
        self._lock = threading.Lock()
        self._ending = threading.RLock()
        self._factory = factory
        self._options = options
        self._reseed = reseed
        self._stateful_env = stateful
        self._stateful = stateful or factory.worker_class.stateful
        self._cursor = 0
        self._reproducible = True
        self._statistics = Statistics()

    @classmethod
    @contextmanager
    def standing_runtime(cls) -> Iterator[Callable[[Any], bool]]:
        """Hold what samplers of this class share, and start if it is not there, for the time of the block.

        Each finds it there then, and leaves it: for programs that make many. The contract suite is one.

        Yields:
            Whether a process (a `psutil.Process`) is the runtime's own, rather than a sampler's.
        """
        yield lambda process: False

    @classmethod
    def from_worker_factory(cls, worker_factory: WorkerFactory, agents: Any, envs: Any) -> Self:
        """Construct a sampler from a factory."""
        return cls(agents, envs, worker_factory=worker_factory)

    # -- what a subclass implements --------------------------------------------------------------

    @abc.abstractmethod
    def _start(self, record: Record) -> None:
        """Bring workers up. On an exception, `_stop` is called."""

    @abc.abstractmethod
    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        """Bring the workers to `record`, run units from `self._cursor`, and return those admitted.

        Raises:
            Exception: anything; the call is then as if it had not happened. Workers may be left as they
                are: the next `_run` brings them to whatever record it gets.
        """

    @abc.abstractmethod
    def _interrupt(self) -> None:
        """Make a `_run` in another thread raise `SamplerClosed` soon."""

    @abc.abstractmethod
    def _stop(self) -> None:
        """Shut the workers down, by force if need be, and release everything.

        Called again where Ctrl-C came in the middle: it then goes on with what is left, and at once.
        """

    def _forget(self) -> None:
        """Drop whatever ran ahead, and what stateful workers remember.

        The record was replaced, or a call did not happen.
        """

    # -- the interface ---------------------------------------------------------------------------

    @property
    def n_workers(self) -> int:
        """Number of logical workers."""
        return len(self._record.recipes)

    @property
    def seed(self) -> int:
        """The seed, as given or as drawn."""
        return self._seed

    @property
    def total_env_steps(self) -> int:
        """Steps in all batches returned so far."""
        return self._statistics.env_steps

    @property
    def worker_factory(self) -> WorkerFactory:
        """The factory, with everything filled in."""
        return self._factory

    def obtain_samples(
        self, itr: int, num_samples: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        """See `Sampler.obtain_samples`."""
        del itr
        least = boundary.check_count("num_samples", num_samples)
        going_on = self._continuation
        goal = Steps(least) if going_on is None else Calls(going_on.n_calls(least), going_on.shape.size)
        return self._obtain(goal, agent_update, env_update)

    def obtain_exact_episodes(
        self, n_eps_per_worker: int, agent_update: Any = None, env_update: Any = None
    ) -> EpisodeBatch:
        """See `Sampler.obtain_exact_episodes`."""
        self._require("exact_episodes")
        per_worker = boundary.check_count("n_eps_per_worker", n_eps_per_worker)
        return self._obtain(Units(per_worker * self.n_workers), agent_update, env_update)

    def shutdown_worker(self) -> None:
        """See `Sampler.shutdown_worker`."""
        if self._is_inherited:
            return
        if self._caller == threading.get_ident():
            # Of a signal's handler, or of an observer: what the call is using is stopped when it has ended.
            self._closed = self._closed or _SHUT_DOWN
            self._interrupt()
            return
        with self._ending:  # who comes second waits until it is done
            over = self._closed is not None and not self._to_stop
            if over or self._is_ending:
                return
            self._is_ending = True
            try:
                self._end()
            finally:
                self._is_ending = False

    def _end(self) -> None:
        self._closed = self._closed or _SHUT_DOWN
        mine = False
        try:
            self._interrupt()
            # A call in another thread ends by itself; one that hangs is ended by force.
            mine = self._lock.acquire(timeout=3)
        finally:
            try:
                self._release()
            finally:
                self._batch_memory.close()
                self._column_memory.close()
                if mine:
                    self._lock.release()
                if not self._to_stop:
                    self._tell_observers("shut_down")

    @functools.cached_property
    def _batch_memory(self) -> RecycledMemory:
        """Where large batches are put together."""
        return RecycledMemory()

    @functools.cached_property
    def _column_memory(self) -> RecycledMemory:
        """Where the columns of others are: dropped all at once, they would go back to the system."""
        return RecycledMemory(most_kept=_COLUMNS, smallest=_COLUMN_BYTES)

    def get_state(self) -> dict[str, Any]:
        """See `Sampler.get_state`."""
        return save_state(
            seed=self._seed,
            cursor=self._cursor,
            total_env_steps=self.total_env_steps,
            record=self._record,
            continuation=self._continuation,
        )

    def set_state(self, state: dict[str, Any]) -> None:
        """See `Sampler.set_state`."""
        with self._exclusive():
            saved = load_state(state, n_workers=self.n_workers, shape=self._shape)
            try:
                if saved.seed == self._seed:
                    self._forget()
                else:
                    # Workers were told the old seed when they were built: they start again at the next call.
                    self._release()
                self._seed, self._cursor, self._record = saved.seed, saved.cursor, saved.record
                self._continuation = saved.continuation
                self._factory = self._factory.completed(seed=saved.seed)
                self._statistics = replace(self._statistics, env_steps=saved.total_env_steps)
            finally:
                if self._stateful:
                    self._lose_memory()

    def supports(self, capability: str) -> bool:
        """See `Sampler.supports`."""
        return bool(self._support(capability))

    def statistics(self) -> Statistics:
        """See `Sampler.statistics`."""
        return self._statistics

    def option(self, name: str) -> Any:
        """Return the value of one of the backend's options.

        Raises:
            TypeError: if it has no such option.
        """
        if name not in self._options:
            raise no_such_option(type(self).__name__, name, self.options)
        return self._options[name]

    # -- calls -----------------------------------------------------------------------------------

    def _obtain(self, goal: Goal, agent_update: Any, env_update: Any) -> EpisodeBatch:
        """Run one call as a transaction: everything is committed at its end, or nothing."""
        began = time.monotonic()
        with self._exclusive():
            agents = self._agent_changes(agent_update)
            envs = self._env_changes(env_update, version=self._record.env_version + 1)
            record = self._record.changed(agents, envs)
            updated = record is not self._record
            if self._continuation is not None:
                self._passage = Passage(self._continuation.changed(agents, envs))
            try:
                batch, n_units, after = self._sampled(record, goal)
                with self._committed(record, after, n_units, len(batch.rewards)):
                    if updated:
                        self._tell_observers("updated", record.agent_version, record.env_version)
                    self._tell_observers("batch_collected", batch, time.monotonic() - began)
            except BaseException as error:
                if self._closed is None:
                    self._forget()
                if self._stateful:
                    # The workers that were touched are built again.
                    self._lose_memory()
                self._tell_observers("error", error)
                raise
            finally:
                self._passage = None
            return batch

    def _sampled(self, record: Record, goal: Goal) -> tuple[EpisodeBatch, int, Continuation | None]:
        """Return the batch of a call, how many units it has, and where workers stand whose episodes go on."""
        if self._streams_from is not None:
            return (*self._streamed(record, goal), None)
        units = self._run(record, goal)
        if self._passage is None:
            return self._batch(units, record, by_worker=isinstance(goal, Units)), len(units), None
        batch, after = self._fragments(units, record, self._passage)
        return batch, len(units), after

    @contextmanager
    def _committed(
        self, record: Record, continuation: Continuation | None, n_units: int, env_steps: int
    ) -> Iterator[None]:
        """Commit a call; take it back if Ctrl-C comes meanwhile, or while observers are told."""
        before = self._record, self._continuation, self._cursor, self._statistics
        try:
            self._record = record
            self._continuation = continuation
            self._cursor += n_units
            self._count(calls=1, units=n_units, env_steps=env_steps)
            yield
        except BaseException:
            self._record, self._continuation, self._cursor, self._statistics = before
            raise

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self._check_open()
        if not self._lock.acquire(blocking=False):
            raise SamplerBusy("another call of this sampler is running: wait for it, or use a second sampler")
        try:
            self._caller = threading.get_ident()
            self._check_open()  # a shutdown may have come in between
            if not self._started:
                self._bring_up()
            yield
        except Exception as error:
            if not isinstance(error, SamplerClosed):
                self._check_not_closed(error)  # what a shutdown by force has brought about
            raise
        finally:
            self._caller = None
            self._lock.release()
            if self._closed is not None and not self._is_ending:
                self.shutdown_worker()

    def _check_open(self) -> None:
        if self._is_inherited:
            raise SamplerClosed(
                "this sampler belongs to the process that made it, which forked this one: make a new one here"
            )
        if self._closed is not None:
            raise SamplerClosed(f"this sampler cannot be used: {self._closed}. Make a new one.")

    def _check_not_closed(self, cause: Exception | None = None) -> None:
        """Raise `SamplerClosed` if there was a shutdown since the present call began."""
        if self._closed is not None:
            raise SamplerClosed("the sampler was shut down while this call was running") from cause

    def _batch(self, units: Sequence[EpisodeSlice], record: Record, *, by_worker: bool) -> EpisodeBatch:
        numbers = np.arange(self._cursor, self._cursor + len(units), dtype=np.int64)
        if by_worker:
            numbers = numbers[np.argsort(numbers % self.n_workers, kind="stable")]
            units = [units[number] for number in (numbers - self._cursor).tolist()]
        batch = join(units, self._column_memory)
        if len(batch.lengths) != len(units):
            numbers = np.repeat(numbers, episodes_of_each(units))
        return batch.with_provenance(self._provenance(numbers, record))

    def _streamed(self, record: Record, goal: Goal) -> tuple[EpisodeBatch, int]:
        """Run one call of workers whose episodes are streams; return the batch, and how many units it has."""
        assert not isinstance(goal, Calls), "streams have no fragments"
        size = self._units_each
        came = join(self._run(record, goal_of_pieces(goal, self.n_workers, size)))
        batch, numbers = units_of_pieces(came, goal, self.n_workers, size, self._cursor)
        self._count(
            units_discarded=len(came.lengths) - len(numbers),
            env_steps_discarded=len(came.rewards) - len(batch.rewards),
        )
        return batch.with_provenance(self._provenance(numbers, record)), len(numbers)

    def _provenance(self, units: npt.NDArray[np.int64], record: Record) -> Provenance:
        """Say where whole episodes come from, given the unit of each."""
        return Provenance(
            units=units,
            workers=units % self.n_workers,
            agent_versions=np.full(len(units), record.agent_version, dtype=np.int64),
            env_versions=np.full(len(units), record.env_version, dtype=np.int64),
            reproducible=self._reproducible,
        )

    def _fragments(
        self, calls: Sequence[EpisodeSlice], record: Record, passage: Passage
    ) -> tuple[EpisodeBatch, Continuation]:
        """Return the batch of some calls of workers whose episodes go on, and where these stand then."""
        batch = join(calls)
        numbers = range(self._cursor, self._cursor + len(calls))
        after, units = passage.after(numbers, episodes_of_each(calls), batch)
        n_steps = len(batch.rewards)
        provenance = replace(
            self._provenance(np.array(units, dtype=np.int64), record),
            abandoned=after.abandoned,
            step_agent_versions=np.full(n_steps, record.agent_version, dtype=np.int64),
            step_env_versions=np.full(n_steps, record.env_version, dtype=np.int64),
        )
        return batch.with_provenance(provenance), after.settled()

    def _resumptions(self, plan: Seating) -> dict[int, Resumption]:
        """Say where those workers stand that are built anew, if their episodes go on from call to call."""
        built = [seat for seat, wanted in plan.items() if isinstance(wanted, Recipe)]
        if self._continuation is None or not built:
            return {}
        stand = self._standing()
        return {seat: stand.workers[seat].resumption() for seat in built}

    def _standing(self) -> Continuation:
        """Return where workers stand whose calls have come so far."""
        assert self._continuation is not None, "asked of such workers only"
        return self._continuation if self._passage is None else self._passage.start

    def _gave_up(self, given_up: Mapping[int, tuple[int, ...]], came: Sequence[int] = ()) -> None:
        """Take note of the slots whose episodes workers could not bring back when they were built.

        Args:
            given_up: for each worker.
            came: numbers of the workers' calls that have come in the present call.
        """
        for worker, slots in given_up.items():
            assert self._continuation is not None, "only such workers give anything up"
            if self._passage is None:
                self._continuation = self._continuation.without(worker, slots)
            else:
                self._passage.note_given_up(self._passage.next_call(worker, came, self._cursor), slots)

    def _lose_memory(self) -> None:
        """Take note that workers are built again without what they, or their environments, remembered."""
        self._reproducible = False
        if self._continuation is not None:
            self._continuation = self._continuation.without_any()

    def _tell_observers(self, event: str, *arguments: Any) -> None:
        """Tell the observers of an event, a method of `Observer`."""
        tell_observers(self.observers, event, self, *arguments)

    def _count(self, **more: int) -> None:
        sums = {name: getattr(self._statistics, name) + value for name, value in more.items()}
        self._statistics = replace(self._statistics, **sums)

    # -- updates ---------------------------------------------------------------------------------

    def _agent_changes(self, update: Any) -> list[AgentChange | None] | None:
        if update is None:
            return None
        if isinstance(update, list):
            self._require("per_worker_agents")
        spread = self._factory.prepare_worker_messages(update)
        return boundary.for_each_distinct(lambda _, value: boundary.agent_change(value), spread)

    def _env_changes(self, update: Any, version: int) -> list[EnvChange | None] | None:
        if update is None:
            return None
        if isinstance(update, list):
            self._require("per_worker_envs")
        native_slots = self._factory.native_slots
        spread = self._factory.prepare_worker_messages(update)
        return boundary.for_each_distinct(
            lambda worker, value: boundary.env_change(
                value,
                update_seed(self._seed, version, worker),
                vector_envs=self._factory.worker_class.takes_vector_envs,
                native_slots=native_slots,
            ),
            spread,
        )

    # -- capabilities ----------------------------------------------------------------------------

    def _support(self, capability: str) -> Support:
        offered = {**self.capabilities, **self._factory.worker_class.capabilities}
        declared = offered.get(check_capability(capability))
        if declared is None:
            return no(f"{type(self).__name__} does not declare it")
        if declared and capability == "reproducible" and not self._reproducible:
            return no("workers that remember earlier units were built again")
        if declared and capability == "stateful" and self._streams:
            return no("an environment that can only be seeded as a whole is reset at each call")
        if declared and capability == "restartable" and self._stateful:
            return no("what stateful workers remember dies with them")
        return declared

    def _require(self, capability: str) -> None:
        support = self._support(capability)
        if not support:
            raise UnsupportedFeature(
                f"{type(self).__name__} does not support {capability!r}: {support.reason}"
            )

    # -- life ------------------------------------------------------------------------------------

    @property
    def _units_each(self) -> int:
        """How many units a worker's result has: one, or those of a piece of its stream."""
        return self._factory.piece_size if self._streams else 1

    @property
    def _bound(self) -> bool:
        """Whether units of a worker run in order, in one place."""
        return self._stateful or self._shape is not None or self._streams

    @property
    def _streams_from(self) -> int | None:
        """The first unit of the streams that begin with this call, or the next; None without streams."""
        return self._cursor if self._streams else None

    def _begin(self) -> None:
        self._closed = None
        try:
            self._bring_up()
        except BaseException:
            self._closed = "its workers could not be started"
            raise

    def _bring_up(self) -> None:
        self._release()  # Ctrl-C may have left something
        self._process = os.getpid()
        self._to_stop = True
        try:
            self._start(self._record)
            self._check_not_closed()
        except BaseException as error:
            self._to_stop = True  # something may have come up since a shutdown by force
            self._release()
            self._tell_observers("error", error)
            raise
        self._started = True

    @property
    def _is_inherited(self) -> bool:
        return self._to_stop and self._process != os.getpid()

    def _release(self) -> None:
        """Stop what there is of workers; what Ctrl-C twice keeps this from is left to the next time."""
        if not self._to_stop:
            return
        try:
            try:
                self._stop()
            except BaseException:
                self._stop()
                self._to_stop = False
                raise
            self._to_stop = False
        finally:
            self._started = False

    @classmethod
    def _checked(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        return checked_options(cls.__name__, cls.options, cls.capabilities, options, cls.arguments)

    @property
    def _setup(self) -> HostSetup:
        return HostSetup.of(self._factory, self.n_workers, self._reseed, one_at_a_time=self._stateful)

    @property
    def _overlap(self) -> int:
        """How many units a worker runs at once."""
        return 1 if self._streams else self._factory.overlap

    @property
    def _places(self) -> bool:
        """Whether workers write observations where they are told."""
        return not self._streams and issubclass(self._factory.worker_class, DefaultWorker)

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = {
            "worker_factory": self._factory,
            "stateful": self._stateful_env,
            "reseed": self._reseed,
            "streams": self._streams,
            **self._options,
        }
        return _restored, (type(self), arguments, self.get_state())

    def __del__(self) -> None:
        if not self._to_stop or self._is_inherited:
            return
        if self._closed is None and self._started:
            warnings.warn(
                f"{type(self).__name__} was dropped without shutdown_worker(); use it in a with statement",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
        self.shutdown_worker()


def _restored(cls: type[BaseSampler], arguments: dict[str, Any], state: dict[str, Any]) -> BaseSampler:
    """Make an unpickled sampler; its workers start at the first call."""
    sampler = cls.__new__(cls)
    factory: WorkerFactory = arguments.pop("worker_factory")
    sampler._shape = factory.call_shape
    saved = load_state(state, n_workers=factory.n_workers or 0, shape=sampler._shape)
    flags = {name: arguments.pop(name) for name in ("stateful", "reseed")}
    sampler._streams = arguments.pop("streams", False)
    sampler._set_up(factory, cls._checked(arguments), **flags)
    sampler._seed, sampler._cursor, sampler._record = saved.seed, saved.cursor, saved.record
    sampler._continuation = saved.continuation
    if sampler._stateful:
        sampler._lose_memory()
    sampler._statistics = Statistics(env_steps=saved.total_env_steps)
    sampler._closed = None
    return sampler
