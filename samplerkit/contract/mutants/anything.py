"""What defects say they derive from: any sampler, any pool. At run time these are the templates themselves.

A defect calls ``super()._run(…)`` and means the backend that it is brought into; type checkers need to see
that there will be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from samplerkit.sampling import PoolSampler, Transport
from samplerkit.sampling.base_sampler import BaseSampler

if TYPE_CHECKING:
    from samplerkit.episodes import EpisodeSlice
    from samplerkit.sampling.admission import Goal
    from samplerkit.sampling.recipes import Record

    class AnySampler(BaseSampler):
        """A complete sampler."""

        def _start(self, record: Record) -> None:
            return

        def _run(self, record: Record, goal: Goal) -> Sequence[EpisodeSlice]:
            return []

        def _interrupt(self) -> None:
            return

        def _stop(self) -> None:
            return

    class AnyPool(PoolSampler[Any]):
        """A complete pool."""

        def make_transport(self) -> Transport[Any]:
            raise NotImplementedError

else:
    AnySampler, AnyPool = BaseSampler, PoolSampler
