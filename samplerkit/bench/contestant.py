"""What is measured: something that delivers environment steps."""

from __future__ import annotations

import abc
from dataclasses import asdict, dataclass
from typing import ClassVar

from samplerkit.errors import SamplerKitError


class Skipped(SamplerKitError):
    """A contestant cannot run here; the message says why."""


class ContestantFailed(SamplerKitError):
    """A contestant raised or died; the message says what."""


@dataclass(frozen=True)
class Measurement:
    """What a contestant delivered in a while.

    Args:
        steps: environment steps.
        seconds: the time that they took, more than 0.
    """

    steps: int
    seconds: float

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.steps / self.seconds


@dataclass(frozen=True)
class Memory:
    """Peak resident memory, in MB (10^6 bytes); pages that processes share count in each of them.

    Args:
        parent: of the process that receives the steps.
        worker: of the largest other process, 0 where there is none.
        n_workers: the number of other processes, helpers such as a fork server included.
    """

    parent: float
    worker: float
    n_workers: int

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


class Contestant(abc.ABC):
    """Delivers steps for as long as it is asked to, and rests otherwise.

    Args:
        name: how it is called in tables; unique among those measured together.
    """

    distributions: ClassVar[tuple[str, ...]] = ()
    """Installed distributions whose versions belong beside its figures."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abc.abstractmethod
    def start(self) -> float:
        """Begin, and deliver the first batch.

        Returns:
            Seconds from nothing to the first batch.

        Raises:
            Skipped: It cannot run here.
        """

    @abc.abstractmethod
    def measure(self, seconds: float) -> Measurement:
        """Deliver whole batches until at least this time has passed."""

    @abc.abstractmethod
    def stop(self) -> None:
        """End, and release everything. May be called any number of times, also without a start."""

    def peak_memory(self) -> Memory | None:
        """Peak memory so far; None where it cannot be told."""
        return None

    def cpu_seconds(self) -> float | None:
        """Processor time used so far by all its processes; None where it cannot be told."""
        return None

    def versions(self) -> dict[str, str]:
        """Versions of what it is made of, by distribution."""
        return {}
