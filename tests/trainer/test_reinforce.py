from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.trainer import ConfigError, ExperimentConfig
from samplerkit.trainer.reinforce import LinearSoftmaxPolicy, build, rewards_to_go

CONFIG: dict[str, Any] = {
    "experiment": {"name": "a", "build": "samplerkit.trainer.reinforce:build", "seed": 3},
    "train": {"n_epochs": 5},
}


def test_rewards_to_go_of_a_known_episode() -> None:
    assert list(rewards_to_go(np.array([1.0, 2.0, 4.0]), 0.5)) == [3.0, 4.0, 4.0]


@given(st.integers(1, 9), st.integers(0, 2**32))
def test_a_row_acts_the_same_alone_and_among_others(n_rows: int, seed: int) -> None:
    policy = LinearSoftmaxPolicy(4, 3, init_std=1.0, seed=1)
    observations = np.random.default_rng(seed).normal(size=(n_rows, 4))
    seeds = np.arange(n_rows, dtype=np.uint64) + np.uint64(seed)
    policy.reset(np.ones(n_rows, dtype=np.bool_))
    policy.seed(seeds)
    together, _ = policy.get_actions(observations)
    for row in range(n_rows):
        policy.reset()
        policy.seed(seeds[row : row + 1])
        assert policy.get_action(observations[row])[0] == together[row]
        alone = policy.probabilities(observations[row : row + 1])[0]
        assert np.array_equal(alone, policy.probabilities(observations)[row]), "not one bit may differ"


def test_actions_follow_the_probabilities() -> None:
    policy = LinearSoftmaxPolicy(1, 3)
    policy.set_param_values({"weights": np.log([[1.0, 1.0, 1.0], [0.2, 0.3, 0.5]])})
    n = 20_000
    policy.reset(np.ones(n, dtype=np.bool_))
    policy.seed(np.arange(n, dtype=np.uint64))
    actions, _ = policy.get_actions(np.zeros((n, 1)))
    np.testing.assert_allclose(np.bincount(actions) / n, [0.2, 0.3, 0.5], atol=0.02)


def test_the_builder_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        build(ExperimentConfig.from_tables({**CONFIG, "algo": {"learnin_rate": 1.0}}))
    with pytest.raises(ConfigError, match="Discrete actions"):
        build(ExperimentConfig.from_tables({**CONFIG, "env": {"id": "Pendulum-v1"}}))


def test_the_builder_uses_what_it_is_given() -> None:
    config = {**CONFIG, "algo": {"learning_rate": 0.5}, "policy": {"init_std": 1.0}}
    experiment = build(ExperimentConfig.from_tables(config))
    assert experiment.env == "CartPole-v1"
    algo: Any = experiment.algo
    assert algo.learning_rate == 0.5
    assert algo.policy.weights.shape == (5, 2)
    assert np.any(algo.policy.weights)
