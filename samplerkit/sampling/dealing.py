"""How units come to carriers: in queues of their own, or in one that they share."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Iterable, Sequence

from samplerkit.sampling.admission import Admission, Steps
from samplerkit.sampling.messages import Run
from samplerkit.sampling.schedule import Schedule
from samplerkit.sampling.transport import C, Transport
from samplerkit.sampling.work import Claim

_DEPTH = 2
"""Units that a carrier is given ahead: one that runs and one that waits, so that it never waits itself."""


class Dealer(abc.ABC):
    """Gives units to carriers, and knows what is under way."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    @abc.abstractmethod
    def deal(self, epoch: int, admission: Admission, carriers: Sequence[int]) -> None:
        """Give these carriers what is likely to be needed."""

    @abc.abstractmethod
    def finished(self, carrier: int, numbers: Iterable[int]) -> None:
        """Note that units ended."""

    @abc.abstractmethod
    def lost(self, carrier: int) -> tuple[int | None, list[int]]:
        """Return the unit that a dead carrier was running, and all that will not come unless dealt again."""

    @abc.abstractmethod
    def forget(self) -> None:
        """Note that nothing is under way any more."""


class PrivateQueues(Dealer):
    """Each carrier is told which units to run.

    Args:
        schedule: says which unit is next.
        tell: sends a message to the carrier with an index.
        running: says which unit the carrier with an index noted, if it can.
    """

    def __init__(
        self, schedule: Schedule, tell: Callable[[int, Run], None], running: Callable[[int], int | None]
    ) -> None:
        super().__init__(schedule)
        self._tell = tell
        self._running = running
        self._under_way: dict[int, list[int]] = {}

    def deal(self, epoch: int, admission: Admission, carriers: Sequence[int]) -> None:
        """See `Dealer`. Units that only one carrier can run go to it at once, others when it needs them."""
        news: dict[int, list[int]] = {carrier: [] for carrier in carriers}
        in_flight = sum(map(len, self._under_way.values()))
        for depth in (math.inf,) if self._schedule.has_homes else range(1, _DEPTH + 1):
            for carrier in carriers:
                under_way = self._under_way.setdefault(carrier, [])
                while len(under_way) < depth:
                    horizon = self._schedule.horizon(admission, in_flight)
                    number = self._schedule.take(carrier, admission, horizon)
                    if number is None:
                        break
                    in_flight += 1
                    under_way.append(number)
                    news[carrier].append(number)
        for carrier, numbers in news.items():
            if numbers:
                self._tell(carrier, Run(epoch, tuple(numbers)))

    def finished(self, carrier: int, numbers: Iterable[int]) -> None:
        """See `Dealer`."""
        for number in numbers:
            self._under_way[carrier].remove(number)

    def lost(self, carrier: int) -> tuple[int | None, list[int]]:
        """See `Dealer`."""
        numbers = self._under_way.pop(carrier, [])
        noted = self._running(carrier)
        return (noted if noted in numbers else next(iter(numbers), None)), numbers

    def forget(self) -> None:
        """See `Dealer`."""
        self._under_way.clear()


class CommonQueue(Dealer):
    """Carriers take units from one queue by themselves.

    Args:
        schedule: says which unit is next.
        transport: has the queue.
        running: says which unit of this epoch the carrier with an index noted.
        n_carriers: how many there are.
    """

    def __init__(
        self,
        schedule: Schedule,
        transport: Transport[C],
        running: Callable[[int], int | None],
        n_carriers: int,
    ) -> None:
        super().__init__(schedule)
        self._offer, self._withdraw = transport.offer, transport.withdraw
        self._running = running
        self._n_carriers = n_carriers
        self._under_way: set[int] = set()
        self._backlog: list[Claim] = []

    def deal(self, epoch: int, admission: Admission, carriers: Sequence[int]) -> None:
        """See `Dealer`.

        Units that are needed for certain are offered at once. How many more it will take depends on their
        lengths: of these, just so many that nobody waits, and carriers report each of them without delay.
        """
        del carriers
        under_way = self._under_way
        probable = self._schedule.horizon(admission, len(under_way))
        certain = probable
        if isinstance(admission.goal, Steps):
            certain -= math.isqrt(max(0, probable - admission.next))
            probable += self._n_carriers
        while True:
            horizon = probable if len(under_way) < _DEPTH * self._n_carriers else certain
            number = self._schedule.take(None, admission, horizon)
            if number is None:
                break
            under_way.add(number)
            self._backlog.append(Claim(epoch, number, number >= certain))
        if self._backlog:
            del self._backlog[: self._offer(self._backlog)]

    def finished(self, carrier: int, numbers: Iterable[int]) -> None:
        """See `Dealer`."""
        del carrier
        self._under_way.difference_update(numbers)

    def lost(self, carrier: int) -> tuple[int | None, list[int]]:
        """See `Dealer`. What others hold finished and have not sent yet runs twice; that does no harm."""
        self._withdraw()
        self._backlog.clear()
        running = self._running(carrier)
        others = {self._running(other) for other in range(self._n_carriers) if other != carrier}
        numbers = sorted(self._under_way - others)
        self._under_way.difference_update(numbers)
        return (running if running in numbers else None), numbers

    def forget(self) -> None:
        """See `Dealer`."""
        self._under_way.clear()
        self._backlog.clear()
        self._withdraw()
