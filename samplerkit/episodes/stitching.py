"""Joining the fragments of episodes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from samplerkit.episodes.bits import array_bytes
from samplerkit.episodes.columns import Array, arrays_of, rows_of, rows_of_each
from samplerkit.episodes.provenance import Provenance
from samplerkit.episodes.step_type import StepType

if TYPE_CHECKING:
    from samplerkit.episodes.episode_batch import EpisodeBatch


_SEAMS = 256
"""Seams looked at together: the observations at all of them may take as much memory as the batch."""


def stitch(batch: EpisodeBatch) -> EpisodeBatch:
    """Return a batch whose fragments of one unit are joined: see `EpisodeBatch.stitch`."""
    if batch.provenance is None:
        raise ValueError("Fragments are joined by the units of their provenance, but this batch has none.")
    groups = _fragments_by_unit(batch.provenance.units)
    stops = np.cumsum(batch.lengths)
    starts = stops - batch.lengths
    _check_seams(batch, groups, starts, stops)
    order = np.concatenate(groups)
    rows = np.concatenate([np.arange(starts[fragment], stops[fragment]) for fragment in order])
    heads = np.array([group[0] for group in groups])
    tails = np.array([group[-1] for group in groups])
    lengths = np.array([batch.lengths[group].sum() for group in groups], np.int64)
    step_types = batch.step_types[rows]
    _close_abandoned(
        step_types, np.cumsum(lengths) - 1, batch.provenance.units[heads], batch.provenance.abandoned
    )
    return type(batch).unchecked(
        env_spec=batch.env_spec,
        episode_infos=rows_of_each(batch.episode_infos_by_episode, heads),
        observations=rows_of(batch.observations, rows),
        last_observations=rows_of(batch.last_observations, tails),
        actions=rows_of(batch.actions, rows),
        rewards=batch.rewards[rows],
        env_infos=rows_of_each(batch.env_infos, rows),
        agent_infos=rows_of_each(batch.agent_infos, rows),
        step_types=step_types,
        lengths=lengths,
        provenance=_stitched_provenance(batch.provenance, batch.lengths, heads, rows),
    )


def _fragments_by_unit(units: Array) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for fragment, unit in enumerate(units.tolist()):
        groups.setdefault(unit, []).append(fragment)
    return list(groups.values())


def _check_seams(batch: EpisodeBatch, groups: list[list[int]], starts: Array, stops: Array) -> None:
    units = batch.provenance.units if batch.provenance is not None else starts
    for group in groups:
        for before, after in pairwise(group):
            ended = StepType(batch.step_types[stops[before] - 1])
            begun = StepType(batch.step_types[starts[after]])
            if ended >= StepType.TERMINAL or begun == StepType.FIRST:
                raise ValueError(
                    f"Unit {units[before]} has a fragment (episode {before} of this batch) that ends "
                    f"{ended.name} and another (episode {after}) that starts {begun.name}, but a cut ends "
                    "MID and the next fragment of the unit starts MID: concatenate the batches in the order "
                    "in which they were sampled."
                )
    _check_observations(batch, [pair for group in groups for pair in pairwise(group)], starts)


def _check_observations(batch: EpisodeBatch, seams: list[tuple[int, int]], starts: Array) -> None:
    """Raise a ValueError unless each fragment begins with what the one before it saw last."""
    for first_seam in range(0, len(seams), _SEAMS):
        before, after = np.array(seams[first_seam : first_seam + _SEAMS]).T
        lasts = arrays_of(rows_of(batch.last_observations, before))
        firsts = arrays_of(rows_of(batch.observations, starts[after]))
        for (_, last), (_, first) in zip(lasts, firsts, strict=True):
            if array_bytes(last) == array_bytes(first):
                continue
            seam = next(i for i in range(len(before)) if array_bytes(last[i]) != array_bytes(first[i]))
            units = batch.provenance.units if batch.provenance is not None else starts
            raise ValueError(
                f"Unit {units[before[seam]]} has a fragment (episode {before[seam]} of this batch) whose "
                f"last observation is not the first one of the next (episode {after[seam]}): concatenate all "
                "batches, in the order in which they were sampled."
            )


def _close_abandoned(step_types: Array, last_rows: Array, units: Array, abandoned: tuple[int, ...]) -> None:
    rows = last_rows[np.isin(units, np.array(abandoned, np.int64))]
    step_types[rows[step_types[rows] < StepType.TERMINAL]] = StepType.TIMEOUT


def _stitched_provenance(origin: Provenance, lengths: Array, heads: Array, rows: Array) -> Provenance:
    return Provenance(
        origin.units[heads],
        origin.workers[heads],
        origin.agent_versions[heads],
        origin.env_versions[heads],
        origin.reproducible,
        origin.abandoned,
        _per_step(origin.step_agent_versions, origin.agent_versions, lengths)[rows],
        _per_step(origin.step_env_versions, origin.env_versions, lengths)[rows],
    )


def _per_step(steps: Array | None, fragments: Array, lengths: Array) -> Array:
    return np.repeat(fragments, lengths) if steps is None else steps
