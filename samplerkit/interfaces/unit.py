"""The unit: what a worker produces in one piece, and the only source of its randomness."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt


class Unit(NamedTuple):
    """One numbered piece of sampling: an episode for most workers, a trial for `RL2Worker`.

    Units of a sampler are numbered 0, 1, 2, … over its whole life. Unit ``u`` belongs to logical worker
    ``u % n_workers``. Everything random in it comes from these three seeds.
    """

    number: int
    env_seed: int
    """31 bits, for ``env.reset(seed=…)``."""
    policy_seed: int
    """64 bits, for ``policy.seed([…])``."""
    worker_seed: int
    """64 bits, for the worker's own draws and the global generators."""


class Units(Sequence[Unit]):
    """Units whose numbers follow each other, each made only when somebody asks for it.

    Args:
        first: number of the first.
        seeds: (n, 3) uint64: those of each, as a `Unit` has them.
    """

    __slots__ = ("first", "seeds")

    def __init__(self, first: int, seeds: npt.NDArray[np.uint64]) -> None:
        self.first = first
        self.seeds = seeds

    @property
    def numbers(self) -> range:
        """Their numbers."""
        return range(self.first, self.first + len(self.seeds))

    @property
    def env_seeds(self) -> npt.NDArray[np.int64]:
        """(n,) int64: what goes to ``env.reset(seed=…)`` for each."""
        return self.seeds[:, 0].astype(np.int64)

    @property
    def policy_seeds(self) -> npt.NDArray[np.uint64]:
        """(n,) uint64: what goes to ``policy.seed``."""
        return self.seeds[:, 1].copy()

    def __len__(self) -> int:
        return len(self.seeds)

    def __iter__(self) -> Iterator[Unit]:
        rows = zip(self.numbers, *self.seeds.T.tolist(), strict=True)
        return map(tuple.__new__, itertools.repeat(Unit), rows)  # `Unit._make` takes three times as long

    @overload
    def __getitem__(self, index: int) -> Unit: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Unit]: ...

    def __getitem__(self, index: int | slice) -> Unit | Sequence[Unit]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return Unit(self.numbers[index], *self.seeds[index].tolist())
