"""Iterators that may have more after they ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Asking(Generic[T]):
    """Asks for the next value each time, also after there was none: there may be one later.

    Args:
        ask: returns the next value; None where there is none now.
    """

    def __init__(self, ask: Callable[[], T | None]) -> None:
        self._ask = ask

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        value = self._ask()
        if value is None:
            raise StopIteration
        return value


class InGroups(Asking[T]):
    """The same, for whoever can take several values at once.

    Args:
        take: returns the next values: no more than it is told, and none only where there is none now.
        ask: see `Asking`; what takes one in another way, where that is quicker.
    """

    def __init__(self, take: Callable[[int], Sequence[T]], ask: Callable[[], T | None] | None = None) -> None:
        super().__init__(ask or (lambda: next(iter(take(1)), None)))
        self.take = take
