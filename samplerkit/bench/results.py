"""What was measured, compared with the limit round by round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from samplerkit.bench.contestant import Measurement, Memory


@dataclass(frozen=True)
class Spread:
    """A median and the range around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Return the spread of some values; None of nothing."""
        return cls(statistics.median(values), min(values), max(values)) if values else None

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"median": self.median, "min": self.low, "max": self.high}


@dataclass
class Outcome:
    """What became of one contestant.

    Args:
        name: the contestant's.
        start_seconds: from nothing to the first batch; None if it never got there.
        rounds: what it delivered, by the number of the round from 0.
        memory: peak memory at the end.
        skipped: why there is nothing, or nothing more; empty where all went well.
        idle_seconds: how long it rested while others had their turn.
        idle_cpu_seconds: processor time that it used meanwhile; more than a few per cent disturbs the others.
        versions: of what it is made of.
    """

    name: str
    start_seconds: float | None = None
    rounds: dict[int, Measurement] = field(default_factory=dict)
    memory: Memory | None = None
    skipped: str = ""
    idle_seconds: float = 0.0
    idle_cpu_seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def rate(self) -> Spread | None:
        """Steps per second over the rounds."""
        return Spread.of([measured.rate for measured in self.rounds.values()])

    @property
    def idle_load(self) -> float:
        """Processors kept busy while others had their turn."""
        return self.idle_cpu_seconds / self.idle_seconds if self.idle_seconds else 0.0


@dataclass
class Results:
    """Outcomes of contestants that were measured together.

    Args:
        outcomes: of each contestant.
        limit: the name of the one that all are compared with.
    """

    outcomes: list[Outcome]
    limit: str

    def __getitem__(self, name: str) -> Outcome:
        """Return the outcome of this name.

        Raises:
            KeyError: if there is none.
        """
        for outcome in self.outcomes:
            if outcome.name == name:
                return outcome
        raise KeyError(name)

    def ratio(self, name: str, to: str | None = None) -> Spread | None:
        """Compare two contestants: in each round on its own, then over the rounds.

        Args:
            name: the contestant.
            to: the one that it is compared with; None: the limit.

        Returns:
            The spread of its rate divided by the other's; None where they share no round.
        """
        mine, others = self[name].rounds, self[to or self.limit].rounds
        return Spread.of([mine[index].rate / others[index].rate for index in mine if index in others])

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return everything about each contestant, for JSON."""
        return [self._row(outcome) for outcome in self.outcomes]

    def _row(self, outcome: Outcome) -> dict[str, Any]:
        rate, fraction = outcome.rate, self.ratio(outcome.name)
        return {
            "name": outcome.name,
            "skipped": outcome.skipped,
            "steps_per_second": rate and rate.as_dict(),
            "fraction_of_limit": fraction and fraction.as_dict(),
            "start_seconds": outcome.start_seconds,
            "memory_mb": outcome.memory and outcome.memory.as_dict(),
            "idle_load": outcome.idle_load,
            "rounds": [
                {"round": index, "steps": measured.steps, "seconds": measured.seconds}
                for index, measured in sorted(outcome.rounds.items())
            ],
            "versions": outcome.versions,
        }
