"""Policies in numpy, exact row by row: what a row does depends on its own observations, state and seed alone.

None of them needs TensorFlow. `get_action(observation)` gives the very bits that `get_actions` gives that
row, in any batch size and at any position, so that a worker that steps one environment and one that steps
many at once sample the same episodes.
"""

from __future__ import annotations

from samplerkit.policies.callables import CallablePolicy, from_callable
from samplerkit.policies.flattening import flat_size, flatten_observations
from samplerkit.policies.gru import GRUPolicy
from samplerkit.policies.mlp import MLPPolicy
from samplerkit.policies.random_policy import RandomPolicy
from samplerkit.policies.rows import RowRandom, RowStreams

__all__ = [
    "CallablePolicy",
    "GRUPolicy",
    "MLPPolicy",
    "RandomPolicy",
    "RowRandom",
    "RowStreams",
    "flat_size",
    "flatten_observations",
    "from_callable",
]
