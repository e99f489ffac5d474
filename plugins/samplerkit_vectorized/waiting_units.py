"""The units that wait for a slot."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from samplerkit.interfaces import Unit
from samplerkit.interfaces.unit_feeds import InGroups


class WaitingUnits:
    """Units on their way to slots, in order.

    Args:
        units: may have more after it ended, while units are under way: it is asked again each time.
        home: returns the only slot that may run a unit; None where any may. None in place of it: any slot may
            run every unit.
    """

    def __init__(self, units: Iterable[Unit], home: Callable[[Unit], int | None] | None) -> None:
        self._units = iter(units)
        self._home = home
        self._waiting: dict[int, deque[Unit]] = {}
        self._alone: deque[Unit] = deque()
        self._runs_alone = False
        self._asks = True

    @property
    def alone(self) -> bool:
        """Whether a unit is running that must have no others beside it, or comes next."""
        return self._runs_alone or bool(self._alone)

    def run_alone(self, units: Iterable[Unit]) -> None:
        """Put units back that run again, one after another, before any other."""
        self._alone = deque(sorted([*self._alone, *units]))

    def take(self, idle: Sequence[int]) -> Iterator[tuple[int, Unit]]:
        """Yield units for idle slots, as far as there are any now, each when the one before it has begun.

        While `alone`, all slots must be idle.
        """
        self._runs_alone = bool(self._alone)
        if self._alone:
            unit = self._alone.popleft()
            yield self._slot(unit, idle[0]), unit
            return
        if self._home is None and isinstance(self._units, InGroups):
            for slot in idle:
                some = self._units.take(1)
                if not some:
                    return
                yield slot, some[0]
            return
        self._asks = True
        for slot in idle:
            unit_or_none = self._next_for(slot)
            if unit_or_none is not None:
                yield slot, unit_or_none
            elif not self._waiting:
                return

    def take_together(self, idle: Sequence[int]) -> tuple[Sequence[int], Sequence[Unit]]:
        """Return slots and their units, as `take` does, where these begin together."""
        if self._alone or self._home is not None or not isinstance(self._units, InGroups):
            taken = [*self.take(idle)]
            return [slot for slot, _ in taken], [unit for _, unit in taken]
        self._runs_alone = False
        units = self._units.take(len(idle))
        return idle[: len(units)], units

    def _slot(self, unit: Unit, otherwise: int) -> int:
        home = None if self._home is None else self._home(unit)
        return otherwise if home is None else home

    def _next_for(self, slot: int) -> Unit | None:
        waiting = self._waiting.get(slot)
        if waiting:
            return waiting.popleft()
        while self._asks and (unit := next(self._units, None)) is not None:
            home = self._slot(unit, slot)
            if home == slot:
                return unit
            self._waiting.setdefault(home, deque()).append(unit)
        self._asks = False  # who has none now is asked again when slots are idle the next time
        return None
