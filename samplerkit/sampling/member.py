"""What a pool knows of each carrier."""

from __future__ import annotations

from typing import Generic

from samplerkit.sampling.transport import C


class Member(Generic[C]):
    """What the pool knows of a carrier."""

    def __init__(self, index: int, carrier: C) -> None:
        self.index = index
        self.carrier = carrier
        self.epoch = -1
        """Of the last `Configure` that was sent."""
        self.answered = -1
        """Epoch of the last `Configure` that it answered."""
        self.keys: dict[int, int] = {}
        """Key of the recipe of each live seat, as far as one can tell."""
        self.unit_started: float | None = None
        self.timed_out = False
        self.gone = False
        """Whether its carrier was stopped, or was about to be, and nobody has taken its place yet."""

    @property
    def unanswered(self) -> bool:
        """Whether it has not said yet that it follows the last record that it was sent."""
        return self.answered != self.epoch

    @property
    def fresh(self) -> bool:
        """Whether it has done nothing yet."""
        return self.answered < 0

    @property
    def first_seat(self) -> int:
        """The lowest of its workers."""
        return min(self.keys, default=0)
