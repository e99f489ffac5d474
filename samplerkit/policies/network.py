"""The frame of the network policies: observation in, forward pass (a subclass), action head, parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from samplerkit.attributes import set_attributes
from samplerkit.policies.base import RowPolicy
from samplerkit.policies.flattening import as_column, column_length, flat_size, single_row_writer, write_flat
from samplerkit.policies.heads import make_head
from samplerkit.policies.parameters import Parameters, checked_parameters, copy_parameters

Array = npt.NDArray[np.float32]
Space = spaces.Space[Any]


class Workspace:
    """Buffers of a forward pass over some tiles; `x` takes the observations, padding rows stay zero."""

    def __init__(self, x: Array) -> None:
        self.x = x
        self.rows = x.reshape(-1, x.shape[-1])
        self.first_row = self.rows[0]


class NetworkPolicy(RowPolicy, ABC):
    """A row-exact network policy in numpy: `get_action` gives the very bits of that row in `get_actions`.

    Sampled by default; with `deterministic=True` (an attribute too) the most probable class or the mean.
    Agent info: {"log_prob": float32}, of the action given.
    """

    reads_params_in_place: ClassVar[bool] = True
    """They are copied."""

    def __init__(
        self,
        observation_space: Space,
        action_space: Space,
        *,
        seed: int = 0,
        deterministic: bool = False,
    ) -> None:
        super().__init__(stream_seed=seed)
        self.observation_space = observation_space
        self.action_space = action_space
        self.deterministic = deterministic
        self._n_in = flat_size(observation_space)
        self._write_row = single_row_writer(observation_space)
        self._head = make_head(action_space)
        self._params: Parameters = {}

    # -- the protocol ----------------------------------------------------------------------------------------

    def get_action(self, observation: Any) -> tuple[Any, dict[str, Any]]:
        """One observation -> (action, {"log_prob": float32}); the policy must have one row."""
        if self._streams.n_rows != 1:
            self._check_rows(1)
        self._write_row(observation, self._work.first_row)
        action, log_prob = self._head.one(self._forward(), self._streams, self.deterministic)
        return action, {"log_prob": log_prob}

    def get_actions(self, observations: Any) -> tuple[Any, dict[str, Any]]:
        """A column (or list) of n observations -> (actions (n, *shape), {"log_prob": float32 (n,)})."""
        column = as_column(self.observation_space, observations)
        n = column_length(self.observation_space, column)
        self._check_rows(n)
        rows = self._work.rows[:n]
        if not isinstance(self.observation_space, spaces.Box):
            rows[...] = 0.0
        write_flat(self.observation_space, column, rows)
        actions, log_probs = self._head.many(self._forward(), self._streams, self.deterministic)
        return actions, {"log_prob": log_probs}

    def get_param_values(self) -> Parameters:
        """Fresh copies of the parameters: name -> float32 array."""
        return copy_parameters(self._params)

    def set_param_values(self, params: Any) -> None:
        """Copy new parameters in, all or none; a TypeError or ValueError names the key that does not fit."""
        self._params = checked_parameters(params, self._params)
        self._pack()

    # -- for subclasses --------------------------------------------------------------------------------------

    _work: Workspace

    def _start(self, params: Parameters) -> None:
        """The end of a subclass's constructor: take the initial parameters, allocate for one row."""
        self._params = params
        self._pack()
        self._allocate(1)

    @abstractmethod
    def _allocate(self, n_rows: int) -> None:
        """Set `_work` to fresh buffers for `n_rows` rows."""

    @abstractmethod
    def _forward(self) -> Array:
        """Run the network over the workspace: outputs (8 * n_tiles, head width), overwritten by the next
        call.
        """

    @abstractmethod
    def _pack(self) -> None:
        """Derive from the parameters what the forward pass uses."""

    def _resize(self, n_rows: int) -> None:
        super()._resize(n_rows)
        self._allocate(n_rows)

    def __getstate__(self) -> dict[str, Any]:
        # Buffers hold views of each other, which neither a pickle nor a deep copy would keep.
        return {name: value for name, value in self.__dict__.items() if name not in self._derived}

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_attributes(self, state)
        self._pack()
        self._allocate(self._streams.n_rows)

    # Attributes that `_pack` and `_allocate` make again.
    _derived: ClassVar[frozenset[str]] = frozenset({"_work"})
