"""Ordered admission: which units make up a batch.

Units are admitted by number, never by who finished first, because whoever finishes first is short: a
batch filled that way holds too many short episodes.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from samplerkit.episodes import Assembly, BatchBuffer, EpisodeSlice, RecycledMemory, Span
from samplerkit.sampling.failure import Failure
from samplerkit.sampling.numbering import runs

Result: TypeAlias = tuple[int, Span | Failure]
"""What came of a unit, with its number; of several whose numbers follow each other with that of the first."""


def in_spans(numbers: Sequence[int], units: Span) -> list[Result]:
    """Return the results of units that stand side by side, given their numbers in any order.

    Raises:
        ValueError: for another number of them.
    """
    if len(numbers) != units.n_slices:
        raise ValueError(f"there are results of {units.n_slices} units, but {len(numbers)} numbers")
    if len(numbers) == 1:
        return [(numbers[0], units)]
    results: list[Result] = []
    start = 0
    for run in runs(numbers):
        stop = start + len(run)
        results.append((run.start, units.part(start, stop)))
        start = stop
    return results


@dataclass(frozen=True)
class Steps:
    """The shortest run of consecutive units that holds at least `least` steps."""

    least: int

    def enough(self, units: int, steps: int, rows: Sequence[int]) -> int | None:
        """Return how many units more are enough, after so many units and steps; None if these are not.

        Args:
            units: which were not enough.
            steps: of these.
            rows: where each of the next units begins, and where the last one ends.
        """
        missing = self.least - steps
        if rows[-1] - rows[0] < missing:
            return None
        return bisect.bisect_left(rows, rows[0] + missing)

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

    def enough(self, units: int, steps: int, rows: Sequence[int]) -> int | None:
        """Return how many pieces more are enough: see `Steps.enough`."""
        n = super().enough(units, steps, rows)
        if n is None:
            return None
        n = self.in_full(units + n) - units
        return n if n < len(rows) else None

    def in_full(self, units: int) -> int:
        """Return how many pieces whole rounds have, at least so many."""
        return -(-units // self.n_workers) * self.n_workers


@dataclass(frozen=True)
class _Count:
    """Exactly `count` consecutive units, of whatever kind."""

    count: int

    def enough(self, units: int, steps: int, rows: Sequence[int]) -> int | None:
        """Return how many units more are enough: see `Steps.enough`."""
        del steps
        n = self.count - units
        return n if n < len(rows) else None


@dataclass(frozen=True)
class Units(_Count):
    """Exactly `count` consecutive units."""

    def expected_steps(self, units: int, steps: int) -> int:
        """Return, generously, how many steps it will be, when a run of units had so many."""
        return (self.count + self.count // 8 + 1) * -(-steps // units)


@dataclass(frozen=True)
class Calls(_Count):
    """Exactly `count` consecutive calls of workers whose episodes go on from call to call.

    Attributes:
        count: of calls.
        size: steps of each.
    """

    size: int

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
        buffer: where its observations are placed in advance.
    """

    def __init__(
        self, goal: Goal, cursor: int, memory: RecycledMemory | None = None, buffer: BatchBuffer | None = None
    ) -> None:
        self.goal = goal
        self.first = cursor
        self.next = cursor
        """Number of the lowest unit that has not been admitted."""
        self.steps = 0
        self._assembly = Assembly(goal.expected_steps, memory, buffer)
        # By the number of the first unit of each; and the numbers of all of them.
        self._waiting: dict[int, Span | Failure] = {}
        self.waiting: set[int] = set()
        """Numbers of the units that came before one that is to be admitted first."""
        self.waiting_steps = 0
        self.complete = goal.enough(0, 0, (0,)) is not None
        """Whether the batch is whole."""

    def offer(self, number: int, result: EpisodeSlice | Failure) -> None:
        """Take the result of a unit, and admit what can be admitted now.

        Raises:
            WorkerError: if admission has reached a unit that failed.
        """
        self.offer_all([(number, result if isinstance(result, Failure) else Span.of(result))])

    def offer_all(self, results: Iterable[Result]) -> None:
        """Take the results of several units, as `offer` does."""
        spans: list[Span] = []
        for number, result in results:
            # Where nothing waits, what is next need not wait either, and has not come before.
            if number == self.next and not (self.waiting or self.complete or isinstance(result, Failure)):
                taken, rest = self._admit(result)
                spans.append(taken)
                if rest is not None:
                    self._keep(self.next, rest)
            else:
                self._keep(number, result)
        failure = self._admit_waiting(spans)
        self._assembly.add(spans)
        if failure is not None:
            raise failure.to_error()

    def _keep(self, number: int, result: Span | Failure) -> None:
        if isinstance(result, Failure):
            some, steps = range(number, number + 1), 0
        else:
            rows = result.rows
            some, steps = range(number, number + len(rows) - 1), rows[-1] - rows[0]
        if number >= self.next and self.waiting.isdisjoint(some):
            self._waiting[number] = result
            self.waiting.update(some)
            self.waiting_steps += steps
        elif not isinstance(result, Failure) and len(some) > 1:
            for i, each in enumerate(some):  # not all of them came before
                self._keep(each, result.part(i, i + 1))

    def _admit_waiting(self, spans: list[Span]) -> Failure | None:
        """Admit the run of units that are there, all at once: there may be thousands."""
        waiting, first, steps = self._waiting, self.next, self.steps
        if self.complete or first not in waiting:
            return None
        failure: Failure | None = None
        while not self.complete and (result := waiting.pop(self.next, None)) is not None:
            if isinstance(result, Failure):
                failure = result
                break
            taken, rest = self._admit(result)
            spans.append(taken)
            if rest is not None:
                waiting[self.next] = rest
        self.waiting.difference_update(range(first, self.next + (failure is not None)))
        self.waiting_steps -= self.steps - steps
        return failure

    def _admit(self, span: Span) -> tuple[Span, Span | None]:
        """Admit the next units, as far as they are needed; return these, and the rest if there is one."""
        rows, rest = span.rows, None
        n = self.goal.enough(self.next - self.first, self.steps, rows)
        if n is not None:
            self.complete = True
            if n < len(rows) - 1:
                span, rest = span.part(0, n), span.part(n, len(rows) - 1)
                rows = span.rows
        self.next += len(rows) - 1
        self.steps += rows[-1] - rows[0]
        return span, rest

    def surplus(self) -> list[Result]:
        """Return what waits: of units beyond the batch, once that is whole."""
        return [*self._waiting.items()]

    def leave_buffer(self) -> None:
        """See `Assembly.leave_buffer`."""
        self._assembly.leave_buffer()

    def admitted(self) -> Sequence[EpisodeSlice]:
        """Return the units that were admitted, in order. Called once."""
        return self._assembly.finish()
