from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.environments import HeavyTails
from benchmarks.heavy_tails import clairvoyant, makespan, shortest_run, unit_lengths
from samplerkit.bench.workload import Workload
from samplerkit.local import LocalSampler


def test_each_unit_goes_to_the_process_that_is_free_first():
    assert makespan([5, 1, 1, 1, 9], 2) == 12, "5 | 1 1 1 9"
    assert makespan([5, 1, 1, 1, 9], 1) == 17
    assert makespan([3], 8) == 3


def test_a_batch_is_the_shortest_run_that_holds_enough_steps():
    lengths = iter([3, 4, 5, 6])
    assert shortest_run(lengths, 7) == [3, 4]
    assert shortest_run(lengths, 1) == [5]


def test_the_lengths_are_those_that_a_sampler_meets():
    workload = Workload("benchmarks.environments:HeavyTails", "constant", seed=6)
    policy = workload.make_policy(HeavyTails())
    with LocalSampler(policy, HeavyTails, seed=6, n_workers=2) as sampler:
        batch = sampler.obtain_samples(0, 2_000)
    assert batch.lengths.tolist() == list(itertools.islice(unit_lengths(6), len(batch.lengths)))


def test_lengths_are_lognormal_with_the_mean_that_was_asked_for():
    logs = np.log(list(itertools.islice(unit_lengths(0), 4_000)))
    assert logs.std() == pytest.approx(1.0, abs=0.05)
    assert logs.mean() == pytest.approx(np.log(50) - 0.5, abs=0.05)


def test_a_clairvoyant_loses_only_at_the_end_of_a_batch():
    short, long = (clairvoyant(Workload("x", num_samples=n), 2) for n in (1_000, 4_000))
    assert 0.85 < short < long < 1.0
    assert clairvoyant(Workload("x", num_samples=1_000), 1) == 1.0
