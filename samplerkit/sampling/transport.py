"""What a backend is: a way to start, reach and stop carriers of workers."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from samplerkit.sampling.boundary import check_count
from samplerkit.sampling.placement import SharedBlocks
from samplerkit.sampling.shared_work import Claim, Running

C = TypeVar("C")


class CarrierGone(Exception):
    """A message could not be sent because the carrier is not there any more."""


class Transport(abc.ABC, Generic[C]):
    """Carries messages between a pool and its carriers: processes, threads, actors.

    At the far end a carrier calls `samplerkit.sampling.serve`. Messages are bytes, whose meaning is none of
    the transport's business. All methods but `wake` are called from one thread at a time.

    A KeyboardInterrupt may come anywhere, also in the middle of a message: `kill` that carrier, and let the
    exception through. A message that was received whole and is lost then does no harm.
    """

    @property
    @abc.abstractmethod
    def n_carriers(self) -> int:
        """How many carriers to start. Never seen in a batch."""

    @abc.abstractmethod
    def start(self, index: int, setup: bytes) -> C:
        """Start a carrier that calls `serve` with `setup`; need not wait until it is up.

        Raises whatever says best why none can be started; one that dies before it is up is a death like any
        other.
        """

    @abc.abstractmethod
    def send(self, carrier: C, message: bytes) -> None:
        """Send a message.

        Raises:
            CarrierGone: if nobody will ever receive it.
        """

    def give(self, carrier: C, message: bytes) -> None:
        """Send units to run, which the carrier will answer; it need not see them while it runs others."""
        self.send(carrier, message)

    def hurry(self, carrier: C, message: bytes) -> None:
        """Send a message for which a carrier is to leave what it does; where others wait, past these."""
        self.send(carrier, message)

    def announce(self, carriers: Sequence[C], parts: Sequence[Any]) -> bytes:
        """Return what to send to each of these carriers so that they get a message in bytes-like parts.

        A backend whose carriers share memory may put a large message there, once for all of them.
        """
        del carriers
        return b"".join(parts)

    @abc.abstractmethod
    def receive(
        self, carriers: Sequence[C], timeout: float | None
    ) -> Sequence[tuple[C, bytes | memoryview | None]]:
        """Wait for the next messages of any carrier; it must not spin.

        Args:
            carriers: those that count; what others still say (they were stopped) is dropped.
            timeout: most seconds to wait, None without end.

        Returns:
            A list of messages, as many as there are, each carrier's in the order in which it sent them; None
            follows the last message of a carrier that is dead. Empty after `timeout`, or after `wake`. A
            death is the end of the process, whether or not its stream has ended.
        """

    @abc.abstractmethod
    def exit_status(self, carrier: C) -> int | None:
        """Return how a dead carrier ended: its status, minus the signal's number, or None if unknown.

        Asked as soon as `receive` has reported the death: wait for the status, but no more than a second.
        """

    def obituary(self, carrier: C) -> str:
        """Return what is known of a death beside the status, in a sentence; empty for nothing."""
        del carrier
        return ""

    def is_up(self, carrier: C) -> bool:
        """Whether a carrier runs, or will within seconds.

        One that waits for a place on some machine does not: others then run its units, if they can, and it
        joins them once it is there. See to it that `receive` returns when that changes.
        """
        del carrier
        return True

    def lacking(self, carriers: Sequence[C]) -> None:
        """Hear that nothing goes on until one of these, which are not up, is.

        Called before each `receive` of that time, which must return now and then.

        Raises whatever says best why none of them will be.
        """
        del carriers

    @abc.abstractmethod
    def kill(self, carrier: C) -> None:
        """End a carrier at once, by force; `receive` then reports its death."""

    @abc.abstractmethod
    def stop(self, carrier: C, timeout: float) -> None:
        """Wait `timeout` seconds until the carrier has ended, then end it by force; release everything.

        A carrier that is to end by itself was sent a message that says so before.
        After a KeyboardInterrupt it may be called again for the same carrier.

        Read on meanwhile: a carrier that cannot get rid of its last message never ends.
        """

    @abc.abstractmethod
    def wake(self) -> None:
        """Make a `receive` in another thread return at once; the next one, if there is none just now."""

    lingers: float = 0.0
    """Seconds that results may wait in a carrier for others to travel with; for a transport where a message
    costs far more than a short unit does, and that has no `shares_work`.

    Carriers are then given many units ahead. Which one killed a carrier is found by running those that may
    have done it again, each alone; a death counts for a unit once it is known.
    """

    # -- a queue that carriers share: optional ----------------------------------------------------

    shares_work: bool = False
    """Whether carriers take units from one queue and note what they run; if so, implement the rest."""

    def offer(self, claims: Sequence[Claim]) -> int:
        """Put entries at the end of the queue; return how many there was room for."""
        raise NotImplementedError(f"{type(self).__name__} has no queue that carriers share")

    def aim(self, epoch: int, first: int, least: int) -> None:
        """Tell carriers by the tally, if there is one, what a call is for.

        Args:
            epoch: of its units.
            first: the first unit of the call.
            least: how many steps it and those after it must have together; 0 where their number is fixed.
        """
        del epoch, first, least

    def strike(self, numbers: Iterable[int]) -> None:
        """Take units out of the tally: their results are lost, and they run again."""
        del numbers

    def withdraw(self) -> None:
        """Take all entries out of the queue that no carrier has claimed."""
        raise NotImplementedError(f"{type(self).__name__} has no queue that carriers share")

    def batch_blocks(self) -> SharedBlocks | None:
        """Return the memory for batches that carriers can write to, if there is any; called once."""
        return None

    def running(self, carrier: C) -> Running | None:
        """Return what a carrier, dead or alive, noted last; None if it runs nothing."""
        del carrier
        return None

    def close(self) -> None:
        """Release what the transport itself holds. Called once, after every carrier was stopped.

        After a KeyboardInterrupt it may be called again.
        """
        return


def checked_transport(made: Any, maker: str) -> Transport[Any]:
    """Return the transport that a backend made.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(made, Transport):
        raise TypeError(f"{maker}.make_transport returned {made!r}: it must return a Transport")
    return made


def checked_n_carriers(transport: Transport[Any]) -> int:
    """Return how many carriers a transport has.

    Raises:
        TypeError, ValueError: if that is no integer of at least 1.
    """
    name, n_carriers = f"{type(transport).__name__}.n_carriers", transport.n_carriers
    if callable(n_carriers):
        raise TypeError(f"{name} must be a number, and is a method: write @property above it")
    return check_count(name, n_carriers)


def check_received(received: Any, receiver: Transport[Any]) -> None:
    """Refuse what is no result of `receive`.

    Raises:
        TypeError: if it is no list of pairs.
    """
    if not isinstance(received, Sequence) or not all(
        isinstance(it, tuple) and len(it) == 2 for it in received
    ):
        raise TypeError(
            f"{type(receiver).__name__}.receive returned {received!r}: it must return a list of pairs "
            "(carrier, message), an empty one where nothing came"
        )
