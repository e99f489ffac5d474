"""The trainable multilayer perceptron policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gymnasium import spaces

from samplerkit.policies.mlp import MLPPolicy
from samplerkit.tf.networks import MLPNetwork
from samplerkit.tf.policies.base import TFPolicy


class TFMLPPolicy(TFPolicy[MLPPolicy]):
    """The trainable twin of `samplerkit.policies.MLPPolicy`: same arguments, parameters and initial weights.

    `distribution(observations)` takes (batch, obs_dim), or any leading shape.
    """

    network_class = MLPNetwork

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        hidden_sizes: Sequence[int] = (32, 32),
        seed: int = 0,
        init_std: float = 1.0,
        deterministic: bool = False,
    ) -> None:
        super().__init__(
            MLPPolicy(
                observation_space,
                action_space,
                hidden_sizes=hidden_sizes,
                seed=seed,
                init_std=init_std,
                deterministic=deterministic,
            )
        )

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """The width of each hidden layer."""
        return self._twin.hidden_sizes
