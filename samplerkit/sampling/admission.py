"""Ordered admission: which units make up a batch.

Units are admitted by number, never by who finished first, because whoever finishes first is short: a
batch filled that way holds too many short episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from samplerkit.episodes import Assembly, EpisodeSlice, Ground, RecycledMemory
from samplerkit.sampling.failure import Failure


@dataclass(frozen=True)
class Steps:
    """The shortest run of consecutive units that holds at least `least` steps."""

    least: int

    def reached(self, units: int, steps: int) -> bool:
        """Whether a run of so many units and steps is enough."""
        del units
        return steps >= self.least

    def expected_steps(self, units: int, steps: int) -> int:
        """Return, generously, how many steps it will be."""
        return self.least + self.least // 8 + steps // units

    def in_full(self, units: int) -> int:
        """Return how many units a run has, at least so many, that can be enough."""
        return units


@dataclass(frozen=True)
class Rounds(Steps):
    """The shortest run of pieces of streams that holds at least `least` steps, as many of each worker.

    Attributes:
        least: steps.
        n_workers: whose pieces follow each other.
    """

    n_workers: int

    def reached(self, units: int, steps: int) -> bool:
        """Whether a run of so many pieces and steps is enough."""
        return steps >= self.least and units % self.n_workers == 0

    def in_full(self, units: int) -> int:
        """Return how many pieces whole rounds have, at least so many."""
        return -(-units // self.n_workers) * self.n_workers


@dataclass(frozen=True)
class Units:
    """Exactly `count` consecutive units."""

    count: int

    def reached(self, units: int, steps: int) -> bool:
        """Whether a run of so many units and steps is enough."""
        del steps
        return units >= self.count

    def expected_steps(self, units: int, steps: int) -> int:
        """Return, generously, how many steps it will be, when a run of units had so many."""
        return (self.count + self.count // 8 + 1) * -(-steps // units)


@dataclass(frozen=True)
class Calls:
    """Exactly `count` consecutive calls of workers whose episodes go on from call to call.

    Attributes:
        count: of calls.
        size: steps of each.
    """

    count: int
    size: int

    def reached(self, units: int, steps: int) -> bool:
        """Whether a run of so many calls and steps is enough."""
        del steps
        return units >= self.count

    def expected_steps(self, units: int, steps: int) -> int:
        """Return how many steps it will be."""
        del units, steps
        return self.count * self.size


Goal = Steps | Units | Calls


class Admission:
    """Results of units on their way into one batch. They may be offered in any order, and twice.

    Args:
        goal: when the run of units is long enough.
        cursor: number of its first unit.
        memory: where a large batch is put together.
        ground: where its observations are placed in advance.
    """

    def __init__(
        self, goal: Goal, cursor: int, memory: RecycledMemory | None = None, ground: Ground | None = None
    ) -> None:
        self.goal = goal
        self.first = cursor
        self.next = cursor
        """Number of the lowest unit that has not been admitted."""
        self.steps = 0
        self._assembly = Assembly(goal.expected_steps, memory, ground)
        self.waiting: dict[int, EpisodeSlice | Failure] = {}
        self.waiting_steps = 0
        self.complete = goal.reached(0, 0)
        """Whether the batch is whole."""

    def offer(self, number: int, result: EpisodeSlice | Failure) -> None:
        """Take the result of a unit, and admit what can be admitted now.

        Raises:
            WorkerError: if admission has reached a unit that failed.
        """
        self.offer_all({number: result})

    def offer_all(self, results: Mapping[int, EpisodeSlice | Failure]) -> None:
        """Take the results of several units, as `offer` does."""
        waiting, first, steps = self.waiting, self.next, 0
        for number, result in results.items():
            if number >= first and number not in waiting:
                waiting[number] = result
                if not isinstance(result, Failure):
                    steps += result.stop_row - result.first_row
        self.waiting_steps += steps
        if first in waiting and not self.complete:
            self._admit()

    def _admit(self) -> None:
        """Admit the run of units that are there, all at once: there may be thousands."""
        waiting, reached, first = self.waiting, self.goal.reached, self.first
        number, steps, complete = self.next, self.steps, False
        units: list[EpisodeSlice] = []
        failure: Failure | None = None
        while not complete and (result := waiting.pop(number, None)) is not None:
            if isinstance(result, Failure):
                failure = result
                break
            units.append(result)
            number += 1
            steps += result.stop_row - result.first_row
            complete = reached(number - first, steps)
        self.waiting_steps -= steps - self.steps
        self.next, self.steps, self.complete = number, steps, complete
        self._assembly.add(units)
        if failure is not None:
            raise failure.to_error()

    def leave_ground(self) -> None:
        """See `Assembly.leave_ground`."""
        self._assembly.leave_ground()

    def admitted(self) -> list[EpisodeSlice]:
        """Return the units that were admitted, in order. Called once."""
        return self._assembly.finish()
