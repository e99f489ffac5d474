"""Odd backends that are right: whatever they do strangely is none of the contract's business.

A suite that fails one of these raises false alarms.
"""

from __future__ import annotations

import itertools
import pickle
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from samplerkit.contract.mutants.anything import AnyPool, AnySampler
from samplerkit.contract.mutants.bases import BASES, LOCAL, PROCESSES
from samplerkit.contract.mutants.messages import Meddler, Messages
from samplerkit.episodes import EpisodeBatch, EpisodeSlice
from samplerkit.interfaces import CAPABILITIES, YES, Capabilities, Statistics, no
from samplerkit.sampling import Claim, Transport
from samplerkit.sampling.admission import Admission, Goal, Steps, Units
from samplerkit.sampling.continuation import Continuation
from samplerkit.sampling.dealing import Dealer
from samplerkit.sampling.messages import Cancel, Close, Finished, Reply, decode
from samplerkit.sampling.recipes import Record
from samplerkit.sampling.schedule import Schedule

if TYPE_CHECKING:
    from samplerkit.contract.subject import Subject

S = TypeVar("S", bound=type[Any])

FORGETFUL = no("workers are built again and again")


@dataclass(frozen=True, kw_only=True)
class OddBackend:
    """A backend that is odd, and right.

    Attributes:
        name: of the backend.
        reason: what is odd about it, in a sentence.
        base: what it is made of; see `BASES`.
        oddity: the class that brings it in.
        slow: whether the suite takes more than a few seconds on it.
    """

    name: str
    reason: str
    base: str
    oddity: type[Any]
    slow: bool

    @property
    def address(self) -> str:
        """``module:Class``, by which it can be found and pickled."""
        return f"samplerkit.contract.mutants.made:odd__{self.name.replace('-', '_')}"

    @property
    def subject(self) -> Subject:
        """The backend under test."""
        from samplerkit.contract.subject import find_subject

        return find_subject(self.address)

    def make_class(self) -> type[Any]:
        """Return the class of the sampler. Called once, by `samplerkit.contract.mutants.made`."""
        if self.base == "":
            return type(self.oddity.__name__, (self.oddity,), {"__doc__": self.reason})
        return type(self.oddity.__name__, (self.oddity, BASES[self.base]()), {"__doc__": self.reason})


_ODD: dict[str, OddBackend] = {}


def odd(name: str, base: str) -> Callable[[S], S]:
    """Register the decorated class as an oddity; its docstring says what is odd."""

    def register(oddity: S) -> S:
        reason = (oddity.__doc__ or "").strip()
        slow = base == PROCESSES
        _ODD[name] = OddBackend(name=name, reason=reason, base=base, oddity=oddity, slow=slow)
        return oddity

    return register


def odd_backends() -> Mapping[str, OddBackend]:
    """Return every odd backend by its name."""
    import samplerkit.contract.mutants.odd_carriers  # noqa: F401 - registers more

    return dict(_ODD)


def without(capabilities: Capabilities, **reasons: Any) -> Capabilities:
    """Return capabilities with some denied."""
    return {**capabilities, **reasons}


class _Denies(AnySampler):
    """Declares that it carries no stateful workers."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        inherited = super().capabilities
        if inherited:
            cls.capabilities = without(inherited, stateful=FORGETFUL)


# -- in process ----------------------------------------------------------------------------------


@odd("recopied", LOCAL)
class Recopied(AnySampler):
    """Every batch is pickled and unpickled before anybody gets it."""

    def _sampled(self, record: Record, goal: Goal) -> tuple[EpisodeBatch, int, Continuation | None]:
        batch, n_units, after = super()._sampled(record, goal)
        return pickle.loads(pickle.dumps(batch)), n_units, after


@odd("odd-statistics", LOCAL)
class OddStatistics(AnySampler):
    """Claims to have discarded a great deal."""

    def statistics(self) -> Statistics:
        from dataclasses import replace

        return replace(super().statistics(), units_discarded=10**9, env_steps_discarded=10**12)


@odd("modest", LOCAL)
class Modest(AnySampler):
    """Declares nothing that it need not."""

    capabilities: ClassVar[Capabilities] = {
        **dict.fromkeys(CAPABILITIES, no("it is modest")),
        "reproducible": YES,
    }


@odd("new-workers-each-call", LOCAL)
class NewWorkersEachCall(_Denies):
    """Workers are shut down after every call and built again at the next one."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        units = super()._run(record, goal)
        self._stop()
        self._start(record)
        return units


@odd("runs-ahead", LOCAL)
class RunsAhead(_Denies):
    """Three units more than needed are run in every call, and dropped."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        units = super()._run(record, goal)
        try:
            super()._run(record, Units(len(units) + 3))
        except Exception:
            # An error in a unit that is not needed is nobody's.
            self._start_again(record)
        return units

    def _start_again(self, record: Record) -> None:
        self._stop()
        self._start(record)


@odd("runs-twice", LOCAL)
class RunsTwice(_Denies):
    """Every unit is run twice, and the second result is used."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        super()._run(record, goal)
        return super()._run(record, goal)


@odd("counts-first", LOCAL)
class CountsFirst(_Denies):
    """Finds out how many units it takes, by runs of twice as many each, and keeps no others."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        if isinstance(goal, Units):
            return super()._run(record, goal)
        rows, count = [0], 1
        while (enough := goal.enough(0, 0, rows)) is None:
            units = super()._run(record, Units(count))
            rows = [0, *itertools.accumulate(unit.n_steps for unit in units)]
            count *= 2
        return units[:enough]


@odd("roundabout", LOCAL)
class Roundabout(Recopied, OddStatistics, NewWorkersEachCall, CountsFirst, RunsTwice):
    """Recopied, odd in statistics, with new workers each call, counted first and run twice, all at once."""


# -- in processes --------------------------------------------------------------------------------


class _Meddled(AnyPool):
    meddler: ClassVar[type[Meddler]]

    def make_transport(self) -> Transport[Any]:
        return self.meddler(super().make_transport())


class _Reversed(Meddler):
    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        received = self.inner.receive(list(reversed(carriers)), timeout)
        order = {id(carrier): -index for index, carrier in enumerate(carriers)}
        return sorted(received, key=lambda item: order[id(item[0])])


@odd("reversed-polling", PROCESSES)
class ReversedPolling(_Meddled):
    """Processes are polled in the reverse order."""

    meddler = _Reversed


class _Delayed(Meddler):
    def send(self, carrier: Any, message: bytes) -> None:
        time.sleep(random.Random().random() * 0.004)
        self.inner.send(carrier, message)

    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        time.sleep(random.Random().random() * 0.004)
        return list(self.inner.receive(carriers, timeout))


@odd("random-delays", PROCESSES)
class RandomDelays(_Meddled):
    """Every message takes a time of its own."""

    meddler = _Delayed


class _Pickled(Meddler):
    def send(self, carrier: Any, message: bytes) -> None:
        self.inner.send(carrier, pickle.dumps(decode(message), protocol=4) if _is_plain(message) else message)

    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        return [
            (c, data if data is None else _again(data)) for c, data in self.inner.receive(carriers, timeout)
        ]


def _is_plain(message: Any) -> bool:
    try:
        pickle.dumps(decode(message), protocol=4)
    except Exception:
        return False
    return True


def _again(data: Any) -> Any:
    return pickle.dumps(decode(data), protocol=4) if _is_plain(data) else data


@odd("re-pickled", PROCESSES)
class RePickled(_Meddled):
    """Messages are unpickled and pickled again on the way, with an older protocol."""

    meddler = _Pickled


class _Shuffled(Meddler):
    """Keeps some messages back; each carrier's stay in order."""

    def __init__(self, inner: Transport[Any]) -> None:
        super().__init__(inner)
        self.held: Messages = []

    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        draw = random.Random()
        # A death is told again and again until the carrier is stopped: once is enough.
        dead = {id(carrier) for carrier, data in self.held if data is None}
        for carrier, data in self.inner.receive(carriers, 0.002 if self.held else timeout):
            if id(carrier) not in dead:
                self.held.append((carrier, data if data is None else bytes(data)))
        known = {id(carrier) for carrier in carriers}
        queues: dict[int, Messages] = {}
        for carrier, data in self.held:
            if id(carrier) in known:
                queues.setdefault(id(carrier), []).append((carrier, data))
        given: Messages = []
        for queue in draw.sample(list(queues.values()), len(queues)):
            n = draw.randint(0, len(queue))
            given += queue[:n]
            del queue[:n]
        self.held = [item for queue in queues.values() for item in queue]
        return given


@odd("random-order", PROCESSES)
class RandomOrder(_Meddled):
    """Results are kept back for a while, and come in any order."""

    meddler = _Shuffled


@odd("contrary", PROCESSES)
class Contrary(AnyPool):
    """Reversed, delayed, kept back and pickled again, all at once."""

    def make_transport(self) -> Transport[Any]:
        transport = super().make_transport()
        for meddler in (_Pickled, _Delayed, _Shuffled, _Reversed):
            transport = meddler(transport)
        return transport


@odd("forgets-run-ahead", PROCESSES)
class ForgetsRunAhead(AnyPool):
    """What ran ahead is dropped at the end of every call."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        units = super()._run(record, goal)
        self._new_epoch()
        return units


class _OneByOne(Meddler):
    """Has room for a unit when the one before it has ended."""

    out: int | None = None

    def offer(self, claims: Sequence[Claim]) -> int:
        if self.out is not None:
            return 0
        self.out = claims[0].numbers[-1]
        return self.inner.offer(claims[:1])

    def withdraw(self) -> None:
        self.out = None
        self.inner.withdraw()

    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        received = list(self.inner.receive(carriers, timeout))
        for _, data in received:
            message = None if data is None else decode(data)
            if isinstance(message, Finished) and self.out in (*message.numbers, *message.failures):
                self.out = None
        return received


@odd("one-at-a-time", PROCESSES)
class OneAtATime(_Meddled):
    """Only one unit runs at any time where any process may run it, whatever the number of processes."""

    meddler = _OneByOne


class _Layouts(AnyPool):
    """Has other layouts than its base."""


@odd("five-processes", PROCESSES)
class FiveProcesses(_Layouts):
    """There are always five processes."""

    layouts = ({"n_processes": 5},)


class _NoCancel(Meddler):
    def send(self, carrier: Any, message: bytes) -> None:
        if not isinstance(decode(message), Cancel):
            self.inner.send(carrier, message)


@odd("cancels-late", PROCESSES)
class CancelsLate(_Meddled):
    """Processes hear that a unit is not wanted any more with what they are told next."""

    meddler = _NoCancel


@odd("one-process", PROCESSES)
class OneProcess(_Layouts):
    """There is always one process."""

    layouts = ({"n_processes": 1},)


@odd("spawned", PROCESSES)
class Spawned(_Layouts):
    """Processes are spawned, not forked from a server."""

    layouts = ({"n_processes": 2, "start_method": "spawn"},)


@odd("new-processes-each-call", PROCESSES)
class NewProcessesEachCall(_Denies, AnyPool):
    """Every process is replaced after each call."""

    def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
        units = super()._run(record, goal)
        self._stop()
        self._start(record)
        return units


@odd("process-for-each-unit", PROCESSES)
class ProcessForEachUnit(_Denies, AnyPool):
    """A process runs the units that it was given, one or two, and then makes room for a new process."""

    def _begin_dealing(self, record: Record) -> Dealer:
        super()._begin_dealing(record)
        self._dealer = self._private
        return self._dealer

    def _finished(self, member: Any, reply: Reply, *call: Any) -> None:
        super()._finished(member, reply, *call)
        if not self._private._under_way[member.index] and member in self._pool.members:
            self._pool.tell(member, Close())
            self._pool.replace(member, grace=2.0)


class _FarSighted(Schedule):
    def horizon(self, admission: Admission, in_flight: int) -> int:
        free = isinstance(admission.goal, Steps) and not self._in_order
        return super().horizon(admission, in_flight) + (40 if free else 0)


@odd("greedy", PROCESSES)
class Greedy(AnyPool):
    """Forty units more than are needed run ahead."""

    def _start(self, record: Record) -> None:
        super()._start(record)
        self._schedule.__class__ = _FarSighted
