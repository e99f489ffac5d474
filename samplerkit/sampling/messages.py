"""What a pool and its carriers say to each other."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import cloudpickle

from samplerkit.episodes import EpisodeBatch
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.host import Seating
from samplerkit.sampling.wire import NotPlain, dump_batch, load_batch


@dataclass(frozen=True)
class Configure:
    """Bring the workers to their recipes; answered by `Configured`. Units after it are of this epoch.

    Everything of earlier epochs is dropped, the running unit too.
    """

    epoch: int
    seed: int
    plan: Seating
    seats: tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """Run these units, in this order."""

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
    """The workers follow their recipes, but for those that failed."""

    epoch: int
    failures: list[Failure]


@dataclass(frozen=True)
class Started:
    """A unit begins; sent where the pool watches the time and has no other way to know."""

    epoch: int
    number: int


@dataclass(frozen=True)
class Finished:
    """Units that ended, one way or the other.

    Attributes:
        epoch: of all of them.
        numbers: of those that worked out.
        n_episodes: of each of these.
        batch: their episodes, one after the other; None if there are none.
        failures: of the others, by number.
    """

    epoch: int
    numbers: tuple[int, ...]
    n_episodes: tuple[int, ...]
    batch: EpisodeBatch | None
    failures: Mapping[int, Failure]


Request: TypeAlias = Configure | Run | Cancel | Close
Reply: TypeAlias = Configured | Started | Finished


_BATCH_FOLLOWS = b"B"
"""First byte of a message that is not one pickle (which begins with 0x80)."""

_HEAD = struct.Struct("q")


def encode(message: Any) -> bytes:
    """Turn a message into bytes; plain pickle first, by value where that cannot find a class."""
    return b"".join(encode_parts(message))


def encode_parts(message: Any) -> list[Any]:
    """Turn a message into bytes-like parts, large ones not yet copied."""
    if isinstance(message, Finished) and message.batch is not None:
        try:
            return _with_batch(message, message.batch)
        except NotPlain:
            pass
    return [_pickled(message)]


def decode(data: bytes | memoryview) -> Any:
    """Turn bytes of `encode` into the message; columns of a batch are views of these bytes."""
    if data[:1] != _BATCH_FOLLOWS:
        return pickle.loads(data)
    (size,) = _HEAD.unpack_from(data, _HEAD.size)
    start = 2 * _HEAD.size
    message: Finished = pickle.loads(memoryview(data)[start : start + size])
    object.__setattr__(message, "batch", load_batch(data, start + size))
    return message


def _with_batch(message: Finished, batch: EpisodeBatch) -> list[Any]:
    head = _pickled(replace(message, batch=None))
    head += bytes(-len(head) % _HEAD.size)
    kind = _BATCH_FOLLOWS.ljust(_HEAD.size)
    return [kind, _HEAD.pack(len(head)), head, *dump_batch(batch)]


def _pickled(message: Any) -> bytes:
    try:
        return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:
        data: bytes = cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        return data
