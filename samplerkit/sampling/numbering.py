"""Unit numbers and their seeds: the one source of everything random in a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from samplerkit.interfaces import Unit, Units

BLOCK = 256
"""Seeds are drawn for this many units at a time: one `SeedSequence` a unit would cost 20 µs."""

_MANY = 64
"""Units that are asked for together, from which on they are not made one by one."""

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

    def units(self, numbers: Sequence[int]) -> Sequence[Unit]:
        """Return the units of some numbers; quickly where these follow each other."""
        if len(numbers) < _MANY:
            return [self.unit(number) for number in numbers]
        found = [self._of_run(run) for run in runs(numbers)]
        return found[0] if len(found) == 1 else [unit for units in found for unit in units]

    def _of_run(self, run: range) -> Units:
        """Return consecutive units, and draw no others of their blocks: these may run elsewhere."""
        parts = []
        for block in range(run.start // BLOCK, (run.stop - 1) // BLOCK + 1):
            first = block * BLOCK
            some = max(0, run.start - first), min(BLOCK, run.stop - first)
            parts.append(seeds_of_block(self.seed, block, *some))
        return Units(run.start, parts[0] if len(parts) == 1 else np.concatenate(parts))

    def _draw(self, block: int) -> list[Unit]:
        if len(self._blocks) > 8:
            self._blocks.clear()
        units = self._blocks[block] = [*Units(block * BLOCK, seeds_of_block(self.seed, block))]
        return units


_INIT, _MULTIPLIER = 0x8B51F9DD, 0x58F38DED

# What `SeedSequence.generate_state` multiplies its words with, one after the other.
_FACTORS = np.full(6 * BLOCK + 1, _MULTIPLIER, np.uint32)
_FACTORS[0] = _INIT
np.multiply.accumulate(_FACTORS, out=_FACTORS)

_POOL_WORDS = np.arange(6 * BLOCK) % 4
"""Which word of the pool each of them comes from."""


def seeds_of_block(seed: int, block: int, start: int = 0, stop: int = BLOCK) -> npt.NDArray[np.uint64]:
    """Return the seeds of units of a block, a row for each: for environment, policy and worker.

    Args:
        seed: of the sampler.
        block: which.
        start: of which unit on.
        stop: before which unit.
    """
    # What `generate_state` does word by word takes ten times as long.
    some = slice(6 * start, 6 * stop)
    words = np.random.SeedSequence(seed, spawn_key=(block,)).pool.take(_POOL_WORDS[some])
    words ^= _FACTORS[:-1][some]
    words *= _FACTORS[1:][some]
    words ^= words >> np.uint32(16)
    seeds = words.astype("<u4", copy=False).view("<u8").astype(np.uint64, copy=False).reshape(-1, 3)
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


def runs(numbers: Iterable[int]) -> Iterator[range]:
    """Yield numbers as ranges, in the same order, of as many as follow each other."""
    start = stop = 0
    for number in numbers:
        if number != stop:
            if start != stop:
                yield range(start, stop)
            start = number
        stop = number + 1
    if start != stop:
        yield range(start, stop)
