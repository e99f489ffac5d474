"""Pieces of streams become units: which are asked for, and how they are put in the order of their numbers.

A piece is the next `size` episodes of a worker's stream; see `StreamingWorker`. Pieces are numbered from the
cursor, and belong to workers in turn, as units do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samplerkit.episodes import EpisodeBatch
from samplerkit.episodes.joining import select
from samplerkit.sampling.admission import Goal, Rounds, Steps, Units


def goal_of_pieces(goal: Steps | Units, n_workers: int, size: int) -> Goal:
    """Return what pieces must be admitted so that a goal of units is reached: whole rounds of the workers."""
    if isinstance(goal, Steps):
        return Rounds(goal.least, n_workers)
    return Units(-(-goal.count // (n_workers * size)) * n_workers)


def units_of_pieces(
    batch: EpisodeBatch, goal: Steps | Units, n_workers: int, size: int, cursor: int
) -> tuple[EpisodeBatch, npt.NDArray[np.int64]]:
    """Return the units of a goal out of the pieces that were admitted.

    Args:
        batch: the episodes, piece by piece, in whole rounds of the workers.
        goal: of units.
        n_workers: whose pieces follow each other.
        size: episodes of a piece.
        cursor: number of the first unit.

    Returns:
        The units, and their numbers: in the order of these, or, where exactly so many were asked for, those
        of worker 0 first.

    Raises:
        RuntimeError: if pieces have another size.
    """
    if len(batch.lengths) % (n_workers * size):
        raise RuntimeError(
            f"{len(batch.lengths)} episodes came in pieces of {n_workers} workers; each must have {size}"
        )
    rounds = len(batch.lengths) // (n_workers * size)
    places = np.arange(rounds * n_workers * size).reshape(rounds, n_workers, size).swapaxes(1, 2).ravel()
    if isinstance(goal, Units):
        places = places[: goal.count]
        numbers = cursor + np.arange(len(places))
        by_worker = np.argsort(numbers % n_workers, kind="stable")
        return select(batch, places[by_worker]), numbers[by_worker]
    steps = np.cumsum(batch.lengths[places])
    count = int(np.searchsorted(steps, goal.least)) + 1
    numbers = cursor + np.arange(count)
    if n_workers == 1:
        return batch.view(slice(count), slice(int(steps[count - 1]))), numbers
    return select(batch, places[:count]), numbers
