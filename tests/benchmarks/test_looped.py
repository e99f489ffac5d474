"""The bare loop of environments that are stepped in turn does the work of a sampler."""

from __future__ import annotations

import numpy as np
import pytest

import samplerkit
from benchmarks.catalogue import entries
from benchmarks.looped import BareLooped
from samplerkit.bench.workload import Workload


@pytest.fixture
def bare():
    loop = BareLooped(8 * 100)
    loop.start()
    yield loop
    loop.stop()


def test_its_episodes_are_those_of_a_sampler_with_its_seed(bare):
    workload = Workload("CartPole-v1", "benchmarks.policies:mlp32")
    with samplerkit.make_sampler(
        "vectorized",
        agents=workload.make_policy(workload.make_env()),
        envs="CartPole-v1",
        n_workers=1,
        seed=0,
    ) as sampler:
        batch = sampler.obtain_exact_episodes(8)
    over = bare._terminated | bare._truncated
    for slot, episode in enumerate(batch.split()):
        steps = slice(0, int(np.flatnonzero(over[:, slot])[0]) + 1)
        np.testing.assert_array_equal(bare._observations[steps, slot], episode.observations)
        np.testing.assert_array_equal(bare._actions[steps, slot], episode.actions)


def test_it_goes_on_from_where_it_stood(bare):
    measured = bare.measure(0.01)
    assert measured.steps % 8 == 0
    assert measured.seconds >= 0.01


def test_its_settings_are_in_the_catalogue():
    assert {"W1-looped-4000", "W1-looped-16000", "W1-looped-40000"} <= entries().keys()
