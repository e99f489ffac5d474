"""Trainable policies: TensorFlow to learn with, a row-exact numpy twin to sample with.

Importing this module imports TensorFlow. What `for_sampling()` gives does not need it: workers act through
`samplerkit.policies` alone.
"""

from __future__ import annotations

from samplerkit.policies.flattening import flatten_observations
from samplerkit.tf.policies.base import TFPolicy
from samplerkit.tf.policies.distributions import (
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
    entropy,
    kl,
    log_prob,
)
from samplerkit.tf.policies.gru import TFGRUPolicy
from samplerkit.tf.policies.mlp import TFMLPPolicy

__all__ = [
    "Categorical",
    "DiagonalGaussian",
    "Distribution",
    "MultiCategorical",
    "TFGRUPolicy",
    "TFMLPPolicy",
    "TFPolicy",
    "entropy",
    "flatten_observations",
    "kl",
    "log_prob",
]
