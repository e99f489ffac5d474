"""Unit numbers and their seeds: the one source of everything random in a batch."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from samplerkit.interfaces import Unit
from samplerkit.sampling.work import runs

BLOCK = 256
"""Seeds are drawn for this many units at a time: one `SeedSequence` a unit would cost 20 µs."""

_ENV_SEED_SHIFT = np.uint64(33)
"""Leaves 31 bits, which older generators of environments insist on."""


class UnitSeeds:
    """Turns unit numbers into units. A pure function of the seed, with the last blocks kept.

    Row ``number % 256`` of block ``number // 256`` holds the three seeds of a unit. Blocks are spawned
    from one `numpy.random.SeedSequence`, so neighbouring seeds and numbers give unrelated streams (unlike
    ``seed + worker_number``).
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._blocks: dict[int, list[Unit]] = {}

    def unit(self, number: int) -> Unit:
        """Return the unit of this number."""
        return (self._blocks.get(number // BLOCK) or self._draw(number // BLOCK))[number % BLOCK]

    def units(self, numbers: Sequence[int]) -> list[Unit]:
        """Return the units of some numbers; quickly where these follow each other."""
        if len(numbers) == 1:
            return [self.unit(numbers[0])]
        units: list[Unit] = []
        for run in runs(numbers):
            for block in range(run.start // BLOCK, (run.stop - 1) // BLOCK + 1):
                first = block * BLOCK
                drawn = self._blocks.get(block) or self._draw(block)
                units += drawn[max(0, run.start - first) : run.stop - first]
        return units

    def _draw(self, block: int) -> list[Unit]:
        words = seeds_of_block(self.seed, block)
        if len(self._blocks) > 8:
            self._blocks.clear()
        first = block * BLOCK
        rows = zip(range(first, first + BLOCK), *words.T.tolist(), strict=True)
        units = [*map(tuple.__new__, itertools.repeat(Unit), rows)]  # `Unit._make` takes three times as long
        self._blocks[block] = units
        return units


_INIT, _MULTIPLIER = 0x8B51F9DD, 0x58F38DED

# What `SeedSequence.generate_state` multiplies its words with, one after the other.
_FACTORS = np.full(6 * BLOCK + 1, _MULTIPLIER, np.uint32)
_FACTORS[0] = _INIT
np.multiply.accumulate(_FACTORS, out=_FACTORS)


def seeds_of_block(seed: int, block: int) -> npt.NDArray[np.uint64]:
    """Return the seeds of all units of a block, (256, 3): for environment, policy and worker."""
    # What `generate_state` does word by word takes ten times as long.
    words = np.tile(np.random.SeedSequence(seed, spawn_key=(block,)).pool, len(_FACTORS) // 4)
    words ^= _FACTORS[:-1]
    words *= _FACTORS[1:]
    words ^= words >> np.uint32(16)
    seeds = words.astype("<u4", copy=False).view("<u8").astype(np.uint64, copy=False).reshape(BLOCK, 3)
    seeds[:, 0] >>= _ENV_SEED_SHIFT
    return seeds


def update_seed(seed: int, version: int, worker: int) -> int:
    """Return the seed of an environment update: what its constructor draws follows from it.

    Three-word spawn keys never meet the one-word keys of unit blocks.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(0, version, worker))
    return int(sequence.generate_state(1, np.uint64)[0])


def agent_seed(seed: int, checksum: int) -> int:
    """Return the seed of an agent update: what a policy draws while it is loaded or told its weights.

    It follows from the update itself, so that a worker which is built again later draws the same. A digest,
    since a `SeedSequence` for a single word takes ten times as long, in every process before its first unit.
    """
    digest = hashlib.blake2b(b"%d %d" % (seed, checksum), digest_size=8).digest()
    return int.from_bytes(digest, "little")
