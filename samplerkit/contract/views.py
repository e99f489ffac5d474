"""Views of what a call returned: episode by episode, with what the data themselves say of their origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from samplerkit.contract.clause import require
from samplerkit.contract.differences import expected_and_got
from samplerkit.contract.probes import mark_of
from samplerkit.contract.reference import Expected, unit_seeds
from samplerkit.contract.script import Op, Script
from samplerkit.episodes import EnvSpec, EpisodeBatch, Provenance
from samplerkit.episodes.bits import column_differences
from samplerkit.episodes.columns import Array, Column, Columns, arrays_of, rows_of_each

_UNITS = 1024
"""Keys are recognised for so many units; no script comes near."""


@lru_cache(maxsize=64)
def units_by_key(seed: int) -> dict[int, int]:
    """Return the number of the unit that each environment seed belongs to."""
    return {unit_seeds(seed, number)[0]: number for number in range(_UNITS)}


@dataclass(frozen=True)
class EpisodeView:
    """One episode of a batch.

    Attributes:
        script: what was run.
        call: index of the call.
        index: of the episode in the batch.
        rows: of the episode's steps.
        marks: (L + 1, 4), the probe's marks in its observations, the last one in `last_observations`.
        batch: that it is in.
        begins: how many steps of the same episode come before, in other fragments.
        fragment: whether it may be cut.
    """

    script: Script
    call: int
    index: int
    rows: slice
    marks: Array
    batch: EpisodeBatch
    begins: int = 0
    fragment: bool = False

    @property
    def length(self) -> int:
        """The number of steps."""
        return int(self.rows.stop - self.rows.start)

    @property
    def reaches(self) -> int:
        """The number of steps from the start of the episode to the end of what is here."""
        return self.begins + self.length

    @property
    def ends(self) -> bool:
        """Whether the episode's end should be here: always, but for fragments."""
        if not self.fragment:
            return True
        return self.reaches >= min(self.script.env(0).length_of(self.key), self.script.limit)

    @property
    def tag(self) -> int:
        """The tag of the environment, as the first observation has it."""
        return int(self.marks[0, 0])

    @property
    def key(self) -> int:
        """The environment's seed, as the first observation has it."""
        return int(self.marks[0, 1])

    @property
    def unit(self) -> int | None:
        """The unit whose environment seed this is, whatever provenance says; None if there is none."""
        return units_by_key(self.script.seed).get(self.key)

    @property
    def claimed_unit(self) -> int | None:
        """The unit that provenance names."""
        provenance = self.batch.provenance
        return None if provenance is None else int(provenance.units[self.index])

    @property
    def worker(self) -> int | None:
        """The worker whose unit this is."""
        unit = self.claimed_unit if self.unit is None else self.unit
        return None if unit is None else unit % self.script.n_workers

    @property
    def actions(self) -> list[int]:
        """The recorded actions."""
        actions: list[int] = np.asarray(self.batch.actions)[self.rows].tolist()
        return actions

    @property
    def step_types(self) -> list[int]:
        """The recorded step types."""
        step_types: list[int] = self.batch.step_types[self.rows].tolist()
        return step_types

    @cached_property
    def env_infos(self) -> Columns:
        """The rows of the environment's infos."""
        return rows_of_each(self.batch.env_infos, self.rows)

    @cached_property
    def agent_infos(self) -> Columns:
        """The rows of the policy's infos."""
        return rows_of_each(self.batch.agent_infos, self.rows)

    def place(self, step: int | None = None) -> str:
        """Say where this is."""
        unit = "unknown unit" if self.unit is None else f"unit {self.unit}"
        where = f"call {self.call}, episode {self.index} (worker {self.worker}, {unit})"
        return where if step is None else f"{where}, step {step}"


@dataclass(frozen=True)
class CallView:
    """A batch that is well formed, and what it should be."""

    script: Script
    index: int
    batch: EpisodeBatch
    wanted: Expected
    fragments: bool = False
    """Whether episodes may be fragments: begin where they were cut, and be cut."""

    @property
    def op(self) -> Op:
        """The call."""
        return self.script.ops[self.index]

    @property
    def as_long_as_wanted(self) -> bool:
        """Whether its episodes have the lengths that they should have."""
        return np.array_equal(self.batch.lengths, self.wanted.batch.lengths)

    @cached_property
    def episodes(self) -> list[EpisodeView]:
        """The episodes, in the order of the batch."""
        marks, last = mark_of(self.batch.observations), mark_of(self.batch.last_observations)
        stops = np.cumsum(self.batch.lengths).tolist()
        return [
            EpisodeView(
                self.script,
                self.index,
                i,
                slice(start, stop),
                np.concatenate([marks[start:stop], last[i : i + 1]]),
                self.batch,
                self._begins(i),
                self.fragments,
            )
            for i, (start, stop) in enumerate(zip([0, *stops[:-1]], stops, strict=True))
        ]

    def _begins(self, index: int) -> int:
        if not self.fragments or not self.as_long_as_wanted:
            return 0
        starts = np.cumsum(self.wanted.batch.lengths) - self.wanted.batch.lengths
        return int(mark_of(self.wanted.batch.observations)[starts[index], 2])


_KINDS: Mapping[str, type[Any]] = {
    "env_spec": EnvSpec,
    "env_infos": dict,
    "agent_infos": dict,
    "episode_infos_by_episode": dict,
}
"""What some parts of a batch are, whatever is in them."""


def malformation(batch: Any) -> str | None:
    """Say why a batch cannot be taken apart into episodes; None if it can."""
    if not isinstance(batch, EpisodeBatch):
        return f"expected an EpisodeBatch, got {type(batch).__name__}"
    for name, kind in _KINDS.items():
        got = getattr(batch, name)
        if not isinstance(got, kind):
            return f"{name}: expected {kind.__name__}, got {type(got).__name__}"
    lengths = batch.lengths
    if not isinstance(lengths, np.ndarray) or lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        return f"lengths: expected a one-dimensional array of integers, got {lengths!r}"
    if len(lengths) == 0 or lengths.min() < 1:
        return f"lengths: expected at least one episode, each of at least one step, got {lengths.tolist()}"
    return _wrong_rows(batch, int(lengths.sum()), len(lengths)) or _unreadable(batch)


def _wrong_rows(batch: EpisodeBatch, steps: int, episodes: int) -> str | None:
    wanted = {
        "observations": steps,
        "actions": steps,
        "rewards": steps,
        "step_types": steps,
        "env_infos": steps,
        "agent_infos": steps,
        "last_observations": episodes,
        "episode_infos_by_episode": episodes,
    }
    for name, rows in wanted.items():
        for path, array in arrays_of(getattr(batch, name), name):
            got = len(array) if isinstance(array, np.ndarray) and array.ndim else None
            if got != rows:
                return f"{path}: expected {rows} rows, by the lengths {batch.lengths.tolist()}, got {got}"
    if not isinstance(batch.provenance, Provenance | None):
        return f"provenance: expected a Provenance, got {type(batch.provenance).__name__}"
    if batch.provenance is not None and len(batch.provenance.units) != episodes:
        return f"provenance: expected {episodes} entries, got {len(batch.provenance.units)}"
    return None


def _unreadable(batch: EpisodeBatch) -> str | None:
    for name in ("observations", "last_observations"):
        try:
            shape = mark_of(getattr(batch, name)).shape
        except Exception as error:
            return f"{name}: expected the probe's marks, got what cannot be read ({error!r})"
        if len(shape) != 2 or shape[1] != 4:
            return f"{name}: expected rows of 4 numbers, got shape {shape}"
    return None


def in_words(difference: str | None) -> str:
    """Return a difference between what was expected and what came, in these words."""
    return expected_and_got(difference or "")


def require_same_units(where: str, got: EpisodeBatch, wanted: EpisodeBatch) -> None:
    """Require a batch to be another one bit for bit, the numbers of its units included."""
    units = [None if it.provenance is None else it.provenance.units.tolist() for it in (wanted, got)]
    require(units[0] == units[1], f"{where}: expected the units {units[0]}, got {units[1]}")
    difference = wanted.difference(got)
    require(difference is None, f"{where}: {in_words(difference)}")


def column_violation(wanted: Column, got: Column, name: str) -> str | None:
    """Return a sentence on the first place where columns differ, bit for bit; None where they are equal."""
    found = next(column_differences(wanted, got, name), None)
    if found is None:
        return None
    row = "" if found.row is None else f", row {found.row}"
    return in_words(f"{found.path}{row} {found.reason}")


def require_origin(batch: EpisodeBatch, *, version: int, tag: int, when: str) -> None:
    """Raise a `Violation` unless every step is of this policy's version and this environment's tag."""
    columns = {
        "agent_infos['version']": (np.asarray(batch.agent_infos["version"]), version),
        "the tag in observations": (mark_of(batch.observations)[:, 0], tag),
    }
    for name, (got, wanted) in columns.items():
        wrong = np.flatnonzero(got != wanted)
        row = int(wrong[0]) if len(wrong) else 0
        require(not len(wrong), f"{when}, row {row}: expected {name} {wanted}, got {got[row]}")
