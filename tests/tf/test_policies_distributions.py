"""Action distributions against sums over all actions and against large samples."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from samplerkit.tf.policies import Categorical, DiagonalGaussian, MultiCategorical, entropy, kl, log_prob


def random_logits(seed, n):
    return tf.constant(np.random.default_rng(seed).normal(size=(2, n)), tf.float32)


def test_categorical_entropy_and_divergence_are_their_sums_over_all_classes():
    old, new = Categorical(random_logits(0, 4)), Categorical(random_logits(1, 4))
    p = np.stack([np.exp(log_prob(old, [a, a])) for a in range(4)])
    q = np.stack([np.exp(log_prob(new, [a, a])) for a in range(4)])
    np.testing.assert_allclose(p.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_allclose(entropy(old), -(p * np.log(p)).sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(kl(old, new), (p * np.log(p / q)).sum(axis=0), atol=1e-6)


def test_independent_factors_add_up():
    parts = [(random_logits(i, n), random_logits(i + 9, n)) for i, n in enumerate((2, 3))]
    old, new = (MultiCategorical(tuple(pair[side] for pair in parts)) for side in (0, 1))
    actions = tf.constant([[1, 2], [0, 1]])
    single = [(Categorical(a), Categorical(b)) for a, b in parts]
    np.testing.assert_allclose(
        log_prob(old, actions), sum(log_prob(a, actions[:, i]) for i, (a, _) in enumerate(single)), atol=1e-6
    )
    np.testing.assert_allclose(entropy(old), sum(entropy(a) for a, _ in single), atol=1e-6)
    np.testing.assert_allclose(kl(old, new), sum(kl(a, b) for a, b in single), atol=1e-6)


def test_gaussian_entropy_and_divergence_are_the_means_of_a_large_sample():
    old = DiagonalGaussian(tf.constant([[0.5, -1.0]]), tf.constant([0.3, -0.5]))
    new = DiagonalGaussian(tf.constant([[0.2, -0.7]]), tf.constant([0.1, 0.2]))
    noise = np.random.default_rng(0).normal(size=(400_000, 2))
    sample = tf.constant(noise * np.exp([0.3, -0.5]) + [0.5, -1.0], tf.float32)
    p, q = log_prob(old, sample).numpy(), log_prob(new, sample).numpy()
    np.testing.assert_allclose(entropy(old), [-p.mean()], atol=0.01)
    np.testing.assert_allclose(kl(old, new), [(p - q).mean()], atol=0.01)


def test_a_gaussian_log_density_integrates_to_one():
    x = np.linspace(-12, 12, 20_001)
    density = DiagonalGaussian(tf.constant([0.5]), tf.constant([0.4]))
    p = np.exp(log_prob(density, tf.constant(x[:, None], tf.float32)).numpy())
    assert np.trapezoid(p, x) == pytest.approx(1, abs=1e-4)


def test_distributions_of_two_kinds_are_not_compared():
    with pytest.raises(TypeError, match="Categorical and DiagonalGaussian"):
        kl(Categorical(random_logits(0, 2)), DiagonalGaussian(tf.zeros((2, 2)), tf.zeros(2)))


def test_distributions_pass_through_a_compiled_function():
    double = tf.function(lambda d: Categorical(d.logits * 2))
    assert isinstance(double(Categorical(random_logits(0, 3))), Categorical)
