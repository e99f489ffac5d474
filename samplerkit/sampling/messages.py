"""What a pool and its carriers say to each other."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cloudpickle

from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import Resumption
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.framing import BUFFERS_FOLLOW, buffers_of, framed, head_of, padding, with_buffers
from samplerkit.sampling.placement import Placement
from samplerkit.sampling.seating import Seating
from samplerkit.sampling.wire import NotPlain, dump_batch, load_batch


@dataclass(frozen=True)
class Configure:
    """Bring the workers to their recipes; answered by `Configured`, or by results of units of this epoch.

    Everything of earlier epochs is dropped, the running unit too.

    Attributes:
        streams_from: see `WorkerHost.configure`.
        placement: where the observations of this call's units go, if that is decided.
    """

    epoch: int
    seed: int
    plan: Seating
    seats: tuple[int, ...]
    resumptions: Mapping[int, Resumption] = field(default_factory=dict)
    streams_from: int | None = None
    placement: Placement | None = None


@dataclass(frozen=True)
class Run:
    """Run these units, in this order, after those that were given before.

    Attributes:
        epoch: of the units.
        numbers: of the units. Where results wait for each other, they are sent once all of these have ended.
    """

    epoch: int
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Cancel:
    """Drop all units up to this epoch, the running one too."""

    epoch: int


@dataclass(frozen=True)
class Close:
    """Shut the workers down and leave."""


@dataclass(frozen=True)
class Configured:
    """The workers follow their recipes, but for those that failed.

    Attributes:
        epoch: of the recipes.
        failures: of seats.
        given_up: slots whose open episodes could not be brought back, for each seat.
    """

    epoch: int
    failures: list[Failure]
    given_up: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """A unit began; sent where the pool watches the time and has no other way to know.

    Attributes:
        epoch: of the unit.
        number: of the unit.
        age: seconds since then.
    """

    epoch: int
    number: int
    age: float = 0.0


@dataclass(frozen=True)
class Finished:
    """Units that ended, one way or the other.

    Attributes:
        epoch: of all of them.
        numbers: of those that worked out.
        n_episodes: of each of these.
        batch: their episodes, one after the other; None if there are none.
        failures: of the others, by number.
        hidden: where episodes go on from call to call, the hidden state of policies after the last call of
            each worker here, by the number of that call.
        placed: whether the batch lacks its observations, because they are in their places.
    """

    epoch: int
    numbers: tuple[int, ...]
    n_episodes: tuple[int, ...]
    batch: EpisodeBatch | None
    failures: Mapping[int, Failure]
    hidden: Mapping[int, bytes] = field(default_factory=dict)
    placed: bool = False


Request: TypeAlias = Configure | Run | Cancel | Close
Reply: TypeAlias = Configured | Started | Finished


_BATCH_FOLLOWS = b"B"
"""First byte of a message that is a pickle with a batch behind it."""

_OBJECTS_FOLLOW = b"O"
"""First byte of one whose batch is a pickle, too: what it holds may not be readable here."""

_MESSAGES_FOLLOW = b"M"
"""First byte of several messages that are sent as one."""


def encode(message: Any) -> bytes:
    """Turn a message into bytes; plain pickle first, by value where that cannot find a class."""
    return b"".join(encode_parts(message))


def encode_parts(message: Any) -> list[Any]:
    """Turn a message into bytes-like parts, large ones not yet copied."""
    if isinstance(message, Finished) and message.batch is not None:
        beside = _pickled(_beside_batch(message), None)
        try:
            return [*framed(_BATCH_FOLLOWS, beside), *dump_batch(message.batch)]
        except NotPlain:
            return [*framed(_OBJECTS_FOLLOW, beside), *_parts(message.batch)]
    return _parts(message)


def bundled(messages: Sequence[list[Any]]) -> list[Any]:
    """Return the parts of several messages, given those of each, that are sent as one: all come, or none."""
    if len(messages) == 1:
        return messages[0]
    sizes = [sum(map(len, parts)) for parts in messages]
    together: list[Any] = framed(_MESSAGES_FOLLOW, pickle.dumps(sizes))
    for size, parts in zip(sizes, messages, strict=True):
        together += [*parts, padding(size)]
    return together


def _parts(value: Any) -> list[Any]:
    buffers: list[pickle.PickleBuffer] = []
    head = _pickled(value, buffers)
    return with_buffers(head, buffers) if buffers else [head]


def decode(data: bytes | memoryview, n_workers: int = 1) -> Any:
    """Turn bytes of `encode` into the message. What is large in it are views of these bytes.

    Of messages that are `bundled` it makes a list. Units whose batch cannot be read here have failed: of
    those that came together nobody knows which it was.

    Args:
        data: of a message.
        n_workers: how many workers units belong to.
    """
    kind = data[:1]
    if kind in (_BATCH_FOLLOWS, _OBJECTS_FOLLOW):
        head, offset = head_of(data)
        epoch, numbers, n_episodes, failures, *others = pickle.loads(head)
        try:
            objects = kind == _OBJECTS_FOLLOW
            batch = _unpickled(memoryview(data)[offset:]) if objects else load_batch(data, offset)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            failed = {number: Failure.of(error, number % n_workers, number) for number in numbers}
            return Finished(epoch, (), (), None, {**failures, **failed}, *others)
        return Finished(epoch, numbers, n_episodes, batch, failures, *others)
    if kind == _MESSAGES_FOLLOW:
        head, start = head_of(data)
        messages = []
        for size in pickle.loads(head):
            messages.append(decode(memoryview(data)[start : start + size], n_workers))
            start += size + len(padding(size))
        return messages
    return _unpickled(data)


def _unpickled(data: bytes | memoryview) -> Any:
    if data[:1] == BUFFERS_FOLLOW:
        head, offset = head_of(data)
        return pickle.loads(head, buffers=buffers_of(data, offset))
    return pickle.loads(data)


def _beside_batch(message: Finished) -> tuple[Any, ...]:
    """Return what else there is in it, in order: a tuple is written in a quarter of the time."""
    return (
        message.epoch,
        message.numbers,
        message.n_episodes,
        message.failures,
        message.hidden,
        message.placed,
    )


def _pickled(message: Any, buffers: list[pickle.PickleBuffer] | None) -> bytes:
    """Pickle a message; large objects are left to `buffers` where that is a list."""
    aside = None if buffers is None else buffers.append
    try:
        return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=aside)
    except Exception:
        if buffers is not None:
            buffers.clear()
        data: bytes = cloudpickle.dumps(message, pickle.HIGHEST_PROTOCOL, aside)
        return data
