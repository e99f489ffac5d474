"""The trainable recurrent policy."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces

from samplerkit.policies.gru import GRUPolicy
from samplerkit.tf.networks import GRUNetwork
from samplerkit.tf.policies.base import TFPolicy


class TFGRUPolicy(TFPolicy[GRUPolicy]):
    """The trainable twin of `samplerkit.policies.GRUPolicy`: same arguments, parameters and initial weights.

    `distribution(observations)` takes whole sequences (batch, T, obs_dim), from a zero hidden state.
    """

    network_class = GRUNetwork

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        hidden_size: int = 64,
        seed: int = 0,
        init_std: float = 1.0,
        deterministic: bool = False,
    ) -> None:
        super().__init__(
            GRUPolicy(
                observation_space,
                action_space,
                hidden_size=hidden_size,
                seed=seed,
                init_std=init_std,
                deterministic=deterministic,
            )
        )

    @property
    def hidden_size(self) -> int:
        """The width of the hidden state."""
        return self._twin.hidden_size
