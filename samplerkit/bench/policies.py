"""A policy that costs nothing, for measuring everything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from samplerkit.policies.stacking import stack_rows


class ConstantPolicy:
    """Gives the same action at every step.

    It has one parameter without a meaning, ``{"nothing": float32 (1,)}``, so that its weights can be updated
    as those of any other policy.

    Args:
        observation_space: not used; policies are made from two spaces.
        action_space: of any kind that gymnasium can sample from; the action is one sample, always the same.
    """

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        del observation_space
        action_space.seed(0)
        self.action = action_space.sample()
        self._n_rows = 1
        self._nothing: npt.NDArray[np.float32] = np.zeros(1, np.float32)

    def reset(self, do_resets: npt.NDArray[np.bool_] | None = None) -> None:
        """Take the number of rows."""
        self._n_rows = 1 if do_resets is None else len(do_resets)

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        """Return the action, and no info."""
        return self.action, {}

    def get_actions(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        """Return the action for every row, as a column, and no infos."""
        return stack_rows([self.action] * self._n_rows), {}

    def get_param_values(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the parameter without a meaning."""
        return {"nothing": self._nothing.copy()}

    def set_param_values(self, params: Any) -> None:
        """Take it."""
        self._nothing = np.array(params["nothing"], np.float32)
