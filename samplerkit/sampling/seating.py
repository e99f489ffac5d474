"""What a host is told: once how to build workers, and with each record which of them it should have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from samplerkit.sampling.packing import Packed, pack
from samplerkit.sampling.recipes import Change, Recipe
from samplerkit.workers import WorkerFactory


@dataclass(frozen=True)
class HostSetup:
    """What a host needs to know once.

    Attributes:
        factory: builds workers; loaded where they are built, since their class may not be there.
        n_workers, reseed, one_at_a_time: for each worker.
        continues: whether episodes go on from call to call.
        overlapping: whether a worker runs several units at once.
    """

    factory: Packed
    n_workers: int
    reseed: bool
    one_at_a_time: bool = False
    continues: bool = False
    overlapping: bool = False

    @classmethod
    def of(
        cls, factory: WorkerFactory, n_workers: int, reseed: bool, *, one_at_a_time: bool = False
    ) -> HostSetup:
        """Return the setup for a factory.

        Raises:
            TypeError: if the factory cannot be pickled.
        """
        packed = pack(factory, "worker_class with its worker_args")
        continues = factory.call_shape is not None
        return cls(packed, n_workers, reseed, one_at_a_time, continues, factory.overlap > 1)


Seating = Mapping[int, Recipe | Change | int]
"""For each seat its recipe (build it), a change (apply it), or the key of the recipe it has (keep it)."""


def seating(present: Mapping[int, int], wanted: Mapping[int, Recipe]) -> dict[int, Recipe | Change | int]:
    """Say what it takes to bring a host from the recipes that it has to those that it should have.

    Args:
        present: key of the recipe of each live seat.
        wanted: recipe of each seat; seats that are not named are closed.
    """
    plan: dict[int, Recipe | Change | int] = {}
    for seat, recipe in wanted.items():
        key = present.get(seat)
        if key == recipe.key:
            plan[seat] = recipe.key
        elif recipe.change is not None and key == recipe.change.base:
            # The key names the result, so that the next plan can build on it.
            plan[seat] = recipe.change
        else:
            plan[seat] = recipe
    return plan
