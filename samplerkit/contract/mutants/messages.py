"""Messages that are dropped, doubled, delayed, cut or reordered between a pool and its processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from samplerkit.contract.mutants.anything import AnyPool
from samplerkit.contract.mutants.bases import FRAGMENT_PROCESSES, PROCESSES, altered
from samplerkit.contract.mutants.catalogue import mutant
from samplerkit.episodes import BatchBuffer, EnvSpec
from samplerkit.episodes.batch_buffer import layout
from samplerkit.episodes.columns import Array, map_column
from samplerkit.sampling import Claim, Running, Transport
from samplerkit.sampling.admission import Result
from samplerkit.sampling.dealing import Dealer
from samplerkit.sampling.messages import Configured, Finished, Run, decode, encode
from samplerkit.sampling.placement import PlacedCall, Placement, SharedBlocks
from samplerkit.sampling.recipes import Record

Data: TypeAlias = Any
"""A message's bytes, or a view of them that is good until the next `receive`; None for a death."""

Messages: TypeAlias = list[tuple[Any, Data]]


class Meddler(Transport[Any]):
    """A transport that meddles with what another one carries."""

    def __init__(self, inner: Transport[Any]) -> None:
        self.inner = inner
        self.shares_work = inner.shares_work

    @property
    def n_carriers(self) -> int:
        return self.inner.n_carriers

    def start(self, index: int, setup: bytes) -> Any:
        return self.inner.start(index, setup)

    def send(self, carrier: Any, message: bytes) -> None:
        self.inner.send(carrier, message)

    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        return list(self.inner.receive(carriers, timeout))

    def exit_status(self, carrier: Any) -> int | None:
        return self.inner.exit_status(carrier)

    def kill(self, carrier: Any) -> None:
        self.inner.kill(carrier)

    def stop(self, carrier: Any, timeout: float) -> None:
        self.inner.stop(carrier, timeout)

    def wake(self) -> None:
        self.inner.wake()

    def offer(self, claims: Sequence[Claim]) -> int:
        return self.inner.offer(claims)

    def aim(self, epoch: int, first: int, least: int) -> None:
        self.inner.aim(epoch, first, least)

    def strike(self, numbers: Iterable[int]) -> None:
        self.inner.strike(numbers)

    def batch_blocks(self) -> SharedBlocks | None:
        return self.inner.batch_blocks()

    def withdraw(self) -> None:
        self.inner.withdraw()

    def running(self, carrier: Any) -> Running | None:
        return self.inner.running(carrier)

    def close(self) -> None:
        self.inner.close()


class MessageDefect(AnyPool):
    """Puts a meddler between the pool and its carriers."""

    meddler: type[Meddler]

    def make_transport(self) -> Transport[Any]:
        return self.meddler(super().make_transport())


def _is(data: Data, kind: type[Any]) -> bool:
    return data is not None and isinstance(decode(data), kind)


class _DeathUnnoticed(Meddler):
    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        received = self.inner.receive(carriers, timeout)
        while received and all(data is None for _, data in received):
            received = self.inner.receive(carriers, 0.05 if timeout is None else timeout)
            if timeout is not None:
                break
        return [(carrier, data) for carrier, data in received if data is not None]


@mutant("death-unnoticed", "D2.no-trace", "D2", "E1", bases=(PROCESSES,))
class DeathUnnoticed(MessageDefect):
    """Nobody hears of the death of a process."""

    meddler = _DeathUnnoticed


class _EarlyDeath(Meddler):
    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        received = self.inner.receive(carriers, timeout)
        dead = {id(carrier) for carrier, data in received if data is None}
        return [(carrier, data) for carrier, data in received if data is None or id(carrier) not in dead]


class _ManyLost(Meddler):
    count = 0

    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        received = self.inner.receive(carriers, timeout)
        kept = []
        for carrier, data in received:
            self.count += len(decode(data).numbers) if _is(data, Finished) and data is not None else 0
            if self.count <= 150 or not _is(data, Finished):
                kept.append((carrier, data))
        return kept


@mutant("queue-full", "A2.later-units", "D", "A2", "A0", "B1", bases=(PROCESSES,))
class QueueFull(MessageDefect):
    """After 150 results the queue is full, and everything stands still."""

    meddler = _ManyLost


class _LargeLost(Meddler):
    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        received = self.inner.receive(carriers, timeout)
        return [(carrier, data) for carrier, data in received if data is None or len(data) < 2**16]


@mutant("large-result-lost", "B3.large", "D", "B1", bases=(PROCESSES,))
class LargeResultLost(MessageDefect):
    """A result larger than a pipe never arrives."""

    meddler = _LargeLost


class _LargeZeroed(Meddler):
    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        return [(carrier, _zeroed(data)) for carrier, data in self.inner.receive(carriers, timeout)]


def _zeroed(data: Data) -> Data:
    if data is None or len(data) < 2**16 or not isinstance(message := decode(data), Finished):
        return data
    if message.batch is None:
        return data
    rewards = message.batch.rewards.copy()
    rewards[-1:] = 0.0
    return encode(replace(message, batch=altered(message.batch, rewards=rewards)))


@mutant("large-result-cut", "D", "B1", bases=(PROCESSES,))
class LargeResultCut(MessageDefect):
    """The last reward of a result larger than a pipe is 0."""

    meddler = _LargeZeroed


class _LargeUpdateLost(Meddler):
    def send(self, carrier: Any, message: bytes) -> None:
        if len(message) < 2**16:
            self.inner.send(carrier, message)


@mutant("large-update-lost", "B3.large", "D", "C1", bases=(PROCESSES,))
class LargeUpdateLost(MessageDefect):
    """An update larger than a pipe never arrives."""

    meddler = _LargeUpdateLost


class _Swapped(Meddler):
    """Gives units the results of others in their message; one that comes alone that of the one before it."""

    last: dict[int, Any]

    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        received = self.inner.receive(carriers, timeout)
        return [(carrier, self._swap(carrier, data)) for carrier, data in received]

    def _swap(self, carrier: Any, data: Data) -> Data:
        if not _is(data, Finished) or data is None:
            return data
        message: Finished = decode(bytes(data))
        if len(message.numbers) > 1:
            return encode(replace(message, numbers=message.numbers[1:] + message.numbers[:1]))
        self.last = getattr(self, "last", {})
        before = self.last.get(id(carrier), message.batch)
        self.last[id(carrier)] = message.batch
        alone = message.numbers and before is not None
        return encode(replace(message, batch=before)) if alone else data


@mutant("misplaced-pictures", "B5.large", bases=(PROCESSES,))
class MisplacedPictures(AnyPool):
    """What a process wrote to a unit's place is looked for where the unit before it has its own."""

    def _results(self, reply: Finished) -> list[Result]:
        placed = self._placed
        if placed is not None:
            first = placed.placement.first
            later = replace(placed.placement, first=min([first + 1, *reply.numbers]))
            self._placed = PlacedCall(later, placed.buffer)
        try:
            return super()._results(reply)
        finally:
            self._placed = placed


class _OfAnyShape(Placement):
    def buffer(self, spec: EnvSpec, memory: Array) -> BatchBuffer | None:
        return Placement.buffer(replace(self, layout=layout(spec.observation_space)), spec, memory)


@mutant("places-of-any-shape", "B5.large", bases=(PROCESSES,))
class PlacesOfAnyShape(AnyPool):
    """Memory is laid out for the observations of the call before, whatever they are now."""

    def _begin_dealing(self, record: Record) -> Dealer:
        placed = self._placed
        if placed is not None:
            it = placed.placement
            any_shape = _OfAnyShape(it.offset, it.layout, it.first, it.unit_rows, it.n_units)
            self._placed = PlacedCall(any_shape, placed.buffer)
        return super()._begin_dealing(record)


@mutant("off-by-one-result", "A0", "A2", "A1", bases=(PROCESSES,))
class OffByOneResult(MessageDefect):
    """A unit is given the result of the one that its process ran before."""

    meddler = _Swapped


class _FifthLost(Meddler):
    def offer(self, claims: Sequence[Claim]) -> int:
        kept = [claim for claim in claims if all(number % 5 != 4 for number in claim.numbers)]
        taken = self.inner.offer(kept)
        return len(claims) if taken == len(kept) else claims.index(kept[taken])

    def send(self, carrier: Any, message: bytes) -> None:
        request = decode(message)
        if isinstance(request, Run):
            numbers = tuple(number for number in request.numbers if number % 5 != 4)
            message = encode(replace(request, numbers=numbers))
        self.inner.send(carrier, message)


@mutant("request-lost", "A0.reference", "A0", "A3", "D", bases=(PROCESSES,))
class RequestLost(MessageDefect):
    """Every fifth unit is never asked for, and the call waits for it."""

    meddler = _FifthLost


class _Overtaking(Meddler):
    def send(self, carrier: Any, message: bytes) -> None:
        request = decode(message)
        if isinstance(request, Run):
            message = encode(replace(request, numbers=request.numbers[::-1]))
        self.inner.send(carrier, message)


@mutant("requests-overtake", "A0.reference", "A8.units", bases=(FRAGMENT_PROCESSES,))
class RequestsOvertake(MessageDefect):
    """What is asked for later comes first, of workers whose calls follow each other."""

    meddler = _Overtaking


class _FailuresDropped(Meddler):
    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        return [(carrier, self._quiet(data)) for carrier, data in self.inner.receive(carriers, timeout)]

    def _quiet(self, data: Data) -> Data:
        if data is None or not isinstance(message := decode(data), Configured):
            return data
        return encode(Configured(message.epoch, []))


@mutant("update-errors-dropped", "C5.atomic", "D1", "C5", "E1", bases=(PROCESSES,))
class UpdateErrorsDropped(MessageDefect):
    """That a worker could not take an update is not reported."""

    meddler = _FailuresDropped


class _Widening(Meddler):
    def receive(self, carriers: Sequence[Any], timeout: float | None) -> Messages:
        return [(carrier, self._wide(data)) for carrier, data in self.inner.receive(carriers, timeout)]

    def _wide(self, data: Data) -> Data:
        if data is None or not isinstance(message := decode(data), Finished) or message.batch is None:
            return data
        infos = map_column(
            lambda it: it.astype("<U99") if it.dtype.kind == "U" else it, message.batch.env_infos
        )
        return encode(replace(message, batch=altered(message.batch, env_infos=infos)))


@mutant("words-as-long-as-others", "B4.alone", "B4", "A2", "A7", bases=(PROCESSES,))
class WordsAsLongAsOthers(MessageDefect):
    """Words are as long as the longest of the episodes that they were sent with."""

    meddler = _Widening


class _Leaky(Meddler):
    def stop(self, carrier: Any, timeout: float) -> None:
        if timeout == 0.0:
            self.inner.stop(carrier, timeout)


@mutant("processes-stay", "E3.nothing-left", "E3", "E2", bases=(PROCESSES,))
class ProcessesStay(MessageDefect):
    """Nobody waits for processes, or ends them, at the shutdown."""

    meddler = _Leaky
