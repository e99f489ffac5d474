"""The policies of the workloads, for samplers and loops; frameworks get plain numpy functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplerkit.policies import MLPPolicy

STEADY_GAIN = 5.45
"""Scale of the outputs with which a sampled CartPole episode takes about 250 steps; 0 gives about 22."""


class ActionsOnly(MLPPolicy):
    """Tells nothing but its actions, as the functions do that frameworks get: no log-probabilities."""

    draws_from_global_random = False

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        """Return the action, and nothing about it."""
        return super().get_action(observation)[0], {}

    def get_actions(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        """Return the actions, and nothing about them."""
        return super().get_actions(observations)[0], {}


def mlp32(observation_space: Any, action_space: Any) -> Any:
    """A perceptron with two hidden layers of 32."""
    return ActionsOnly(observation_space, action_space, hidden_sizes=(32, 32))


def steady(observation_space: Any, action_space: Any) -> Any:
    """A perceptron 4-32-32-2 for CartPole that balances the pole for a while: episodes of about 250 steps."""
    policy = mlp32(observation_space, action_space)
    weights = policy.get_param_values()
    policy.set_param_values({name: _steady_weight(name, array) for name, array in weights.items()})
    return policy


def _steady_weight(name: str, array: Any) -> Any:
    """One path leads straight through the network: which side of upright the pole is on, and tends to."""
    array = 0.1 * array if array.ndim == 2 else array
    if name == "hidden_0/kernel":
        array[:, 0] = np.array([0.025, 0.1, 0.5, 0.3])
    elif name == "hidden_1/kernel":
        array[0, 0] = 1.0
    elif name == "output/kernel":
        array[0] = [-STEADY_GAIN, STEADY_GAIN]
    return array.astype(np.float32)


def mlp64(observation_space: Any, action_space: Any) -> Any:
    """A perceptron with two hidden layers of 64."""
    return ActionsOnly(observation_space, action_space, hidden_sizes=(64, 64))


class Laden:
    """Always the first action, and 10 MB of weights that play no part in it."""

    reads_params_in_place = True

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        del observation_space, action_space
        self._weights = np.zeros((10, 125_000), np.float64)

    def reset(self, do_resets: Any = None) -> None:
        """Nothing is remembered."""

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        """Return action 0."""
        return np.int64(0), {}

    def get_param_values(self) -> Any:
        """Return the weights."""
        return {"weights": self._weights}

    def set_param_values(self, params: Any) -> None:
        """Take weights, without a copy: what an algorithm that reads them in place does."""
        self._weights = params["weights"]


class First:
    """Always the first action; nothing to be told."""

    def reset(self, do_resets: Any = None) -> None:
        """Nothing is remembered."""

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        """Return action 0."""
        return np.int64(0), {}

    def get_param_values(self) -> Any:
        """Return no weights."""
        return {}

    def set_param_values(self, params: Any) -> None:
        """Take none."""
