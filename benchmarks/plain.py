"""Policies for frameworks: plain numpy on a batch of observations, as fast as can be, no seeds for rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.policies import STEADY_GAIN

Act = Callable[[Any], Any]
"""Observations (n, ...) -> actions (n, ...)."""


def plain_policy(name: str, observation_space: Any, action_space: Any) -> Act:
    """Return a policy by its name.

    Args:
        name: ``plain`` and ``steady`` (4-32-32-2, sampled), ``gaussian`` (n-64-64-m), ``constant``.
        observation_space: a flat Box; not used by ``constant``.
        action_space: of one environment.
    """
    if name == "constant":
        action_space.seed(0)
        action = np.asarray(action_space.sample())
        return lambda observations: np.broadcast_to(action, (len(observations), *action.shape)).copy()
    size = observation_space.shape[0]
    random = np.random.default_rng(0)
    if name == "gaussian":
        return _gaussian(_layers((size, 64, 64, action_space.shape[0]), random), random)
    layers = _layers((size, 32, 32, 2), random)
    if name == "steady":
        layers = [(0.1 * kernel, bias) for kernel, bias in layers]
        layers[0][0][:, 0] = [0.025, 0.1, 0.5, 0.3]
        layers[1][0][0, 0] = 1.0
        layers[2][0][0] = [-STEADY_GAIN, STEADY_GAIN]
    return _sampled(layers, random)


def _layers(sizes: tuple[int, ...], random: np.random.Generator) -> list[tuple[Any, Any]]:
    return [
        (
            (random.standard_normal((n_in, n_out)) / np.sqrt(n_in)).astype(np.float32),
            np.zeros(n_out, np.float32),
        )
        for n_in, n_out in itertools.pairwise(sizes)
    ]


def _forward(layers: list[tuple[Any, Any]], x: Any) -> Any:
    *hidden, (kernel, bias) = layers
    for hidden_kernel, hidden_bias in hidden:
        x = np.tanh(x @ hidden_kernel + hidden_bias)
    return x @ kernel + bias


def _sampled(layers: list[tuple[Any, Any]], random: np.random.Generator) -> Act:
    def act(observations: Any) -> Any:
        logits = _forward(layers, np.asarray(observations, np.float32))
        of_one = 1.0 / (1.0 + np.exp(logits[:, 0] - logits[:, 1]))
        return (random.random(len(of_one)) < of_one).astype(np.int64)

    return act


def _gaussian(layers: list[tuple[Any, Any]], random: np.random.Generator) -> Act:
    def act(observations: Any) -> Any:
        means = _forward(layers, np.asarray(observations, np.float32))
        noise = random.standard_normal(means.shape, np.float32)
        return np.clip(means + noise, -1.0, 1.0, dtype=np.float32)

    return act
