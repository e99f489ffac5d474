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
        self.next = cursor
        """Number of the lowest unit that has not been admitted."""
        self.admitted: list[EpisodeSlice] = []
        self.steps = 0
        self.waiting: dict[int, EpisodeSlice | Failure] = {}
        self.waiting_steps = 0
        self.complete = goal.reached(0, 0)
        """Whether the batch is whole."""

    def offer(self, number: int, result: EpisodeSlice | Failure) -> None:
        """Take the result of a unit, and admit what can be admitted now.

        Raises:
            WorkerError: if admission has reached a unit that failed.
        """
        waiting = self.waiting
        if number >= self.next and number not in waiting:
            waiting[number] = result
            if not isinstance(result, Failure):
                self.waiting_steps += result.n_steps
        while not self.complete and self.next in waiting:
            result = waiting.pop(self.next)
            if isinstance(result, Failure):
                raise result.to_error()
            self.admitted.append(result)
            self.next += 1
            self.steps += result.n_steps
            self.waiting_steps -= result.n_steps
            self.complete = self.goal.reached(len(self.admitted), self.steps)
