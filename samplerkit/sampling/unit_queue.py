"""Units that a host is about to run, in the order in which they came."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable

from samplerkit.interfaces.unit_feeds import InGroups


class UnitQueue:
    """An iterator of unit numbers that one can look into and give back to.

    Args:
        numbers: of the units. There may be more after it ended.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = iter(numbers)
        self._ahead: deque[int] = deque()

    def peek(self) -> int | None:
        """Look at the next number; None if there is none now."""
        if not self._ahead:
            number = next(self._numbers, None)
            if number is None:
                return None
            self._ahead.append(number)
        return self._ahead[0]

    def take_if_any(self) -> int | None:
        """Take the next number; None if there is none now."""
        return self._ahead.popleft() if self._ahead else next(self._numbers, None)

    def take(self) -> int:
        """Take the number that a `peek` found."""
        number = self.peek()
        assert number is not None, "take() follows a peek() that found a unit"
        return self._ahead.popleft()

    def take_several(self, most: int) -> list[int]:
        """Take as many as there are now, but no more than `most`."""
        ahead, numbers = self._ahead, self._numbers
        taken = [ahead.popleft() for _ in range(min(most, len(ahead)))] if ahead else []
        if not isinstance(numbers, InGroups):
            return [*taken, *itertools.islice(numbers, most - len(taken))]
        while len(taken) < most and (some := numbers.take(most - len(taken))):
            taken += some
        return taken

    def take_wanted(self, wanted: Callable[[int], bool]) -> int | None:
        """Take the first number that is wanted, if there is one now; those before it stay ahead."""
        for number in self._ahead:
            if wanted(number):
                self._ahead.remove(number)
                return number
        while (number_or_none := next(self._numbers, None)) is not None:
            if wanted(number_or_none):
                return number_or_none
            self._ahead.append(number_or_none)
        return None

    def clear(self) -> None:
        """Drop all there is."""
        self._numbers = iter(())
        self._ahead.clear()

    def put_back(self, numbers: Iterable[int]) -> None:
        """Give numbers back; the lowest comes first."""
        self._ahead = deque(sorted([*numbers, *self._ahead]))
