"""What carriers may share with their pool: a queue of units, a board, a tally, memory for large messages.

A carrier that takes its next unit by itself never waits for the pool, and no carrier has units queued
while another one is idle. Backends that can share memory and pipes offer this; others need not.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from samplerkit.episodes.columns import Array


class Claim(NamedTuple):
    """An entry of the queue: units with consecutive numbers, to be taken together.

    Attributes:
        epoch: what does not belong to the carrier's epoch is dropped.
        first: number of the first unit.
        urgent: whether they may not be needed: then a carrier asks the tally before it runs them.
        n_units: how many units.
    """

    epoch: int
    first: int
    urgent: bool = False
    n_units: int = 1

    @property
    def numbers(self) -> range:
        """The units."""
        return range(self.first, self.first + self.n_units)

    def since(self, number: int) -> Claim:
        """Return what is left of the entry from one of its units on."""
        return self._replace(first=number, n_units=self.first + self.n_units - number)


class Running(NamedTuple):
    """What a carrier is doing.

    Attributes:
        epoch: of the unit.
        number: of the unit that runs.
        since: `time.monotonic` of its start, as the carrier's own process sees it.
    """

    epoch: int
    number: int
    since: float


class Need(enum.Enum):
    """Whether the present call needs a unit, as far as is known before it runs."""

    LIKELY = enum.auto()
    DOUBTFUL = enum.auto()
    """The units before it may be enough: what a carrier has finished should be on its way."""
    UNLIKELY = enum.auto()
    """The units before it will probably be enough, but have not all ended."""
    NONE = enum.auto()
    """The units before it are enough, and all have ended."""


class SharedWork(abc.ABC):
    """The carriers' end, for the thread that runs units.

    `wake` is called from another thread; `post`, `leave`, `ring` from another one too, but by one at a time.
    """

    @abc.abstractmethod
    def claim(self) -> Claim | None:
        """Take the next entry; None if there is none now."""

    def hand_over(self, take: Callable[[bytes | memoryview], None]) -> None:
        """Hear, before anything else, what to do with messages of the pool that come while this waits.

        To take one here saves waking the thread of `receive`, which would have to wake this one. Messages
        must be taken in the order in which they were sent, and that thread has taken one when it calls
        `receive` again.
        """
        del take

    @abc.abstractmethod
    def wait(self) -> None:
        """Sleep until there may be an entry, or until `wake`, or until a message was taken here."""

    def wait_for_wake(self, timeout: float) -> None:
        """Sleep until `wake`, or until a message was taken here, for so many seconds at most. Called only
        after `need` said NONE.
        """
        del timeout

    @abc.abstractmethod
    def wake(self) -> None:
        """End the present or the next `wait`. Called from another thread."""

    def post(self, parts: Sequence[Any]) -> bool:
        """Bring a message, given in bytes-like parts, to the pool by a way of its own, if there is one.

        Returns:
            Whether it is on its way. If not, it is sent like any other, which copies it once more.
        """
        del parts
        return False

    def leave(self, parts: Sequence[Any]) -> bool:
        """Leave a message, given in bytes-like parts, where `Transport.receive` finds it when it wakes for
        whatever reason, perhaps not in order with messages of the other kind.

        Returns:
            Whether it is there. If not, it is posted or sent.
        """
        del parts
        return False

    def ring(self) -> None:
        """Wake `Transport.receive` because of what was left. Called only where something was."""
        return

    @abc.abstractmethod
    def note(self, epoch: int, number: int) -> None:
        """Say which unit begins to run, so that a death can be blamed on it; -1 for none."""

    def batch_memory(self) -> Array | None:
        """Return the bytes that batches are put in, to be written to where a `Placement` says; None if there
        are none.
        """
        return None

    def all_follow(self, epoch: int) -> bool:
        """Whether every carrier has noted that it is done with all epochs before this one.

        Until then a step that takes long may still write to memory that this epoch uses again.
        """
        del epoch
        return False

    def score(self, epoch: int, number: int, n_steps: int) -> None:
        """Put down in the tally how many steps a unit took."""
        del epoch, number, n_steps

    def score_all(self, epoch: int, numbers: Sequence[int], lengths: Sequence[int]) -> None:
        """Put down how many steps each of several units took."""
        for number, n_steps in zip(numbers, lengths, strict=True):
            self.score(epoch, number, n_steps)

    def need(self, epoch: int, number: int) -> Need:
        """Ask the tally whether a unit is needed."""
        del epoch, number
        return Need.DOUBTFUL
