from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerkit.tf.advantages import generalized_advantages, standardized


def by_definition(rewards, values, discount, gae_lambda):
    """The sum of equation 16, term by term, for one episode; values has one entry more than rewards."""
    deltas = [rewards[t] + discount * values[t + 1] - values[t] for t in range(len(rewards))]
    return [
        sum((discount * gae_lambda) ** k * delta for k, delta in enumerate(deltas[t:]))
        for t in range(len(deltas))
    ]


numbers = st.floats(-10, 10)


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    discount=st.floats(0, 1),
    gae_lambda=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_advantages_are_those_of_a_loop_over_each_episode(lengths, discount, gae_lambda, seed):
    generator = np.random.default_rng(seed)
    n, width = len(lengths), max(lengths)
    rewards, values = generator.normal(size=(n, width)), generator.normal(size=(n, width + 1))
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.float32)
    got = generalized_advantages(rewards, values, mask, discount=discount, gae_lambda=gae_lambda)
    for row, length in enumerate(lengths):
        expected = by_definition(rewards[row, :length], values[row], discount, gae_lambda)
        np.testing.assert_allclose(got[row, :length], expected, atol=1e-9)
        assert not got[row, length:].any(), "padding has no advantage"


def test_with_lambda_one_and_no_values_advantages_are_rewards_to_go():
    rewards = np.array([[1.0, 2.0, 4.0]])
    got = generalized_advantages(rewards, np.zeros((1, 4)), np.ones((1, 3)), discount=0.5, gae_lambda=1.0)
    np.testing.assert_allclose(got, [[3.0, 4.0, 4.0]])


def test_standardized_values_have_mean_zero_and_deviation_one_over_the_steps():
    values = np.array([[1.0, 5.0, 77.0], [3.0, 77.0, 77.0]])
    mask = np.array([[1, 1, 0], [1, 0, 0]], np.float32)
    got = standardized(values, mask)
    assert got[mask > 0].mean() == pytest.approx(0.0)
    assert got[mask > 0].std() == pytest.approx(1.0)
    assert not got[mask == 0].any()


def test_equal_values_are_standardized_to_zero():
    np.testing.assert_array_equal(standardized(np.full((2, 2), 3.0), np.ones((2, 2))), np.zeros((2, 2)))
