"""Uniformly random actions in any space, each row from its own stream."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from samplerkit.episodes.columns import row_of
from samplerkit.policies.base import RowPolicy
from samplerkit.policies.space_sampling import row_sampler

Space = spaces.Space[Any]


class RandomPolicy(RowPolicy):
    """Samples an action space as gymnasium's `sample` does: uniform, exponential or normal where a Box is
    unbounded.

    Args:
        action_space: any nesting of Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple.

    `get_actions` needs to know the number of rows only: it takes it from the last `reset`.
    """

    draws_from_global_random: ClassVar[bool] = False

    def __init__(self, action_space: Space) -> None:
        super().__init__()
        self.action_space = action_space
        self._sample = row_sampler(action_space)
        self._discrete = None
        if isinstance(action_space, spaces.Discrete):
            self._discrete = (np.dtype(action_space.dtype).type, int(action_space.n), int(action_space.start))

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        """A random action of the space, and no info; the policy must have one row."""
        if self._streams.n_rows != 1:
            self._check_rows(1)
        if self._discrete is not None:
            dtype, n, start = self._discrete
            return dtype(int(self._streams.row_uniform() * n) + start), {}
        return row_of(self._sample(self._streams), 0), {}

    def get_actions(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        """A column of n random actions for n rows, and no infos."""
        return self._sample(self._streams), {}

    def get_param_values(self) -> dict[str, npt.NDArray[np.float32]]:
        """No parameters: an empty dict."""
        return {}

    def set_param_values(self, params: Any) -> None:
        """Accepts the empty dict that `get_param_values` gives, nothing else."""
        if len(params):
            raise ValueError("RandomPolicy has no parameters: pass an empty dict")
