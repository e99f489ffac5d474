"""Episodes of lognormal length: what delivery loses against a schedule that knows all lengths beforehand."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.environments import HeavyTails
from benchmarks.running import Course, run_setting
from benchmarks.workloads import Setting
from samplerkit.bench.workload import Workload
from samplerkit.sampling.numbering import UnitSeeds

_CALLS = 300
"""Calls over which a schedule is averaged."""


def settings() -> list[Setting]:
    """Return the settings; few episodes a batch are the hard case."""
    return [
        Setting(
            f"tails-{batch}",
            f"CartPole's cost, episodes of lognormal length (sigma 1, mean 50), batches of {batch:,}",
            Workload("benchmarks.environments:HeavyTails", "benchmarks.policies:mlp32", batch),
            "plain",
        )
        for batch in (1_000, 4_000)
    ]


def run(setting: Setting, course: Course) -> dict[str, Any]:
    """Measure a setting, and add what a clairvoyant schedule would reach."""
    figures = run_setting(setting, course)
    reached = clairvoyant(setting.workload, course.processes)
    figures["clairvoyant"] = reached
    for row in figures["contestants"]:
        part = row["fraction_of_limit"]
        if part:
            row["fraction_of_clairvoyant"] = {name: value / reached for name, value in part.items()}
    return figures


def clairvoyant(workload: Workload, n_processes: int) -> float:
    """Return the fraction of the limit that a schedule reaches which knows every length and costs nothing.

    In each call it runs exactly the units that make up the batch, each by number on the process that is free
    first. No process works on the next batch: an update of the weights stands between them.
    """
    lengths = unit_lengths(workload.seed)
    steps = spans = 0
    for _ in range(_CALLS):
        admitted = shortest_run(lengths, workload.num_samples)
        steps += sum(admitted)
        spans += makespan(admitted, n_processes)
    return steps / (n_processes * spans)


def unit_lengths(seed: int) -> Iterator[int]:
    """Yield the length of unit 0, 1, 2, … of a sampler with this seed."""
    env, seeds = HeavyTails(), UnitSeeds(seed)
    number = 0
    while True:
        env.reset(seed=seeds.unit(number).env_seed)
        yield int(env.length)
        number += 1


def shortest_run(lengths: Iterator[int], num_samples: int) -> list[int]:
    """Return the next lengths up to at least this many steps."""
    admitted: list[int] = []
    total = 0
    while total < num_samples:
        admitted.append(next(lengths))
        total += admitted[-1]
    return admitted


def makespan(lengths: Sequence[int], n_processes: int) -> int:
    """Return when the last unit ends, in steps, if each goes to the process that is free first."""
    free = [0] * n_processes
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)
