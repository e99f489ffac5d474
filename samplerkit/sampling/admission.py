"""Ordered admission: which units make up a batch.

Units are admitted by number, never by who finished first, because whoever finishes first is short: a
batch filled that way holds too many short episodes.
"""

from __future__ import annotations

from dataclasses import dataclass

from samplerkit.episodes import EpisodeSlice
from samplerkit.sampling.failure import Failure


@dataclass(frozen=True)
class Steps:
    """The shortest run of consecutive units that holds at least `least` steps."""

    least: int

    def reached(self, units: int, steps: int) -> bool:
        """Whether a run of so many units and steps is enough."""
        del units
        return steps >= self.least


@dataclass(frozen=True)
class Units:
    """Exactly `count` consecutive units."""

    count: int

    def reached(self, units: int, steps: int) -> bool:
        """Whether a run of so many units and steps is enough."""
        del steps
        return units >= self.count


Goal = Steps | Units


class Admission:
    """Results of units on their way into one batch. They may be offered in any order, and twice.

    Args:
        goal: when the run of units is long enough.
        cursor: number of its first unit.
    """

    def __init__(self, goal: Goal, cursor: int) -> None:
        self.goal = goal
        self.first = cursor
        self.admitted: list[EpisodeSlice] = []
        self.steps = 0
        self.waiting: dict[int, EpisodeSlice | Failure] = {}
        self.waiting_steps = 0

    @property
    def next(self) -> int:
        """Number of the lowest unit that has not been admitted."""
        return self.first + len(self.admitted)

    @property
    def complete(self) -> bool:
        """Whether the batch is whole."""
        return self.goal.reached(len(self.admitted), self.steps)

    def offer(self, number: int, result: EpisodeSlice | Failure) -> None:
        """Take the result of a unit, and admit what can be admitted now.

        Raises:
            WorkerError: if admission has reached a unit that failed.
        """
        if number >= self.next and number not in self.waiting:
            self.waiting[number] = result
            self.waiting_steps += _steps_of(result)
        while not self.complete and self.next in self.waiting:
            result = self.waiting.pop(self.next)
            if isinstance(result, Failure):
                raise result.to_error()
            self.admitted.append(result)
            self.steps += result.n_steps
            self.waiting_steps -= result.n_steps


def _steps_of(result: EpisodeSlice | Failure) -> int:
    return 0 if isinstance(result, Failure) else result.n_steps
