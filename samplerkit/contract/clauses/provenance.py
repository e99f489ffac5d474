"""Clause B6: provenance and counts say where a batch came from and what it cost."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from samplerkit.contract.clause import clause, require
from samplerkit.contract.lab import Lab
from samplerkit.contract.script import Script
from samplerkit.contract.views import CallView
from samplerkit.episodes import EpisodeBatch

_COLUMNS = ("units", "workers", "agent_versions", "env_versions")


@clause(
    "B6.provenance",
    kind="script",
    says="batch.provenance names unit, worker, policy version and environment version of each episode.",
    why="Off-policy corrections and per-task returns are computed by it.",
    causes="numbers in the order of arrival; versions counted per worker; None.",
)
def provenance(lab: Lab, script: Script) -> None:
    """Compare with the reference, and with what the data say."""
    for call in lab.trace(script).calls:
        got, wanted = call.batch.provenance, call.wanted.batch.provenance
        assert wanted is not None, "the reference says where data come from"
        require(got is not None, f"call {call.index}: expected provenance, got None")
        assert got is not None, "required"
        require(
            got.reproducible is True, f"call {call.index}: expected provenance.reproducible True, got False"
        )
        _fits_data(call)
        for name in _COLUMNS[2:]:
            expected, found = int(getattr(wanted, name)[0]), getattr(got, name).tolist()
            require(
                set(found) == {expected},
                f"call {call.index}: expected provenance.{name} {expected}, the number of updates so far, "
                f"for all episodes, got {found}",
            )


def _fits_data(call: CallView) -> None:
    for episode in call.episodes:
        if episode.unit is None:
            continue  # A2.env-seed says so
        got = (episode.claimed_unit, int(episode.batch.provenance.workers[episode.index]))  # type: ignore[union-attr]
        wanted = (episode.unit, episode.worker)
        require(
            got == wanted,
            f"{episode.place()}: expected provenance of unit and worker {wanted}, by its data, got {got}",
        )


@clause(
    "B6.kept",
    kind="script",
    says="Provenance is kept by split and concatenate.",
    why="Batches are cut and joined before anybody asks where they came from.",
    causes="a batch type of one's own; provenance put on the batch and not in it.",
)
def kept(lab: Lab, script: Script) -> None:
    """Take each batch apart and put it together again."""
    trace = lab.trace(script)
    for call in trace.calls:
        before = trace.batches[call.index].provenance
        if before is None:
            continue
        after = EpisodeBatch.concatenate(*trace.batches[call.index].split()).provenance
        for field in fields(before):
            one: Any = getattr(before, field.name)
            other: Any = None if after is None else getattr(after, field.name)
            require(
                type(one) is type(other) and np.array_equal(one, other),
                f"call {call.index}: expected provenance.{field.name} {one} after split and concatenate, "
                f"got {other}",
            )


@clause(
    "B6.counts",
    kind="script",
    says="total_env_steps and statistics() count admitted steps, units and calls.",
    why="Learning curves are drawn over these numbers.",
    causes="counting what ran rather than what was admitted; counting per worker; starting anew.",
)
def counts(lab: Lab, script: Script) -> None:
    """Add up the batches."""
    trace, steps, units = lab.trace(script), 0, 0
    for position, call in enumerate(trace.calls):
        if call.index != position or position >= len(trace.statistics):
            return
        steps = steps + int(call.batch.lengths.sum())
        # Of workers that gather fragments calls are counted.
        units = call.wanted.cursor if call.fragments else units + len(call.episodes)
        seen = trace.statistics[position]
        pairs = {
            "total_env_steps": (steps, trace.totals[position]),
            "statistics().env_steps": (steps, seen.env_steps),
            "statistics().units": (units, seen.units),
            "statistics().calls": (position + 1, seen.calls),
        }
        for name, (wanted, got) in pairs.items():
            require(got == wanted, f"after call {position}: expected {name} {wanted}, got {got}")
        least = min(seen.units_discarded, seen.env_steps_discarded)
        require(least >= 0, f"after call {position}: expected discarded counts of at least 0, got {least}")
