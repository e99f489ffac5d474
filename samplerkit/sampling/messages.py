"""What a pool and its carriers say to each other."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import cloudpickle

from samplerkit.episodes import EnvSpec
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.host import Seating


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
        columns: of the batch of their episodes, one after the other: the arguments of
            `EpisodeBatch.unchecked` but for `env_spec`.
        env_spec: of the batch, where it is not the same as in this carrier's message before.
        failures: of the others, by number.
    """

    epoch: int
    numbers: tuple[int, ...]
    n_episodes: tuple[int, ...]
    columns: Mapping[str, Any] | None
    env_spec: EnvSpec | None
    failures: Mapping[int, Failure]


Request: TypeAlias = Configure | Run | Cancel | Close
Reply: TypeAlias = Configured | Started | Finished


def encode(message: Any) -> bytes:
    """Turn a message into bytes; plain pickle first, by value where that cannot find a class."""
    try:
        return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:
        data: bytes = cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        return data


def decode(data: bytes) -> Any:
    """Turn bytes of `encode` into the message."""
    return pickle.loads(data)
