"""The carriers of a pool: brought up, told, heard, watched, replaced, stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic

from samplerkit.sampling.member import Member
from samplerkit.sampling.messages import Cancel, Close, Reply, Request, Run, decode, encode
from samplerkit.sampling.transport import C, CarrierGone, Transport, check_received, checked_n_carriers

log = logging.getLogger(__name__)

_LONGEST_WAIT = 3600.0
"""Seconds between two looks at the clock where a unit may take longer than what waits can count, which is
25 days for some.
"""


class Pool(Generic[C]):
    """Carriers that come and go, by a transport; what they are told, and why, is the sampler's business.

    Args:
        link: the way to them.
        n_workers: how many logical workers they carry.
        unit_timeout: seconds after which a running unit counts as hung; None waits for ever.

    Attributes:
        link: the way to them.
        members: what is known of each, by its index; empty before `start`.
    """

    def __init__(self, link: Transport[C], n_workers: int, unit_timeout: float | None) -> None:
        self.link = link
        self.members: list[Member[C]] = []
        self._n_workers = n_workers
        self._unit_timeout = unit_timeout
        self._setup = b""

    @property
    def n_carriers(self) -> int:
        """How many there are to be."""
        return checked_n_carriers(self.link)

    def start(self, setup: bytes) -> None:
        """Start carriers, and do not wait until they are up.

        Args:
            setup: for each of them; see `CarrierSetup`.
        """
        self._setup = setup
        for index in range(self.n_carriers):
            self.members.append(self._started(index))

    def _started(self, index: int) -> Member[C]:
        return Member(index, self.link.start(index, self._setup))

    def is_up(self, index: int) -> bool:
        """Whether a carrier is there."""
        return self.link.is_up(self.members[index].carrier)

    def mind_the_absent(self) -> None:
        """Say that those which are not up are needed."""
        absent = [member.carrier for member in self.members if not self.link.is_up(member.carrier)]
        if absent:
            self.link.lacking(absent)

    @property
    def unanswered(self) -> bool:
        """Whether anyone has not said yet that it follows the last record that it was sent."""
        return any(member.unanswered for member in self.members)

    def running(self, epoch: int) -> list[int | None]:
        """Return for each carrier the unit of an epoch that it says it is running."""
        every = [self.link.running(member.carrier) for member in self.members]
        return [it.number if it is not None and it.epoch == epoch else None for it in every]

    # -- messages --------------------------------------------------------------------------------

    def tell(self, member: Member[C], request: Request) -> None:
        """Send a request."""
        ways = {Run: self.link.give, Cancel: self.link.hurry}
        self._send(member, encode(request), ways.get(type(request), self.link.send))

    def announce(self, members: Sequence[Member[C]], parts: Sequence[Any]) -> bytes:
        """Return what to `send` to each of several members so that they get a message in bytes-like parts."""
        return self.link.announce([member.carrier for member in members], parts)

    def send(self, member: Member[C], message: bytes) -> None:
        """Send a message."""
        self._send(member, message, self.link.send)

    def _send(self, member: Member[C], message: bytes, way: Callable[[C, bytes], None]) -> None:
        try:
            way(member.carrier, message)
        except CarrierGone:
            # `receive` reports its death, like any other.
            log.debug("carrier %d is gone", member.index)

    def receive(self, timeout: float | None) -> Sequence[tuple[C, bytes | memoryview | None]]:
        """Wait for messages; see `Transport.receive`."""
        return self.link.receive([member.carrier for member in self.members], timeout)

    def replies(
        self, received: Sequence[tuple[C, bytes | memoryview | None]]
    ) -> list[tuple[Member[C], Reply | None]]:
        """Return what was received as replies of members; None for the end of one.

        Raises:
            TypeError, ValueError: where a transport returned something else than messages of its carriers.
        """
        by_carrier = {id(member.carrier): member for member in self.members}
        try:
            return [
                (by_carrier[id(carrier)], reply)
                for carrier, data in received
                for reply in self._decoded(data)
            ]
        except (TypeError, ValueError):
            check_received(received, self.link)
            raise

    def _decoded(self, data: bytes | memoryview | None) -> list[Reply | None]:
        message = None if data is None else decode(data, self._n_workers)
        return message if isinstance(message, list) else [message]

    # -- the dead, the hung, the end -------------------------------------------------------------

    def replace(self, member: Member[C], grace: float = 0.0) -> None:
        """Stop what is left of a carrier, and start another one in its place.

        Args:
            member: who leaves.
            grace: seconds to end by itself, after it was told.
        """
        member.gone = True  # Ctrl-C may come before another one is there
        self.link.stop(member.carrier, grace)
        self.members[member.index] = self._started(member.index)

    def replace_gone(self) -> None:
        """Go on with what Ctrl-C interrupted."""
        for member in list(self.members):
            if member.gone:
                self.replace(member)

    def kill_overdue(self) -> float | None:
        """Kill carriers whose unit takes too long; return the seconds until the next one would."""
        if self._unit_timeout is None:
            return None
        # A carrier that takes units by itself may start one at any time.
        patience = min(self._unit_timeout, _LONGEST_WAIT) if self.link.shares_work else _LONGEST_WAIT
        now = time.monotonic()
        for member in self.members:
            if self.link.shares_work and not member.timed_out:
                running = self.link.running(member.carrier)
                member.unit_started = None if running is None else running.since
            if member.unit_started is None:
                continue
            left = member.unit_started + self._unit_timeout - now
            if left <= 0:
                member.timed_out = True
                member.unit_started = None
                self.link.kill(member.carrier)
            elif left < patience:
                patience = left
        return patience

    def stop(self, grace: float) -> None:
        """End all carriers, and the transport. After Ctrl-C it may be called again, and goes on.

        Args:
            grace: seconds to close environments, after which a carrier is ended by force.
        """
        told = [member for member in self.members if not member.gone]
        for member in told:
            member.gone = True
            if self.link.lingers:
                self.tell(member, Cancel(member.epoch))  # the end waits its turn there
            self.tell(member, Close())
        deadline = time.monotonic() + (grace if told else 0.0)
        while self.members:
            self.link.stop(self.members[0].carrier, max(0.0, deadline - time.monotonic()))
            del self.members[0]
        self.link.close()
