"""The unit: what a worker produces in one piece, and the only source of its randomness."""

from __future__ import annotations

from typing import NamedTuple


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
