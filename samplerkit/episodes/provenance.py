"""Where the episodes of a batch come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from samplerkit.episodes.columns import Array


@dataclass(frozen=True, eq=False)
class Provenance:
    """For each of the N episodes of a batch: its unit, its worker, and the versions it was sampled with.

    Args:
        units: (N,) int64, the number of the unit that each episode belongs to.
        workers: (N,) int64, the logical worker of each.
        agent_versions: (N,) int64, the number of agent updates applied before (its first step, for stitched
            episodes).
        env_versions: (N,) int64, the number of environment updates applied before.
        reproducible: whether the same seed gives the same data again.
        abandoned: units that were open and could not be brought back; their last step is a TIMEOUT when
            stitched.
        step_agent_versions: (T,) int64, the agent version of each step where these differ within episodes,
            else None.
        step_env_versions: (T,) int64, the same for the environment.

    Raises:
        ValueError: where the arrays are not one-dimensional arrays of integers of one length.
    """

    units: Array
    workers: Array
    agent_versions: Array
    env_versions: Array
    reproducible: bool = True
    abandoned: tuple[int, ...] = ()
    step_agent_versions: Array | None = None
    step_env_versions: Array | None = None

    def __post_init__(self) -> None:
        for name in ("units", "workers", "agent_versions", "env_versions"):
            object.__setattr__(self, name, _integers(getattr(self, name), name))
            if len(getattr(self, name)) != len(self.units):
                raise ValueError(
                    f"provenance.{name} has {len(getattr(self, name))} entries, but must have "
                    f"{len(self.units)} to match units."
                )
        for name in ("step_agent_versions", "step_env_versions"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _integers(getattr(self, name), name))
        object.__setattr__(self, "abandoned", tuple(int(unit) for unit in self.abandoned))

    def equals(self, other: Provenance) -> bool:
        """Return whether both say the same of the same number of episodes."""
        return all(_same(getattr(self, field.name), getattr(other, field.name)) for field in fields(self))

    def select(self, episodes: Any, steps: Any) -> Provenance:
        """Return the provenance of some episodes, whose rows are `steps` (slices or indices)."""
        return Provenance(
            self.units[episodes],
            self.workers[episodes],
            self.agent_versions[episodes],
            self.env_versions[episodes],
            self.reproducible,
            self.abandoned,
            None if self.step_agent_versions is None else self.step_agent_versions[steps],
            None if self.step_env_versions is None else self.step_env_versions[steps],
        )

    @staticmethod
    def concatenate(parts: Sequence[Provenance], lengths: Sequence[Array]) -> Provenance:
        """Return the provenance of the episodes of all parts, given the lengths of the episodes of each."""
        return Provenance(
            np.concatenate([part.units for part in parts]),
            np.concatenate([part.workers for part in parts]),
            np.concatenate([part.agent_versions for part in parts]),
            np.concatenate([part.env_versions for part in parts]),
            all(part.reproducible for part in parts),
            tuple(dict.fromkeys(unit for part in parts for unit in part.abandoned)),
            _per_step([(part.step_agent_versions, part.agent_versions) for part in parts], lengths),
            _per_step([(part.step_env_versions, part.env_versions) for part in parts], lengths),
        )


def _per_step(versions: Sequence[tuple[Array | None, Array]], lengths: Sequence[Array]) -> Array | None:
    if all(steps is None for steps, _ in versions):
        return None
    pairs = zip(versions, lengths, strict=True)
    return np.concatenate([np.repeat(each, n) if steps is None else steps for (steps, each), n in pairs])


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return type(one) is type(other) and one == other


def _integers(values: Any, name: str) -> Array:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise ValueError(
            f"provenance.{name} has dtype {array.dtype} and shape {array.shape}, but must be one integer "
            "per entry."
        )
    return array.astype(np.int64, copy=False)
