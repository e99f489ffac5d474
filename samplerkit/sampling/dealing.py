"""How units come to carriers: in queues of their own, or in one that they share."""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from samplerkit.sampling.admission import Admission, Calls, Steps
from samplerkit.sampling.messages import Run
from samplerkit.sampling.schedule import Schedule
from samplerkit.sampling.shared_work import Claim
from samplerkit.sampling.transport import Transport

_DEPTH = 2
"""Units that a carrier is given ahead: one that runs and one that waits, so that it never waits itself."""

_SHARE = 0.75
"""Part of its share of what is left that a carrier is given at once, where it is told its own."""

_MEANWHILE = 0.004
"""Seconds of work that a carrier is given at least: meanwhile it is given more, and never waits."""

_MOST_MEANWHILE = 64

_LONGEST = 0.5
"""Seconds of work that a carrier is given ahead at most: what it had is lost if it dies."""

_FEW = 4
"""So many units that may have killed a carrier are tried one by one; of more those that were lost twice."""

_SHARES = 4
"""How many times each carrier comes to the queue, at least, while units are taken several at a time."""

_LONGEST_RUN = 16
"""Units that are taken at a time, at most, by a carrier that runs one after another."""

_PARTS = 8
"""A carrier that runs many units at once has taken as many after so many times, at most."""

_FURTHEST = 1 << 13
"""Units beyond the first not yet admitted, where carriers are told their own: a list of millions takes
seconds to make."""

_DOUBT = 2
"""Standard deviations, about, of the number of units it takes: the last so many are urgent."""

_AHEAD = 1 << 25
"""Bytes of results that may wait for a unit before them: one that is held up must not fill the memory."""


class Dealer(abc.ABC):
    """Gives units to carriers, and knows what is under way.

    Args:
        schedule: says which unit is next.
        n_carriers: how many there are.
    """

    def __init__(self, schedule: Schedule, n_carriers: int) -> None:
        self._schedule = schedule
        self._n_carriers = n_carriers

    @abc.abstractmethod
    def deal(self, epoch: int, admission: Admission) -> dict[int, Run]:
        """Give out what is likely to be needed; return what to tell which carrier."""

    @property
    @abc.abstractmethod
    def busy(self) -> bool:
        """Whether anything is under way."""

    @abc.abstractmethod
    def finished(self, carrier: int, numbers: Iterable[int]) -> None:
        """Note that units ended."""

    @abc.abstractmethod
    def lost(self, carrier: int, noted: Sequence[int | None]) -> tuple[int | None, list[int]]:
        """Take back what a dead carrier had.

        Args:
            carrier: the dead one.
            noted: for each carrier the unit that it says it is running, if it can.

        Returns:
            The unit that it was running, and all that will not come unless they are dealt again.
        """

    def has(self, carrier: int, number: int) -> bool:
        """Whether a unit is under way on a carrier, as far as is known here."""
        del carrier, number
        return True

    def suspects(self, running: int | None, numbers: Sequence[int]) -> set[int]:
        """Return which of the lost units may have killed their carrier.

        Args:
            running: the one that ran, if that is known.
            numbers: the lost ones.
        """
        return set() if running is None else {running}

    @abc.abstractmethod
    def forget(self) -> None:
        """Note that nothing is under way any more."""


class PrivateQueues(Dealer):
    """Each carrier is told which units to run.

    Args:
        schedule, n_carriers: see `Dealer`.
        overlap: how many units a carrier runs at once.
        is_up: whether a carrier is there; one that is not gets nothing.
    """

    def __init__(
        self,
        schedule: Schedule,
        n_carriers: int,
        overlap: int = 1,
        is_up: Callable[[int], bool] = lambda carrier: True,
    ) -> None:
        super().__init__(schedule, n_carriers)
        self._is_up = is_up
        self._depth = _DEPTH * overlap
        self._under_way: list[list[int]] = [[] for _ in range(n_carriers)]

    def deal(self, epoch: int, admission: Admission) -> dict[int, Run]:
        """See `Dealer`. Units that only one carrier can run go to it at once, others when it needs them."""
        news: dict[int, list[int]] = {}
        in_flight = sum(map(len, self._under_way))
        # Whoever gets ahead of the others fills the memory with what waits for them.
        window = self._schedule.units_in(_AHEAD)
        if isinstance(admission.goal, Calls) and not self._schedule.knows_units:
            window = 0  # there may be thousands of them, and each of any size
        window = max(self._depth * self._n_carriers, window)
        furthest = admission.next + int(min(window, _FURTHEST))
        for depth in self._depths():
            for carrier, under_way in enumerate(self._under_way):
                while len(under_way) < depth and self._is_up(carrier):
                    horizon = min(self._schedule.horizon(admission, in_flight), furthest)
                    number = self._schedule.take(carrier, admission, horizon)
                    if number is None:
                        break
                    in_flight += 1
                    under_way.append(number)
                    news.setdefault(carrier, []).append(number)
        return {carrier: Run(epoch, tuple(numbers)) for carrier, numbers in news.items()}

    def _depths(self) -> Iterable[float]:
        return (math.inf,) if self._schedule.has_homes else range(1, self._depth + 1)

    @property
    def busy(self) -> bool:
        """See `Dealer`."""
        return any(self._under_way)

    def finished(self, carrier: int, numbers: Iterable[int]) -> None:
        """See `Dealer`."""
        for number in numbers:
            self._under_way[carrier].remove(number)

    def has(self, carrier: int, number: int) -> bool:
        """See `Dealer`."""
        return number in self._under_way[carrier]

    def lost(self, carrier: int, noted: Sequence[int | None]) -> tuple[int | None, list[int]]:
        """See `Dealer`."""
        numbers, self._under_way[carrier] = self._under_way[carrier], []
        running = noted[carrier]
        return (running if running in numbers else next(iter(numbers), None)), numbers

    def forget(self) -> None:
        """See `Dealer`."""
        for under_way in self._under_way:
            under_way.clear()


class DeepQueues(PrivateQueues):
    """Each carrier is told many units at once, because telling it takes longer than a short unit does.

    It is told twice: while it runs what it was told first, what comes next is there already.

    Args:
        schedule, n_carriers, overlap, is_up: see `PrivateQueues`.
    """

    def __init__(
        self, schedule: Schedule, n_carriers: int, overlap: int, is_up: Callable[[int], bool]
    ) -> None:
        super().__init__(schedule, n_carriers, overlap, is_up)
        self._overlap = overlap
        self._last = [0] * n_carriers
        """How many units each was told the last time."""
        self._losses: dict[int, int] = {}
        self._alone: int | None = None
        self._pace = _Pace(n_carriers)

    def deal(self, epoch: int, admission: Admission) -> dict[int, Run]:
        """See `Dealer`. Far from the end a good part of a carrier's share, near it as much as it needs
        meanwhile; then, apart, what may be needed.
        """
        if self._schedule.has_homes:
            return super().deal(epoch, admission)
        carriers = [carrier for carrier in range(self._n_carriers) if self._is_up(carrier)]
        news = self._deal_suspect(admission, carriers)
        ready = [it for it in carriers if it != self._alone and len(self._under_way[it]) <= self._last[it]]
        in_flight = sum(map(len, self._under_way))
        certain = min(self._schedule.horizon(admission, in_flight), admission.next + _FURTHEST)
        left = self._schedule.n_left(admission, certain)
        unknown = max(0, certain - admission.next - len(admission.waiting))
        spread = math.isqrt(unknown) // 2 if isinstance(admission.goal, Steps) else 0
        some, few = self._sizes(left, spread, max(1, len(carriers)))
        for carrier in sorted(ready, key=lambda it: len(self._under_way[it])):
            run = self._take(admission, certain, some)
            self._give(carrier, run or self._take(admission, certain + spread, few), news)
        return {carrier: Run(epoch, tuple(numbers)) for carrier, numbers in news.items()}

    def _take(self, admission: Admission, horizon: int, most: int) -> list[int]:
        units: list[int] = []
        while len(units) < most and (run := self._schedule.take_run(admission, horizon, most - len(units))):
            units += run
        return units

    def _sizes(self, left: int, spread: int, n_carriers: int) -> tuple[int, int]:
        """Return how many units to give a carrier, of those that are needed and of those that may be."""
        least = max(self._overlap, self._pace.units_meanwhile())
        share = math.ceil(_SHARE * left / n_carriers)
        return max(least, min(share, self._pace.units_in(_LONGEST))), max(1, -(-spread // n_carriers))

    def _depths(self) -> Iterable[float]:
        # Once a carrier died one by one, so that the next time it is known which one it was.
        return (1,) if self._losses else super()._depths()

    def _deal_suspect(self, admission: Admission, carriers: Sequence[int]) -> dict[int, list[int]]:
        """Give a suspect whose turn it is to a carrier that has nothing else, and gets nothing else."""
        news: dict[int, list[int]] = {}
        if self._alone is not None and not self._under_way[self._alone]:
            self._alone = None
        if self._alone is None and carriers and self._schedule.suspects(admission.next):
            self._alone = min(carriers, key=lambda it: len(self._under_way[it]))
        if self._alone is not None and self._alone in carriers and not self._under_way[self._alone]:
            self._give(self._alone, self._schedule.take_run(admission, admission.next + 1, 1), news)
        return news

    def _give(self, carrier: int, run: Sequence[int], news: dict[int, list[int]]) -> None:
        if not run:
            return
        if not self._under_way[carrier]:
            self._pace.begins(carrier)
        self._under_way[carrier] += run
        self._last[carrier] = len(run)
        news[carrier] = list(run)

    def finished(self, carrier: int, numbers: Iterable[int]) -> None:
        """See `Dealer`."""
        done = list(numbers)
        super().finished(carrier, done)
        self._pace.ended(carrier, len(done))

    def lost(self, carrier: int, noted: Sequence[int | None]) -> tuple[int | None, list[int]]:
        """See `Dealer`. What a carrier ran is known only where it had nothing else."""
        _, numbers = super().lost(carrier, noted)
        if carrier == self._alone:
            self._alone = None
        return (numbers[0] if len(numbers) == 1 else None), numbers

    def suspects(self, running: int | None, numbers: Sequence[int]) -> set[int]:
        """See `Dealer`: all, if they are few; of many only those that were lost before."""
        for number in numbers:
            self._losses[number] = self._losses.get(number, 0) + 1
        few = len(numbers) <= _FEW
        return {number for number in numbers if few or self._losses[number] > 1}

    def forget(self) -> None:
        """See `Dealer`."""
        super().forget()
        self._losses.clear()
        self._alone = None


class _Pace:
    """How long a unit takes, as seen from here."""

    def __init__(self, n_carriers: int) -> None:
        self._since = [0.0] * n_carriers
        self._seconds: float | None = None

    def begins(self, carrier: int) -> None:
        """Note that a carrier that had nothing gets units."""
        self._since[carrier] = time.monotonic()

    def ended(self, carrier: int, n_units: int) -> None:
        """Note that so many of them ended since the last time."""
        now = time.monotonic()
        each = (now - self._since[carrier]) / max(1, n_units)
        self._since[carrier] = now
        self._seconds = each if self._seconds is None else self._seconds + 0.1 * (each - self._seconds)

    def units_meanwhile(self) -> int:
        """Return how many units a carrier runs until it can be given more."""
        return 1 if not self._seconds else min(_MOST_MEANWHILE, self.units_in(_MEANWHILE))

    def units_in(self, seconds: float) -> int:
        """Return how many units a carrier runs in so many seconds; many while nobody knows."""
        return _FURTHEST if not self._seconds else math.ceil(seconds / self._seconds)


class CommonQueue(Dealer):
    """Carriers take units from one queue by themselves.

    Args:
        schedule: see `Dealer`.
        overlap: how many units each carrier runs at once.
        transport: has the queue.
    """

    def __init__(self, schedule: Schedule, overlap: int, transport: Transport[Any]) -> None:
        super().__init__(schedule, transport.n_carriers * overlap)
        self._n_sharing = _SHARES * transport.n_carriers
        self._overlap = overlap
        # Where many units run at once, not each of them needs one that waits already.
        self._n_waiting = max(transport.n_carriers, self._n_carriers // 2)
        # Those that begin together, and may end together, should be neighbours: nobody has to sort them.
        self._longest = max(_LONGEST_RUN, overlap)
        self._shortest = max(1, overlap // _PARTS)
        self._transport = transport
        self._under_way: set[int] = set()
        self._backlog: list[Claim] = []
        self._admission: Admission | None = None
        self._epoch = -1

    def deal(self, epoch: int, admission: Admission) -> dict[int, Run]:
        """See `Dealer`.

        How many units it takes depends on their lengths. Some more than probably needed are offered, and
        carriers, who see in the tally how long those before were, leave what is not.
        """
        news = {} if admission is self._admission else self._aim(epoch, admission)
        under_way = self._under_way
        probable = self._schedule.horizon(admission, len(under_way))
        certain = probable
        together = self._overlap > 1 and self._schedule.is_even
        if isinstance(admission.goal, Steps) and not together:
            spread = math.isqrt(max(0, probable - admission.next))
            certain -= _DOUBT * spread
            probable += spread + self._n_carriers
        window = max(self._n_carriers + self._n_waiting, self._schedule.units_in(_AHEAD))
        latest = int(min(probable, admission.next + window))
        n_under_way = len(under_way)
        while run := self._schedule.take_run(admission, latest, latest):
            under_way.update(run)
            number = run.start
            while number < run.stop:
                # Far from the end several at a time, which saves all of us trouble; near it few.
                most = (certain - admission.next - n_under_way) // self._n_sharing
                n_units = min(self._size(most, together), run.stop - number)
                self._backlog.append(Claim(epoch, number, number + n_units > certain, n_units))
                n_under_way += n_units
                number += n_units
        if self._backlog:
            del self._backlog[: self._transport.offer(self._backlog)]
        return news

    def _size(self, most: int, together: bool) -> int:
        """Return how many units an entry has.

        Where those in the slots of a carrier begin and end together it is halved again and again: so whoever
        takes units for all its slots takes whole entries, and no few are left that would need ticks of their
        own.
        """
        if not together:
            return max(self._shortest, min(self._longest, most))
        size = self._longest
        while size > max(most, self._shortest):
            size //= 2
        return size

    def _aim(self, epoch: int, admission: Admission) -> dict[int, Run]:
        """Tell carriers what this call is for; return what wakes those that had enough for the last one."""
        goal, self._admission = admission.goal, admission
        self._transport.aim(epoch, admission.first, goal.least if isinstance(goal, Steps) else 0)
        goes_on, self._epoch = epoch == self._epoch, epoch
        return {carrier: Run(epoch, ()) for carrier in range(self._transport.n_carriers) if goes_on}

    @property
    def busy(self) -> bool:
        """See `Dealer`."""
        return bool(self._under_way)

    def finished(self, carrier: int, numbers: Iterable[int]) -> None:
        """See `Dealer`."""
        del carrier
        self._under_way.difference_update(numbers)

    def lost(self, carrier: int, noted: Sequence[int | None]) -> tuple[int | None, list[int]]:
        """See `Dealer`. What others hold finished and have not sent yet runs twice; that does no harm."""
        self._transport.withdraw()
        self._backlog.clear()
        numbers = sorted(self._under_way.difference(noted[:carrier], noted[carrier + 1 :]))
        self._under_way.difference_update(numbers)
        self._transport.strike(numbers)
        running = noted[carrier]
        return (running if running in numbers else None), numbers

    def forget(self) -> None:
        """See `Dealer`."""
        self._under_way.clear()
        self._backlog.clear()
        self._transport.withdraw()
