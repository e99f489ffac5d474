"""Action distributions as named tuples of tensors: they pass through `tf.function`, `tf.nest` and gradients.

`log_prob`, `entropy` and `kl` reduce over an action's own dimensions: all give the leading (batch) shape.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

Tensor = Any
LOG_2PI = float(np.log(2.0 * np.pi))


class Categorical(NamedTuple):
    """Logits (..., n); actions are classes (...), counted from 0."""

    logits: Tensor


class MultiCategorical(NamedTuple):
    """Independent factors, logits (..., n_i) each; actions are classes (..., n_factors), counted from 0."""

    logits: tuple[Tensor, ...]


class DiagonalGaussian(NamedTuple):
    """Mean (..., size) and log_std, broadcast against it; actions are (..., size)."""

    mean: Tensor
    log_std: Tensor


Distribution = Categorical | MultiCategorical | DiagonalGaussian


def log_prob(distribution: Distribution, actions: Tensor) -> Tensor:
    """The log-probability (density) of `actions`."""
    if isinstance(distribution, Categorical):
        return _categorical_log_prob(distribution.logits, actions)
    if isinstance(distribution, MultiCategorical):
        return tf.add_n(
            [_categorical_log_prob(logits, actions[..., i]) for i, logits in enumerate(distribution.logits)]
        )
    mean, log_std = distribution
    z = (actions - mean) * tf.exp(-log_std)
    return tf.reduce_sum(-0.5 * tf.square(z) - log_std - 0.5 * LOG_2PI, axis=-1)


def entropy(distribution: Distribution) -> Tensor:
    """The entropy, in nats (of the density, for a Gaussian)."""
    if isinstance(distribution, Categorical):
        return _categorical_entropy(distribution.logits)
    if isinstance(distribution, MultiCategorical):
        return tf.add_n([_categorical_entropy(logits) for logits in distribution.logits])
    mean, log_std = distribution
    return tf.reduce_sum(tf.zeros_like(mean) + log_std + 0.5 * (1.0 + LOG_2PI), axis=-1)


def kl(old: Distribution, new: Distribution) -> Tensor:
    """KL(old || new); both of one kind."""
    if isinstance(old, Categorical) and isinstance(new, Categorical):
        return _categorical_kl(old.logits, new.logits)
    if isinstance(old, MultiCategorical) and isinstance(new, MultiCategorical):
        return tf.add_n([_categorical_kl(a, b) for a, b in zip(old.logits, new.logits, strict=True)])
    if isinstance(old, DiagonalGaussian) and isinstance(new, DiagonalGaussian):
        return _gaussian_kl(old, new)
    raise TypeError(
        f"kl compares distributions of one kind, not {type(old).__name__} and {type(new).__name__}"
    )


def _categorical_log_prob(logits: Tensor, actions: Tensor) -> Tensor:
    # A product with one-hot rows: unlike a gather it has a cheap gradient under XLA.
    return tf.reduce_sum(
        tf.nn.log_softmax(logits) * tf.one_hot(actions, logits.shape[-1], dtype=logits.dtype), axis=-1
    )


def _categorical_entropy(logits: Tensor) -> Tensor:
    log_probs = tf.nn.log_softmax(logits)
    return -tf.reduce_sum(tf.exp(log_probs) * log_probs, axis=-1)


def _categorical_kl(old: Tensor, new: Tensor) -> Tensor:
    old_log_probs = tf.nn.log_softmax(old)
    return tf.reduce_sum(tf.exp(old_log_probs) * (old_log_probs - tf.nn.log_softmax(new)), axis=-1)


def _gaussian_kl(old: DiagonalGaussian, new: DiagonalGaussian) -> Tensor:
    variance_ratio = tf.exp(2.0 * (old.log_std - new.log_std))
    z = (old.mean - new.mean) * tf.exp(-new.log_std)
    return tf.reduce_sum(0.5 * (variance_ratio + tf.square(z) - 1.0) + new.log_std - old.log_std, axis=-1)
