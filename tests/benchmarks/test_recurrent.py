"""The bare loop of a vector environment does the work of a sampler; its settings are in the catalogue."""

from __future__ import annotations

import numpy as np
import pytest

import samplerkit
from benchmarks import recurrent
from benchmarks.bare_slots import BareSlots
from benchmarks.catalogue import entries
from benchmarks.gru_policies import numpy_gru

POLICY = "benchmarks.gru_policies:numpy_gru"


@pytest.fixture
def bare():
    loop = BareSlots("benchmarks.recurrent:bandits_8", POLICY, 8 * 20)
    loop.start()
    yield loop
    loop.stop()


def test_its_trials_are_those_of_a_sampler_with_its_seed(bare):
    with samplerkit.make_sampler(
        "vectorized", agents=numpy_gru(), envs=recurrent.bandits_8, n_envs=8, n_workers=1, seed=0
    ) as sampler:
        batch = sampler.obtain_exact_episodes(16)
    # Tick by tick there, trial by trial here; each slot plays units 8 apart.
    for name, column in (("actions", bare._actions), ("rewards", bare._rewards)):
        trials = column.reshape(2, recurrent.PULLS, 8).swapaxes(1, 2).reshape(-1)
        np.testing.assert_array_equal(trials, getattr(batch, name), err_msg=name)
    np.testing.assert_array_equal(bare._finals[:16], batch.last_observations)


def test_it_goes_on_from_where_it_stood(bare):
    first = bare._observations[0].copy()
    measured = bare.measure(0.01)
    assert measured.steps % 8 == 0
    assert measured.seconds >= 0.01
    assert bare._observations[0].shape == first.shape


def test_recurrent_settings_are_in_the_catalogue():
    assert {"recurrent", "W4b-tensorflow-102400", "W4b-numpy-25600"} <= entries().keys()


@pytest.mark.slow
def test_a_policy_that_acts_in_tensorflow_acts_like_its_twin():
    pytest.importorskip("tensorflow")
    from benchmarks.gru_policies import tensorflow_gru

    policy, twin = tensorflow_gru(), numpy_gru()
    policy.set_param_values({k: 3 * v for k, v in twin.get_param_values().items()})
    twin.set_param_values({k: 3 * v for k, v in twin.get_param_values().items()})
    observations = np.random.default_rng(0).random((12, 4, 8)).astype(np.float32)
    for each in (policy, twin):
        each.reset(np.ones(4, bool))
        each.seed(np.arange(4, dtype=np.uint64))
    for tick, observation in enumerate(observations):
        if tick == 7:
            for each in (policy, twin):
                each.reset(np.array([False, True, False, True]))
                each.seed(np.array([8, 9], np.uint64))
        (actions, infos), (expected, told) = policy.get_actions(observation), twin.get_actions(observation)
        np.testing.assert_array_equal(actions, expected)
        np.testing.assert_allclose(infos["log_prob"], told["log_prob"], atol=1e-4)
