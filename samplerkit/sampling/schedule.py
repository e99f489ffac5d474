"""Which unit runs next, and where. Free to guess, since a batch does not depend on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from samplerkit.sampling.admission import Admission, Steps

_MEMORY = 256
"""How many units the running mean of steps a unit looks back."""


_EVEN = 64
"""So many units of equal lengths, one after the other, and the next ones are expected to be no different."""


class Schedule:
    """Hands out unit numbers, each once, lowest first, as far as a batch is likely to need them.

    Args:
        n_carriers: how many carriers ask.
        in_order: whether a unit may start only when it is certain to be admitted (stateful workers).
    """

    def __init__(self, n_carriers: int, *, in_order: bool) -> None:
        self._n_carriers = n_carriers
        self._in_order = in_order
        self._mean_steps: float | None = None
        self._n_ended = 0
        # How long the last units were, and how many after them have all been so long.
        self._length, self._n_alike = 0.0, 0
        self._step_bytes = 0
        self._homes: tuple[int | None, ...] = (None,)
        self.forget()

    def forget(self) -> None:
        """Start afresh: what was handed out is void."""
        self._handed_out: dict[int | None, int] = {}
        self._again: set[int] = set()
        self._suspects: set[int] = set()

    def begin(self, homes: Sequence[int | None]) -> None:
        """Begin a call.

        Args:
            homes: for each logical worker the only carrier that can run its units; None for any.
        """
        self._homes = tuple(homes)

    @property
    def has_homes(self) -> bool:
        """Whether some units can be run by one carrier only."""
        return None not in self._homes

    def take(self, carrier: int | None, admission: Admission, horizon: int) -> int | None:
        """Return the next unit below a horizon for a carrier (None: for any), or None if it should wait."""
        for number in sorted(self._again):
            held_back = number in self._suspects and number != admission.next
            if number < horizon and not held_back and self._home(number) in (None, carrier):
                self._again.remove(number)
                return number
        home = carrier if self.has_homes else None
        number = max(self._handed_out.get(home, 0), admission.first)
        while number < horizon:
            if self._home(number) == home:
                self._handed_out[home] = number + 1
                return number
            number += 1
        return None

    def take_run(self, admission: Admission, horizon: int, most: int) -> range:
        """Return the next units below a horizon, for any carrier: consecutive, and no more than `most`."""
        if self._again:
            number = self.take(None, admission, horizon)
            if number is None:
                return range(0)
            if number + 1 != self._handed_out.get(None):
                return range(number, number + 1)  # one that was lost
            start = number
        else:
            start = max(self._handed_out.get(None, 0), admission.first)
        stop = min(horizon, start + max(1, most))
        if start < stop:
            self._handed_out[None] = stop
        return range(start, stop)

    def n_left(self, admission: Admission, horizon: int) -> int:
        """Return how many units below a horizon `take_run` has not handed out, or would hand out again."""
        fresh = horizon - max(self._handed_out.get(None, 0), admission.first)
        return max(0, fresh) + sum(number < horizon for number in self._again)

    def lost(self, number: int, *, suspect: bool) -> None:
        """Take a unit back that did not end; a suspect (it may be what kills) waits for its turn."""
        self._again.add(number)
        if suspect:
            self._suspects.add(number)

    def suspects(self, number: int) -> bool:
        """Whether a unit waits for its turn because it may be what kills."""
        return number in self._again and number in self._suspects

    def restart(self, carrier: int) -> None:
        """Note that a carrier runs all its units of this call again, in order."""
        self._handed_out.pop(carrier, None)

    def ended(self, n_units: int, n_steps: int, step_bytes: int = 0) -> None:
        """Learn from the lengths of some units, and from what a step takes in memory on its way."""
        self._step_bytes = step_bytes
        self._n_ended = min(_MEMORY, self._n_ended + n_units)
        length = n_steps / n_units
        # Of many that come together only the mean is known: it has to be the same again, and a whole number.
        self._n_alike = self._n_alike + n_units if length == self._length and length.is_integer() else 0
        self._length = length
        mean = self._mean_steps or 0.0
        self._mean_steps = mean + (length - mean) * min(1.0, n_units / self._n_ended)

    @property
    def is_even(self) -> bool:
        """Whether units have all been equally long lately, so that it is known how many a batch takes."""
        return self._n_alike >= _EVEN

    @property
    def knows_units(self) -> bool:
        """Whether any unit has ended, so that one can tell what the next ones will be like."""
        return self._mean_steps is not None

    def units_in(self, n_bytes: int) -> float:
        """Return how many units take so much memory, on the average; infinity while nobody knows."""
        unit_bytes = (self._mean_steps or 0.0) * self._step_bytes
        return n_bytes // unit_bytes if unit_bytes else math.inf

    def _home(self, number: int) -> int | None:
        return self._homes[number % len(self._homes)]

    def horizon(self, admission: Admission, in_flight: int) -> int:
        """Return the first unit that is probably not needed, or must not start yet.

        Args:
            admission: of the batch.
            in_flight: how many units are under way.
        """
        goal = admission.goal
        if not isinstance(goal, Steps):
            return admission.first + goal.count
        if self._in_order:
            return admission.next + (in_flight == 0)
        if self._mean_steps is None:
            return admission.next + 2 * self._n_carriers
        missing = goal.least - admission.steps - admission.waiting_steps
        there = admission.next + len(admission.waiting) - admission.first
        return admission.first + goal.in_full(there + max(1, math.ceil(missing / self._mean_steps)))
