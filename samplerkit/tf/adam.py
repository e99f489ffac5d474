"""Adam (Kingma and Ba, arXiv:1412.6980), with state that can be saved as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


class Adam:
    """Moments for a list of variables, which is always given in the same order.

    Args:
        variables: what will be updated; not kept.
        beta1: decay of the mean of gradients.
        beta2: decay of the mean of squared gradients.
        epsilon: added to the root of the latter.
    """

    def __init__(
        self, variables: Sequence[Any], *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-5
    ) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self._restore(
            {
                "step": np.float32(0.0),
                "means": [np.zeros(variable.shape, np.float32) for variable in variables],
                "squares": [np.zeros(variable.shape, np.float32) for variable in variables],
            }
        )

    def apply(self, variables: Sequence[Any], gradients: Sequence[Any], learning_rate: Any) -> None:
        """Take one step down the gradients; may be called inside a `tf.function`."""
        self._step.assign_add(1.0)
        mean_scale = 1.0 / (1.0 - tf.pow(self.beta1, self._step))
        square_scale = 1.0 / (1.0 - tf.pow(self.beta2, self._step))
        slots = zip(variables, gradients, self._means, self._squares, strict=True)
        for variable, gradient, mean, square in slots:
            mean.assign(self.beta1 * mean + (1.0 - self.beta1) * gradient)
            square.assign(self.beta2 * square + (1.0 - self.beta2) * tf.square(gradient))
            step = mean * mean_scale / (tf.sqrt(square * square_scale) + self.epsilon)
            variable.assign_sub(learning_rate * step)

    def _restore(self, moments: dict[str, Any]) -> None:
        self._step = tf.Variable(moments["step"], dtype=tf.float32, trainable=False)
        self._means = [tf.Variable(value, trainable=False) for value in moments["means"]]
        self._squares = [tf.Variable(value, trainable=False) for value in moments["squares"]]

    def __getstate__(self) -> dict[str, Any]:
        return {
            "betas": (self.beta1, self.beta2, self.epsilon),
            "step": self._step.numpy(),
            "means": [mean.numpy() for mean in self._means],
            "squares": [square.numpy() for square in self._squares],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.beta1, self.beta2, self.epsilon = state.pop("betas")
        self._restore(state)
