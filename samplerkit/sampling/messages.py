"""What a pool and its carriers say to each other."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import cloudpickle

from samplerkit.episodes import EpisodeBatch
from samplerkit.interfaces import Resumption
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.host import Seating
from samplerkit.sampling.placement import Placement
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
_BUFFERS_FOLLOW = b"P"
"""First bytes of messages that are not one pickle (which begins with 0x80)."""

_WORD = struct.Struct("q")


def encode(message: Any) -> bytes:
    """Turn a message into bytes; plain pickle first, by value where that cannot find a class."""
    return b"".join(encode_parts(message))


def by_value(message: Any) -> bytes:
    """Turn a message into bytes that hold what comes from the main module, which carriers do not import."""
    data: bytes = cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return data


def encode_parts(message: Any) -> list[Any]:
    """Turn a message into bytes-like parts, large ones not yet copied."""
    if isinstance(message, Finished) and message.batch is not None:
        try:
            return [*_with_head(_BATCH_FOLLOWS, replace(message, batch=None)), *dump_batch(message.batch)]
        except NotPlain:
            pass
    buffers: list[pickle.PickleBuffer] = []
    head = _pickled(message, buffers)
    if not buffers:
        return [head]
    parts: list[Any] = [*_framed(_BUFFERS_FOLLOW, head), _WORD.pack(len(buffers))]
    for buffer in buffers:
        data = buffer.raw()
        parts += [_WORD.pack(len(data)), data, bytes(-len(data) % _WORD.size)]
    return parts


def decode(data: bytes | memoryview) -> Any:
    """Turn bytes of `encode` into the message. What is large in it are views of these bytes."""
    kind = data[:1]
    if kind == _BATCH_FOLLOWS:
        head, offset = _head(data)
        message: Finished = pickle.loads(head)
        object.__setattr__(message, "batch", load_batch(data, offset))
        return message
    if kind == _BUFFERS_FOLLOW:
        head, offset = _head(data)
        return pickle.loads(head, buffers=_buffers(data, offset))
    return pickle.loads(data)


def _with_head(kind: bytes, message: Any) -> list[bytes]:
    return _framed(kind, _pickled(message, None))


def _framed(kind: bytes, head: bytes) -> list[bytes]:
    padded = head + bytes(-len(head) % _WORD.size)
    return [kind.ljust(_WORD.size), _WORD.pack(len(padded)), padded]


def _head(data: bytes | memoryview) -> tuple[memoryview, int]:
    """Return the pickle at the front, and where what follows begins."""
    (size,) = _WORD.unpack_from(data, _WORD.size)
    start = 2 * _WORD.size
    return memoryview(data)[start : start + size], start + size


def _buffers(data: bytes | memoryview, offset: int) -> Iterator[memoryview]:
    (count,) = _WORD.unpack_from(data, offset)
    offset += _WORD.size
    for _ in range(count):
        (size,) = _WORD.unpack_from(data, offset)
        offset += _WORD.size
        yield memoryview(data)[offset : offset + size]
        offset += size + -size % _WORD.size


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
